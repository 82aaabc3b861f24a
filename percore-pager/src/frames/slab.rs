//! Size classes of runs: a 2 MiB block serves runs of one order as long as possible.
//!
//! Each order below a block's is a class. A block is given to a class when it is broken and
//! leaves it when it is whole again; a request is served from the first block of its class that
//! has a run. Runs of one class so never cut up what another class needs: a long-lived single
//! frame does not lie in the middle of 64 KiB runs. When no block is left to give to a class, a
//! run is taken from other classes rather than refused.
//!
//! It wins when each order's runs live alike and differently from other orders'. It spends up
//! to one broken block per class, and does not look for the fullest block. Runs of 2 MiB and more
//! are treated as in `Bitmap`. 0.138 bytes a frame.

use super::bitset::BitSet;
use super::kind::Kind;
use super::memory::{Memory, Need, as_u8, carve};
use super::policies::Policies;
use super::policy::Policy;
use super::pyramid::Pyramid;
use super::units::{FrameIx, PageOrder, Span};
use super::validate::Fault;
use super::window::Window;

const CLASSES: usize = PageOrder::BLOCK.get() as usize;
const BLOCK: u32 = Window::BLOCK;

/// See the [module](self).
#[derive(Debug)]
pub struct Slab<'a> {
    pyramid: Pyramid<'a>,
    /// Blocks of a class that have a free run of its order.
    open: [BitSet<'a>; CLASSES],
    /// Class of each block; means nothing while the block is whole or taken as a whole.
    class: &'a mut [u8],
}

impl<'a> Slab<'a> {
    /// Book-keeping memory for `window`. The shared part is a line of 64 bytes for each block.
    pub const fn need(window: &Window) -> Need {
        let blocks = window.blocks();
        let private = CLASSES * BitSet::need(blocks) + blocks.div_ceil(8) as usize;
        Pyramid::need(window).and(Need { shared: 0, private })
    }

    /// A policy without any free frame; `None` when `memory` is less than [`Self::need`].
    /// The shared memory need not be cleared.
    pub fn new(window: Window, memory: Memory<'a>) -> Option<Self> {
        let blocks = window.blocks();
        let Memory {
            shared,
            mut private,
        } = memory;
        let class = as_u8(carve(&mut private, blocks.div_ceil(8) as usize)?);
        let mut enough = true;
        let open = core::array::from_fn(|_| {
            let set = BitSet::new(blocks, &mut private);
            enough &= set.is_some();
            set.unwrap_or_default()
        });
        if !enough {
            return None;
        }
        let pyramid = Pyramid::new(window, Memory { shared, private })?;
        Some(Slab {
            pyramid,
            open,
            class,
        })
    }

    /// Whether `block` has to be in the open set of its class.
    fn is_open(&self, block: u32) -> bool {
        let class = u32::from(self.class[block as usize]);
        !self.pyramid.frames.is_out(block)
            && self
                .pyramid
                .frames
                .largest_in(block)
                .is_some_and(|order| order >= class)
    }

    /// Follows up a change in `block`.
    fn sync(&mut self, block: u32) {
        let class = self.class[block as usize] as usize;
        if self.is_open(block) {
            self.open[class].insert(block);
        } else {
            self.open[class].remove(block);
            if self.pyramid.frames.is_out(block) {
                // So that a block which is broken from outside (part of it is given, or taken
                // at an address) counts as one of single frames.
                self.class[block as usize] = 0;
            }
        }
    }

    /// Follows up a change of `span`: only the blocks at its ends can be broken.
    fn sync_span(&mut self, span: Span) {
        let (first, last) = (span.start.0 / BLOCK, (span.end.0 - 1) / BLOCK);
        self.sync(first);
        if first != last {
            self.sync(last);
        }
    }

    fn take_small(&mut self, order: u32) -> Option<FrameIx> {
        let frame = match self.open[order as usize].first() {
            Some(block) => self.take_in(block, order)?,
            None => match self.pyramid.take_block() {
                Some(block) => {
                    self.class[block as usize] = order as u8;
                    self.pyramid.open_taking(block, order)
                }
                None => self.pyramid.frames.take(order)?,
            },
        };
        self.sync(frame / BLOCK);
        Some(FrameIx(frame))
    }

    fn take_in(&mut self, block: u32, order: u32) -> Option<u32> {
        let frame = self.pyramid.frames.find(block, order, 0, BLOCK)?;
        self.pyramid.frames.take_at(frame, order);
        Some(frame)
    }
}

// SAFETY: units are free only after they were given, and those were inside the window.
unsafe impl Policy for Slab<'_> {
    fn policies(&self) -> Policies {
        Kind::Slab.into()
    }

    fn window(&self) -> &Window {
        self.pyramid.window()
    }

    fn take(&mut self, order: PageOrder) -> Option<FrameIx> {
        if order < PageOrder::BLOCK {
            self.take_small(order.get())
        } else {
            self.pyramid.take(order)
        }
    }

    fn take_within(&mut self, order: PageOrder, within: Span) -> Option<FrameIx> {
        let start = self.pyramid.take_within(order, within)?;
        self.sync_span(Span::at(start, order.frames()));
        Some(start)
    }

    fn take_at(&mut self, span: Span) -> bool {
        if !self.pyramid.take_at(span) {
            return false;
        }
        self.sync_span(span);
        true
    }

    fn give(&mut self, span: Span) -> bool {
        if !self.pyramid.give(span) {
            return false;
        }
        self.sync_span(span);
        true
    }

    fn give_order(&mut self, start: FrameIx, order: PageOrder) -> bool {
        if !self.pyramid.give_order(start, order) {
            return false;
        }
        self.sync_span(Span::at(start, order.frames()));
        true
    }

    fn give_one(&mut self, frame: FrameIx) -> bool {
        if !self.pyramid.give_one(frame) {
            return false;
        }
        self.sync(frame.0 / BLOCK);
        true
    }

    fn next_free(&self, from: FrameIx) -> Option<Span> {
        self.pyramid.next_free(from)
    }

    fn free_runs(&self, order: PageOrder) -> u32 {
        self.pyramid.free_runs(order)
    }

    fn check(&self) -> Result<(), Fault> {
        self.pyramid.check()?;
        if !self.open.iter().all(BitSet::is_consistent) {
            return Err(Fault::Summary);
        }
        for block in 0..self.pyramid.window().blocks() {
            let class = self.class[block as usize] as usize;
            let listed = (0..CLASSES)
                .filter(|class| self.open[*class].contains(block))
                .count();
            let right = self.open[class].contains(block) == self.is_open(block);
            if !right || listed > 1 || (listed == 1 && !self.is_open(block)) {
                return Err(Fault::Listed(block));
            }
        }
        Ok(())
    }
}
