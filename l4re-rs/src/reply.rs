//! Reply slots: answers that are sent later, in any order.
//!
//! A thread has one implicit place for the caller that it owes an answer; the next wait makes it
//! forget an older one. A kernel built with explicit reply capabilities has numbered places for callers
//! instead, one space of them for each task. A wait names the slot that a caller is to be put in; an
//! answer names the slot of the caller that it is for and empties it. So a server can put a call
//! aside, go on waiting with another slot, and answer when it is done.
//!
//! Only the thread that was called can answer: the caller waits for that thread and no other. A
//! slot whose caller has gone is empty, and an answer through it fails with `NotExistent`.

use l4_sys::cap::REPLY_CAP_BIT;
use l4_sys::syscall::{self, REPLY, REPLY_AND_WAIT, SEND, WAIT};
use l4_sys::{CapIdx, MsgTag, Timeouts};

/// Slots that a task has.
pub const SLOTS: u32 = 1 << 18;

/// Number of a slot of the task's reply space, below [`SLOTS`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReplySlot(pub u32);

impl ReplySlot {
    const fn place(self) -> CapIdx {
        CapIdx::from_slot(self.0 as u64)
    }

    /// Waits for a message from anybody; a caller is put in this slot. Gives tag and label.
    ///
    /// # Safety
    /// The receive buffers name no memory that Rust uses.
    #[inline(always)]
    #[must_use]
    pub unsafe fn wait(self, timeouts: Timeouts) -> (MsgTag, u64) {
        let flags = WAIT | REPLY_CAP_BIT;
        // SAFETY: the caller's promise.
        unsafe { syscall::invoke(self.place(), flags, 0, MsgTag(0), timeouts) }
    }

    /// Answers the caller in this slot with the message in the UTCB, then waits as
    /// [`ReplySlot::wait`]. When the answer fails there is no wait.
    ///
    /// # Safety
    /// The receive buffers name no memory that Rust uses.
    #[inline(always)]
    #[must_use]
    pub unsafe fn answer_and_wait(self, tag: MsgTag, timeouts: Timeouts) -> (MsgTag, u64) {
        let flags = REPLY_AND_WAIT | REPLY_CAP_BIT;
        // SAFETY: the caller's promise; what an answer maps goes to the client.
        unsafe { syscall::invoke(self.place(), flags, 0, tag, timeouts) }
    }

    /// Answers the caller in this slot and does not wait for anybody, nor for the caller to be ready.
    /// The tag has the error flag when the answer was not taken.
    #[must_use = "what was handed over with an answer that was not taken belongs to nobody"]
    pub fn answer(self, tag: MsgTag) -> MsgTag {
        let flags = SEND | REPLY | REPLY_CAP_BIT;
        // SAFETY: a send receives nothing.
        unsafe { syscall::invoke(self.place(), flags, 0, tag, Timeouts::ZERO) }.0
    }
}
