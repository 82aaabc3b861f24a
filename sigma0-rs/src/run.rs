//! Start-up: from the kernel information page to the first message.

use core::fmt::Write;

use l4_sys::{CapIdx, kip::Kip};
use l4re_rs::Cap;
use l4re_rs::cap::kind;
use l4re_rs::log::LineLog;
use l4re_rs::server::serve;

use crate::boot::{self, BootError};
use crate::cmdline::{self, Share};
use crate::dump;
use crate::map::{MapError, NodeSlot, Regions};
use crate::phys::{self, Phys};
use crate::reserve;
use crate::server::{OWN_TASK, Sigma0};
use crate::topology::Topology;

/// Nodes in static memory: 32 KiB, enough for more than 900 runs before the first page is taken.
pub const STATIC_NODES: usize = 64;

/// Priority that sigma0 runs at (S0-BOOT-07): above everybody.
const PRIORITY: u8 = 255;

/// The static memory of the root pager. There is one in the program; a kernel model makes one for
/// each machine it runs.
pub struct Storage {
    nodes: [NodeSlot; STATIC_NODES],
    topology: Topology,
}

impl Storage {
    /// Empty; all zero, so that it lies in bss.
    #[must_use]
    pub const fn new() -> Self {
        Storage {
            nodes: [const { NodeSlot::EMPTY }; STATIC_NODES],
            topology: Topology::EMPTY,
        }
    }
}

impl Default for Storage {
    fn default() -> Self {
        Self::new()
    }
}

/// Prints a last line and stops (S0-BOOT-10).
fn stop(log: &mut LineLog, why: core::fmt::Arguments<'_>) -> ! {
    let _ = writeln!(log, "SIGMA0: stopped: {why}");
    l4re_rs::panic::stop()
}

/// Runs the root pager; `kip` is the address of the kernel information page.
///
/// # Safety
/// The calling thread is the first one of the task that the kernel made as root pager, with its
/// capabilities in the fixed slots and all memory mapped on access at its physical address, and a
/// kernel information page is at `kip`.
pub unsafe fn run(kip: u64, storage: &'static mut Storage) -> ! {
    let mut log = open_log();
    // SAFETY: the caller's promise.
    let info = unsafe { Kip::from_addr(kip) };
    let _ = writeln!(
        log,
        "SIGMA0: sigma0-rs {}, KIP at {kip:x}",
        env!("CARGO_PKG_VERSION")
    );
    if !info.is_fiasco() {
        let v = info.version;
        let _ = writeln!(
            log,
            "SIGMA0: kernel interface version {v:#x} is not known, going on"
        );
    }
    let Storage { nodes, topology } = storage;
    let Some(mut maps) = Regions::new(nodes) else {
        stop(
            &mut log,
            format_args!("static bookkeeping memory is too small"),
        );
    };
    match boot::build(&mut maps, info) {
        Ok(()) => {}
        Err(BootError::Conflict(d)) => {
            let _ = dump::maps(&mut log, &maps);
            stop(
                &mut log,
                format_args!(
                    "{:x} to {:x} overlaps the root task's memory",
                    d.start(),
                    d.end()
                ),
            );
        }
        Err(BootError::NoNodes(d)) => {
            stop(
                &mut log,
                format_args!("too many memory descriptors, no place for {:x}", d.start()),
            );
        }
    }
    topology.discover(&Phys::new(&maps), info, &mut log);
    apply_command_line(&mut maps, topology, info, &mut log);
    phys::touch(&maps);
    // SAFETY: free pages of the RAM map are nobody's, and sigma0 reaches them at their physical
    // address; `scrub` frees memory only after it was unmapped from everybody.
    unsafe { maps.set_growth(phys::window) };
    name_objects();
    let scheduler = Cap::<kind::Scheduler>::new(CapIdx::SCHEDULER);
    if let Err(e) = scheduler.set_priority(Cap::new(CapIdx::THREAD), PRIORITY) {
        let _ = writeln!(
            log,
            "SIGMA0: cannot set priority {PRIORITY}: error {}, going on",
            e.errno().number()
        );
    }
    let _ = dump::pool(&mut log, &maps);
    let _ = dump::maps(&mut log, &maps);
    let mut server = Sigma0::new(maps, topology, log, kip, phys::zero);
    // SAFETY: the service arms no receive buffer, so clients can send nothing but words.
    unsafe { serve(&mut server) }
}

/// The log, unless its slot is empty (S0-BOOT-04).
fn open_log() -> LineLog {
    let log = Cap::<kind::Log>::new(CapIdx::LOG);
    if OWN_TASK.is_valid(log) {
        LineLog::new(log)
    } else {
        LineLog::disabled()
    }
}

fn apply_command_line(maps: &mut Regions, topology: &Topology, kip: &Kip, log: &mut LineLog) {
    let mut buffer = [0; cmdline::MAX_LEN];
    let phys = Phys::new(maps);
    let Some(line) = cmdline::find(&phys, kip.user_ptr, &mut buffer) else {
        return;
    };
    // Both closures print, so the log is shared between them.
    let log = core::cell::RefCell::new(log);
    let say = |args: core::fmt::Arguments<'_>| {
        if let Ok(mut log) = log.try_borrow_mut() {
            let _ = log.write_fmt(args);
        }
    };
    let keep = |share: Share| match reserve::apply(maps, topology, share) {
        Ok(k) => say(format_args!(
            "SIGMA0: kept {} of {} KiB for pagers\n",
            k.kept >> 10,
            k.asked >> 10
        )),
        Err(MapError::NotFound) => {
            say(format_args!(
                "SIGMA0: --reserve: there is no node {}\n",
                share.node.unwrap_or_default()
            ));
        }
        Err(_) => say(format_args!(
            "SIGMA0: --reserve: no bookkeeping memory left\n"
        )),
    };
    let bad = |piece: &[u8]| {
        let text = core::str::from_utf8(piece).unwrap_or("(not text)");
        say(format_args!(
            "SIGMA0: cannot read '{text}' on the command line; expected --reserve=[NODE:]AMOUNT \
             with AMOUNT nK, nM, nG or n%\n"
        ));
    };
    cmdline::parse(line, keep, bad);
}

/// Tells the kernel debugger, where there is one, what we are (S0-BOOT-08).
fn name_objects() {
    let debugger = Cap::<kind::Debugger>::new(CapIdx::DEBUGGER);
    if !OWN_TASK.is_valid(debugger) {
        return;
    }
    debugger.name(OWN_TASK, "sigma0");
    debugger.name(Cap::<kind::Thread>::new(CapIdx::THREAD), "sigma0");
    debugger.name(Cap::<kind::Factory>::new(CapIdx::FACTORY), "root factory");
    debugger.image(OWN_TASK, IMAGE_BASE, "sigma0-rs");
}

/// Where the program is linked (see `sigma0.ld`).
const IMAGE_BASE: u64 = 0x10_0000;
