//! Finding: a run inside given bounds, and the next free frames in order of address.

use super::super::orders::Piece;
use super::super::tier::{GROUP, GROUP_ORDER};
use super::super::units::{FrameIx, PageOrder, Span};
use super::Pyramid;

impl Pyramid<'_> {
    /// Takes an aligned run of `order` inside `within`.
    pub(in super::super) fn take_within(
        &mut self,
        order: PageOrder,
        within: Span,
    ) -> Option<FrameIx> {
        let within = within.cut(self.window.span());
        if within.is_empty() {
            return None;
        }
        let start = if order < PageOrder::BLOCK {
            self.find_frames(order.get(), within)
        } else {
            self.find_blocks(order.get() - GROUP_ORDER, within)
        }?;
        self.claim(Piece { start, order });
        Some(start)
    }

    /// Finds a run of less than a block: in broken blocks inside `within`, in the two blocks at
    /// its ends, in whole blocks, in this order.
    fn find_frames(&self, order: u32, within: Span) -> Option<FrameIx> {
        let (from, to) = (within.start.0, within.end.0);
        if let Some(frame) = self.frames.find_within(order, from, to) {
            return Some(FrameIx(frame));
        }
        let edges = [from / GROUP, to.saturating_sub(1) / GROUP];
        for block in edges {
            let base = block * GROUP;
            let (low, high) = (from.max(base), to.min(base + GROUP));
            if !self.frames.is_out(block) {
                if let Some(frame) = self.frames.find(block, order, low - base, high - base) {
                    return Some(FrameIx(frame));
                }
            } else if self.block_is_free(block) {
                let start = low.next_multiple_of(1 << order);
                if start + (1 << order) <= high {
                    return Some(FrameIx(start));
                }
            }
        }
        self.find_blocks(0, within)
    }

    /// Finds `1 << order` blocks: in broken groups inside `within`, in the two groups at its
    /// ends, in whole groups.
    fn find_blocks(&self, order: u32, within: Span) -> Option<FrameIx> {
        let from = within.start.0.div_ceil(GROUP) + self.skew;
        let to = within.end.0 / GROUP + self.skew;
        if from >= to {
            return None;
        }
        let frame = |unit: u32| FrameIx((unit - self.skew) * GROUP);
        if order < GROUP_ORDER {
            if let Some(unit) = self.blocks.find_within(order, from, to) {
                return Some(frame(unit));
            }
            for group in [from / GROUP, (to - 1) / GROUP] {
                let base = group * GROUP;
                let (low, high) = (from.max(base), to.min(base + GROUP));
                if !self.blocks.is_out(group) {
                    if let Some(unit) = self.blocks.find(group, order, low - base, high - base) {
                        return Some(frame(unit));
                    }
                } else if self.whole.contains(group) {
                    let start = low.next_multiple_of(1 << order);
                    if start + (1 << order) <= high {
                        return Some(frame(start));
                    }
                }
            }
        }
        let group = self.whole.next_within(from.div_ceil(GROUP), to / GROUP)?;
        Some(frame(group * GROUP))
    }

    pub(in super::super) fn next_free(&self, from: FrameIx) -> Option<Span> {
        if from.0 >= self.window.frames() {
            return None;
        }
        let block = from.0 / GROUP;
        let single = |(start, length)| Span::at(FrameIx(start), length);
        if !self.frames.is_out(block) {
            if let Some(found) = self.frames.next_free(from.0) {
                return Some(single(found));
            }
        } else if self.block_is_free(block) && !from.0.is_multiple_of(GROUP) {
            return Some(Span {
                start: from,
                end: FrameIx((block + 1) * GROUP),
            });
        }
        let from = from.0.div_ceil(GROUP);
        let broken = self.frames.next_group(from);
        let unit = self.next_free_block(from + self.skew);
        match (broken, unit) {
            (None, None) => None,
            (Some(broken), Some((unit, _))) if broken + self.skew < unit => {
                self.frames.next_free(broken * GROUP).map(single)
            }
            (_, Some((unit, count))) => {
                Some(Span::at(FrameIx((unit - self.skew) * GROUP), count * GROUP))
            }
            (Some(broken), None) => self.frames.next_free(broken * GROUP).map(single),
        }
    }

    /// The first free block at or after `from` (in units of the upper tier) and how many follow.
    fn next_free_block(&self, from: u32) -> Option<(u32, u32)> {
        let group = from / GROUP;
        if group >= self.blocks.groups() {
            return None;
        }
        if !self.blocks.is_out(group) {
            if let Some(found) = self.blocks.next_free(from) {
                return Some(found);
            }
        } else if self.whole.contains(group) {
            return Some((from, (group + 1) * GROUP - from));
        }
        let broken = self.blocks.next_group(group + 1);
        let whole = self.whole.next(group + 1);
        match (broken, whole) {
            (Some(broken), whole) if whole.is_none_or(|whole| broken < whole) => {
                self.blocks.next_free(broken * GROUP)
            }
            (_, Some(whole)) => Some((whole * GROUP, GROUP)),
            (_, None) => None,
        }
    }
}
