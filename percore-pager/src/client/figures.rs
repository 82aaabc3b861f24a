//! Questions.

use l4_sys::UtcbRef;
use l4_sys::utcb::MESSAGE_REGISTERS;
use l4re_rs::client::ipc;
use l4re_rs::{Error, Result};

use super::Pager;
use crate::api::{Counters, Op, flag, parameter, reply, request};

/// What answers to a capability.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Info(pub reply::Info);

impl Info {
    /// Whether this capability may change the core's settings.
    #[must_use]
    pub const fn may_tune(&self) -> bool {
        self.0.flags & flag::MAY_TUNE != 0
    }

    /// Whether a change of policy is under way.
    #[must_use]
    pub const fn is_changing(&self) -> bool {
        self.0.changing_to != crate::api::NONE
    }
}

/// Who has a frame.
pub type Owned = reply::Owner;

impl Pager {
    /// Core, node, policy, rights. Needs no right.
    ///
    /// # Errors
    /// `Refused(BadProto)` from a server that does not speak this protocol, `Refused(Range)` no such
    /// core, `BadReply` another version.
    pub fn info(self) -> Result<Info> {
        let info: reply::Info = self.ask(&self.head(Op::Info))?;
        if info.version == crate::api::VERSION {
            Ok(Info(info))
        } else {
            Err(Error::BadReply)
        }
    }

    /// The core's frames. Needs S.
    ///
    /// # Errors
    /// `Refused(Perm)`.
    pub fn memory(self) -> Result<reply::Memory> {
        self.ask(&self.head(Op::Memory))
    }

    /// The core's free runs by order. Needs S.
    ///
    /// # Errors
    /// `Refused(Perm)`.
    pub fn orders(self) -> Result<reply::Orders> {
        self.ask(&self.head(Op::Orders))
    }

    /// The core's counters. Needs S.
    ///
    /// # Errors
    /// `Refused(Perm)`.
    pub fn counters(self) -> Result<Counters> {
        let mut words = [0; MESSAGE_REGISTERS];
        let n = self.words(Op::Counters, &mut words)?;
        Ok(Counters::from_values(words.into_iter().take(n)))
    }

    /// The factory's own figures. Needs no right.
    ///
    /// # Errors
    /// `Refused(NoDev)` this is the service, not a factory.
    pub fn own(self) -> Result<reply::Own> {
        self.ask(&self.head(Op::Own))
    }

    /// The core's settings, by [`parameter`]. Needs no right.
    ///
    /// # Errors
    /// As [`Pager::info`].
    pub fn parameters(self) -> Result<[u64; parameter::COUNT]> {
        let mut values = [0; parameter::COUNT];
        if self.words(Op::Parameters, &mut values)? < parameter::COUNT {
            return Err(Error::BadReply);
        }
        Ok(values)
    }

    /// Who has the frame with this physical address, or this address in the pager. Needs S; with only
    /// a factory, `search` finds what that factory and those below it have. With `search` the
    /// pager looks through its objects, in turns.
    ///
    /// # Errors
    /// `Refused(Perm)`.
    pub fn owner(self, address: u64, search: bool) -> Result<Owned> {
        self.ask(&request::Owner {
            head: self.head(Op::Owner),
            address,
            flags: if search { flag::SEARCH } else { 0 },
            zero: 0,
        })
    }

    /// The core whose pager serves the processor with this APIC id, and its node. Needs no right.
    ///
    /// # Errors
    /// `Refused(NoEnt)` none does.
    pub fn core_of(self, apic: u32) -> Result<(u32, u32)> {
        let head = self.head(Op::CoreOf);
        let found: reply::CoreOf = self.ask(&request::CoreOf {
            head,
            apic,
            zero: 0,
        })?;
        Ok((found.core, found.node))
    }

    /// An answer of any number of words.
    fn words(self, op: Op, out: &mut [u64]) -> Result<usize> {
        let head = self.head(op);
        let tag = ipc::call(self.cap, Self::seal(&head, size_of_val(&head))?)?;
        let utcb = UtcbRef::current();
        let count = tag.words().min(out.len());
        for (index, word) in out.iter_mut().enumerate().take(count) {
            *word = utcb.mr(index);
        }
        Ok(count)
    }
}
