//! A pager thread: its loop.
//!
//! # Answers
//!
//! The thread waits with an explicit reply slot. A call that it answers at once it answers through that
//! slot while it waits for the next one. A call that is parked keeps its slot, and the loop goes on
//! with another. The tickets that [`Core`](crate::server::Core) hands about are the slots' numbers, or [`FORWARDED`] and a
//! request's number for requests that the front thread sent.
//!
//! # Helpers
//!
//! Three threads on the same core call this one, on gates whose labels no client has ([`helpers`]): the idle
//! thread, which runs when nobody else wants the CPU and whose every call is a bounded piece of work ahead of
//! need; the working thread, which runs as programs do and whose every call is a turn of long work
//! ([`pace`]); and the fetching thread ([`fetch`](super::fetch)).

mod helpers;
mod pace;

use l4_sys::item::Received;
use l4_sys::{IpcError, MsgTag, Timeout, Timeouts, UtcbRef, mem, syscall};
use l4re_rs::Cap;
use l4re_rs::cap::kind;
use l4re_rs::msg::Reader;
use l4re_rs::reply::ReplySlot;
use l4re_rs::server::Incoming;

use crate::engine::objects::{ANSWER, DONE, QUICK_SINGLE};
use crate::frames::Policies;
use crate::server::api::Where;
use crate::server::{Ticket, Turn, Verdict};

use super::carve::Carver;
use super::effects::Handles;
use super::mailbox::{Mailbox, Stage};
use super::place::Slots;
use super::space::AddressSpace;
use super::supply::Regions;
use super::tables::{self, ThreadCore};

use pace::{Pace, Wait};

/// Reply slots of a thread: one to wait with, one for each of the three helpers that rest, and the parked calls'.
pub const REPLY_SLOTS: u32 = 64;
/// Bytes of a thread's stack.
pub const STACK: u64 = 128 << 10;
/// Bit of tickets of forwarded requests.
const FORWARDED: u32 = 1 << 31;
/// While there is work, a piece of it is done after so many messages.
const MESSAGES_PER_TURN: u32 = 4;
/// After so many messages in a row it is looked whether the idle thread has work again.
const IDLE_CHECK: u32 = 16;
/// Frames that must be waiting or lacking for that.
const IDLE_WORTH: u64 = 64;

/// Labels of the thread's own gates and interrupts. Labels of clients' gates have bits above 32.
pub mod label {
    #![allow(missing_docs)]
    pub const IDLE: u64 = 0x10;
    pub const FETCH: u64 = 0x20;
    pub const FETCH_FAULT: u64 = 0x30;
    pub const DELETED: u64 = 0x40;
    pub const MAIL: u64 = 0x50;
    pub const WORK: u64 = 0x60;
}

/// Slots of the thread's own.
pub mod own {
    #![allow(missing_docs)]
    pub const THREAD: u64 = 0;
    pub const FETCH_THREAD: u64 = 1;
    pub const IDLE_THREAD: u64 = 2;
    pub const DELETE_IRQ: u64 = 3;
    pub const MAIL_IRQ: u64 = 4;
    pub const IDLE_GATE: u64 = 5;
    pub const FETCH_GATE: u64 = 6;
    pub const FAULT_GATE: u64 = 7;
    pub const WORK_THREAD: u64 = 8;
    pub const WORK_GATE: u64 = 9;
}

/// What the thread is given.
#[derive(Debug)]
pub struct PagerJob {
    /// Its number.
    pub worker: u32,
    /// The CPU that it runs on.
    pub cpu: u32,
    /// How slots are divided.
    pub slots: Slots,
    /// First of its reply slots.
    pub first_reply: u32,
    /// What it calls.
    pub handles: Handles,
    /// Its memory.
    pub regions: Regions,
    /// What is left of the first region.
    pub carver: Carver,
    /// The page that the fetching thread writes to.
    pub buffer: u64,
    /// The policy.
    pub policy: Policies,
    /// Messages from and to the front thread.
    pub mailbox: &'static Mailbox,
    /// Raised when there is an answer.
    pub front: Cap<kind::Irq>,
    /// What region maps manage.
    pub space: AddressSpace,
    /// Where it is, for clients that ask.
    pub place: Where<'static>,
}

/// Serves for ever; returns when it could not begin, and has said so.
pub fn run(job: PagerJob) {
    let (mailbox, front, cpu) = (job.mailbox, job.front, job.cpu);
    match begin(job) {
        Ok(it) => {
            mailbox.set_stage(Stage::Ready);
            front.trigger();
            it.serve()
        }
        Err(what) => {
            l4re_rs::println!("percore-pager: CPU {cpu}: {what}");
            mailbox.set_stage(Stage::Failed);
            front.trigger();
        }
    }
}

/// Makes the loop, in the thread's own memory: on the way it is copied from hand to hand, and what that takes of
/// the stack is free again when it serves.
// Not inlined, for that, and because the helpers' stacks are smaller than what it takes.
#[inline(never)]
fn begin(mut job: PagerJob) -> Result<&'static mut Loop, &'static str> {
    // The copies, and as much again for what is called.
    const { assert!(size_of::<Loop>() as u64 * 7 <= STACK && align_of::<Loop>() <= 64) }
    let place = job.carver.bytes(size_of::<Loop>() as u64);
    let place = mem::at(place.ok_or("its memory is too small")?).cast::<Loop>();
    let it = Loop::new(job)?;
    // SAFETY: the piece is large enough, aligned to a cache line, this thread's for ever, and given away once.
    unsafe {
        place.write(it);
        Ok(&mut *place)
    }
}

/// How [`Loop::serve_shortly`] ended.
enum Short {
    /// With a message that has no short way, or a failed wait: tag and label. Nothing that was handed over
    /// before is open when a message was answered.
    Other((MsgTag, u64)),
    /// There is something to do beside sending this answer.
    Due(MsgTag),
}

struct Loop {
    core: ThreadCore,
    mailbox: &'static Mailbox,
    front: Cap<kind::Irq>,
    first_reply: u32,
    /// Reply slots that are free.
    free: u64,
    /// The slot that the next caller is put in.
    current: u32,
    /// The idle thread's call, when it rests.
    idle: Option<u32>,
    /// The fetching thread's call, when it rests.
    fetch: Option<u32>,
    /// The working thread's call, when it rests.
    work: Option<u32>,
    /// Who does long work at present.
    pace: Pace,
    /// The front thread may have sent more than was handled.
    mail: bool,
    /// Messages that are left until something else is done, and how many there were at first.
    left: u32,
    patience: u32,
}

impl Loop {
    fn new(mut job: PagerJob) -> Result<Self, &'static str> {
        let core = tables::core(&mut job)?;
        Self::listen(&job)?;
        Ok(Loop {
            core,
            mailbox: job.mailbox,
            front: job.front,
            first_reply: job.first_reply,
            free: !1,
            current: 0,
            idle: None,
            fetch: None,
            work: None,
            pace: Pace::default(),
            mail: false,
            left: IDLE_CHECK,
            patience: IDLE_CHECK,
        })
    }

    /// Binds the thread's interrupts to it.
    fn listen(job: &PagerJob) -> Result<(), &'static str> {
        let thread = job.handles.thread;
        let irq = |n| Cap::<kind::Irq>::new(job.slots.own(job.worker, n));
        let (deleted, mail) = (irq(own::DELETE_IRQ), irq(own::MAIL_IRQ));
        let bound = deleted
            .bind_irq(thread, label::DELETED)
            .and_then(|()| thread.register_delete_irq(deleted))
            .and_then(|()| mail.bind_irq(thread, label::MAIL));
        bound.map_err(|_| "its interrupts cannot be bound")
    }

    fn reply_slot(&self, n: u32) -> ReplySlot {
        ReplySlot(self.first_reply + n)
    }

    /// Lets the current slot keep its caller and takes another one to wait with. There always is one:
    /// callers are kept for parked calls and helpers only, which are fewer.
    fn keep_current(&mut self) -> u32 {
        let kept = self.current;
        let free = self.free.trailing_zeros().min(REPLY_SLOTS - 1);
        self.free &= !(1 << free);
        self.current = free;
        kept
    }

    fn serve(&mut self) -> ! {
        let utcb = UtcbRef::current();
        let mut answer: Option<MsgTag> = None;
        loop {
            self.core.pool.kernel.prepare(utcb);
            let busy = self.core.has_work();
            let (receive, patience) = match self.pace.wait(busy, self.mail) {
                Wait::Poll => (Timeout::ZERO, MESSAGES_PER_TURN),
                Wait::While => (Timeout::from_us(pace::WHILE_US), MESSAGES_PER_TURN),
                Wait::Rest => (Timeout::NEVER, IDLE_CHECK),
            };
            self.left = self.left.clamp(1, patience);
            self.patience = patience;
            let timeouts = Timeouts::new(Timeout::ZERO, receive);
            let slot = self.reply_slot(self.current);
            // SAFETY: the receive buffers take single capabilities and no memory.
            let first = unsafe {
                match answer {
                    Some(tag) => slot.answer_and_wait(tag, timeouts),
                    None => slot.wait(timeouts),
                }
            };
            let (tag, label) = match self.serve_shortly(first, slot, timeouts) {
                Short::Other(last) => last,
                Short::Due(tag) => {
                    answer = self.look_around(tag, utcb, false);
                    continue;
                }
            };
            if !tag.has_error() {
                answer = self.message(Incoming { label, tag, utcb });
                if self.left == 0 && answer.is_none() {
                    self.turn(utcb);
                }
                continue;
            }
            let code = syscall::error_code(utcb);
            if code == IpcError::ReceiveTimeout as u64 {
                self.pace.nobody_came();
                self.turn(utcb);
            } else if answer.is_some() {
                // What was to be handed over with the answer has reached nobody. A failed wait looks the
                // same where it fails in the sender's items; then this is an answer that was taken.
                if code & 1 == 0 {
                    self.core.answer_failed();
                }
            }
            answer = None;
        }
    }

    /// Serves messages that have a short way, one after the other, from `last` on. They need nothing of what
    /// [`Loop::serve`] does before a wait. A function of its own, so that the compiler keeps in registers
    /// what these messages need and nothing else.
    #[inline(never)]
    fn serve_shortly(
        &mut self,
        (mut tag, mut label): (MsgTag, u64),
        slot: ReplySlot,
        timeouts: Timeouts,
    ) -> Short {
        let utcb = UtcbRef::current();
        loop {
            let answer = if self.core.quick(label, tag, utcb) {
                ANSWER
            } else if tag == QUICK_SINGLE && self.core.single(label, utcb) {
                DONE
            } else {
                return Short::Other((tag, label));
            };
            self.left = self.left.wrapping_sub(1);
            if self.left == 0 && self.is_something_due() {
                return Short::Due(answer);
            }
            // SAFETY: the receive buffers take single capabilities and no memory.
            (tag, label) = unsafe { slot.answer_and_wait(answer, timeouts) };
        }
    }

    /// Handles a message; the answer to send while waiting for the next.
    #[inline(always)]
    fn message(&mut self, msg: Incoming) -> Option<MsgTag> {
        self.left = self.left.saturating_sub(1);
        if msg.label >> 32 == 0 {
            return self.helper(msg);
        }
        let received = msg.tag.items() > 0 && with_capability(&msg);
        let verdict = self.core.handle_fully(msg, Ticket(self.current));
        match verdict {
            Verdict::Answer(tag) => {
                // A fault of long sequential use takes 2 MiB at once: that is not to wait for messages to come.
                if received || self.left == 0 || self.core.pool.took_much() {
                    self.look_around(tag, msg.utcb, received)
                } else {
                    Some(tag)
                }
            }
            _ => self.unanswered(verdict, msg.utcb, received),
        }
    }

    /// After a message that is not answered now.
    #[cold]
    #[inline(never)]
    fn unanswered(&mut self, verdict: Verdict, utcb: UtcbRef, received: bool) -> Option<MsgTag> {
        if received {
            self.core.pool.kernel.drop_received();
        }
        if verdict == Verdict::Parked {
            self.keep_current();
            self.ask_on(utcb);
        }
        None
    }

    /// Now and then: whether there is something to do beside answering. If not, it is looked again later.
    #[cold]
    #[inline(never)]
    fn is_something_due(&mut self) -> bool {
        self.left = self.patience;
        let rests = self.idle.is_some();
        self.core.has_work() || self.mail || rests && self.core.pool.has_idle_work(IDLE_WORTH)
    }

    /// Now and then, with an answer in hand: whether the helpers have something to do, or a capability that
    /// was received is to be dropped. System calls use the registers that the answer is in, so they come
    /// after it.
    #[cold]
    #[inline(never)]
    fn look_around(&mut self, tag: MsgTag, utcb: UtcbRef, received: bool) -> Option<MsgTag> {
        self.left = self.patience;
        let worth = self.idle.is_some() && self.core.pool.has_idle_work(IDLE_WORTH);
        if received || self.core.has_work() || self.mail || worth {
            let failed = self.reply_slot(self.current).answer(tag).has_error();
            if failed && syscall::error_code(utcb) & 1 == 0 {
                self.core.answer_failed();
            }
            if received {
                self.core.pool.kernel.drop_received();
            }
            self.turn(utcb);
            if worth && let Some(slot) = self.idle.take() {
                self.give(slot, MsgTag(0));
            }
            return None;
        }
        Some(tag)
    }

    /// Sends an answer through a slot that was kept, and frees it.
    fn give(&mut self, slot: u32, tag: MsgTag) -> bool {
        self.free |= 1 << slot;
        !self.reply_slot(slot).answer(tag).has_error()
    }

    /// A bounded piece of work.
    #[cold]
    #[inline(never)]
    fn turn(&mut self, utcb: UtcbRef) {
        self.left = self.patience;
        match self.core.turn(utcb) {
            Turn::Idle | Turn::More => {}
            Turn::Answer(Ticket(ticket), tag) if ticket & FORWARDED != 0 => {
                self.mail_back(ticket & !FORWARDED, tag, utcb);
                self.core.answer_sent();
            }
            Turn::Answer(Ticket(slot), tag) => {
                if self.give(slot, tag) {
                    self.core.answer_sent();
                } else {
                    self.core.answer_failed();
                }
            }
        }
        self.ask_on(utcb);
        if self.mail {
            self.mail(utcb);
        }
        if self.pace.is_driven()
            && self.core.has_work()
            && let Some(slot) = self.work.take()
        {
            self.give(slot, MsgTag(0));
        }
        // What has ended waits to be unmapped: not for ever on a machine that rests.
        if !self.core.has_work()
            && self.core.pool.has_idle_work(1)
            && let Some(slot) = self.idle.take()
        {
            self.give(slot, MsgTag(0));
        }
    }
}

/// Whether a message brought a capability, and not only labels of own gates.
fn with_capability(msg: &Incoming) -> bool {
    let mut items = Reader::new(msg.utcb, msg.tag);
    core::iter::from_fn(|| items.item().ok()).any(Received::is_cap)
}
