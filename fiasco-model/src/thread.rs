//! A thread: its scheduling state and what it is doing in an IPC.

use l4_sys::{MsgTag, Timeouts, Utcb};

use crate::object::{CpuId, ObjId};
use crate::queue::Queue;

/// What a thread does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Run {
    /// Never started.
    Dormant,
    /// Runs or could run.
    Ready,
    /// Waits to send to this thread or gate.
    Sending(ObjId),
    /// Waits for a message.
    Receiving,
    /// Waits at this semaphore.
    Down(ObjId),
    /// Raised an exception that nobody handles.
    Stuck,
    /// Its program returned, or it was killed.
    Done,
}

/// From whom a thread receives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum From {
    /// Does not receive.
    Nobody,
    /// Open wait.
    Anybody,
    /// Closed wait; oneself for a sleep.
    One(ObjId),
}

/// Why the kernel sends in a thread's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// The program called.
    Call,
    /// Page-fault message.
    Fault,
    /// Exception message.
    Exception,
}

/// The system call that a thread is in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame {
    pub tag: MsgTag,
    pub label: u64,
    /// Rights of the capability it sends through (W 1, S 2).
    pub rights: u8,
    pub from: From,
    pub timeouts: Timeouts,
    pub purpose: Purpose,
    /// Flags of the call, for one that waits at an object that is no thread.
    pub flags: u64,
    /// The reply slot of the task that an open wait uses; none for the thread's own.
    pub reply: Option<u64>,
}

/// A place for a reply capability: whom it answers, with the rights of the call.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ReplySlot {
    pub caller: Option<(ObjId, u8)>,
    /// The last capability that was here was used to reply.
    pub replied: bool,
}

/// Where a reply capability is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReplyAt {
    /// In the thread itself.
    Thread(ObjId),
    /// In a slot of the task's reply space.
    Task(ObjId, u64),
}

/// Words of the UTCB that a fault message overwrites.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Saved {
    pub bdr: u64,
    pub br: [u64; 2],
    pub mr: [u64; 2],
}

/// A thread.
#[derive(Debug)]
pub(crate) struct Thread {
    pub task: Option<ObjId>,
    pub utcb: *mut Utcb,
    pub run: Run,
    /// Home CPU; none until the scheduler was asked to run it.
    pub cpu: Option<CpuId>,
    pub prio: u8,
    /// Slot of the pager in the thread's task.
    pub pager: u64,
    /// Slot of the exception handler.
    pub handler: u64,
    pub frame: Frame,
    pub result: (MsgTag, u64),
    /// The partner of the last or present receive, as the kernel keeps it.
    pub partner: From,
    /// Waiting senders.
    pub senders: Queue,
    /// The implicit reply capability.
    pub reply: ReplySlot,
    /// Where the reply capability for me is.
    pub reply_at: Option<ReplyAt>,
    /// Cancel the next wait.
    pub cancel: bool,
    /// Number of the pending timeout; older ones in the heap are void.
    pub timer: u64,
    pub saved: Saved,
    pub delete_irq: Option<ObjId>,
    pub ip: u64,
    pub sp: u64,
    /// Entry to run when next dispatched.
    pub start: Option<u64>,
    /// Chance to die at a step, per million.
    pub mortal: u32,
    /// Cycles it consumed.
    pub consumed: u64,
}

// SAFETY: the only field that is not `Send` is the UTCB's address; the block is owned by the
// thread's task, which lives in the same state and is reached under the same lock.
unsafe impl Send for Thread {}

impl Thread {
    pub fn new() -> Self {
        Thread {
            task: None,
            utcb: core::ptr::null_mut(),
            run: Run::Dormant,
            cpu: None,
            prio: 1,
            pager: u64::MAX,
            handler: u64::MAX,
            frame: Frame {
                tag: MsgTag(0),
                label: 0,
                rights: 0,
                from: From::Nobody,
                timeouts: Timeouts::NEVER,
                purpose: Purpose::Call,
                flags: 0,
                reply: None,
            },
            result: (MsgTag(0), 0),
            partner: From::Nobody,
            senders: Queue::default(),
            reply: ReplySlot::default(),
            reply_at: None,
            cancel: false,
            timer: 0,
            saved: Saved::default(),
            delete_irq: None,
            ip: 0,
            sp: 0,
            start: None,
            mortal: 0,
            consumed: 0,
        }
    }

    /// The sender that is to be received next, if one waits.
    pub fn next_sender(&self, from: From) -> Option<ObjId> {
        match from {
            From::Nobody => None,
            From::Anybody => self.senders.first(),
            From::One(s) => self.senders.contains(s).then_some(s),
        }
    }

    /// Whether the thread can have messages at all.
    pub fn is_bound(&self) -> bool {
        self.task.is_some() && !matches!(self.run, Run::Done | Run::Dormant)
    }
}
