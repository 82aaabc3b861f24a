//! Giving units back, and what follows when a block or a group has become whole.

use super::super::orders::{Piece, pieces};
use super::super::tier::{GROUP, GROUP_ORDER, Given};
use super::super::units::{FrameIx, PageOrder, Span};
use super::Pyramid;

impl Pyramid<'_> {
    fn give_block(&mut self, block: u32) -> bool {
        let unit = block + self.skew;
        match self.blocks.give_one(unit) {
            Given::Done => true,
            given => self.gave_unit(unit, 0, given),
        }
    }

    /// Follows up a give to the upper tier.
    #[inline(never)]
    fn gave_unit(&mut self, unit: u32, order: u32, given: Given) -> bool {
        let group = unit / GROUP;
        match given {
            Given::Done => true,
            Given::Twice => false,
            Given::Whole => {
                self.whole.insert(group);
                self.whole_count += 1;
                true
            }
            Given::Out if self.whole.contains(group) => false,
            Given::Out => {
                self.blocks.split(group);
                match self.blocks.give(unit, order) {
                    Given::Out => false,
                    given => self.gave_unit(unit, order, given),
                }
            }
        }
    }

    pub(in super::super) fn give_one(&mut self, frame: FrameIx) -> bool {
        match self.frames.give_one(frame.0) {
            Given::Done => true,
            given => self.gave_frame(frame.0, 0, given),
        }
    }

    /// Gives back the aligned run of `order` at `start`.
    #[inline]
    pub(in super::super) fn give_order(&mut self, start: FrameIx, order: PageOrder) -> bool {
        if order < PageOrder::BLOCK {
            return match self.frames.give(start.0, order.get()) {
                Given::Done => true,
                Given::Whole => self.gave_rest(start.0 / GROUP),
                given => self.gave_frame(start.0, order.get(), given),
            };
        }
        if order == PageOrder::BLOCK && self.frames.is_out(start.0 / GROUP) {
            return self.give_block(start.0 / GROUP);
        }
        self.give(Span::at(start, order.frames()))
    }

    /// Follows up a give that made a block whole.
    fn gave_rest(&mut self, block: u32) -> bool {
        self.set_broken(block, false);
        self.give_block(block)
    }

    /// Follows up a give to the lower tier.
    #[inline(never)]
    fn gave_frame(&mut self, frame: u32, order: u32, given: Given) -> bool {
        let block = frame / GROUP;
        match given {
            Given::Done => true,
            Given::Twice => false,
            Given::Whole => self.gave_rest(block),
            Given::Out if self.block_is_free(block) => false,
            Given::Out => {
                self.frames.split(block);
                self.set_broken(block, true);
                match self.frames.give(frame, order) {
                    Given::Out => false,
                    given => self.gave_frame(frame, order, given),
                }
            }
        }
    }

    /// Whether the policy may take `piece` back, as far as it can tell.
    fn is_taken(&self, piece: Piece) -> bool {
        let order = piece.order.get();
        let block = piece.start.0 / GROUP;
        if order < GROUP_ORDER {
            return if self.frames.is_out(block) {
                !self.block_is_free(block)
            } else {
                self.frames.is_taken(piece.start.0, order)
            };
        }
        let unit = block + self.skew;
        let group = unit / GROUP;
        let above = if self.blocks.is_out(group) {
            !self.whole.contains(group)
        } else if order == 2 * GROUP_ORDER {
            self.blocks.free_in(group) == 0
        } else {
            self.blocks.is_taken(unit, order - GROUP_ORDER)
        };
        above
            && self
                .broken_in(piece)
                .all(|block| self.frames.free_in(block) == 0)
    }

    /// The broken blocks of a piece.
    fn broken_in(&self, piece: Piece) -> impl Iterator<Item = u32> {
        let end = (piece.start.0 + piece.order.frames()) / GROUP;
        let mut at = piece.start.0 / GROUP;
        core::iter::from_fn(move || {
            let block = self.next_broken(at, end)?;
            at = block + 1;
            Some(block)
        })
    }

    pub(in super::super) fn give(&mut self, span: Span) -> bool {
        let skew = self.window.skew();
        let frames = span.frames();
        if frames <= GROUP && frames.is_power_of_two() && span.start.0.is_multiple_of(frames) {
            let block = span.start.0 / GROUP;
            if frames < GROUP || self.frames.is_out(block) {
                let order = PageOrder::holding(frames).unwrap_or(PageOrder::FRAME);
                return self.give_order(span.start, order);
            }
        }
        pieces(span, skew).all(|piece| self.is_taken(piece))
            && pieces(span, skew).all(|piece| self.give_piece(piece))
    }

    /// Gives back `piece`, which is taken.
    fn give_piece(&mut self, piece: Piece) -> bool {
        let order = piece.order.get();
        if order < GROUP_ORDER {
            let given = self.frames.give(piece.start.0, order);
            return self.gave_frame(piece.start.0, order, given);
        }
        let block = piece.start.0 / GROUP;
        let end = block + piece.order.frames() / GROUP;
        while let Some(block) = self.next_broken(block, end) {
            if !self.frames.absorb(block) {
                return false;
            }
            self.set_broken(block, false);
        }
        let unit = block + self.skew;
        if order < 2 * GROUP_ORDER {
            let given = self.blocks.give(unit, order - GROUP_ORDER);
            return self.gave_unit(unit, order - GROUP_ORDER, given);
        }
        let group = unit / GROUP;
        if !self.blocks.is_out(group) && !self.blocks.absorb(group) {
            return false;
        }
        self.gave_unit(unit, 0, Given::Whole)
    }
}
