//! A policy that can be replaced by another while it is in use.
//!
//! # How
//!
//! While a change is under way there are two policies, and each free frame is in exactly one: in the
//! new one when its index is in `low..high`, else in the old one.
//!
//! 1. `begin` makes the new policy, empty: `low = high = 0`.
//! 2. Each step moves the first free run of the old policy at or after `high` and sets `high`
//!    behind it. Between steps, frames are taken from either and given to the one whose range
//!    they are in. So a step is bounded whatever happens between two of them.
//! 3. When the old policy has nothing left after `high`, it is dropped and its memory returned.
//!
//! `abandon` may come at any time before that. From then on each step moves the first free run of
//! the new policy at or after `low` back and sets `low` behind it, until `low` has met `high`.
//!
//! Free neighbours that lie in different policies are merged when the later one is moved. So while a
//! change is under way a request for a run that reaches across `low` or `high` may be refused
//! although all its frames are free; requests for single frames never are.

mod reshape;
mod seat;

pub use reshape::Reshape;

use super::error::SwitchError;
use super::memory::Memory;
use super::policies::{Chosen, Policies};
use super::policy::{Policy, Want};
use super::units::{FrameIx, PageOrder, Span};
use super::validate::Fault;
use super::window::Window;
use seat::Seat;

/// The longest run moved by a step: 1 GiB.
const STEP: u32 = Window::GROUP;

/// What a step of a change did.
#[derive(Debug)]
#[must_use = "the memory of the policy that was dropped is in it"]
pub enum Progress<'a> {
    /// No change is under way.
    Idle,
    /// More steps are needed.
    Moving,
    /// The new policy is in use alone. This was the old one's memory.
    Finished(Memory<'a>),
    /// The old policy is in use alone again. This was the new one's memory.
    Abandoned(Memory<'a>),
}

#[derive(Debug)]
struct Change<'a> {
    new: Seat<'a>,
    low: u32,
    high: u32,
    abandoned: bool,
}

/// See the [module](self).
#[derive(Debug)]
pub struct Live<'a> {
    old: Seat<'a>,
    change: Option<Change<'a>>,
}

impl<'a> Live<'a> {
    /// `policies` without a free frame; `None` when `memory` is less than [`Policies::need`].
    pub fn new(policies: impl Into<Policies>, window: Window, memory: Memory<'a>) -> Option<Self> {
        Some(Live {
            old: Seat::new(policies.into(), window, memory)?,
            change: None,
        })
    }

    /// Begins the change to `policies`. The memory must be at least [`Policies::need`] and none of it
    /// that of the policy in use.
    ///
    /// # Errors
    ///
    /// `Busy` while a change is under way, `Same` when they are in use, `TooLittleMemory`. The
    /// memory comes back except in the last case, where it was no good.
    pub fn begin(
        &mut self,
        policies: impl Into<Policies>,
        memory: Memory<'a>,
    ) -> Result<(), (SwitchError, Option<Memory<'a>>)> {
        let policies = policies.into();
        if self.change.is_some() {
            return Err((SwitchError::Busy, Some(memory)));
        }
        if self.old.policy.policies() == policies {
            return Err((SwitchError::Same, Some(memory)));
        }
        let new = Seat::new(policies, *self.window(), memory)
            .ok_or((SwitchError::TooLittleMemory, None))?;
        self.change = Some(Change {
            new,
            low: 0,
            high: 0,
            abandoned: false,
        });
        Ok(())
    }

    /// The policy that is to take over, if a change is under way and not abandoned.
    pub fn changing_to(&self) -> Option<Policies> {
        self.change
            .as_ref()
            .filter(|change| !change.abandoned)
            .map(|c| c.new.policy.policies())
    }

    /// Whether a change, or the undoing of one, is under way: [`Self::step`] has something to do.
    pub fn is_moving(&self) -> bool {
        self.change.is_some()
    }

    /// Gives the change up: the following steps undo it. `false` when none is under way.
    pub fn abandon(&mut self) -> bool {
        match &mut self.change {
            Some(change) => {
                change.abandoned = true;
                true
            }
            None => false,
        }
    }

    /// Moves at most one free run (of at most 1 GiB).
    pub fn step(&mut self) -> Progress<'a> {
        let Some(change) = &mut self.change else {
            return Progress::Idle;
        };
        let (from, to, at) = if change.abandoned {
            (
                &mut change.new.policy,
                &mut self.old.policy,
                &mut change.low,
            )
        } else {
            (
                &mut self.old.policy,
                &mut change.new.policy,
                &mut change.high,
            )
        };
        if let Some(found) = from.next_free(FrameIx(*at)) {
            let whole = Span::at(found.start, found.frames().min(STEP));
            let moved = from.take_at(whole) && to.give(whole);
            debug_assert!(moved, "a free run could not be moved");
            *at = whole.end.0;
            return Progress::Moving;
        }
        let abandoned = change.abandoned;
        match self.change.take() {
            Some(change) if abandoned => Progress::Abandoned(change.new.into_memory()),
            Some(change) => {
                let old = core::mem::replace(&mut self.old, change.new);
                Progress::Finished(old.into_memory())
            }
            None => Progress::Idle,
        }
    }

    /// The policies in use: the one to be left first.
    fn both(&mut self) -> (&mut Chosen<'a>, Option<&mut Chosen<'a>>) {
        let old = &mut self.old.policy;
        match &mut self.change {
            None => (old, None),
            Some(Change {
                new,
                abandoned: true,
                ..
            }) => (&mut new.policy, Some(old)),
            Some(Change { new, .. }) => (old, Some(&mut new.policy)),
        }
    }

    fn each(&self) -> impl Iterator<Item = &Chosen<'a>> {
        core::iter::once(&self.old.policy).chain(self.change.as_ref().map(|c| &c.new.policy))
    }

    /// The parts of `span` and the policy that each belongs to: old, new, old.
    fn parts(&mut self, span: Span) -> [(Span, bool); 3] {
        let (low, high) = self.change.as_ref().map_or((0, 0), |c| (c.low, c.high));
        let cut = |from, to| {
            span.cut(Span {
                start: FrameIx(from),
                end: FrameIx(to),
            })
        };
        [
            (cut(0, low), false),
            (cut(low, high), true),
            (cut(high.max(low), u32::MAX), false),
        ]
    }

    fn seat(&mut self, new: bool) -> &mut Chosen<'a> {
        match &mut self.change {
            Some(change) if new => &mut change.new.policy,
            _ => &mut self.old.policy,
        }
    }

    #[cold]
    #[inline(never)]
    fn take_changing(&mut self, order: PageOrder) -> Option<FrameIx> {
        self.either(|policy| policy.take(order))
    }

    fn either(&mut self, take: impl Fn(&mut Chosen<'a>) -> Option<FrameIx>) -> Option<FrameIx> {
        let (first, second) = self.both();
        take(first).or_else(|| take(second?))
    }
}

// SAFETY: frames come from policies that were made for the same window.
unsafe impl Policy for Live<'_> {
    fn policies(&self) -> Policies {
        self.old.policy.policies()
    }

    #[inline]
    fn window(&self) -> &Window {
        self.old.policy.window()
    }

    #[inline]
    fn take(&mut self, order: PageOrder) -> Option<FrameIx> {
        if self.change.is_none() {
            return self.old.policy.take(order);
        }
        self.take_changing(order)
    }

    fn take_within(&mut self, order: PageOrder, within: Span) -> Option<FrameIx> {
        self.either(|policy| policy.take_within(order, within))
    }

    fn take_run(&mut self, want: &Want) -> Option<FrameIx> {
        // Not the policies' own take_run: what it gives back must go where it belongs, which is
        // the policy it was taken from.
        self.either(|policy| policy.take_run(want))
    }

    fn take_at(&mut self, span: Span) -> bool {
        let parts = self.parts(span);
        for (number, (part, new)) in parts.into_iter().enumerate() {
            if part.is_empty() || self.seat(new).take_at(part) {
                continue;
            }
            for (part, new) in parts.into_iter().take(number) {
                if !part.is_empty() {
                    let back = self.seat(new).give(part);
                    debug_assert!(back, "frames that were just taken are not taken");
                }
            }
            return false;
        }
        true
    }

    fn give(&mut self, span: Span) -> bool {
        if self.change.is_none() {
            return self.old.policy.give(span);
        }
        self.parts(span)
            .into_iter()
            .filter(|(part, _)| !part.is_empty())
            .all(|(part, new)| self.seat(new).give(part))
    }

    #[inline]
    fn give_order(&mut self, start: FrameIx, order: PageOrder) -> bool {
        if self.change.is_none() {
            return self.old.policy.give_order(start, order);
        }
        self.give(Span::at(start, order.frames()))
    }

    fn take_one(&mut self) -> Option<FrameIx> {
        if self.change.is_none() {
            return self.old.policy.take_one();
        }
        self.either(|policy| policy.take_one())
    }

    fn give_one(&mut self, frame: FrameIx) -> bool {
        self.give(Span::at(frame, 1))
    }

    #[inline(always)]
    fn try_take_one(&mut self) -> Option<FrameIx> {
        if self.change.is_some() {
            return None;
        }
        self.old.policy.try_take_one()
    }

    #[inline(always)]
    fn try_take_four(&mut self) -> Option<FrameIx> {
        if self.change.is_some() {
            return None;
        }
        self.old.policy.try_take_four()
    }

    #[inline(always)]
    fn try_give_one(&mut self, frame: FrameIx) -> bool {
        self.change.is_none() && self.old.policy.try_give_one(frame)
    }

    #[inline(always)]
    fn try_take_block(&mut self) -> Option<FrameIx> {
        if self.change.is_some() {
            return None;
        }
        self.old.policy.try_take_block()
    }

    #[inline(always)]
    fn try_give_block(&mut self, start: FrameIx) -> bool {
        self.change.is_none() && self.old.policy.try_give_block(start)
    }

    fn next_free(&self, from: FrameIx) -> Option<Span> {
        self.each()
            .filter_map(|policy| policy.next_free(from))
            .min_by_key(|span| span.start)
    }

    fn free_runs(&self, order: PageOrder) -> u32 {
        self.each().map(|policy| policy.free_runs(order)).sum()
    }

    fn check(&self) -> Result<(), Fault> {
        for policy in self.each() {
            policy.check()?;
        }
        let Some(change) = &self.change else {
            return Ok(());
        };
        // Each free frame is in the policy of its range.
        let ranges = [(0, change.low, false), (change.low, change.high, true)];
        let last = (change.high.max(change.low), self.window().frames(), false);
        for (from, to, new) in ranges.into_iter().chain([last]) {
            let wrong = if new {
                &self.old.policy
            } else {
                &change.new.policy
            };
            if let Some(found) = wrong.next_free(FrameIx(from)).filter(|s| s.start.0 < to) {
                return Err(Fault::Frame(found.start));
            }
        }
        Ok(())
    }
}
