//! A dataspace of another server: a thread of our own, behind a gate, that answers as it is told.
//!
//! The server under test calls it when somebody copies from it. It can be honest, late, mute, or lie about
//! sizes, rights and what it sends.

use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicU64, Ordering};

use l4_sys::item::{Caching, SendItem};
use l4_sys::{CapIdx, CapRights, Errno, Fpage, MemRights, MsgTag, Timeout, Timeouts, UtcbRef};
use l4re_rs::Cap;
use l4re_rs::cap::kind;
use l4re_rs::client::dataspace::op;
use l4re_rs::client::ipc;
use l4re_rs::client::scheduler::CpuSet;
use l4re_rs::client::thread::Binding;
use l4re_rs::msg::{Reader, Writer};
use l4re_rs::server::{Incoming, Outcome, Service, serve};

use crate::ask::WINDOW;
use crate::bench::{Bench, OWN_TASK, poke};
use crate::ops;

/// Bytes of a page.
const PAGE: u64 = 4096;
/// Pages that it has.
pub const PAGES: u64 = 8;
/// Bytes of its stack.
const STACK: usize = 16384;
/// How long somebody else may wait for the server under test while that waits for us: a third of its own
/// patience.
const SOON: Timeout = Timeout::from_us(3_000_000);

/// What it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Mood {
    /// Answers as a dataspace.
    Honest,
    /// The same, after half a second for each request.
    Late,
    /// Answers no question for its size.
    MuteInfo,
    /// Answers no request for memory.
    MuteMap,
    /// Has no odd pages: a refusal.
    Holes,
    /// Says that it sends odd pages, and sends nothing.
    Empty,
    /// Sends odd pages that it does not have itself: the item arrives, no memory does.
    Void,
    /// Sends a capability in place of memory.
    Capability,
    /// Sends memory that may only be executed.
    NoRead,
    /// Says that it has 64 times as much as it has.
    Larger,
    /// Says that it has as much as can be said.
    Largest,
    /// Says that it has nothing.
    Nothing,
    /// Answers no number at all to the question for its size.
    NoWords,
    /// Answers with a number that is no error code.
    Nonsense,
}

/// All that are not as a dataspace should be, but answer.
pub const LIARS: [Mood; 10] = [
    Mood::Holes,
    Mood::Empty,
    Mood::Void,
    Mood::Capability,
    Mood::NoRead,
    Mood::Larger,
    Mood::Largest,
    Mood::Nothing,
    Mood::NoWords,
    Mood::Nonsense,
];

#[repr(C, align(16))]
struct Stack(UnsafeCell<[u8; STACK]>);
// SAFETY: used by the one thread only, through its stack pointer.
unsafe impl Sync for Stack {}
static STACK_MEMORY: Stack = Stack(UnsafeCell::new([0; STACK]));

/// A [`Mood`].
static MOOD: AtomicU64 = AtomicU64::new(0);
/// Address of its pages.
static BASE: AtomicU64 = AtomicU64::new(0);
/// A dataspace of the server under test, to be asked while that waits for us.
static OTHER: AtomicU64 = AtomicU64::new(0);
/// How many of these questions were answered, and how many were not.
static SERVED: AtomicU64 = AtomicU64::new(0);
static UNSERVED: AtomicU64 = AtomicU64::new(0);

fn is(mood: Mood) -> bool {
    MOOD.load(Ordering::Relaxed) == mood as u64
}

/// The thread and its gate.
#[derive(Debug)]
pub struct Elsewhere {
    /// What others have for a dataspace.
    pub ds: Cap<kind::Dataspace>,
    thread: Cap<kind::Thread>,
    memory: Cap<kind::Dataspace>,
    spot: u64,
}

impl Elsewhere {
    /// Starts it; `other` is a dataspace of the server under test. `None` when something cannot be made.
    pub fn start(b: &mut Bench, other: Cap<kind::Dataspace>) -> Option<Self> {
        let memory = b.ds(b.own, PAGES * PAGE).ok()?;
        let spot = b.spot();
        for page in 0..PAGES {
            ops::map(memory, page * PAGE, spot + page * PAGE, 6).memory()?;
            poke(spot + page * PAGE, word(page));
        }
        BASE.store(WINDOW + spot, Ordering::Relaxed);
        OTHER.store(other.idx().raw(), Ordering::Relaxed);
        let thread: Cap<kind::Thread> = b.slot();
        b.kernel.create_thread(thread).ok()?;
        let binding = Binding {
            task: OWN_TASK,
            utcb: b.free_utcb,
            pager: CapIdx::PAGER,
            exception_handler: CapIdx::PAGER,
        };
        // SAFETY: the UTCB is one of the program's own that nobody has.
        unsafe { thread.bind(binding) }.ok()?;
        let gate: Cap<kind::Gate> = b.slot();
        b.kernel.create_gate(0x40, thread, gate).ok()?;
        // Beside us, and before us: we wait for the server, which waits for it.
        b.scheduler.run(thread, 2, CpuSet::one(0), 0).ok()?;
        let stack = STACK_MEMORY.0.get() as u64;
        touch_program();
        // As at a function's entry: a return address below a multiple of 16.
        let top = stack + STACK as u64 - 8;
        // SAFETY: `run` never returns, and the stack is this thread's own.
        unsafe { thread.ex_regs(run as *const () as u64, top, 0) }.ok()?;
        Some(Elsewhere {
            ds: gate.cast(),
            thread,
            memory,
            spot,
        })
    }

    /// What it does from now on.
    pub fn be(&self, mood: Mood) {
        MOOD.store(mood as u64, Ordering::Relaxed);
    }

    /// How many questions to the server were answered, and how many were not, while that waited for us; from
    /// now on they are counted anew.
    pub fn counts(&self) -> (u64, u64) {
        (
            SERVED.swap(0, Ordering::Relaxed),
            UNSERVED.swap(0, Ordering::Relaxed),
        )
    }

    /// Ends it.
    pub fn end(self, b: &mut Bench) {
        b.delete(self.ds);
        b.delete(self.thread);
        for page in 0..PAGES {
            crate::bench::unmap(self.spot + page * PAGE, 12);
        }
        b.delete(self.memory);
    }
}

/// First word of a page.
#[must_use]
pub const fn word(page: u64) -> u64 {
    0x0e15_e000 + page
}

/// Has all of the program mapped: the thread has nobody who would resolve its faults.
#[cfg(l4re)]
fn touch_program() {
    unsafe extern "C" {
        static test_image_start: u8;
        static test_data_start: u8;
        static test_image_end: u8;
    }
    let start = &raw const test_image_start as usize;
    let data = &raw const test_data_start as usize;
    let end = &raw const test_image_end as usize;
    for at in (start..end).step_by(PAGE as usize) {
        let place = at as *mut u8;
        // SAFETY: inside the program's image, which is readable, and writable from its data on. One thread
        // runs, which keeps nothing of it in registers over a volatile access; nothing is changed.
        unsafe {
            let byte = place.read_volatile();
            if at >= data {
                place.write_volatile(byte);
            }
        }
    }
}

#[cfg(not(l4re))]
fn touch_program() {}

extern "C" fn run() -> ! {
    // SAFETY: it opens no receive window.
    unsafe { serve(&mut Server) }
}

struct Server;

impl Service for Server {
    fn handle(&mut self, msg: Incoming) -> Outcome {
        let mut r = Reader::new(msg.utcb, msg.tag);
        let Ok(op) = r.u32() else {
            return Outcome::error(Errno::MsgTooShort);
        };
        let (offset, spot) = (r.u64().unwrap_or(0), r.u64().unwrap_or(0));
        let mute = is(Mood::MuteInfo) && op == op::INFO || is(Mood::MuteMap) && op == op::MAP;
        if mute {
            // Whoever asked us waits now. Does the server serve others?
            let other: Cap<kind::Dataspace> =
                Cap::new(CapIdx::from_raw(OTHER.load(Ordering::Relaxed)));
            let served = other.info_within(Timeouts::new(SOON, SOON)).is_ok();
            let count = if served { &SERVED } else { &UNSERVED };
            count.fetch_add(1, Ordering::Relaxed);
            return Outcome::Nothing;
        }
        if is(Mood::Late) {
            ipc::sleep(Timeout::from_us(500_000));
        }
        if is(Mood::Nonsense) {
            return Outcome::label(-123_456);
        }
        match op {
            op::INFO => info(msg.utcb),
            op::MAP => map(msg.utcb, offset, spot),
            _ => Outcome::error(Errno::NoSys),
        }
    }
}

fn answer(finished: Result<MsgTag, Errno>) -> Outcome {
    finished.map_or(Outcome::error(Errno::Inval), Outcome::Reply)
}

fn info(utcb: UtcbRef) -> Outcome {
    let size = match () {
        () if is(Mood::Larger) => 64 * PAGES * PAGE,
        () if is(Mood::Largest) => u64::MAX,
        () if is(Mood::Nothing) => 0,
        () if is(Mood::NoWords) => return Outcome::label(0),
        () => PAGES * PAGE,
    };
    answer(Writer::new(utcb).u64(size).u64(7).finish(0))
}

fn map(utcb: UtcbRef, offset: u64, spot: u64) -> Outcome {
    let page = offset / PAGE;
    if page >= PAGES || is(Mood::Holes) && page % 2 == 1 {
        return Outcome::error(Errno::Range);
    }
    let odd = page % 2 == 1;
    if is(Mood::Empty) && odd {
        return Outcome::label(0);
    }
    // Behind its pages nothing is mapped.
    let at = if is(Mood::Void) && odd {
        page + PAGES
    } else {
        page
    } * PAGE;
    let rights = if is(Mood::NoRead) {
        MemRights::X
    } else {
        MemRights::RW
    };
    let memory = Fpage::mem(BASE.load(Ordering::Relaxed) + at, 12, rights);
    let item = if is(Mood::Capability) {
        SendItem::plain(OWN_TASK.fpage(CapRights::R))
    } else {
        SendItem::mem(spot, Caching::Cached, memory)
    };
    answer(Writer::new(utcb).item(item).finish(0))
}
