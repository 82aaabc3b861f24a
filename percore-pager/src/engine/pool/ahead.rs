//! What a pool does in idle time: it unmaps what waits, and zeroes frames ahead of need.

use crate::engine::kernel::Kernel;
use crate::engine::ready::ORDERS;
use crate::frames::{FrameNo, PageOrder, Policy, Run};

use super::{DATA, Pool};

/// Frames that one turn zeroes.
const ZERO_STEP: u64 = 16;

impl<P: Policy, K: Kernel> Pool<'_, P, K> {
    /// A bounded piece of work for an idle thread: unmaps a call's worth of what waits and zeroes up to 64 KiB
    /// ahead of need. `false` when there is nothing to do.
    pub fn idle(&mut self) -> bool {
        // Both in one piece: a client that ends much would otherwise find nothing zeroed.
        let unmapped = self.unmap_waiting();
        let ahead = match self.ahead {
            Some(ahead) => Some(ahead),
            None if self.wants_zeroed() => self.begin_ahead(),
            None => None,
        };
        let Some((start, class, done)) = ahead else {
            return unmapped;
        };
        let frames = u64::from(ORDERS[class].frames());
        let now = ZERO_STEP.min(frames - done);
        if let Some(part) = Run::new(FrameNo(start.0 + done), now) {
            self.kernel.zero(part);
            self.effects.zeroed_ahead += now;
        }
        if done + now < frames {
            self.ahead = Some((start, class, done + now));
            return true;
        }
        self.ahead = None;
        self.ready.made_up(class);
        if !self.ready.push(class, start) {
            self.give_unseen(start, frames);
        }
        true
    }

    /// Whether so much that was zeroed has been taken that the idle thread is to be woken now, and not when it
    /// is looked the next time: each fault of long sequential use takes 2 MiB, and a client that rests
    /// between two would find no more than the first few zeroed. Says it once for each 2 MiB.
    #[inline]
    pub fn took_much(&mut self) -> bool {
        self.ready.fell(PageOrder::BLOCK.frames())
    }

    /// Whether [`Pool::idle`] would find work with so many frames at least. Takes a few loads, and the policy's
    /// count of free frames where there is room for that many.
    pub fn has_idle_work(&self, frames: u64) -> bool {
        if self.waiting.frames() >= frames {
            return true;
        }
        let zeroed = self.zeroed_frames() + frames;
        let most = self.tuning.zero_ahead.min(self.ready.capacity());
        zeroed <= u64::from(most) && zeroed <= u64::from(self.frames.free_frames())
    }

    /// Takes the frames that are to be zeroed next.
    fn begin_ahead(&mut self) -> Option<(FrameNo, usize, u64)> {
        let frames = &mut self.frames;
        self.ready.wanted().find_map(|class| {
            let taken = match ORDERS[class] {
                PageOrder::FRAME => frames.alloc_one(DATA),
                order => frames.alloc_order(order, DATA),
            };
            taken.ok().map(|start| (start, class, 0))
        })
    }

    /// Gives up zeroing ahead what is half done.
    pub(super) fn stop_zeroing(&mut self) -> bool {
        let Some((start, class, _)) = self.ahead.take() else {
            return false;
        };
        self.give_unseen(start, ORDERS[class].frames().into());
        true
    }

    /// Makes frames that were zeroed ahead ordinary free ones.
    pub(super) fn drop_ready(&mut self) -> bool {
        let Some((start, frames)) = self.ready.give_back() else {
            return false;
        };
        self.give_unseen(start, frames);
        true
    }
}
