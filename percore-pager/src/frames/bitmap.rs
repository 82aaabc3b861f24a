//! The default policy: a hierarchical bitmap that knows 2 MiB blocks.
//!
//! * Single frames come from one block until it is full, then from the fullest block that has
//!   any. Whole blocks are broken last, so they stay whole.
//! * Runs of 8 KiB to 1 MiB come from a block whose largest free run is the smallest that will
//!   do. Runs of 2 MiB and more are runs of blocks, found in the same way one tier up.
//! * Nothing depends on how many frames are free or taken: see [`tier`](super::tier).
//!
//! It wins wherever single frames and 2 MiB blocks are mixed; it has the lowest book-keeping
//! (0.134 bytes a frame). It has no advantage when all requests have one order above 0: there
//! `Slab` keeps less in a block's line to look at.

use super::kind::Kind;
use super::memory::{Memory, Need};
use super::policies::Policies;
use super::policy::Policy;
use super::pyramid::Pyramid;
use super::units::{FrameIx, PageOrder, Span};
use super::validate::Fault;
use super::window::Window;

/// See the [module](self).
#[derive(Debug)]
pub struct Bitmap<'a>(Pyramid<'a>);

impl<'a> Bitmap<'a> {
    /// Book-keeping memory for `window`. The shared part is a line of 64 bytes for each block.
    pub const fn need(window: &Window) -> Need {
        Pyramid::need(window)
    }

    /// A policy without any free frame; `None` when `memory` is less than [`Self::need`].
    /// The shared memory need not be cleared.
    pub fn new(window: Window, memory: Memory<'a>) -> Option<Self> {
        Some(Bitmap(Pyramid::new(window, memory)?))
    }
}

// SAFETY: units are free only after they were given, and those were inside the window.
unsafe impl Policy for Bitmap<'_> {
    fn policies(&self) -> Policies {
        Kind::Bitmap.into()
    }

    #[inline]
    fn window(&self) -> &Window {
        self.0.window()
    }

    #[inline(always)]
    fn take(&mut self, order: PageOrder) -> Option<FrameIx> {
        self.0.take(order)
    }

    fn take_within(&mut self, order: PageOrder, within: Span) -> Option<FrameIx> {
        self.0.take_within(order, within)
    }

    fn take_at(&mut self, span: Span) -> bool {
        self.0.take_at(span)
    }

    fn give(&mut self, span: Span) -> bool {
        self.0.give(span)
    }

    #[inline]
    fn give_order(&mut self, start: FrameIx, order: PageOrder) -> bool {
        self.0.give_order(start, order)
    }

    fn take_one(&mut self) -> Option<FrameIx> {
        self.0.take_one()
    }

    fn give_one(&mut self, frame: FrameIx) -> bool {
        self.0.give_one(frame)
    }

    #[inline(always)]
    fn try_take_one(&mut self) -> Option<FrameIx> {
        self.0.try_take_one()
    }

    #[inline(always)]
    fn try_take_four(&mut self) -> Option<FrameIx> {
        self.0.try_take_four()
    }

    #[inline(always)]
    fn try_give_one(&mut self, frame: FrameIx) -> bool {
        self.0.try_give_one(frame)
    }

    #[inline(always)]
    fn try_take_block(&mut self) -> Option<FrameIx> {
        self.0.try_take_block()
    }

    #[inline(always)]
    fn try_give_block(&mut self, start: FrameIx) -> bool {
        self.0.try_give_block(start)
    }

    fn next_free(&self, from: FrameIx) -> Option<Span> {
        self.0.next_free(from)
    }

    fn free_runs(&self, order: PageOrder) -> u32 {
        self.0.free_runs(order)
    }

    fn check(&self) -> Result<(), Fault> {
        self.0.check()
    }
}
