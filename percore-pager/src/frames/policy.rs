//! The interface of every policy: a set of free frames that can be asked for runs.
//!
//! A policy is not told who has a frame and is not asked by clients: the
//! [`Frames`](super::Frames) above it has checked, by its ledger, that what is given back was
//! taken. Policies find most mistakes of their caller all the same and answer `false`.

use super::orders::align_up;
use super::policies::Policies;
use super::units::{FrameIx, PageOrder, Span};
use super::validate::Fault;
use super::window::Window;

/// Where a run may lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Want {
    /// Frames of the run, 1..=2^18.
    pub frames: u32,
    /// Its first frame's alignment.
    pub align: PageOrder,
    /// All of it must be inside.
    pub within: Span,
}

/// A set of free frames of a window.
///
/// "Aligned" is about frame numbers, not about window indices. None of the methods blocks or
/// panics as long as spans are inside the window.
///
/// # Safety
///
/// A frame or run that a method returns must be inside the window: the ledger, which writes down
/// who got it, does not look again.
pub unsafe trait Policy {
    /// Which policy this is, or which two.
    fn policies(&self) -> Policies;

    /// The window it was made for.
    fn window(&self) -> &Window;

    /// Takes an aligned run of `order`. `None` only when there is none.
    fn take(&mut self, order: PageOrder) -> Option<FrameIx>;

    /// Takes an aligned run of `order` that lies inside `within`. `None` only when there is none.
    fn take_within(&mut self, order: PageOrder, within: Span) -> Option<FrameIx>;

    /// Takes exactly `span`; `false`, and nothing is changed, unless all of it is free.
    fn take_at(&mut self, span: Span) -> bool;

    /// Adds `span` to the free frames and merges it with its neighbours. `false`, and nothing is
    /// changed, when the policy finds that some of it is free already.
    #[must_use = "frames that were not accepted are lost"]
    fn give(&mut self, span: Span) -> bool;

    /// Adds the aligned run of `order` at `start`. See [`Self::give`].
    #[must_use = "frames that were not accepted are lost"]
    fn give_order(&mut self, start: FrameIx, order: PageOrder) -> bool {
        self.give(Span::at(start, order.frames()))
    }

    /// Takes a single frame.
    fn take_one(&mut self) -> Option<FrameIx> {
        self.take(PageOrder::FRAME)
    }

    /// Adds a single frame. See [`Self::give`].
    #[must_use = "a frame that was not accepted is lost"]
    fn give_one(&mut self, frame: FrameIx) -> bool {
        self.give(Span::at(frame, 1))
    }

    /// The short form of [`Self::take_one`], to be inlined: takes a frame when that is a matter of
    /// a few instructions. `None`, and nothing is changed, says that `take_one` has to do it.
    #[inline(always)]
    fn try_take_one(&mut self) -> Option<FrameIx> {
        None
    }

    /// Takes four single frames that are neighbours, to be given back one by one, when that is a matter
    /// of a few instructions: the first of them, a multiple of four. In the same way.
    #[inline(always)]
    fn try_take_four(&mut self) -> Option<FrameIx> {
        None
    }

    /// The short form of [`Self::give_one`], in the same way.
    #[inline(always)]
    fn try_give_one(&mut self, _frame: FrameIx) -> bool {
        false
    }

    /// The short form of [`Self::take`] for a 2 MiB block.
    #[inline(always)]
    fn try_take_block(&mut self) -> Option<FrameIx> {
        None
    }

    /// The short form of [`Self::give`] for the block that begins at `start`.
    #[inline(always)]
    fn try_give_block(&mut self, _start: FrameIx) -> bool {
        false
    }

    /// Takes a run of any length. Succeeds at least when an aligned run of the next power of two
    /// of both `frames` and `align` is free inside `within`; what is too much goes back at once.
    fn take_run(&mut self, want: &Want) -> Option<FrameIx> {
        let order = PageOrder::holding(want.frames)?.max(want.align);
        let start = if want.within == self.window().span() {
            self.take(order)?
        } else {
            self.take_within(order, want.within)?
        };
        let spare = Span {
            start: FrameIx(start.0 + want.frames),
            end: FrameIx(start.0 + order.frames()),
        };
        if !spare.is_empty() {
            let accepted = self.give(spare);
            debug_assert!(
                accepted,
                "the rest of a run that was just taken is not free"
            );
        }
        Some(start)
    }

    /// The first free frame at or after `from`, and free frames that follow it (not always all).
    fn next_free(&self, from: FrameIx) -> Option<Span>;

    /// Free frames, in constant time.
    fn free_frames(&self) -> u32 {
        self.free_runs(PageOrder::FRAME)
    }

    /// How many aligned free runs of `order` there are (those inside larger ones included), in
    /// constant time: so many allocations of this order would succeed one after the other.
    fn free_runs(&self, order: PageOrder) -> u32;

    /// The largest order of which there is a free run, in constant time.
    fn largest(&self) -> Option<PageOrder> {
        PageOrder::all()
            .rev()
            .find(|order| self.free_runs(*order) > 0)
    }

    /// Gives what is held back in front (a cache) to the policy proper, a bounded number of
    /// frames per call; `true` when something was moved.
    fn settle(&mut self) -> bool {
        false
    }

    /// Recomputes the policy's own redundant state and compares. Takes time in proportion to the
    /// window.
    fn check(&self) -> Result<(), Fault>;
}

/// The place of a run of `want` in the free span `free`, if it has one.
pub(super) fn place(free: Span, want: &Want, skew: u32) -> Option<FrameIx> {
    let free = free.cut(want.within);
    let start = align_up(free.start, skew, want.align);
    (start.0 <= free.end.0 && free.end.0 - start.0 >= want.frames).then_some(start)
}

/// The methods of a policy that is one of several, for an `impl` of [`Policy`]. `$each` is a macro that calls a
/// method on whichever it is; `self.short()` is the one that has short forms, if it is that: a branch among more
/// than two is no short form.
macro_rules! pass_on {
    ($each:ident) => {
        fn policies(&self) -> Policies {
            $each!(self, policy => policy.policies())
        }

        fn window(&self) -> &Window {
            $each!(self, policy => policy.window())
        }

        #[inline]
        fn take(&mut self, order: PageOrder) -> Option<FrameIx> {
            $each!(self, policy => policy.take(order))
        }

        fn take_within(&mut self, order: PageOrder, within: Span) -> Option<FrameIx> {
            $each!(self, policy => policy.take_within(order, within))
        }

        fn take_at(&mut self, span: Span) -> bool {
            $each!(self, policy => policy.take_at(span))
        }

        fn give(&mut self, span: Span) -> bool {
            $each!(self, policy => policy.give(span))
        }

        #[inline]
        fn give_order(&mut self, start: FrameIx, order: PageOrder) -> bool {
            $each!(self, policy => policy.give_order(start, order))
        }

        fn take_one(&mut self) -> Option<FrameIx> {
            $each!(self, policy => policy.take_one())
        }

        fn give_one(&mut self, frame: FrameIx) -> bool {
            $each!(self, policy => policy.give_one(frame))
        }

        #[inline(always)]
        fn try_take_one(&mut self) -> Option<FrameIx> {
            self.short()?.try_take_one()
        }

        #[inline(always)]
        fn try_take_four(&mut self) -> Option<FrameIx> {
            self.short()?.try_take_four()
        }

        #[inline(always)]
        fn try_give_one(&mut self, frame: FrameIx) -> bool {
            self.short().is_some_and(|policy| policy.try_give_one(frame))
        }

        #[inline(always)]
        fn try_take_block(&mut self) -> Option<FrameIx> {
            self.short()?.try_take_block()
        }

        #[inline(always)]
        fn try_give_block(&mut self, start: FrameIx) -> bool {
            self.short()
                .is_some_and(|policy| policy.try_give_block(start))
        }

        fn take_run(&mut self, want: &Want) -> Option<FrameIx> {
            $each!(self, policy => policy.take_run(want))
        }

        fn next_free(&self, from: FrameIx) -> Option<Span> {
            $each!(self, policy => policy.next_free(from))
        }

        fn free_runs(&self, order: PageOrder) -> u32 {
            $each!(self, policy => policy.free_runs(order))
        }

        fn settle(&mut self) -> bool {
            $each!(self, policy => policy.settle())
        }

        fn check(&self) -> Result<(), Fault> {
            $each!(self, policy => policy.check())
        }
    };
}
pub(super) use pass_on;
