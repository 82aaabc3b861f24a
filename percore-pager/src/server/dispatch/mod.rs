//! From a message to the answer, for everything that is not on a hot path.
//!
//! The order of checks is upstream's: label, protocol, opcode, rights, arguments, object.

mod dataspace;
mod exceptions;
mod factory;
mod foreign;
mod make;
mod peers;
mod region_map;

use l4_sys::{Errno, MsgTag, proto};
use l4re_rs::server::Incoming;

use crate::api::PROTOCOL;
use crate::engine::ds::Ask;
use crate::engine::objects::{Found, Object};
use crate::engine::proto::{Class, meta};
use crate::frames::Reshape;

use super::api::Asker;
use super::core::{Core, Ticket, Verdict};
use super::parked::Saved;
use super::world::World;

impl<'a, P: Reshape<'a>, W: World> Core<'a, P, W> {
    /// A message whose label finds nothing (MOE-OBJ-02, -09).
    #[cold]
    #[inline(never)]
    pub(super) fn stray(&mut self, msg: Incoming) -> Verdict {
        self.counters.others += 1;
        if msg.label & !3 == 0 {
            return Verdict::error(Errno::NoEnt);
        }
        Verdict::of(match msg.tag.label() {
            proto::META => self.meta(Class::Gone, msg),
            _ => Err(Errno::BadProto),
        })
    }

    /// Serves a message. Should memory be short that may be there later, the message is tried again (CL-22: nobody
    /// must notice that ends take time).
    pub(super) fn serve(&mut self, msg: Incoming, ticket: Ticket, found: Found) -> Verdict {
        // Work on a dataspace waits by itself.
        let takes = matches!(msg.tag.label(), proto::FACTORY | proto::RM | PROTOCOL);
        let may = (takes || self.ends()) && !self.setting.inline_work;
        // Into its place at once: most messages are never looked at again, and this is done for each.
        let saved = may && self.at_hand.keep(msg);
        let verdict = self.dispatch(msg, ticket, found);
        match verdict {
            Verdict::Answer(tag)
                if saved
                    && is_shortage(tag)
                    && self.comes_back()
                    && self.retry_later(self.at_hand, ticket) =>
            {
                Verdict::Parked
            }
            _ => verdict,
        }
    }

    fn dispatch(&mut self, msg: Incoming, ticket: Ticket, found: Found) -> Verdict {
        let protocol = msg.tag.label();
        let class = match found.object {
            Object::Factory(_) => Class::Factory,
            Object::Dataspace(_) => Class::Dataspace,
            Object::RegionMap(_) => Class::RegionMap,
        };
        let answer = match (found.object, protocol) {
            (_, proto::META) => self.meta(class, msg),
            (Object::Dataspace(object), proto::DATASPACE) => {
                return self.dataspace(msg, ticket, found, object);
            }
            (Object::RegionMap(map), proto::RM) => {
                return self.region_map(msg, ticket, found.label, map);
            }
            // Complete ones are in the hot path.
            (Object::RegionMap(_), proto::PAGE_FAULT) => Err(Errno::MsgTooShort),
            (Object::RegionMap(_), proto::IO_PAGE_FAULT) => self.port_fault(msg),
            (Object::RegionMap(map), proto::EXCEPTION) => self.exception(msg, map),
            (Object::Factory(account), proto::FACTORY) => {
                return self.create(msg, ticket, found, account);
            }
            (Object::Factory(account), proto::MEM_ALLOC) => self.memory_info(msg, account),
            (Object::Factory(account), proto::DEBUG) => self.debug(msg, account),
            (Object::Factory(account), PROTOCOL) => {
                let asker = Asker::Factory(found.label, account, found.rights.special);
                return self.pager_api(msg, ticket, asker);
            }
            _ => Err(Errno::BadProto),
        };
        Verdict::of(answer)
    }

    fn meta(&mut self, class: Class, msg: Incoming) -> Result<MsgTag, Errno> {
        if !msg.tag.fits() {
            return Err(Errno::MsgTooShort);
        }
        meta::answer(class, msg.utcb, msg.tag)
    }

    /// A page fault that was not resolved. Its message is made from what was read of it: the work on
    /// it may have used the UTCB.
    #[cold]
    #[inline(never)]
    pub(super) fn fault_failed(
        &mut self,
        msg: Incoming,
        ticket: Ticket,
        (word, pc): (u64, u64),
        error: Errno,
    ) -> Verdict {
        let shortage = error == Errno::NoMem && self.comes_back();
        if shortage && self.retry_later(Saved::of_words(msg, &[word, pc]), ticket) {
            return Verdict::Parked;
        }
        self.warn_fault(msg.label, (word, pc), error);
        Verdict::error(error)
    }

    /// The same for a map request to a dataspace.
    #[cold]
    #[inline(never)]
    pub(super) fn map_failed(
        &mut self,
        msg: Incoming,
        ticket: Ticket,
        ask: Ask,
        error: Errno,
    ) -> Verdict {
        let shortage = error == Errno::NoMem && self.comes_back();
        let words = [0, ask.offset, ask.spot, u64::from(ask.flags)];
        if shortage && self.retry_later(Saved::of_words(msg, &words), ticket) {
            return Verdict::Parked;
        }
        if error == Errno::Range {
            let offset = ask.offset;
            let text = format_args!("pager: map behind a dataspace's end: offset {offset:#x}\n");
            self.pool.kernel.print(text);
        }
        Verdict::error(error)
    }
}

/// Whether an answer says that something could not be had.
fn is_shortage(tag: MsgTag) -> bool {
    let label = tag.label();
    label == Errno::NoMem.label() || label == Errno::AddrNotAvail.label()
}
