//! Frames that were zeroed ahead of time, kept apart from the others.
//!
//! The allocator zeroes nothing. The caller takes a run out ([`Frames::begin_zeroing`]), zeroes
//! it when it has time, and hands it in ([`Frames::end_zeroing`]). Such runs wait on a stack for
//! each of a few orders, outside the policy, so they are never mixed with dirty frames. A request for
//! zeroed frames takes the run of its order, or the front of a longer one, whose rest goes down
//! to the shorter orders' stacks. When a request cannot be served otherwise, zeroed runs
//! become ordinary free frames again, one after the other: zeroing ahead never makes memory
//! unavailable.
//!
//! [`Frames::begin_zeroing`]: super::Frames::begin_zeroing
//! [`Frames::end_zeroing`]: super::Frames::end_zeroing

use super::allocator::Frames;
use super::error::FreeError;
use super::ledger::Owner;
use super::memory::{Need, as_u32, carve};
use super::orders::pieces;
use super::policy::Policy;
use super::units::{FrameIx, PageOrder, Run, Span};

/// Number of orders that have a stack.
pub const STACKS: usize = 3;

/// How many runs may wait zeroed, for each order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ZeroShape {
    /// Orders in rising order, and the depth of each one's stack.
    pub stacks: [(PageOrder, u32); STACKS],
}

const RUN_ORDER: PageOrder = match PageOrder::new(4) {
    Some(order) => order,
    None => PageOrder::FRAME,
};

impl ZeroShape {
    /// No zeroed frames are kept.
    pub const OFF: ZeroShape = ZeroShape::of(0, 0, 0);

    /// 2 MiB in frames, 4 MiB in runs of 64 KiB, 8 MiB in blocks.
    pub const DEFAULT: ZeroShape = ZeroShape::of(512, 64, 4);

    /// Depths for the orders 0, 4 (64 KiB) and 9 (2 MiB).
    pub const fn of(frames: u32, runs: u32, blocks: u32) -> ZeroShape {
        ZeroShape {
            stacks: [
                (PageOrder::FRAME, frames),
                (RUN_ORDER, runs),
                (PageOrder::BLOCK, blocks),
            ],
        }
    }

    pub(super) const fn need(&self) -> Need {
        let mut private = 0;
        let mut stack = 0;
        while stack < STACKS {
            private += self.stacks[stack].1.div_ceil(2) as usize;
            stack += 1;
        }
        Need { shared: 0, private }
    }
}

#[derive(Debug)]
struct Stack<'a> {
    order: PageOrder,
    runs: &'a mut [u32],
    filled: usize,
}

impl Stack<'_> {
    fn push(&mut self, start: FrameIx) -> bool {
        let Some(cell) = self.runs.get_mut(self.filled) else {
            return false;
        };
        *cell = start.0;
        self.filled += 1;
        true
    }

    fn pop(&mut self) -> Option<FrameIx> {
        let top = self.filled.checked_sub(1)?;
        self.filled = top;
        Some(FrameIx(self.runs[top]))
    }
}

/// The stacks.
#[derive(Debug)]
pub(super) struct Zeroed<'a> {
    stacks: [Stack<'a>; STACKS],
    frames: u32,
    skew: u32,
}

impl<'a> Zeroed<'a> {
    pub(super) fn new(shape: &ZeroShape, skew: u32, memory: &'a mut [u64]) -> Option<Self> {
        let mut memory = memory;
        let mut stack = |(order, depth): (PageOrder, u32)| {
            let runs = as_u32(carve(&mut memory, depth.div_ceil(2) as usize)?);
            Some(Stack {
                order,
                runs: &mut runs[..depth as usize],
                filled: 0,
            })
        };
        let [a, b, c] = shape.stacks;
        Some(Zeroed {
            stacks: [stack(a)?, stack(b)?, stack(c)?],
            frames: 0,
            skew,
        })
    }

    /// Frames that wait zeroed.
    pub(super) fn frames(&self) -> u32 {
        self.frames
    }

    /// How many more runs of `order` the stacks have room for; 0 for an order without a stack.
    pub(super) fn room(&self, order: PageOrder) -> u32 {
        let stack = self.stacks.iter().find(|stack| stack.order == order);
        stack.map_or(0, |stack| (stack.runs.len() - stack.filled) as u32)
    }

    /// Puts a zeroed run by; `false` when there is no room.
    pub(super) fn put(&mut self, start: FrameIx, order: PageOrder) -> bool {
        let stack = self.stacks.iter_mut().find(|stack| stack.order == order);
        if !stack.is_some_and(|stack| stack.push(start)) {
            return false;
        }
        self.frames += order.frames();
        true
    }

    /// Takes a zeroed aligned run of `order`. What was left of a longer run and had no room is
    /// passed to `dirty`.
    pub(super) fn take(
        &mut self,
        order: PageOrder,
        mut dirty: impl FnMut(Span),
    ) -> Option<FrameIx> {
        let number = self
            .stacks
            .iter()
            .position(|s| s.order >= order && s.filled > 0)?;
        let from = self.stacks[number].order;
        let start = self.stacks[number].pop()?;
        self.frames -= from.frames();
        let mut rest = Span {
            start: FrameIx(start.0 + order.frames()),
            end: FrameIx(start.0 + from.frames()),
        };
        for stack in self.stacks[..number].iter_mut().rev() {
            let size = stack.order.frames();
            while rest.frames() >= size {
                // From the end, so that what is left stays aligned.
                if !stack.push(FrameIx(rest.end.0 - size)) {
                    break;
                }
                rest.end.0 -= size;
                self.frames += size;
            }
        }
        if !rest.is_empty() {
            dirty(rest);
        }
        Some(start)
    }

    /// Takes any run, the longest first.
    pub(super) fn take_any(&mut self) -> Option<Span> {
        let stack = self
            .stacks
            .iter_mut()
            .rev()
            .find(|stack| stack.filled > 0)?;
        let span = Span::at(stack.pop()?, stack.order.frames());
        self.frames -= span.frames();
        Some(span)
    }

    /// Calls `visit` with each run that waits.
    pub(super) fn for_each(&self, mut visit: impl FnMut(Span)) {
        for stack in &self.stacks {
            for start in &stack.runs[..stack.filled] {
                visit(Span::at(FrameIx(*start), stack.order.frames()));
            }
        }
    }

    /// Whether every waiting run is aligned.
    pub(super) fn is_aligned(&self) -> bool {
        let mut aligned = true;
        self.for_each(|span| {
            aligned &= pieces(span, self.skew).count() == 1;
        });
        aligned
    }
}

impl<P: Policy> Frames<'_, P> {
    /// Takes a run of `order` out to be zeroed; the caller hands it to [`Self::end_zeroing`]
    /// when it has zeroed it, or to [`Self::abandon_zeroing`]. `None` when nothing dirty of that
    /// order is free, or so many zeroed runs of it wait that there is no room for one more.
    #[must_use = "the run is taken until it is handed back"]
    pub fn begin_zeroing(&mut self, order: PageOrder) -> Option<Run> {
        if self.zeroed.room(order) == 0 {
            return None;
        }
        let ix = self.policy.take(order)?;
        let span = Span::at(ix, order.frames());
        self.ledger.change(span, Owner::Free, Owner::Held);
        self.held += order.frames();
        self.window().run(span)
    }

    /// Puts a run that was taken out and is all zero now to the zeroed frames.
    ///
    /// # Errors
    ///
    /// As [`Self::free`], when the run was not taken out to be zeroed.
    pub fn end_zeroing(&mut self, run: Run) -> Result<(), FreeError> {
        let span = self.unhold(run)?;
        let order = PageOrder::holding(span.frames()).filter(|o| o.frames() == span.frames());
        let aligned = order.filter(|o| run.start().0.is_multiple_of(u64::from(o.frames())));
        if !aligned.is_some_and(|order| self.zeroed.put(span.start, order)) {
            self.give(span);
        }
        Ok(())
    }

    /// Puts a run that was taken out to the dirty frames again.
    ///
    /// # Errors
    ///
    /// As [`Self::free`], when the run was not taken out to be zeroed.
    pub fn abandon_zeroing(&mut self, run: Run) -> Result<(), FreeError> {
        let span = self.unhold(run)?;
        self.give(span);
        Ok(())
    }

    fn unhold(&mut self, run: Run) -> Result<Span, FreeError> {
        let span = self
            .window()
            .span_of(run)
            .ok_or(FreeError::Foreign(run.start()))?;
        self.leave(span, Owner::Held)?;
        self.held -= span.frames();
        Ok(span)
    }

    /// Makes the longest zeroed run an ordinary free one; `false` when there is none.
    pub fn drop_zeroed(&mut self) -> bool {
        match self.zeroed.take_any() {
            Some(span) => {
                self.give(span);
                true
            }
            None => false,
        }
    }
}
