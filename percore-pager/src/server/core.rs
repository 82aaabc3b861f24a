//! A pager thread's state, and what it does with a message.
//!
//! # Hot paths
//!
//! A page fault in a region map and a map request to a dataspace are decided in
//! [`Core::handle`] itself: label, object, page, item. Everything else is in `dispatch`.
//!
//! # Bounded turns
//!
//! Neither [`Core::handle`] nor [`Core::turn`] zeroes more than 64 KiB or handles more than 64 pieces. A
//! call that takes longer is *parked* with the reply's [`Ticket`] and goes on in turns, so that
//! others are served in between. The shell calls `turn` while [`Core::has_work`], also under load:
//! once for every few messages.
//!
//! # While a call is parked
//!
//! Its objects can end. Each turn looks them up by their labels again, so work never touches an object
//! that is gone; the caller gets what it would have got had its message come just after the end:
//! `BadProto` for the object it called, and for one that it named the error for a name of nothing.

use l4_sys::{Errno, MsgTag, UtcbRef, proto};
use l4re_rs::client::dataspace::op;
use l4re_rs::server::Incoming;

use crate::engine::ds::{self, Ask};
use crate::engine::kernel::Foreign;
use crate::engine::objects::{self, Found, Label, Object, Objects};
use crate::engine::proto::dataspace;
use crate::engine::rm::Range;
use crate::engine::{Account, Pool, Ref};
use crate::frames::Reshape;

use super::api::Api;
use super::counters::Counters;
use super::parked::{Calls, PATIENCE, Parked, Saved};
use super::sweep::Sweep;
use super::world::World;

/// Names the reply that a parked call waits for: a number of the shell's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket(pub u32);

/// What becomes of the sender of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "the caller waits for this"]
pub enum Verdict {
    /// Answer with the message that now is in the UTCB.
    Answer(MsgTag),
    /// No answer, ever: the thread stays stopped.
    Nothing,
    /// The answer comes from [`Core::turn`], with this message's ticket.
    Parked,
}

impl Verdict {
    /// An answer that is only an error.
    pub const fn error(error: Errno) -> Self {
        Verdict::Answer(MsgTag::plain(error.label(), 0, 0))
    }

    /// The answer that was written, or the error.
    pub fn of(answer: Result<MsgTag, Errno>) -> Self {
        match answer {
            Ok(tag) => Verdict::Answer(tag),
            Err(Errno::NoReply) => Verdict::Nothing,
            Err(error) => Verdict::error(error),
        }
    }
}

/// What a turn did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "an answer may have to be sent"]
pub enum Turn {
    /// There was nothing to do.
    Idle,
    /// Something; there may be more.
    More,
    /// A parked call is done: send the message that now is in the UTCB.
    Answer(Ticket, MsgTag),
}

/// What the shell found out at the start.
#[derive(Clone, Copy, Debug)]
pub struct Setting<'a> {
    /// Addresses that region maps manage.
    pub limits: Range,
    /// Ranges in them that the kernel keeps for itself.
    pub reserved: &'a [Range],
    /// Calls cannot be parked: the kernel gives no reply capabilities. Long work is then done to its end
    /// before the answer.
    pub inline_work: bool,
}

/// See the [module](self).
#[derive(Debug)]
pub struct Core<'a, P, W> {
    /// What clients name.
    pub objects: Objects<'a>,
    /// Memory, and in `pool.kernel` the world.
    pub pool: Pool<'a, P, W>,
    pub(super) setting: Setting<'a>,
    pub(super) parked: Calls<'a>,
    pub(super) sweep: Sweep,
    /// The account without a limit that all others come from.
    pub(super) own: Option<Ref<Account>>,
    /// The object whose capability is in the last answer.
    pub(super) handed: Option<Label>,
    /// The message at hand as it came, should it have to be tried again.
    pub(super) at_hand: Saved,
    /// The message at hand was put aside before: for objects that end it is not put aside again.
    pub(super) last_try: bool,
    /// Turns that it may still wait for memory.
    pub(super) patience: u16,
    /// Whose turn is next: parked calls', ends', a change of policy's.
    next_turn: u8,
    pub(super) api: Api<'a>,
    pub(super) counters: Counters,
}

impl<'a, P: Reshape<'a>, W: World> Core<'a, P, W> {
    /// A thread without clients' objects. `parked` is room for calls that take several turns: when it is
    /// full, a call is refused with NoMem (see `parked`).
    pub fn new(
        objects: Objects<'a>,
        pool: Pool<'a, P, W>,
        parked: &'a mut [Parked],
        setting: Setting<'a>,
    ) -> Self {
        Core {
            objects,
            pool,
            setting,
            parked: Calls::new(parked),
            sweep: Sweep::default(),
            own: None,
            handed: None,
            at_hand: Saved::EMPTY,
            last_try: false,
            patience: PATIENCE,
            next_turn: 0,
            api: Api::default(),
            counters: Counters::default(),
        }
    }

    /// Handles a message by the short way, if it is one of a fault that is simple: `true` when an answer with
    /// the tag [`objects::ANSWER`] is in the UTCB. Otherwise it is for [`Core::handle_fully`].
    #[inline(always)]
    pub fn quick(&mut self, label: u64, tag: MsgTag, utcb: UtcbRef) -> bool {
        let counters = &mut self.counters;
        // Counted at once: later it would have to be known still which it was.
        let touch = if tag == objects::QUICK_MAP {
            counters.maps += 1;
            objects::quick_map(&self.objects, &self.pool, label, utcb)
        } else if tag == objects::QUICK_FAULT {
            counters.faults += 1;
            objects::quick_fault(&mut self.objects, &mut self.pool, label, utcb)
        } else {
            return false;
        };
        // Not by a closure: those cannot be told to be in line.
        if let Some(touch) = touch
            && objects::quick(&mut self.pool, touch, utcb)
        {
            self.handed = None;
            return true;
        }
        self.not_quick(tag)
    }

    /// Takes back that a message was counted.
    #[cold]
    #[inline(never)]
    fn not_quick(&mut self, tag: MsgTag) -> bool {
        match tag {
            objects::QUICK_MAP => self.counters.maps -= 1,
            _ => self.counters.faults -= 1,
        }
        false
    }

    /// The same for a message with the tag [`objects::QUICK_SINGLE`]: the answer has the tag
    /// [`objects::DONE`].
    #[inline]
    pub fn single(&mut self, label: u64, utcb: UtcbRef) -> bool {
        let done = objects::single(&self.objects, &mut self.pool, label, utcb);
        if done {
            self.counters.others += 1;
            self.handed = None;
        }
        done
    }

    /// Handles a message that is in the UTCB; an answer is there on return.
    #[inline]
    pub fn handle(&mut self, msg: Incoming, ticket: Ticket) -> Verdict {
        if self.quick(msg.label, msg.tag, msg.utcb) {
            return Verdict::Answer(objects::ANSWER);
        }
        if msg.tag == objects::QUICK_SINGLE && self.single(msg.label, msg.utcb) {
            return Verdict::Answer(objects::DONE);
        }
        self.handle_fully(msg, ticket)
    }

    /// The same when [`Core::quick`] and [`Core::single`] have been tried.
    #[inline]
    pub fn handle_fully(&mut self, msg: Incoming, ticket: Ticket) -> Verdict {
        self.handed = None;
        self.begin_turn();
        let Some(found) = self.objects.find(msg.label) else {
            return self.stray(msg);
        };
        // The kernel's word for a message that does not fit is in the slow path.
        match (found.object, msg.tag.label(), msg.tag.words()) {
            (Object::RegionMap(map), proto::PAGE_FAULT, 2..) if msg.tag.fits() => {
                self.counters.faults += 1;
                let (word, pc) = (msg.utcb.mr(0), msg.utcb.mr(1));
                let aim = match objects::aim(&self.objects, &mut self.pool, map, word) {
                    Ok(aim) => aim,
                    Err(error) => return self.fault_failed(msg, ticket, (word, pc), error),
                };
                if let Some(work) = ds::prefault(&self.pool, aim.object, &aim.ask)
                    && self.bring_first(msg, ticket, aim.label, work)
                {
                    return Verdict::Parked;
                }
                match objects::show(&mut self.pool, aim) {
                    Ok(mapped) => Verdict::of(dataspace::answer_map(msg.utcb, &mapped)),
                    Err(_) => self.fault_failed(msg, ticket, (word, pc), Errno::NoMem),
                }
            }
            (Object::Dataspace(object), proto::DATASPACE, 4..)
                if msg.utcb.mr(0) as u32 == op::MAP && msg.tag.fits() =>
            {
                self.counters.maps += 1;
                let ask = Ask {
                    offset: msg.utcb.mr(1),
                    spot: msg.utcb.mr(2),
                    window: None,
                    // What does not fit asks for nothing known.
                    flags: msg.utcb.mr(3) as u32,
                    writable: found.rights.write,
                };
                if let Some(work) = ds::prefault(&self.pool, object, &ask)
                    && self.bring_first(msg, ticket, found.label, work)
                {
                    return Verdict::Parked;
                }
                match ds::map(&mut self.pool, object, ask) {
                    Ok(mapped) => Verdict::of(dataspace::answer_map(msg.utcb, &mapped)),
                    Err(error) => self.map_failed(msg, ticket, ask, error),
                }
            }
            _ => self.other(msg, ticket, found),
        }
    }

    #[cold]
    #[inline(never)]
    fn other(&mut self, msg: Incoming, ticket: Ticket, found: Found) -> Verdict {
        self.counters.others += 1;
        self.serve(msg, ticket, found)
    }

    /// Whether [`Core::turn`] has something to do.
    #[inline]
    pub fn has_work(&self) -> bool {
        self.parked.awake() > 0 || self.ends() || self.api.change.is_moving()
    }

    /// Bounds what the message or turn that begins does to make memory free. Where nothing can be parked, nothing
    /// can go on later.
    #[inline]
    pub(super) fn begin_turn(&mut self) {
        if !self.setting.inline_work {
            self.pool.begin_turn();
        }
    }

    /// Whether what was missing may be there later: objects are ending, or this turn has made as much memory free as it
    /// may and there is more.
    pub(super) fn comes_back(&self) -> bool {
        self.ends() || self.pool.is_short()
    }

    /// Whether objects are on their way out, or may be.
    pub(super) fn ends(&self) -> bool {
        self.sweep.is_pending() || self.objects.has_condemned()
    }

    /// A bounded piece of work between two messages. Parked calls, ends of objects and a change of policy
    /// take turns.
    pub fn turn(&mut self, utcb: UtcbRef) -> Turn {
        self.handed = None;
        self.begin_turn();
        let wants = [
            self.parked.awake() > 0,
            self.ends(),
            self.api.change.is_moving(),
        ];
        let turns = (1..=wants.len()).map(|n| (usize::from(self.next_turn) + n) % wants.len());
        let mut due = turns.filter(|n| wants.get(*n).copied().unwrap_or(false));
        let Some(turn) = due.next() else {
            return Turn::Idle;
        };
        self.counters.turns += 1;
        self.next_turn = turn as u8;
        match turn {
            0 => return self.next_call(utcb),
            1 => self.end_some(),
            _ => self.policy_turn(),
        }
        Turn::More
    }

    /// One bounded piece of work that nobody waits for; `false` when there is nothing to do.
    pub fn idle(&mut self) -> bool {
        self.pool.idle()
    }

    /// A deletion notice has come: gates may be gone.
    pub fn gates_deleted(&mut self) {
        self.sweep.begin();
    }

    /// The last answer was taken.
    pub fn answer_sent(&mut self) {
        self.handed = None;
    }

    /// The last answer, of a message or a turn, could not be delivered. What was made for it ends: its
    /// capability has reached nobody (BUG-23).
    pub fn answer_failed(&mut self) {
        if let Some(label) = self.handed.take() {
            self.end(label);
        }
    }

    /// Foreign servers have answered: calls that waited go on (see [`World`]).
    pub fn foreign_ready(&mut self) {
        self.parked.wake();
    }

    /// The same for what waits for an answer about this capability.
    pub fn foreign_answered(&mut self, from: Foreign) {
        self.parked.wake_for(from);
    }

    /// What this thread has done.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Ends an object, and what a factory made with it, in turns.
    pub(super) fn end(&mut self, label: Label) {
        if self.objects.condemn(&mut self.pool, label) {
            self.counters.ended += 1;
            // Calls that wait for another server look again whether their objects are there.
            self.parked.wake();
        }
    }
}
