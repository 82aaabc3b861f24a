//! Calls that take several turns.
//!
//! A [`Call`] is stepped once at once; if that was not all, it takes a place among the parked ones and
//! its caller's answer waits. What it holds (a foreign capability, memory of a region to be) it gives back
//! when it ends, whichever way.

mod call;
mod step;

use l4_sys::{Errno, MsgTag, UtcbRef};

use crate::frames::Policy;

use super::core::{Core, Ticket, Turn, Verdict};
use super::world::World;

pub(super) use call::{Call, ForeignCopy, Saved};
use step::Step;

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
    ticket: Ticket,
    call: Option<Call>,
}

impl Parked {
    /// A place with nothing in it.
    pub const EMPTY: Parked = Parked {
        state: State::Free,
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
    fn put(&mut self, ticket: Ticket, call: Call, asleep: bool) -> bool {
        let Some(place) = self.places.iter_mut().find(|p| p.state == State::Free) else {
            return false;
        };
        *place = Parked {
            state: if asleep { State::Asleep } else { State::Awake },
            ticket,
            call: Some(call),
        };
        self.awake += u32::from(!asleep);
        true
    }

    /// Takes the next call that can go on out of its place.
    fn take(&mut self) -> Option<(Ticket, Call)> {
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
            let ticket = place.ticket;
            if let Some(call) = place.call.take() {
                return Some((ticket, call));
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

impl<P: Policy, W: World> Core<'_, P, W> {
    /// Begins a call: the answer if one step is enough or it cannot be parked, otherwise it is parked.
    pub(super) fn begin(&mut self, mut call: Call, utcb: UtcbRef, ticket: Ticket) -> Verdict {
        let asleep = match self.step(&mut call, utcb) {
            Step::Done(answer) => return Verdict::of(answer),
            Step::More => false,
            Step::Asleep => true,
        };
        if !self.setting.inline_work && self.parked.put(ticket, call, asleep) {
            self.counters.parked += 1;
            return Verdict::Parked;
        }
        loop {
            match self.step(&mut call, utcb) {
                Step::Done(answer) => return Verdict::of(answer),
                // What it waits for may be memory of an object that is ending.
                Step::More => self.end_some(),
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
        let put = !self.setting.inline_work && self.parked.put(ticket, Call::Retry(saved), false);
        self.counters.retried += u64::from(put);
        put
    }

    /// Steps the next parked call.
    pub(super) fn next_call(&mut self, utcb: UtcbRef) -> Turn {
        let Some((ticket, mut call)) = self.parked.take() else {
            return Turn::Idle;
        };
        if let Call::Retry(saved) = call {
            let msg = saved.load(utcb);
            return match self.handle(msg, ticket) {
                Verdict::Answer(tag) => Turn::Answer(ticket, tag),
                Verdict::Parked => Turn::More,
                // Messages that get no answer are not tried again.
                Verdict::Nothing => Turn::Answer(ticket, MsgTag::plain(Errno::NoMem.label(), 0, 0)),
            };
        }
        let asleep = match self.step(&mut call, utcb) {
            Step::Done(answer) => {
                let error = |e: Errno| MsgTag::plain(e.label(), 0, 0);
                return Turn::Answer(ticket, answer.unwrap_or_else(error));
            }
            Step::More => false,
            Step::Asleep => true,
        };
        let put = self.parked.put(ticket, call, asleep);
        debug_assert!(put, "the call's own place is free");
        Turn::More
    }
}
