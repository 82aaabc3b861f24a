//! Frames in blocks of 2 MiB in groups of 1 GiB: two tiers and a set on top.
//!
//! This is what the policies [`Bitmap`](super::Bitmap) and [`Slab`](super::Slab) stand on; they
//! differ in which block they take a run from. A block that is wholly free is a free unit of the
//! upper tier and is out in the lower one; so is a block that was taken as a whole, with the unit
//! taken. Taking and giving 2 MiB therefore costs what a single frame costs and touches no frame's
//! bit. The same holds for 1 GiB, one tier up.

mod check;
mod find;
mod give;

use super::bitset::BitSet;
use super::memory::{Memory, Need};
use super::orders::{Piece, pieces};
use super::tier::{GROUP, GROUP_ORDER, Tier};
use super::units::{FrameIx, PageOrder, Span};
use super::window::Window;

#[derive(Debug)]
pub(super) struct Pyramid<'a> {
    window: Window,
    /// Units: frames of the window. Groups: blocks of the window.
    pub(super) frames: Tier<'a>,
    /// Units: blocks from a 1 GiB boundary on. Groups: 1 GiB.
    blocks: Tier<'a>,
    /// Wholly free groups of blocks, and how many.
    whole: BitSet<'a>,
    whole_count: u32,
    /// A bit for each block: it is in, in the lower tier.
    broken: &'a mut [u64],
    /// Blocks between that 1 GiB boundary and the window's base.
    skew: u32,
}

impl<'a> Pyramid<'a> {
    const fn groups(window: &Window) -> u32 {
        (window.skew() / GROUP + window.blocks()).div_ceil(GROUP)
    }

    pub(super) const fn need(window: &Window) -> Need {
        let groups = Self::groups(window);
        let lower = Tier::need(window.blocks());
        let upper = Tier::need(groups);
        let sets = BitSet::need(groups) + window.blocks().div_ceil(64) as usize;
        Need {
            shared: lower.shared,
            private: lower.private + upper.private + upper.shared + sets,
        }
    }

    pub(super) fn new(window: Window, memory: Memory<'a>) -> Option<Self> {
        let groups = Self::groups(&window);
        let mut private = memory.private;
        let lines = super::memory::carve(&mut private, Tier::need(groups).shared)?;
        Some(Pyramid {
            window,
            frames: Tier::new(window.blocks(), memory.shared, &mut private)?,
            blocks: Tier::new(groups, super::memory::as_shared(lines), &mut private)?,
            whole: BitSet::new(groups, &mut private)?,
            whole_count: 0,
            broken: super::memory::carve(&mut private, window.blocks().div_ceil(64) as usize)?,
            skew: window.skew() / GROUP,
        })
    }

    #[inline]
    pub(super) fn window(&self) -> &Window {
        &self.window
    }

    fn block_is_free(&self, block: u32) -> bool {
        let unit = block + self.skew;
        let group = unit / GROUP;
        if self.blocks.is_out(group) {
            self.whole.contains(group)
        } else {
            self.blocks.is_free(unit, 0)
        }
    }

    fn take_whole(&mut self, group: u32) {
        self.whole.remove(group);
        self.whole_count -= 1;
    }

    /// Takes a free block.
    pub(super) fn take_block(&mut self) -> Option<u32> {
        if let Some(unit) = self.blocks.take_one() {
            return Some(unit - self.skew);
        }
        let group = self.whole.first()?;
        self.take_whole(group);
        Some(self.blocks.open_taking(group, 0) - self.skew)
    }

    /// Takes a run of `order` (0..=8) from a block that was just taken.
    pub(super) fn open_taking(&mut self, block: u32, order: u32) -> u32 {
        self.set_broken(block, true);
        self.frames.open_taking(block, order)
    }

    #[inline(always)]
    pub(super) fn try_take_block(&mut self) -> Option<FrameIx> {
        self.blocks
            .try_take_one()
            .map(|unit| FrameIx((unit - self.skew) * GROUP))
    }

    #[inline(always)]
    pub(super) fn try_give_block(&mut self, start: FrameIx) -> bool {
        let block = start.0 / GROUP;
        self.frames.is_out_checked(block) && self.blocks.try_give_one(block + self.skew)
    }

    /// Takes the block `block`, which is free.
    fn claim_block(&mut self, block: u32) {
        let unit = block + self.skew;
        let group = unit / GROUP;
        if self.blocks.is_out(group) {
            self.take_whole(group);
            self.blocks.open(group);
        }
        self.blocks.take_at(unit, 0);
    }

    /// Makes a block that was just taken one whose frames are given out one by one.
    fn open(&mut self, block: u32) {
        self.frames.open(block);
        self.set_broken(block, true);
    }

    #[inline(always)]
    pub(super) fn try_take_one(&mut self) -> Option<FrameIx> {
        self.frames.try_take_one().map(FrameIx)
    }

    #[inline(always)]
    pub(super) fn try_take_four(&mut self) -> Option<FrameIx> {
        self.frames.try_take_four().map(FrameIx)
    }

    #[inline(always)]
    pub(super) fn try_give_one(&mut self, frame: FrameIx) -> bool {
        self.frames.try_give_one(frame.0)
    }

    pub(super) fn take_one(&mut self) -> Option<FrameIx> {
        if let Some(frame) = self.frames.take_one() {
            return Some(FrameIx(frame));
        }
        let block = self.take_block()?;
        Some(FrameIx(self.open_taking(block, 0)))
    }

    /// Takes an aligned run of `order`.
    #[inline(always)]
    pub(super) fn take(&mut self, order: PageOrder) -> Option<FrameIx> {
        let order = order.get();
        if order >= GROUP_ORDER {
            return self.take_blocks(order);
        }
        match self.frames.take(order) {
            Some(frame) => Some(FrameIx(frame)),
            None => self.take_of_block(order),
        }
    }

    /// Takes a run of `order` (0..=8) from a block that is whole.
    #[inline(never)]
    fn take_of_block(&mut self, order: u32) -> Option<FrameIx> {
        let block = self.take_block()?;
        Some(FrameIx(self.open_taking(block, order)))
    }

    /// Takes a run of `order` (9..=18).
    #[inline(never)]
    fn take_blocks(&mut self, order: u32) -> Option<FrameIx> {
        if order < 2 * GROUP_ORDER
            && let Some(unit) = self.blocks.take(order - GROUP_ORDER)
        {
            return Some(FrameIx((unit - self.skew) * GROUP));
        }
        let group = self.whole.first()?;
        self.take_whole(group);
        if order < 2 * GROUP_ORDER {
            self.blocks.open_taking(group, order - GROUP_ORDER);
        }
        Some(FrameIx((group * GROUP - self.skew) * GROUP))
    }

    /// Takes `piece`, which is free.
    fn claim(&mut self, piece: Piece) {
        let order = piece.order.get();
        let block = piece.start.0 / GROUP;
        if order < GROUP_ORDER {
            if self.frames.is_out(block) {
                self.claim_block(block);
                self.open(block);
            }
            self.frames.take_at(piece.start.0, order);
            return;
        }
        let unit = block + self.skew;
        let group = unit / GROUP;
        if self.blocks.is_out(group) {
            self.take_whole(group);
            if order == 2 * GROUP_ORDER {
                return;
            }
            self.blocks.open(group);
        }
        self.blocks.take_at(unit, order - GROUP_ORDER);
    }

    fn is_free(&self, piece: Piece) -> bool {
        let order = piece.order.get();
        let block = piece.start.0 / GROUP;
        if order < GROUP_ORDER {
            return if self.frames.is_out(block) {
                self.block_is_free(block)
            } else {
                self.frames.is_free(piece.start.0, order)
            };
        }
        let unit = block + self.skew;
        if self.blocks.is_out(unit / GROUP) {
            return self.whole.contains(unit / GROUP);
        }
        order < 2 * GROUP_ORDER && self.blocks.is_free(unit, order - GROUP_ORDER)
    }

    pub(super) fn take_at(&mut self, span: Span) -> bool {
        let skew = self.window.skew();
        if !pieces(span, skew).all(|piece| self.is_free(piece)) {
            return false;
        }
        pieces(span, skew).for_each(|piece| self.claim(piece));
        true
    }

    /// Notes whether `block` is in, in the lower tier.
    #[inline]
    fn set_broken(&mut self, block: u32, broken: bool) {
        let word = &mut self.broken[(block / 64) as usize];
        *word = *word & !(1 << (block % 64)) | u64::from(broken) << (block % 64);
    }

    /// The first broken block in `from..to`, which is at most 1 GiB: eight or nine words.
    fn next_broken(&self, from: u32, to: u32) -> Option<u32> {
        let mut bits = u64::MAX << (from % 64);
        let found = (from / 64..to.div_ceil(64)).find_map(|word| {
            bits &= self.broken[word as usize];
            let found = (bits != 0).then(|| word * 64 + bits.trailing_zeros());
            bits = u64::MAX;
            found
        });
        found.filter(|block| *block < to)
    }

    pub(super) fn free_runs(&self, order: PageOrder) -> u32 {
        let order = order.get();
        let blocks = |order| self.blocks.runs(order, self.whole_count);
        if order < GROUP_ORDER {
            self.frames.runs(order, blocks(0))
        } else if order < 2 * GROUP_ORDER {
            blocks(order - GROUP_ORDER)
        } else {
            self.whole_count
        }
    }
}
