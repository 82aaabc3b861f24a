//! From the command line to serving.

use core::fmt;

use l4_sys::kip::Kip;
use l4_sys::{CapIdx, PAGE_SIZE};
use l4re_rs::cap::kind;
use l4re_rs::{Cap, Error, println};

use super::args::{ArgError, Args};
use super::carve::Carver;
use super::cpus::{CpuMask, Cpus, MAX_CPUS};
use super::effects::Handles;
use super::fetch::Fetcher;
use super::front::{self, Front, Peer};
use super::mailbox::{Mailbox, Stage};
use super::pager::{self, PagerJob, own};
use super::place::{Places, Slots};
use super::space::AddressSpace;
use super::spawn::{self, Job, Makers, Thread};
use super::supply::{Regions, Supply};

/// Priority of pager threads: above programs, which loaders start at 2 to some tens, and below what
/// drives devices. A scheduler with a lower limit gives its limit.
const PAGER_PRIO: u8 = 0xe0;
/// Priority of fetching threads: programs do not hold them up, they do not hold up pager threads.
const FETCH_PRIO: u8 = 0xdf;
/// Priority of idle threads: below every program.
const IDLE_PRIO: u8 = 1;
/// Stack bytes of a pager thread; what it holds for life lies there, too.
const PAGER_STACK: u64 = 64 << 10;
/// Stack bytes of its helpers.
const HELPER_STACK: u64 = 16 << 10;

/// What the program was given.
#[derive(Clone, Copy, Debug)]
pub struct Start {
    /// Clients of the service call this gate.
    pub service: Cap<kind::Gate>,
    /// A client of sigma0, if there is one.
    pub sigma0: Option<Cap<kind::Sigma0>>,
    /// The loader's memory allocator, if there is one.
    pub mem: Option<Cap<kind::Factory>>,
    /// The program's region map, if it has one.
    pub rm: Option<Cap<kind::Rm>>,
    /// Makes kernel objects.
    pub factory: Cap<kind::Factory>,
    /// Says where threads run.
    pub scheduler: Cap<kind::Scheduler>,
    /// The program's task.
    pub task: Cap<kind::Task>,
    /// The calling thread.
    pub thread: Cap<kind::Thread>,
    /// Where text goes.
    pub log: Cap<kind::Log>,
    /// Handler of the threads' faults and exceptions, which only mistakes of this program cause.
    pub handler: CapIdx,
    /// First slot that is free, and all above it.
    pub first_slot: CapIdx,
    /// First reply slot that is free, and all above it.
    pub first_reply: u32,
    /// Where things go in the address space.
    pub places: Places,
    /// The kernel information page, if it can be read.
    pub kip: Option<&'static Kip>,
}

/// Why the program does not serve.
#[derive(Debug)]
pub enum Refusal<'a> {
    /// The command line.
    Argument(&'a [u8], ArgError),
    /// Something the system does not have.
    Missing(&'static str),
    /// A system call.
    Call(&'static str, u32, Error),
}

impl fmt::Display for Refusal<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Argument(word, error) => {
                let text = core::str::from_utf8(word).unwrap_or("(no text)");
                match error {
                    ArgError::Unknown => write!(f, "unknown option '{text}'"),
                    ArgError::Value { option, wanted } => {
                        write!(f, "'{text}': {option} wants {wanted}")
                    }
                }
            }
            Refusal::Missing(what) => f.write_str(what),
            Refusal::Call(what, n, error) => write!(f, "cannot {what} {n}: {error:?}"),
        }
    }
}

/// Starts everything and serves; returns when that is impossible. `args` are the command line's words
/// without the program's name.
///
/// # Errors
/// What is wrong or missing. Threads that were started by then go on.
pub fn run<'a>(
    start: &Start,
    args: impl Iterator<Item = &'a [u8]>,
) -> Result<core::convert::Infallible, Refusal<'a>> {
    let args = Args::parse(args).map_err(|(word, error)| Refusal::Argument(word, error))?;
    let mask = CpuMask::online(start.scheduler).chosen(args.cores);
    let me = (start.thread, PAGER_PRIO);
    let table = ApicTable::read(start.sigma0);
    let mut cpus = Cpus::visit(&mask, start.scheduler, me, |apic| table.node_of(apic));
    cpus.assign(args.layout);
    let workers = cpus.workers();
    if workers == 0 {
        return Err(Refusal::Missing(
            "no CPU that --cores names is there and may be used",
        ));
    }
    if let Some(rm) = start.rm {
        let (first, size) = start.places.all();
        rm.reserve_area(first, size)
            .map_err(|e| Refusal::Call("reserve addresses", 0, e))?;
    }
    let slots = Slots::new(start.first_slot.offset(FRONT_SLOTS), workers);
    let borrowed = Cap::new(slots.borrowed());
    let supply = Supply::find(start.sigma0, start.mem, start.places, borrowed);
    let mut supply = supply.ok_or(Refusal::Missing("there is nobody to get memory from"))?;
    let mut regions = [Regions::EMPTY; MAX_CPUS as usize];
    let regions = regions.get_mut(..workers as usize).unwrap_or(&mut []);
    supply.share_out(args.memory, &cpus, regions);
    let family = Families {
        start,
        slots,
        cpus: &cpus,
        args: &args,
        space: AddressSpace::of(start.kip),
    };
    let mut peers = [None; MAX_CPUS as usize];
    let irq = Cap::<kind::Irq>::new(start.first_slot);
    let irq_made = start
        .factory
        .create_irq(irq)
        .and_then(|()| irq.bind_irq(start.thread, front::ANSWERS));
    irq_made.map_err(|e| Refusal::Call("make the interrupt", 0, e))?;
    let probe = Front::new(&cpus, &[], start.first_reply, start.task);
    if !probe.has_reply_slots() {
        return Err(Refusal::Missing(
            "the kernel has no explicit reply capabilities",
        ));
    }
    for (worker, (mine, peer)) in (0..workers).zip(regions.iter().zip(peers.iter_mut())) {
        *peer = Some(family.start(worker, *mine, irq)?);
    }
    let peers = peers.get(..workers as usize).unwrap_or(&[]);
    let stage = |peer: &Option<Peer>| peer.map_or(Stage::Failed, |p| p.mailbox.stage());
    probe.wait_until(|| peers.iter().all(|peer| stage(peer) != Stage::Starting));
    if peers.iter().any(|peer| stage(peer) == Stage::Failed) {
        return Err(Refusal::Missing("a pager thread could not begin"));
    }
    let bound = start.service.bind_gate(start.thread, front::SERVICE);
    bound.map_err(|e| Refusal::Call("bind the gate 'pager'", 0, e))?;
    let bytes: u64 = regions.iter().map(Regions::bytes).sum();
    println!(
        "percore-pager: {workers} threads for {} CPUs, {} MiB from {}: {} regions by {} requests",
        cpus.iter().count(),
        bytes >> 20,
        supply.kind().name(),
        supply.regions,
        supply.requests
    );
    Front::new(&cpus, peers, start.first_reply, start.task).serve()
}

/// Slots that the front thread uses: its interrupt.
const FRONT_SLOTS: u64 = 8;

/// APIC ids and nodes, as the firmware lists them.
struct ApicTable {
    all: [(u32, u32); MAX_CPUS as usize],
    used: usize,
}

impl ApicTable {
    fn read(sigma0: Option<Cap<kind::Sigma0>>) -> Self {
        let mut table = ApicTable {
            all: [(0, 0); MAX_CPUS as usize],
            used: 0,
        };
        let Some(sigma0) = sigma0 else {
            return table;
        };
        while let Some(room) = table
            .all
            .get_mut(table.used..)
            .filter(|room| !room.is_empty())
        {
            match sigma0.node_cpus(table.used as u32, room) {
                Ok(count) if count > 0 => table.used += count,
                _ => break,
            }
        }
        table
    }

    /// 0 for who is not listed.
    fn node_of(&self, apic: u32) -> u32 {
        let found = self.all.iter().take(self.used).find(|(id, _)| *id == apic);
        found.map_or(0, |(_, node)| *node)
    }
}

/// Starts pager threads with their helpers.
struct Families<'a> {
    start: &'a Start,
    slots: Slots,
    cpus: &'a Cpus,
    args: &'a Args,
    space: AddressSpace,
}

impl Families<'_> {
    /// Makes the threads of number `worker` on its memory.
    fn start(
        &self,
        worker: u32,
        regions: Regions,
        front: Cap<kind::Irq>,
    ) -> Result<Peer, Refusal<'static>> {
        let Start {
            factory,
            scheduler,
            task,
            places,
            ..
        } = *self.start;
        let failed = |what| move |error| Refusal::Call(what, worker, error);
        let at = self
            .cpus
            .home(worker)
            .ok_or(Refusal::Missing("a thread without a CPU"))?;
        let none = Refusal::Missing(
            "there is no memory for a pager thread (--memory, or sigma0's --reserve)",
        );
        let first = regions.iter().next().ok_or(none)?;
        // SAFETY: the run was just got and is used for this thread alone.
        let mut carver = unsafe { Carver::new(first) };
        // SAFETY: all zero is an empty mailbox.
        let mailbox = unsafe { carver.zeroed::<Mailbox>() };
        let mut piece = |bytes| {
            let start = carver.pages(bytes);
            start.ok_or(Refusal::Missing("a pager thread's memory is too small"))
        };
        let mailbox = mailbox.ok_or(Refusal::Missing("a pager thread's memory is too small"))?;
        let jobs = piece(3 * JOB)?;
        let buffer = piece(PAGE_SIZE)?;
        let stacks = [
            piece(PAGER_STACK)? + PAGER_STACK,
            piece(HELPER_STACK)? + HELPER_STACK,
            piece(HELPER_STACK)? + HELPER_STACK,
        ];
        let own = |n| self.slots.own(worker, n);
        let makers = Makers {
            factory,
            scheduler,
            task,
        };
        // SAFETY: the page is this family's, and nothing lies there.
        unsafe { task.add_ku_mem(places.utcb_page(worker)) }
            .map_err(failed("get a page of UTCBs for thread"))?;
        let thread = |member: u64, slot, prio, handler| Thread {
            slot: Cap::new(own(slot)),
            utcb: places.utcb(worker, member),
            stack_top: stacks[member as usize],
            prio,
            cpu: at.cpu,
            handler,
        };
        let main = thread(0, own::THREAD, PAGER_PRIO, self.start.handler);
        let fault = own(own::FAULT_GATE);
        let fetching = thread(1, own::FETCH_THREAD, FETCH_PRIO, fault);
        let idling = thread(2, own::IDLE_THREAD, IDLE_PRIO, self.start.handler);
        // SAFETY: each UTCB is one thread's.
        unsafe {
            spawn::make(makers, main).map_err(failed("make pager thread"))?;
        }
        for (n, label) in [
            (own::IDLE_GATE, pager::label::IDLE),
            (own::FETCH_GATE, pager::label::FETCH),
            (own::FAULT_GATE, pager::label::FETCH_FAULT),
        ] {
            let gate = Cap::new(own(n));
            factory
                .create_gate(label, main.slot, gate)
                .map_err(failed("make the gates of thread"))?;
        }
        for n in [own::DELETE_IRQ, own::MAIL_IRQ] {
            factory
                .create_irq(Cap::new(own(n)))
                .map_err(failed("make the interrupts of thread"))?;
        }
        // SAFETY: as above.
        unsafe {
            spawn::make(makers, fetching).map_err(failed("make the fetching thread"))?;
            spawn::make(makers, idling).map_err(failed("make the idle thread"))?;
        }
        let handles = Handles {
            thread: main.slot,
            factory,
            task,
            log: self.start.log,
            places,
        };
        let fetcher = Fetcher {
            gate: Cap::new(own(own::FETCH_GATE)),
            task,
            window: places.foreign_window(worker),
            buffer,
        };
        let pager = PagerJob {
            worker,
            cpu: at.cpu,
            slots: self.slots,
            first_reply: self.start.first_reply + front::REPLY_SLOTS + worker * pager::REPLY_SLOTS,
            handles,
            regions,
            carver,
            buffer,
            policy: self.args.policy,
            mailbox,
            front,
            space: self.space,
        };
        let jobs_of = [
            (main, Job::Pager(pager)),
            (fetching, Job::Fetch(fetcher)),
            (idling, Job::Idle(Cap::new(own(own::IDLE_GATE)))),
        ];
        for (n, (thread, job)) in jobs_of.into_iter().enumerate() {
            let place = jobs + n as u64 * JOB;
            // SAFETY: the place is a piece of the family's memory, large enough and aligned for a job,
            // and the thread is the only one that takes it. The stack is a piece as well.
            unsafe {
                l4_sys::mem::at(place).cast::<Job>().write(job);
                spawn::start(makers, thread, place).map_err(failed("start the threads of"))?;
            }
        }
        Ok(Peer {
            mailbox,
            irq: Cap::new(own(own::MAIL_IRQ)),
        })
    }
}

/// Bytes of a place for a job.
const JOB: u64 = (size_of::<Job>() as u64).next_multiple_of(64);
