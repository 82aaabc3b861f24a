//! A stack of single frames in front of any policy.
//!
//! The frame freed last is given out first, so it is likely to be in the processor's caches, and
//! neither path touches the policy. The stack holds at most [`CacheShape::depth`] frames; when it is
//! empty or full, [`CacheShape::batch`] frames are moved at a time, the oldest first when it is
//! full. Frames in the stack do not merge with their neighbours; so when the policy cannot
//! serve a request, the stack is emptied into it and the request is tried again.
//!
//! It wins when faults and frees of single frames alternate. It costs placement: a frame that
//! was freed in a nearly empty block is used again, whatever the policy would have chosen; a
//! small depth bounds that.

use super::kind::Kind;
use super::memory::{Need, as_u32, carve};
use super::policy::Policy;
use super::units::{FrameIx, PageOrder, Span};
use super::validate::Fault;
use super::window::Window;

/// Size of a cache. A depth of 0 turns it off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheShape {
    /// Most frames held. Bounds the work of a request that has to empty the cache.
    pub depth: u32,
    /// Frames moved from or to the policy at a time, at least 1.
    pub batch: u32,
}

impl CacheShape {
    /// No cache.
    pub const OFF: CacheShape = CacheShape { depth: 0, batch: 1 };
    /// 64 KiB worth of frames, half of them moved at a time.
    pub const DEFAULT: CacheShape = CacheShape {
        depth: 16,
        batch: 8,
    };

    /// Book-keeping memory it needs.
    pub const fn need(self) -> Need {
        Need {
            shared: 0,
            private: self.depth.div_ceil(2) as usize,
        }
    }
}

/// A policy with a [stack](self) in front.
#[derive(Debug)]
pub struct Cached<'a, P> {
    policy: P,
    /// Exactly `depth` cells.
    stack: &'a mut [u32],
    filled: usize,
    batch: usize,
}

impl<'a, P: Policy> Cached<'a, P> {
    /// Puts a cache in front of `policy`; `None` when `memory` has less than
    /// [`CacheShape::need`] words.
    pub fn new(policy: P, shape: CacheShape, memory: &'a mut [u64]) -> Option<Self> {
        let mut memory = memory;
        let words = carve(&mut memory, shape.need().private)?;
        let stack = &mut as_u32(words)[..shape.depth as usize];
        let batch = shape.batch.clamp(1, shape.depth.max(1)) as usize;
        Some(Cached {
            policy,
            stack,
            filled: 0,
            batch,
        })
    }

    /// The policy behind the cache.
    pub fn policy(&self) -> &P {
        &self.policy
    }

    /// The policy behind the cache, to reshape it.
    pub(super) fn policy_mut(&mut self) -> &mut P {
        &mut self.policy
    }

    /// Frames in the cache.
    pub fn filled(&self) -> u32 {
        self.filled as u32
    }

    /// Moves the oldest `count` frames to the policy.
    fn flush(&mut self, count: usize) -> bool {
        let count = count.min(self.filled);
        let mut accepted = true;
        for frame in &self.stack[..count] {
            accepted &= self.policy.give_one(FrameIx(*frame));
        }
        self.stack.copy_within(count..self.filled, 0);
        self.filled -= count;
        accepted
    }

    #[cold]
    #[inline(never)]
    fn take_one_behind(&mut self) -> Option<FrameIx> {
        let first = self.policy.take_one()?;
        if !self.stack.is_empty() {
            // Deepest first, so that the frames come out in the order of the policy.
            let mut got = 0;
            while got + 1 < self.batch {
                let Some(frame) = self.policy.take_one() else {
                    break;
                };
                self.stack[got] = frame.0;
                got += 1;
            }
            self.stack[..got].reverse();
            self.filled = got;
        }
        Some(first)
    }

    #[cold]
    #[inline(never)]
    fn give_one_behind(&mut self, frame: FrameIx) -> bool {
        if self.stack.is_empty() {
            return self.policy.give_one(frame);
        }
        let accepted = self.flush(self.batch);
        self.stack[self.filled] = frame.0;
        self.filled += 1;
        accepted
    }

    /// `attempt`, and once more with the cache emptied when it fails.
    fn retry<T>(&mut self, attempt: impl Fn(&mut P) -> Option<T>) -> Option<T> {
        if let Some(done) = attempt(&mut self.policy) {
            return Some(done);
        }
        if self.filled == 0 {
            return None;
        }
        self.flush(self.filled);
        attempt(&mut self.policy)
    }
}

impl<P: Policy> Policy for Cached<'_, P> {
    fn kind(&self) -> Kind {
        self.policy.kind()
    }

    #[inline]
    fn window(&self) -> &Window {
        self.policy.window()
    }

    #[inline]
    fn take(&mut self, order: PageOrder) -> Option<FrameIx> {
        if order == PageOrder::FRAME {
            return self.take_one();
        }
        self.retry(|policy| policy.take(order))
    }

    fn take_within(&mut self, order: PageOrder, within: Span) -> Option<FrameIx> {
        self.retry(|policy| policy.take_within(order, within))
    }

    fn take_at(&mut self, span: Span) -> bool {
        self.retry(|policy| policy.take_at(span).then_some(()))
            .is_some()
    }

    fn take_run(&mut self, want: &super::policy::Want) -> Option<FrameIx> {
        self.retry(|policy| policy.take_run(want))
    }

    fn give(&mut self, span: Span) -> bool {
        self.policy.give(span)
    }

    #[inline]
    fn take_one(&mut self) -> Option<FrameIx> {
        let top = self.filled.wrapping_sub(1);
        match self.stack.get(top) {
            Some(frame) => {
                self.filled = top;
                Some(FrameIx(*frame))
            }
            None => self.take_one_behind(),
        }
    }

    #[inline]
    fn give_one(&mut self, frame: FrameIx) -> bool {
        match self.stack.get_mut(self.filled) {
            Some(cell) => {
                *cell = frame.0;
                self.filled += 1;
                true
            }
            None => self.give_one_behind(frame),
        }
    }

    fn next_free(&self, from: FrameIx) -> Option<Span> {
        let behind = self.policy.next_free(from);
        let held = self.stack[..self.filled]
            .iter()
            .filter(|frame| **frame >= from.0)
            .min();
        match (behind, held) {
            (Some(span), Some(frame)) if *frame < span.start.0 => {
                Some(Span::at(FrameIx(*frame), 1))
            }
            (None, Some(frame)) => Some(Span::at(FrameIx(*frame), 1)),
            (behind, _) => behind,
        }
    }

    /// Frames in the cache count as single frames.
    fn free_runs(&self, order: PageOrder) -> u32 {
        let held = if order == PageOrder::FRAME {
            self.filled as u32
        } else {
            0
        };
        self.policy.free_runs(order) + held
    }

    fn settle(&mut self) -> bool {
        let some = self.filled > 0;
        self.flush(self.batch);
        some || self.policy.settle()
    }

    fn check(&self) -> Result<(), Fault> {
        self.policy.check()?;
        for (index, frame) in self.stack[..self.filled].iter().enumerate() {
            let frame_ix = FrameIx(*frame);
            let free_behind = self
                .policy
                .next_free(frame_ix)
                .is_some_and(|s| s.start == frame_ix);
            if free_behind || self.stack[..index].contains(frame) {
                return Err(Fault::Frame(frame_ix));
            }
        }
        Ok(())
    }
}
