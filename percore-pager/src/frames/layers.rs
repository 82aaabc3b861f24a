//! Two policies in an order: one for runs below 2 MiB, one for whole 2 MiB blocks.
//!
//! # Invariant
//!
//! A free frame is in `large` when its whole 2 MiB block is free, else in `small`. So each frame is in
//! exactly one, both see all that they could merge, and nothing is refused that one policy alone would
//! have found: an aligned run of 2 MiB or more consists of whole blocks, all of which are in
//! `large`; a shorter one lies within a block, which is in one or the other. When `small` has no run
//! that will do, it gets a block; when its last missing frame comes back, the block goes to `large`.
//!
//! # Cost
//!
//! An operation is at most a block's worth of moving, a bounded number of operations of the two.

use super::kind::OfKind;
use super::memory::Memory;
use super::orders::align_up;
use super::policies::Policies;
use super::policy::{Policy, Want};
use super::units::{FrameIx, PageOrder, Span};
use super::validate::Fault;
use super::window::Window;

const BLOCK: PageOrder = PageOrder::BLOCK;

/// See the [module](self).
#[derive(Debug)]
pub struct Layers<'a> {
    policies: Policies,
    small: OfKind<'a>,
    large: OfKind<'a>,
}

/// A span cut at the borders of blocks: frames before the first whole block, whole blocks, frames behind them.
/// Neither of the outer two reaches across a border.
struct Cut {
    head: Span,
    blocks: Span,
    tail: Span,
}

impl<'a> Layers<'a> {
    /// Two policies without any free frame; `None` when `memory` is less than [`Policies::need`].
    pub fn new(policies: Policies, window: Window, mut memory: Memory<'a>) -> Option<Self> {
        let first = memory.split_off(policies.small().need(&window))?;
        Some(Layers {
            policies,
            small: OfKind::new(policies.small(), window, first)?,
            large: OfKind::new(policies.large(), window, memory)?,
        })
    }

    fn skew(&self) -> u32 {
        self.small.window().skew()
    }

    fn cut(&self, span: Span) -> Cut {
        let skew = self.skew();
        let first = align_up(span.start, skew, BLOCK).0.min(span.end.0);
        let whole = (span.end.0 - first) & !(BLOCK.frames() - 1);
        let part = |from, to| Span {
            start: FrameIx(from),
            end: FrameIx(to),
        };
        Cut {
            head: part(span.start.0, first),
            blocks: part(first, first + whole),
            tail: part(first + whole, span.end.0),
        }
    }

    /// The block that a frame lies in; `None` when the window does not have all of it.
    fn block_of(&self, frame: FrameIx) -> Option<Span> {
        let skew = self.skew();
        let start = ((frame.0 + skew) & !(BLOCK.frames() - 1)).checked_sub(skew)?;
        let block = Span::at(FrameIx(start), BLOCK.frames());
        (block.end.0 <= self.window().frames()).then_some(block)
    }

    /// Adds what is left of `block` around `taken` to `small`.
    fn give_rest(&mut self, block: Span, taken: Span) {
        let rest = [(block.start, taken.start), (taken.end, block.end)];
        for (start, end) in rest {
            let part = Span { start, end };
            let given = part.is_empty() || self.small.give(part);
            debug_assert!(given, "the rest of a block that was whole is free already");
        }
    }

    /// Takes frames of one block.
    fn take_part(&mut self, part: Span) -> bool {
        if part.is_empty() || self.small.take_at(part) {
            return true;
        }
        match self.block_of(part.start) {
            Some(block) if self.large.take_at(block) => {
                self.give_rest(block, part);
                true
            }
            _ => false,
        }
    }

    /// Moves blocks that became whole.
    fn promote(&mut self) {
        while let Some(start) = self.small.take(BLOCK) {
            let given = self.large.give_order(start, BLOCK);
            debug_assert!(given, "a block was in both");
        }
    }

    /// Adds frames that are in neither.
    fn give_parts(&mut self, cut: &Cut) -> bool {
        let parts = [cut.head, cut.tail];
        for (number, part) in parts.into_iter().enumerate() {
            if part.is_empty() || self.small.give(part) {
                continue;
            }
            for part in parts.into_iter().take(number).filter(|p| !p.is_empty()) {
                let undone = self.small.take_at(part);
                debug_assert!(undone, "frames that were just given are not free");
            }
            return false;
        }
        true
    }

    fn has(policy: &OfKind<'a>, span: Span) -> bool {
        !span.is_empty()
            && policy
                .next_free(span.start)
                .is_some_and(|free| free.start < span.end)
    }

    /// A run of more than 2 MiB from whole blocks, what is too much given back.
    fn take_blocks(&mut self, want: &Want) -> Option<FrameIx> {
        let frames = want.frames.next_multiple_of(BLOCK.frames());
        let start = self.large.take_run(&Want {
            frames,
            align: want.align.max(BLOCK),
            within: want.within,
        })?;
        let spare = Span {
            start: FrameIx(start.0 + want.frames),
            end: FrameIx(start.0 + frames),
        };
        let given = spare.is_empty() || self.small.give(spare);
        debug_assert!(given, "the rest of blocks that were whole is free already");
        Some(start)
    }
}

// SAFETY: frames come from policies that were made for the same window.
unsafe impl Policy for Layers<'_> {
    fn policies(&self) -> Policies {
        self.policies
    }

    fn window(&self) -> &Window {
        self.small.window()
    }

    fn take(&mut self, order: PageOrder) -> Option<FrameIx> {
        if order >= BLOCK {
            return self.large.take(order);
        }
        self.small.take(order).or_else(|| {
            let start = self.large.take(BLOCK)?;
            let block = Span::at(start, BLOCK.frames());
            self.give_rest(block, Span::at(start, order.frames()));
            Some(start)
        })
    }

    fn take_within(&mut self, order: PageOrder, within: Span) -> Option<FrameIx> {
        if order >= BLOCK {
            return self.large.take_within(order, within);
        }
        if let Some(start) = self.small.take_within(order, within) {
            return Some(start);
        }
        let start = self.large.take_within(order, within)?;
        let taken = Span::at(start, order.frames());
        // It came out of a whole block, the rest of which `large` must not keep.
        let block = self.block_of(start)?;
        for (start, end) in [(block.start, taken.start), (taken.end, block.end)] {
            let part = Span { start, end };
            let moved = part.is_empty() || self.large.take_at(part) && self.small.give(part);
            debug_assert!(moved, "a block with a free run was not whole");
        }
        Some(start)
    }

    fn take_run(&mut self, want: &Want) -> Option<FrameIx> {
        if want.frames >= BLOCK.frames() || want.align >= BLOCK {
            return self.take_blocks(want);
        }
        if let Some(start) = self.small.take_run(want) {
            return Some(start);
        }
        let order = PageOrder::holding(want.frames)?.max(want.align);
        let start = self.take_within(order, want.within)?;
        let spare = Span {
            start: FrameIx(start.0 + want.frames),
            end: FrameIx(start.0 + order.frames()),
        };
        let given = spare.is_empty() || self.small.give(spare);
        debug_assert!(given, "the rest of a run that was just taken is free");
        Some(start)
    }

    fn take_at(&mut self, span: Span) -> bool {
        let cut = self.cut(span);
        if !self.take_part(cut.head) {
            return false;
        }
        let blocks = cut.blocks.is_empty() || self.large.take_at(cut.blocks);
        if blocks && self.take_part(cut.tail) {
            return true;
        }
        let mut back = cut;
        back.tail = Span::at(back.tail.start, 0);
        if !blocks {
            back.blocks = back.tail;
        }
        let undone =
            (back.blocks.is_empty() || self.large.give(back.blocks)) && self.give_parts(&back);
        debug_assert!(undone, "frames that were just taken are free");
        self.promote();
        false
    }

    fn give(&mut self, span: Span) -> bool {
        let cut = self.cut(span);
        let twice = Self::has(&self.large, cut.head)
            || Self::has(&self.large, cut.tail)
            || Self::has(&self.small, cut.blocks);
        if twice || !self.give_parts(&cut) {
            return false;
        }
        if !cut.blocks.is_empty() && !self.large.give(cut.blocks) {
            for part in [cut.head, cut.tail] {
                let undone = part.is_empty() || self.small.take_at(part);
                debug_assert!(undone, "frames that were just given are not free");
            }
            return false;
        }
        self.promote();
        true
    }

    fn next_free(&self, from: FrameIx) -> Option<Span> {
        let both = [&self.small, &self.large];
        let found = both.into_iter().filter_map(|policy| policy.next_free(from));
        found.min_by_key(|span| span.start)
    }

    fn free_runs(&self, order: PageOrder) -> u32 {
        self.small.free_runs(order) + self.large.free_runs(order)
    }

    fn settle(&mut self) -> bool {
        self.small.settle() || self.large.settle()
    }

    fn check(&self) -> Result<(), Fault> {
        self.small.check()?;
        self.large.check()?;
        // The invariant, both ways.
        let blocks = self.large.free_runs(BLOCK);
        if self.small.free_runs(BLOCK) != 0 {
            return Err(Fault::Runs(BLOCK, self.small.free_runs(BLOCK), 0));
        }
        let (kept, whole) = (self.large.free_frames(), blocks * BLOCK.frames());
        if kept != whole {
            return Err(Fault::Total(kept.into(), whole.into()));
        }
        let mut at = FrameIx(0);
        while let Some(span) = self.small.next_free(at) {
            if Self::has(&self.large, span) {
                return Err(Fault::Frame(span.start));
            }
            at = span.end;
        }
        Ok(())
    }
}
