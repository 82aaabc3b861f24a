//! The client of the paper's experiment: allocates pages one by one, then frees them one by one.
//!
//! What an operation is:
//!
//! * *allocate*: the first store to a page of a new dataspace that is attached to the program's region
//!   map. It faults; the kernel asks the region map, which is a gate of the pager's thread; that takes
//!   memory, zeroes it, and answers with the mapping.
//! * *free*: a `clear` request for that page to the dataspace: the pager takes the page from everybody who
//!   has it mapped and gives the frame back to its allocator.
//!
//! It is done twice. [`Mode::Single`] sets the pager to single pages, so that each page is a request: the
//! paper's experiment. [`Mode::Runs`] leaves the pager's defaults, which bring more with a fault.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use fiasco_model::{Counters, kit, user};
use l4_sys::{CapIdx, CapRights, Timeout, Timeouts, proto, syscall};
use l4re_rs::Cap;
use l4re_rs::cap::kind;
use l4re_rs::client::rm::{Attach, flag};
use l4re_rs::varg::Arg;
use percore_pager::api::parameter;
use percore_pager::client::Pager;

use super::server::{Failure, fail};

/// Where the program has its memory allocator.
pub const MEM: CapIdx = CapIdx::from_slot(0x20);
/// Where it puts its dataspace.
const DS: CapIdx = CapIdx::from_slot(0x21);
/// Address of the memory that it faults in.
pub const BASE: u64 = 0x4000_0000;
/// Cycles between two looks at a barrier.
const POLL: u64 = 20_000;
/// Cycles from the last arrival to the common start.
const LEAD: u64 = 100_000;
/// Microseconds that a program sleeps before it begins: the pagers zero memory ahead in time that nobody
/// wants, and all runs are to find them done with it.
const REST_US: u64 = 200_000;
/// Looks at the pager's figures until all memory must be back.
const LOOKS: u32 = 10_000;

/// How much memory the pager brings with a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// One page, always: the paper's experiment.
    Single,
    /// Aligned runs of pages as the pager chooses: its default.
    Runs,
}

impl Mode {
    /// All of them.
    pub const ALL: [Mode; 2] = [Mode::Single, Mode::Runs];

    /// Its name in tables.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Mode::Single => "single",
            Mode::Runs => "runs",
        }
    }
}

/// What a program is to do.
#[derive(Debug, Clone)]
pub struct Job {
    /// Pages to allocate and free.
    pub pages: u32,
    /// Programs that do the same at once.
    pub programs: u64,
    /// In which modes, one after the other.
    pub modes: Vec<Mode>,
}

/// What one client measured in one mode, in cycles of its CPU's clock.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    /// The core.
    pub core: u32,
    /// The mode.
    pub mode: Mode,
    /// All allocations together.
    pub alloc: u64,
    /// All frees together.
    pub free: u64,
}

/// A meeting point.
#[derive(Debug, Default)]
struct Meeting {
    arrived: u64,
    start: u64,
}

/// What the clients of a run share on the host: no simulated time passes for it.
#[derive(Debug, Default)]
pub struct Board {
    meetings: Mutex<Vec<Meeting>>,
    /// Results.
    pub samples: Mutex<Vec<Sample>>,
    /// Counters of the machine at each meeting: one at the beginning, three for each mode, before, between
    /// and after its two measurements, and one at the end.
    pub counters: Mutex<Vec<Counters>>,
    /// Programs that did everything.
    pub done: AtomicU64,
}

impl Board {
    /// Waits until all programs are here, and until the common start.
    fn meet(&self, which: usize, programs: u64) {
        let start_of = |arrives: bool| {
            let mut all = self.meetings.lock().expect("held for a moment only");
            while all.len() <= which {
                all.push(Meeting::default());
            }
            let it = &mut all[which];
            it.arrived += u64::from(arrives);
            if arrives && it.arrived == programs {
                let mut counters = self.counters.lock().expect("held for a moment only");
                counters.push(user::totals());
                it.start = user::now() + LEAD;
            }
            it.start
        };
        let mut start = start_of(true);
        loop {
            let now = user::now();
            if start == 0 {
                user::compute(POLL);
            } else if now < start {
                user::compute(start - now);
            } else {
                return;
            }
            start = start_of(false);
        }
    }
}

/// Runs one client.
pub fn run(board: &Arc<Board>, job: &Job, failure: &Failure) {
    let rest = Timeouts::new(Timeout::NEVER, Timeout::from_us(REST_US));
    let _ = kit::invoke(CapIdx::INVALID, syscall::RECV, 0, &[], &[], rest);
    let outcome = all(board, job);
    if let Err(e) = outcome {
        let core = user::cpu();
        return fail(failure, format!("page-bench on core {core}: {e}"));
    }
    if board.done.fetch_add(1, Ordering::SeqCst) + 1 == job.programs {
        user::stop();
    }
    kit::sleep();
}

fn all(board: &Board, job: &Job) -> Result<(), String> {
    // All ask before one changes anything.
    let normal = settings()?;
    board.meet(0, job.programs);
    let mut meetings = 1;
    for mode in &job.modes {
        measure(board, job, (*mode, normal), &mut meetings)?;
    }
    board.meet(meetings, job.programs);
    all_is_back()
}

fn did<T>(what: &str, result: l4re_rs::Result<T>) -> Result<T, String> {
    result.map_err(|e| format!("cannot {what}: {e:?}"))
}

fn measure(
    board: &Board,
    job: &Job,
    (mode, normal): (Mode, (u64, u64)),
    meetings: &mut usize,
) -> Result<(), String> {
    let mut meet = || {
        board.meet(*meetings, job.programs);
        *meetings += 1;
    };
    let (factory, map) = (
        Cap::<kind::Factory>::new(MEM),
        Cap::<kind::Rm>::new(CapIdx::PAGER),
    );
    let used = || did("ask for the memory used", factory.memory()).map(|m| m.committed);
    let size = u64::from(job.pages) * 4096;
    let memory = did("ask for the memory used", factory.memory())?;
    let before = memory.committed;
    if memory.free < size {
        let free = memory.free >> 20;
        return Err(format!(
            "its pager has {free} MiB free; expected enough memory for {} pages",
            job.pages
        ));
    }
    choose(mode, normal)?;
    let ds = Cap::<kind::Dataspace>::new(DS);
    let args = [Arg::Int(size.cast_signed()), Arg::Uint(0)];
    let made = factory.create(proto::DATASPACE, &args, ds);
    did("make a dataspace", made)?;
    let attached = map.attach(Attach {
        start: BASE,
        size,
        flags: flag::R | flag::W | flag::NO_EAGER_MAP,
        object: Some((ds, CapRights::RWS)),
        offset: 0,
        align: 12,
        name: "pages",
    });
    did("attach it", attached)?;
    meet();
    let start = user::now();
    for page in 0..u64::from(job.pages) {
        user::touch(BASE + page * 4096, true);
    }
    let alloc = user::now() - start;
    meet();
    let start = user::now();
    for page in 0..u64::from(job.pages) {
        // SAFETY: simulated memory, in which no Rust object lies.
        did("free a page", unsafe { ds.clear(page * 4096, 4096) })?;
    }
    let free = user::now() - start;
    board
        .samples
        .lock()
        .expect("held for a moment only")
        .push(Sample {
            core: user::cpu(),
            mode,
            alloc,
            free,
        });
    meet();
    // SAFETY: as above.
    did("detach", unsafe { map.detach(BASE, size, 0) })?;
    let deleted = Cap::<kind::Task>::new(CapIdx::TASK).delete(ds);
    did("delete the dataspace", deleted)?;
    for _ in 0..LOOKS {
        if used()? == before {
            return Ok(());
        }
        user::compute(POLL);
    }
    let lost = used()? - before;
    Err(format!("{lost} bytes did not come back with the dataspace"))
}

/// Sets the pager of this program: its prefault and longest run, normally as given. Where several
/// programs share a pager, each sets the same.
fn choose(mode: Mode, normal: (u64, u64)) -> Result<(), String> {
    let pager = Pager::new(Cap::new(MEM));
    let set = |what, value| did("set the pager's runs", pager.set(what, value)).map(drop);
    // The first piece is never longer than the longest run.
    match mode {
        Mode::Single => {
            set(parameter::PREFAULT, 0)?;
            set(parameter::RUN, 0)
        }
        Mode::Runs => {
            set(parameter::RUN, normal.1)?;
            set(parameter::PREFAULT, normal.0)
        }
    }
}

/// Prefault and longest run of this program's pager.
fn settings() -> Result<(u64, u64), String> {
    let all = did(
        "ask for the pager's settings",
        Pager::new(Cap::new(MEM)).parameters(),
    )?;
    let of = |n: u32| all.get(n as usize).copied().unwrap_or_default();
    Ok((of(parameter::PREFAULT), of(parameter::RUN)))
}

/// Every program has given back everything: the pager must have all its frames.
fn all_is_back() -> Result<(), String> {
    let pager = Pager::new(Cap::new(MEM));
    let m = did("ask for the pager's frames", pager.memory())?;
    let known = m.free + m.held + m.used + m.kept + m.waiting + m.meta;
    if m.used + m.kept > 0 || known != m.present {
        return Err(format!(
            "the pager has {} of {} frames in use by clients who are gone, and {known} accounted for",
            m.used + m.kept,
            m.present
        ));
    }
    Ok(())
}
