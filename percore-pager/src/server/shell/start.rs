//! From the command line to serving.

use core::fmt;

use l4_sys::CapIdx;
use l4_sys::kip::Kip;
use l4re_rs::cap::kind;
use l4re_rs::{Cap, Error, println};

use crate::server::api::Where;

use super::args::{ArgError, Args};
use super::cpus::{CpuMask, Cpus, Lack, MAX_CPUS};
use super::family::Families;
use super::front::{self, Front, Peer};
use super::mailbox::Stage;
use super::place::{Places, Slots};
use super::space::AddressSpace;
use super::supply::{Regions, Shortage, Supply};

/// Priority of pager threads: above programs, which loaders start at 2 to some tens, and below what
/// drives devices. A scheduler with a lower limit gives its limit.
pub(super) const PAGER_PRIO: u8 = 0xe0;

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

impl Start {
    /// For a task with the kernel's initial capabilities, a service to be served and a client of sigma0, and
    /// nothing of a loader's: from these slots on all are free.
    pub const fn on_sigma0(
        service: CapIdx,
        sigma0: CapIdx,
        first_slot: CapIdx,
        first_reply: u32,
    ) -> Self {
        Start {
            service: Cap::new(service),
            sigma0: Some(Cap::new(sigma0)),
            mem: None,
            rm: None,
            factory: Cap::new(CapIdx::FACTORY),
            scheduler: Cap::new(CapIdx::SCHEDULER),
            task: Cap::new(CapIdx::TASK),
            thread: Cap::new(CapIdx::THREAD),
            log: Cap::new(CapIdx::LOG),
            handler: CapIdx::PAGER,
            first_slot,
            first_reply,
            places: Places::KERNEL,
            kip: None,
        }
    }
}

/// Why the program does not serve.
#[derive(Debug)]
pub enum Refusal<'a> {
    /// The command line.
    Argument(&'a [u8], ArgError),
    /// CPUs that `--cores` names.
    Cores(Lack),
    /// Memory.
    Memory(Shortage),
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
            Refusal::Cores(Lack::Number(there)) => {
                write!(f, "--cores wants more CPUs than there are: {there}")
            }
            Refusal::Cores(Lack::Cpu(cpu, there)) => {
                write!(
                    f,
                    "--cores names CPU {cpu}, which is not there; {there} are"
                )
            }
            Refusal::Memory(shortage) => write!(f, "{shortage}"),
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
    let cpus = find_cpus(start, &args)?;
    let workers = cpus.workers();
    let none = Where::default();
    let probe = Front::new(&cpus, &[], start.first_reply, start.task, none);
    if !probe.has_reply_slots() {
        let what = "the kernel has no explicit reply capabilities (CONFIG_EXPLICIT_REPLY_CAPS)";
        return Err(Refusal::Missing(what));
    }
    if let Some(rm) = start.rm {
        for (first, size) in start.places.all() {
            rm.reserve_area(first, size)
                .map_err(|e| Refusal::Call("reserve addresses", 0, e))?;
        }
    }
    let slots = Slots::new(start.first_slot.offset(FRONT_SLOTS), workers);
    let borrowed = Cap::new(slots.borrowed());
    let supply = Supply::find(start.sigma0, start.mem, start.places, borrowed);
    let mut supply = supply.ok_or(Refusal::Missing("there is nobody to get memory from"))?;
    let mut regions = [Regions::EMPTY; MAX_CPUS as usize];
    let regions = regions.get_mut(..workers as usize).unwrap_or(&mut []);
    supply
        .share_out(args.memory, &cpus, regions)
        .map_err(Refusal::Memory)?;
    let families = Families {
        start,
        slots,
        cpus: &cpus,
        args: &args,
        space: AddressSpace::of(start.kip),
    };
    let mut peers = [None; MAX_CPUS as usize];
    let peers = peers.get_mut(..workers as usize).unwrap_or(&mut []);
    start_all(&families, regions, peers)?;
    let stage = |peer: &Option<Peer>| peer.map_or(Stage::Failed, |p| p.mailbox.stage());
    probe.wait_until(|| peers.iter().all(|peer| stage(peer) != Stage::Starting));
    if peers.iter().any(|peer| stage(peer) == Stage::Failed) {
        return Err(Refusal::Missing("a pager thread could not begin"));
    }
    say_what_there_is(&cpus, &supply, regions);
    let bound = start.service.bind_gate(start.thread, front::SERVICE);
    bound.map_err(|e| Refusal::Call("bind the gate 'pager'", 0, e))?;
    let place = Where {
        cores: workers,
        base: start.places.ram,
        node: cpus.home(0).map_or(0, |at| at.node),
        processors: peers
            .first()
            .copied()
            .flatten()
            .map_or(&[], |p| p.processors),
        ..none
    };
    Front::new(&cpus, peers, start.first_reply, start.task, place).serve()
}

/// The CPUs to be served, seen from themselves, and which thread serves which.
fn find_cpus(start: &Start, args: &Args) -> Result<Cpus, Refusal<'static>> {
    let online = CpuMask::online(start.scheduler);
    if let Some(lack) = online.lack(args.cores) {
        return Err(Refusal::Cores(lack));
    }
    let mask = online.chosen(args.cores);
    let me = (start.thread, PAGER_PRIO);
    let table = ApicTable::read(start.sigma0);
    let mut cpus = Cpus::visit(&mask, start.scheduler, me, |apic| table.node_of(apic));
    cpus.assign(args.layout);
    if cpus.workers() == 0 {
        let what = "no CPU that --cores names is there and may be used";
        return Err(Refusal::Missing(what));
    }
    Ok(cpus)
}

/// Starts all threads, which raise an interrupt of the calling one.
fn start_all(
    families: &Families<'_>,
    regions: &[Regions],
    peers: &mut [Option<Peer>],
) -> Result<(), Refusal<'static>> {
    let start = families.start;
    let irq = Cap::<kind::Irq>::new(start.first_slot);
    let made = start.factory.create_irq(irq);
    made.and_then(|()| irq.bind_irq(start.thread, front::ANSWERS))
        .map_err(|e| Refusal::Call("make the interrupt", 0, e))?;
    for (worker, (mine, peer)) in regions.iter().zip(peers).enumerate() {
        *peer = Some(families.start(worker as u32, *mine, irq)?);
    }
    Ok(())
}

fn say_what_there_is(cpus: &Cpus, supply: &Supply, regions: &[Regions]) {
    let bytes: u64 = regions.iter().map(Regions::bytes).sum();
    println!(
        "percore-pager: {} threads for {} CPUs, {} MiB from {}: {} regions by {} requests",
        cpus.workers(),
        cpus.iter().count(),
        bytes >> 20,
        supply.kind().name(),
        supply.regions,
        supply.requests
    );
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
