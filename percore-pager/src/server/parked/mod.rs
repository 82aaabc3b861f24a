//! Calls that take several turns.
//!
//! A [`Call`] is stepped once at once; if that was not all, it takes a place among the parked ones and
//! its caller's answer waits. What it holds (a foreign capability, memory of a region to be) it gives back
//! when it ends, whichever way.
//!
//! # When there is no place
//!
//! Then the call is refused with NoMem: doing it to its end at once would keep everybody else waiting.
//! So that one client's threads cannot take the places from all others, the objects of one factory tree have
//! at most as many places as are free: one tree has half of them, a second one half of the rest, and so on.
//! (Without reply capabilities nothing can be parked, and a call is done to its end.)

mod call;
mod step;

use l4_sys::{Errno, MsgTag, UtcbRef};

use l4re_rs::server::Incoming;

use crate::engine::ds::Work;
use crate::engine::kernel::Foreign;
use crate::engine::objects::Label;
use crate::frames::Reshape;

use super::core::{Core, Ticket, Turn, Verdict};
use super::world::{Client, World};

pub(super) use call::{Call, ForeignCopy, Saved, Shown};
pub(super) use step::Step;

/// Turns that a call waits at most for memory: of objects that are ending, or that is given back in turns. So many
/// turns give back more than most threads have; somebody who makes objects end for ever keeps no caller waiting for ever.
pub(super) const PATIENCE: u16 = 4096;

/// Factories above an object that are looked at to find whose call it is. What is nested deeper counts as
/// one client's.
const NESTED: u32 = 64;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Free,
    Awake,
    Asleep,
    /// Its call is being stepped.
    Taken,
}

/// A place for a parked call: memory that the caller of [`Core::new`] provides.
#[derive(Clone, Copy, Debug)]
pub struct Parked {
    state: State,
    owner: Client,
    /// Turns that the call goes on to wait for memory.
    patience: u16,
    ticket: Ticket,
    call: Option<Call>,
}

impl Parked {
    /// A place with nothing in it.
    pub const EMPTY: Parked = Parked {
        state: State::Free,
        owner: Client::NOBODY,
        patience: 0,
        ticket: Ticket(0),
        call: None,
    };
}

/// All parked calls.
#[derive(Debug)]
pub(super) struct Calls<'a> {
    places: &'a mut [Parked],
    awake: u32,
    asleep: u32,
    next: usize,
}

impl<'a> Calls<'a> {
    pub(super) fn new(places: &'a mut [Parked]) -> Self {
        places.fill(Parked::EMPTY);
        Calls {
            places,
            awake: 0,
            asleep: 0,
            next: 0,
        }
    }

    /// Calls that can go on.
    #[inline]
    pub(super) fn awake(&self) -> u32 {
        self.awake
    }

    /// Puts a call aside; `false` when there is no place, or its owner has too many.
    #[must_use = "the caller still waits when it is false"]
    fn put(
        &mut self,
        (owner, patience): (Client, u16),
        ticket: Ticket,
        call: Call,
        asleep: bool,
    ) -> bool {
        let (mut free, mut mine) = (0, 0);
        let mut at = None;
        for (n, place) in self.places.iter().enumerate() {
            if place.state == State::Free {
                free += 1;
                at = at.or(Some(n));
            } else if place.owner == owner {
                mine += 1;
            }
        }
        let Some(at) = at.filter(|_| mine < free) else {
            return false;
        };
        if let Some(place) = self.places.get_mut(at) {
            (place.owner, place.ticket) = (owner, ticket);
        }
        self.put_at(at, call, asleep, patience);
        true
    }

    fn put_at(&mut self, at: usize, call: Call, asleep: bool, patience: u16) {
        if let Some(place) = self.places.get_mut(at) {
            place.state = if asleep { State::Asleep } else { State::Awake };
            place.patience = patience;
            place.call = Some(call);
            self.awake += u32::from(!asleep);
            self.asleep += u32::from(asleep);
        }
    }

    /// Frees the place of a call that was taken.
    fn free(&mut self, at: usize) {
        if let Some(place) = self.places.get_mut(at) {
            place.state = State::Free;
        }
    }

    /// Takes the next call that can go on out of its place, which stays its own.
    fn take(&mut self) -> Option<(usize, Ticket, Call, u16)> {
        let count = self.places.len();
        for n in 0..count {
            let at = (self.next + n) % count;
            let place = self.places.get_mut(at)?;
            if place.state != State::Awake {
                continue;
            }
            self.next = at + 1;
            self.awake -= 1;
            place.state = State::Taken;
            let (ticket, patience) = (place.ticket, place.patience);
            match place.call.take() {
                Some(call) => return Some((at, ticket, call, patience)),
                None => place.state = State::Free,
            }
        }
        None
    }

    /// The call that asks through this capability can go on.
    pub(super) fn wake_for(&mut self, from: Foreign) {
        let asks = |call: &Call| call.foreign() == Some(from);
        for place in self.places.iter_mut() {
            if place.state == State::Asleep && place.call.as_ref().is_some_and(asks) {
                place.state = State::Awake;
                self.awake += 1;
                self.asleep -= 1;
            }
        }
    }

    /// All calls can go on.
    pub(super) fn wake(&mut self) {
        if self.asleep == 0 {
            return;
        }
        self.asleep = 0;
        for place in self.places.iter_mut() {
            if place.state == State::Asleep {
                place.state = State::Awake;
                self.awake += 1;
            }
        }
    }
}

impl<'a, P: Reshape<'a>, W: World> Core<'a, P, W> {
    /// Begins a call: the answer if one step is enough or it cannot be parked, otherwise it is parked.
    pub(super) fn begin(&mut self, mut call: Call, utcb: UtcbRef, ticket: Ticket) -> Verdict {
        let asleep = match self.step(&mut call, utcb) {
            Step::Done(answer) => return Verdict::of(answer),
            Step::More | Step::Short => false,
            Step::Asleep => true,
        };
        if self.setting.inline_work {
            return self.finish(call, utcb);
        }
        let owner = self.whose(&call);
        if self.parked.put(owner, ticket, call, asleep) {
            self.counters.parked += 1;
            return Verdict::Parked;
        }
        match call {
            // The region is gone already. What its memory has not given back it gives back when it ends.
            Call::Detach { answer, label, .. } => {
                Verdict::of(step::answer_detach(utcb, answer, label))
            }
            call => {
                self.give_up(call);
                Verdict::error(Errno::NoMem)
            }
        }
    }

    /// Does a call to its end.
    fn finish(&mut self, mut call: Call, utcb: UtcbRef) -> Verdict {
        loop {
            match self.step(&mut call, utcb) {
                Step::Done(answer) => return Verdict::of(answer),
                Step::More => {}
                Step::Short => self.end_some(),
                Step::Asleep => {
                    // Nobody may wait for another server here.
                    self.give_up(call);
                    return Verdict::error(Errno::NoMem);
                }
            }
        }
    }

    /// Whose a call is, and how long it may wait.
    fn whose(&self, call: &Call) -> (Client, u16) {
        let label = call.label();
        let client = label.map_or(Client::NOBODY, |label| self.client_of(label));
        (client, self.patience)
    }

    /// Whose an object is.
    pub(super) fn client_of(&self, object: Label) -> Client {
        let mut top = object;
        for _ in 0..NESTED {
            match self.objects.parent(top) {
                Some(above) => top = above,
                None => return Client::tree(top),
            }
        }
        Client::DEEP
    }

    /// Puts a message aside until objects that are ending, or later turns, have given memory back; `false` when
    /// that cannot be done.
    pub(super) fn retry_later(&mut self, saved: Saved, ticket: Ticket) -> bool {
        let call = Call::Retry(saved);
        let again = !self.last_try || self.pool.is_short() && self.patience > 0;
        let may = !self.setting.inline_work && again;
        let put = may && self.parked.put(self.whose(&call), ticket, call, false);
        self.counters.retried += u64::from(put);
        put
    }

    /// Puts the message of a fault aside until `work` has brought what the fault is to bring; `false`
    /// when it is to be served as it is.
    #[cold]
    #[inline(never)]
    pub(super) fn bring_first(
        &mut self,
        msg: Incoming,
        ticket: Ticket,
        object: Label,
        work: Work,
    ) -> bool {
        if self.setting.inline_work || self.last_try {
            return false;
        }
        let Some(saved) = Saved::new(msg) else {
            return false;
        };
        let call = Call::Bring {
            saved,
            object,
            work,
        };
        let put = self.parked.put(self.whose(&call), ticket, call, false);
        self.counters.parked += u64::from(put);
        put
    }

    /// Steps the next parked call.
    pub(super) fn next_call(&mut self, utcb: UtcbRef) -> Turn {
        let Some((at, ticket, mut call, patience)) = self.parked.take() else {
            return Turn::Idle;
        };
        let error = |error: Errno| MsgTag::plain(error.label(), 0, 0);
        let (asleep, patience) = match self.step(&mut call, utcb) {
            Step::Done(answer) => {
                self.parked.free(at);
                return Turn::Answer(ticket, answer.unwrap_or_else(error));
            }
            Step::Short if patience > 0 => (false, patience - 1),
            Step::Asleep => (true, patience),
            step => match (step, call) {
                (_, Call::Retry(saved)) => {
                    self.parked.free(at);
                    return self.try_again(saved, utcb, (ticket, patience));
                }
                (Step::More, _) => (false, patience),
                _ => {
                    self.parked.free(at);
                    self.give_up(call);
                    return Turn::Answer(ticket, error(Errno::NoMem));
                }
            },
        };
        self.parked.put_at(at, call, asleep, patience);
        Turn::More
    }

    /// Serves a message that was put aside: for the last time, unless it is memory that is given back in turns which is
    /// missing, and there is patience left.
    fn try_again(
        &mut self,
        saved: Saved,
        utcb: UtcbRef,
        (ticket, patience): (Ticket, u16),
    ) -> Turn {
        let msg = saved.load(utcb);
        (self.last_try, self.patience) = (true, patience.saturating_sub(1));
        let verdict = self.handle(msg, ticket);
        (self.last_try, self.patience) = (false, PATIENCE);
        match verdict {
            Verdict::Answer(tag) => Turn::Answer(ticket, tag),
            Verdict::Parked => Turn::More,
            // Messages that get no answer are not put aside.
            Verdict::Nothing => Turn::Answer(ticket, MsgTag::plain(Errno::NoMem.label(), 0, 0)),
        }
    }
}
