//! Calls that take several turns.
//!
//! A [`Call`] is stepped once at once; if that was not all, it takes a place among the parked ones and
//! its caller's answer waits. What it holds (a foreign capability, memory of a region to be) it gives back
//! when it ends, whichever way.

mod call;
mod step;

use l4_sys::{Errno, MsgTag, UtcbRef};

use crate::frames::Reshape;

use super::core::{Core, Ticket, Turn, Verdict};
use super::world::World;

pub(super) use call::{Call, ForeignCopy, Saved, Shown};
pub(super) use step::Step;

/// Turns that a call waits at most for memory of objects that are ending. So many turns give back
/// more than most threads have; somebody who makes objects end for ever keeps no caller waiting for ever.
const PATIENCE: u16 = 4096;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Free,
    Awake,
    Asleep,
}

/// A place for a parked call: memory that the caller of [`Core::new`] provides.
#[derive(Clone, Copy, Debug)]
pub struct Parked {
    state: State,
    /// Turns that the call goes on to wait for memory.
    patience: u16,
    ticket: Ticket,
    call: Option<Call>,
}

impl Parked {
    /// A place with nothing in it.
    pub const EMPTY: Parked = Parked {
        state: State::Free,
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
    next: usize,
}

impl<'a> Calls<'a> {
    pub(super) fn new(places: &'a mut [Parked]) -> Self {
        places.fill(Parked::EMPTY);
        Calls {
            places,
            awake: 0,
            next: 0,
        }
    }

    /// Calls that can go on.
    #[inline]
    pub(super) fn awake(&self) -> u32 {
        self.awake
    }

    /// Puts a call aside; `false` when there is no place.
    #[must_use = "the caller still waits when it is false"]
    fn put(&mut self, ticket: Ticket, call: Call, asleep: bool, patience: u16) -> bool {
        let Some(place) = self.places.iter_mut().find(|p| p.state == State::Free) else {
            return false;
        };
        *place = Parked {
            state: if asleep { State::Asleep } else { State::Awake },
            patience,
            ticket,
            call: Some(call),
        };
        self.awake += u32::from(!asleep);
        true
    }

    /// Takes the next call that can go on out of its place.
    fn take(&mut self) -> Option<(Ticket, Call, u16)> {
        let count = self.places.len();
        for n in 0..count {
            let at = (self.next + n) % count;
            let place = self.places.get_mut(at)?;
            if place.state != State::Awake {
                continue;
            }
            self.next = at + 1;
            self.awake -= 1;
            place.state = State::Free;
            let (ticket, patience) = (place.ticket, place.patience);
            if let Some(call) = place.call.take() {
                return Some((ticket, call, patience));
            }
        }
        None
    }

    /// All calls can go on.
    pub(super) fn wake(&mut self) {
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
        if !self.setting.inline_work && self.parked.put(ticket, call, asleep, PATIENCE) {
            self.counters.parked += 1;
            return Verdict::Parked;
        }
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

    /// Puts a message aside until objects that are ending have given their memory back; `false` when
    /// that cannot be done.
    pub(super) fn retry_later(&mut self, saved: Saved, ticket: Ticket) -> bool {
        let call = Call::Retry(saved);
        let may = !self.setting.inline_work && !self.last_try;
        let put = may && self.parked.put(ticket, call, false, PATIENCE);
        self.counters.retried += u64::from(put);
        put
    }

    /// Steps the next parked call.
    pub(super) fn next_call(&mut self, utcb: UtcbRef) -> Turn {
        let Some((ticket, mut call, patience)) = self.parked.take() else {
            return Turn::Idle;
        };
        let error = |error: Errno| MsgTag::plain(error.label(), 0, 0);
        let (asleep, patience) = match self.step(&mut call, utcb) {
            Step::Done(answer) => return Turn::Answer(ticket, answer.unwrap_or_else(error)),
            Step::Short if patience > 0 => (false, patience - 1),
            Step::Short => match call {
                Call::Retry(saved) => return self.try_again(saved, utcb, ticket),
                _ => {
                    self.give_up(call);
                    return Turn::Answer(ticket, error(Errno::NoMem));
                }
            },
            Step::More => match call {
                Call::Retry(saved) => return self.try_again(saved, utcb, ticket),
                _ => (false, patience),
            },
            Step::Asleep => (true, patience),
        };
        let put = self.parked.put(ticket, call, asleep, patience);
        debug_assert!(put, "the call's own place is free");
        Turn::More
    }

    /// Serves a message that was put aside, for the last time.
    fn try_again(&mut self, saved: Saved, utcb: UtcbRef, ticket: Ticket) -> Turn {
        let msg = saved.load(utcb);
        self.last_try = true;
        let verdict = self.handle(msg, ticket);
        self.last_try = false;
        match verdict {
            Verdict::Answer(tag) => Turn::Answer(ticket, tag),
            Verdict::Parked => Turn::More,
            // Messages that get no answer are not put aside.
            Verdict::Nothing => Turn::Answer(ticket, MsgTag::plain(Errno::NoMem.label(), 0, 0)),
        }
    }
}
