//! Port faults, exceptions, and what people are told about faults (MOE-RM-40 to -42).

use core::fmt;

use l4_sys::exc::EXC_WORDS;
use l4_sys::{Errno, Fpage, MsgTag};
use l4re_rs::server::Incoming;

use crate::engine::objects::Object;
use crate::engine::rm::{self, Fault, Map};
use crate::engine::{Ref, Store};
use crate::frames::Reshape;
use crate::server::core::Core;
use crate::server::world::World;

/// Where a register frame has the fault address and the instruction pointer, in words.
const PFA: usize = core::mem::offset_of!(l4_sys::exc::ExcRegs, pfa) / 8;
const IP: usize = core::mem::offset_of!(l4_sys::exc::ExcRegs, ip) / 8;

/// What a fault wanted.
struct Access(Fault);

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match (self.0.write, self.0.fetch) {
            (true, _) => "write",
            (_, true) => "instruction",
            _ => "read",
        })
    }
}

impl<'a, P: Reshape<'a>, W: World> Core<'a, P, W> {
    /// Ports are not given out here; the kernel raises an exception in the thread.
    pub(super) fn port_fault(&mut self, msg: Incoming) -> Result<MsgTag, Errno> {
        if msg.tag.words() < 2 || !msg.tag.fits() {
            return Err(Errno::MsgTooShort);
        }
        let (ports, pc) = (Fpage(msg.utcb.mr(0)), msg.utcb.mr(1));
        let (first, order) = (ports.0 >> 12, ports.order());
        self.pool.kernel.print(format_args!(
            "pager: port fault at {first:#x}, 2^{order} ports, pc={pc:#x}\n"
        ));
        Err(Errno::NoMem)
    }

    /// With a rescue jump for its pc the thread goes on there; without, it stays stopped.
    pub(super) fn exception(&mut self, msg: Incoming, map: Ref<Map>) -> Result<MsgTag, Errno> {
        if msg.tag.words() < EXC_WORDS || !msg.tag.fits() {
            return Err(Errno::MsgTooShort);
        }
        let (pc, address) = (msg.utcb.mr(IP), msg.utcb.mr(PFA));
        if let Some(target) = rm::jump_for(self.pool.arena(), map, pc) {
            msg.utcb.set_mr(IP, target);
            return Ok(MsgTag::plain(0, EXC_WORDS, 0));
        }
        self.pool.kernel.print(format_args!(
            "pager: unhandled exception: pc={pc:#x} pfa={address:#x}\n"
        ));
        Err(Errno::NoReply)
    }

    /// The line for a page fault that is not resolved.
    pub(super) fn warn_fault(&mut self, label: u64, (word, pc): (u64, u64), error: Errno) {
        let fault = Fault::from_word(word);
        let map = match self.objects.find(label).map(|found| found.object) {
            Some(Object::RegionMap(map)) => map,
            _ => return,
        };
        let region = rm::info(self.pool.arena(), map, fault.address).is_ok();
        let why = match error {
            Errno::Access => "not allowed in its region",
            Errno::NoDev => "in a reserved or kernel region",
            _ if region => "could not be mapped",
            _ => "where there is no region",
        };
        let (access, address) = (Access(fault), fault.address);
        self.pool.kernel.print(format_args!(
            "pager: {access} page fault {why}: {address:#x} pc={pc:#x}\n"
        ));
    }
}
