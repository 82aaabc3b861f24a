//! Settings, policies, statements, and the way to the pager of one's processor.

use l4re_rs::Result;
use l4re_rs::cap::{Cap, kind};
use l4re_rs::client::ipc;

use super::Pager;
use crate::api::{Op, flag, reply, request};

/// What a change of policy did.
pub type Switched = reply::Policy;

impl Pager {
    /// Changes a setting; gives the value before. Needs S.
    ///
    /// # Errors
    /// `Refused(Perm)`; `Refused(Inval)` no such setting; `Refused(Range)` no such value.
    pub fn set(self, parameter: u32, value: u64) -> Result<u64> {
        let answer: reply::Set = self.ask(&request::Set {
            head: self.head(Op::Set),
            parameter,
            zero: 0,
            value,
        })?;
        Ok(answer.before)
    }

    /// Changes the policy of the core and returns when it is done: `kind` is one of
    /// [`policy`](crate::api::policy), or two of them in an order, by [`policy::pair`](crate::api::policy::pair).
    /// The pager serves others between the turns of the change. Needs S.
    ///
    /// # Errors
    /// `Refused(Perm)`; `Refused(Inval)` unknown policy; `Refused(Busy)` a change is under way;
    /// `Refused(NoMem)` no memory for the new policy's book-keeping; `Refused(Again)` somebody gave
    /// this change up.
    pub fn switch(self, kind: u32) -> Result<Switched> {
        self.ask(&request::Policy {
            head: self.head(Op::Policy),
            kind,
            flags: 0,
        })
    }

    /// The same, but returns when the change has begun; [`Pager::info`] says when it is done.
    ///
    /// # Errors
    /// As [`Pager::switch`].
    pub fn begin_switch(self, kind: u32) -> Result<Switched> {
        self.ask(&request::Policy {
            head: self.head(Op::Policy),
            kind,
            flags: flag::NO_WAIT,
        })
    }

    /// Gives up the change of policy that is under way; the frames go back in turns. Needs S.
    ///
    /// # Errors
    /// `Refused(Perm)`; `Refused(NoEnt)` none is under way.
    pub fn abandon(self) -> Result<Switched> {
        self.ask(&self.head(Op::Abandon))
    }

    /// log2 of the frames that the first fault of a dataspace, every fault at least, and a fault at most
    /// brings, for what this factory makes from now on; thrice [`NONE`](crate::api::NONE) for the core's
    /// settings. Gives what held before. Needs S.
    ///
    /// # Errors
    /// `Refused(Perm)`; `Refused(Range)` unless least <= first <= most <= 9; `Refused(NoDev)` this is the
    /// service.
    pub fn reach(self, [first, least, most]: [u32; 3]) -> Result<[u32; 3]> {
        let answer: reply::Reach = self.ask(&request::Reach {
            head: self.head(Op::Reach),
            first,
            least,
            most,
            zero: 0,
        })?;
        Ok([answer.first, answer.least, answer.most])
    }

    /// States that nobody else has memory of this factory mapped, or takes that back; gives up the right
    /// to change settings ([`flag::SEALED`], for good). Needs S.
    ///
    /// # Errors
    /// `Refused(Perm)`; `Refused(Inval)` unknown flags; `Refused(NoDev)` this is the service.
    pub fn state(self, set: u32, clear: u32) -> Result<u32> {
        let answer: reply::State = self.ask(&request::State {
            head: self.head(Op::State),
            set,
            clear,
        })?;
        Ok(answer.flags)
    }

    /// Receives into `slot` a factory of the pager that serves the calling thread's processor, with a
    /// limit of `quota` bytes (0: none of its own). What the thread makes of it is local to it; a region
    /// map made of it can be the thread's pager. Needs the service and S.
    ///
    /// # Errors
    /// `Refused(Perm)`; `Refused(NoEnt)` no pager serves this processor; `Refused(NoDev)` this is not
    /// the service; `Refused(NoMem)`.
    pub fn bind(self, quota: u64, slot: Cap<kind::Factory>) -> Result<Pager> {
        let apic = l4_sys::cpu::apic_id();
        let request = request::Bind {
            head: self.head(Op::Bind),
            apic,
            zero: 0,
            quota,
        };
        let tag = Self::seal(&request, size_of_val(&request))?;
        ipc::call_for_cap(self.cap, tag, slot)?;
        Ok(Pager::new(slot))
    }
}
