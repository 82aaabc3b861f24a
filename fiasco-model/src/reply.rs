//! Reply capabilities: the right to answer one call once.
//!
//! An open wait that receives a call puts the right into a slot: the thread's own, or a numbered
//! one of the task's reply space that the wait names ("explicit"). Explicit slots let a server
//! thread answer later and in any order. A caller is named by at most one slot, and the slot is
//! emptied when it is used, when the caller stops waiting, or when the callee answers by another
//! way.
//!
//! The slots are the task's, but a caller takes an answer from the thread that it called only:
//! another thread's reply uses the slot up and fails, and the caller waits on. That is reported.
//!
//! As in the kernel, a thread that dies empties its own slot, and the last thread of a task all of
//! the task's; the callers are not told and wait on. A call that arrives in a slot that holds one
//! already takes its place: that caller is forgotten, which is reported.

use l4_sys::CapIdx;
use l4_sys::cap::{INVALID_CAP_BIT, REPLY_CAP_BIT};

use crate::object::ObjId;
use crate::quota;
use crate::state::State;
use crate::thread::{From, ReplyAt, ReplySlot};
use crate::trace::Misuse;

/// Explicit slots of one page.
pub(crate) const SLOTS: u64 = 512;
/// First number of an explicit slot that does not exist.
const END: u64 = SLOTS * 512;

/// What the destination of a system call names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dest {
    /// A slot of the capability table.
    Cap(u64),
    /// A slot of the reply space; where no reply is meant, the thread itself.
    Reply(u64),
    /// The thread itself.
    Own,
}

impl Dest {
    /// From the capability and the flags, which the kernel takes as one word.
    pub fn new(dest: CapIdx, flags: u64) -> Self {
        let raw = dest.raw() | flags;
        if raw & INVALID_CAP_BIT != 0 {
            Dest::Own
        } else if raw & REPLY_CAP_BIT != 0 {
            Dest::Reply(raw >> l4_sys::cap::CAP_SHIFT)
        } else {
            Dest::Cap(raw >> l4_sys::cap::CAP_SHIFT)
        }
    }

    /// The explicit reply slot, if one is named.
    pub fn reply(self) -> Option<u64> {
        match self {
            Dest::Reply(n) => Some(n),
            _ => None,
        }
    }
}

impl State {
    fn reply_slot(&mut self, at: ReplyAt) -> Option<&mut ReplySlot> {
        match at {
            ReplyAt::Thread(t) => Some(&mut self.objs.thread_mut(t)?.reply),
            ReplyAt::Task(t, n) => self
                .objs
                .task_mut(t)?
                .replies
                .get_mut(&(n / SLOTS))?
                .get_mut((n % SLOTS) as usize),
        }
    }

    /// Makes sure that the running thread's task has memory for an explicit slot; `false` when
    /// there is no such slot or no kernel memory.
    pub fn provide_reply_slot(&mut self, n: u64) -> bool {
        let task = self.my_task();
        let Some(t) = self.objs.task(task) else {
            return false;
        };
        if n >= END {
            return false;
        }
        if t.replies.contains_key(&(n / SLOTS)) {
            return true;
        }
        let pages = if t.replies.is_empty() { 2 } else { 1 };
        let payer = t.quota;
        if !self.quotas.alloc(payer, pages * quota::REPLY_PAGE) {
            return false;
        }
        if let Some(t) = self.objs.task_mut(task) {
            let page = Box::new([ReplySlot::default(); SLOTS as usize]);
            t.replies.insert(n / SLOTS, page);
        }
        true
    }

    /// The slot that a thread's open wait uses.
    fn slot_of_wait(&self, callee: ObjId) -> ReplyAt {
        match self.objs.thread(callee).map(|t| (t.frame.reply, t.task)) {
            Some((Some(n), Some(task))) => ReplyAt::Task(task, n),
            _ => ReplyAt::Thread(callee),
        }
    }

    /// Gives `callee` the right to answer `caller` once, in the slot that its wait names.
    pub fn set_reply(&mut self, callee: ObjId, caller: ObjId, rights: u8) {
        let at = self.slot_of_wait(callee);
        if let Some((old, _)) = self.empty_reply_slot(at) {
            self.violation(callee, Misuse::CallerForgotten { caller: old });
        }
        if let Some(slot) = self.reply_slot(at) {
            *slot = ReplySlot {
                caller: Some((caller, rights & 3)),
                replied: false,
            };
            if let Some(c) = self.objs.thread_mut(caller) {
                c.reply_at = Some(at);
            }
        }
    }

    /// Empties a slot; returns who was named.
    fn empty_reply_slot(&mut self, at: ReplyAt) -> Option<(ObjId, u8)> {
        let caller = self.reply_slot(at)?.caller.take()?;
        if let Some(c) = self.objs.thread_mut(caller.0)
            && c.reply_at == Some(at)
        {
            c.reply_at = None;
        }
        Some(caller)
    }

    /// Uses a reply capability of the running thread: its own, or an explicit one of its task.
    pub fn take_reply(&mut self, explicit: Option<u64>) -> Option<(ObjId, u8)> {
        let me = self.me;
        let at = match explicit {
            None => ReplyAt::Thread(me),
            Some(n) => ReplyAt::Task(self.my_task(), n),
        };
        let caller = self.empty_reply_slot(at);
        let before = self.reply_slot(at).map(|s| {
            let before = s.replied;
            s.replied |= caller.is_some();
            before
        });
        if caller.is_none() && before == Some(true) {
            self.violation(me, Misuse::RepliedTwice);
        }
        if let Some((caller, _)) = caller
            && self
                .objs
                .thread(caller)
                .is_some_and(|c| c.partner != From::One(me))
        {
            self.violation(me, Misuse::ForeignReply { caller });
        }
        caller
    }

    /// An open wait of `receiver` got a message that is no call: a reply to it has nobody to go
    /// to, and is no second one.
    pub fn no_reply_due(&mut self, receiver: ObjId) {
        let at = self.slot_of_wait(receiver);
        if let Some(slot) = self.reply_slot(at) {
            slot.replied = false;
        }
    }

    /// Nobody answers `caller` any more.
    pub fn drop_reply_to(&mut self, caller: ObjId) {
        let Some(at) = self.objs.thread_mut(caller).and_then(|t| t.reply_at.take()) else {
            return;
        };
        if let Some(slot) = self.reply_slot(at)
            && slot.caller.is_some_and(|c| c.0 == caller)
        {
            slot.caller = None;
        }
    }

    /// A thread dies: its own slot is emptied, and its task's with the task's last thread.
    pub fn drop_replies_of(&mut self, thread: ObjId) {
        self.empty_reply_slot(ReplyAt::Thread(thread));
        let Some(task) = self.objs.thread(thread).and_then(|t| t.task) else {
            return;
        };
        let Some(t) = self.objs.task_mut(task) else {
            return;
        };
        t.bound = t.bound.saturating_sub(1);
        if t.bound == 0 {
            self.drop_explicit_replies(task);
        }
    }

    /// Empties all explicit slots of a task.
    pub fn drop_explicit_replies(&mut self, task: ObjId) {
        let Some(t) = self.objs.task(task) else {
            return;
        };
        let used: Vec<u64> = t
            .replies
            .iter()
            .flat_map(|(page, slots)| (page * SLOTS..).zip(slots.iter()))
            .filter(|(_, s)| s.caller.is_some())
            .map(|(n, _)| n)
            .collect();
        for n in used {
            self.empty_reply_slot(ReplyAt::Task(task, n));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Dest;
    use l4_sys::CapIdx;
    use l4_sys::cap::REPLY_CAP_BIT;

    #[test]
    fn destination_and_flags_are_one_word() {
        assert_eq!(Dest::new(CapIdx::from_slot(5), 3), Dest::Cap(5));
        let reply = Dest::new(CapIdx::from_slot(5), 6 | REPLY_CAP_BIT);
        assert_eq!(reply, Dest::Reply(5));
        assert_eq!(Dest::new(CapIdx::INVALID, REPLY_CAP_BIT), Dest::Own);
    }
}
