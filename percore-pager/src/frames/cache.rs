//! A stack of single frames, and a short one of 2 MiB blocks, in front of any policy.
//!
//! The frame freed last is given out first, so it is likely to be in the processor's caches, and
//! neither path touches the policy. The stack holds at most [`CacheShape::depth`] frames; when it is
//! empty or full, up to [`CacheShape::batch`] frames are moved, the oldest first when it is full, and
//! fewer when one of them is more work for the policy than a few instructions. Blocks are kept in the same way, one at a time. What is in the stacks does not merge with its
//! neighbours; so when the policy cannot serve a request, the stacks are emptied into it and the
//! request is tried again.
//!
//! It wins when faults and frees of one size alternate. It costs placement: a frame that
//! was freed in a nearly empty block is used again, whatever the policy would have chosen; a
//! small depth bounds that. The stack is a part of the value (1 KiB) and not of the caller's
//! memory: an address and a bound less to load on the path that is there to be short.

mod shape;

pub use shape::CacheShape;

use super::policies::Policies;
use super::policy::{Policy, Want};
use super::units::{FrameIx, PageOrder, Span};
use super::validate::Fault;
use super::window::Window;

/// One more than any depth.
const CELLS: usize = u8::MAX as usize + 1;

/// Most blocks held.
const BLOCKS: usize = 4;

/// A policy with a [stack](self) in front.
#[derive(Debug)]
pub struct Cached<P> {
    policy: P,
    /// At most `depth`, which is at most 255; of the size of an index, which saves extending it.
    filled: usize,
    depth: usize,
    batch: usize,
    blocks_filled: u8,
    blocks_depth: u8,
    blocks: [u32; BLOCKS],
    stack: [u32; CELLS],
}

impl<P: Policy> Cached<P> {
    /// Puts a cache in front of `policy`.
    pub fn new(policy: P, shape: CacheShape) -> Self {
        let mut cached = Cached {
            policy,
            filled: 0,
            depth: 0,
            batch: 1,
            blocks_filled: 0,
            blocks_depth: 0,
            blocks: [0; BLOCKS],
            stack: [0; CELLS],
        };
        cached.reshape(shape);
        cached
    }

    /// The policy behind the cache.
    pub fn policy(&self) -> &P {
        &self.policy
    }

    /// The policy behind the cache, to reshape it.
    pub(super) fn policy_mut(&mut self) -> &mut P {
        &mut self.policy
    }

    /// Frames in the cache, those of blocks included.
    pub fn filled(&self) -> u32 {
        self.filled as u32 + u32::from(self.blocks_filled) * Window::BLOCK
    }

    /// Its size.
    pub fn shape(&self) -> CacheShape {
        CacheShape {
            depth: self.depth as u8,
            batch: self.batch as u8,
            blocks: self.blocks_depth,
        }
    }

    /// Changes the size; what is above it goes to the policy at once.
    pub fn reshape(&mut self, shape: CacheShape) {
        self.depth = usize::from(shape.depth);
        self.batch = usize::from(shape.batch).clamp(1, self.depth.max(1));
        self.blocks_depth = shape.blocks.min(BLOCKS as u8);
        let accepted = self.flush(self.filled.saturating_sub(self.depth))
            && self.flush_blocks(self.blocks_depth);
        debug_assert!(accepted, "a frame in the cache was free in the policy");
    }

    fn held(&self) -> &[u32] {
        &self.stack[..self.filled]
    }

    #[inline(always)]
    fn pop(&mut self) -> Option<FrameIx> {
        // Not `checked_sub`, which compares first.
        let top = self.filled.wrapping_sub(1);
        if top.cast_signed() < 0 {
            return None;
        }
        self.filled = top;
        // SAFETY: `filled` is at most `depth` (only `push`, `flush` and `refill` set it), which
        // `reshape` makes of a byte.
        unsafe { core::hint::assert_unchecked(top < CELLS) };
        Some(FrameIx(self.stack[top]))
    }

    /// `false` when it is full.
    #[inline(always)]
    fn push(&mut self, frame: FrameIx) -> bool {
        let top = self.filled;
        if top >= self.depth {
            return false;
        }
        // SAFETY: as in `pop`.
        unsafe { core::hint::assert_unchecked(top < CELLS) };
        self.stack[top] = frame.0;
        self.filled = top + 1;
        true
    }

    /// Moves the oldest `count` frames to the policy.
    fn flush(&mut self, count: usize) -> bool {
        let count = count.min(self.filled);
        let mut accepted = true;
        for frame in &self.stack[..count] {
            let frame = FrameIx(*frame);
            accepted &= self.policy.try_give_one(frame) || self.policy.give_one(frame);
        }
        self.stack.copy_within(count..self.filled, 0);
        self.filled -= count;
        accepted
    }

    /// Moves the oldest frames to the policy: a batch of them as long as each is a matter of a few
    /// instructions, or one that is not. So no single free pays for several frames that make
    /// blocks whole.
    fn make_room(&mut self) -> bool {
        let oldest = &self.stack[..self.batch.min(self.filled)];
        let mut moved = 0;
        for frame in oldest {
            if !self.policy.try_give_one(FrameIx(*frame)) {
                break;
            }
            moved += 1;
        }
        let mut accepted = true;
        if moved == 0
            && let Some(first) = oldest.first()
        {
            accepted = self.policy.give_one(FrameIx(*first));
            moved = 1;
        }
        self.stack.copy_within(moved..self.filled, 0);
        self.filled -= moved;
        accepted
    }

    fn held_blocks(&self) -> &[u32] {
        &self.blocks[..usize::from(self.blocks_filled)]
    }

    /// Moves the newest blocks to the policy until `left` are left.
    fn flush_blocks(&mut self, left: u8) -> bool {
        let mut accepted = true;
        while self.blocks_filled > left {
            self.blocks_filled -= 1;
            let start = FrameIx(self.blocks[usize::from(self.blocks_filled)]);
            accepted &= self.policy.give(Span::at(start, Window::BLOCK));
        }
        accepted
    }

    /// Takes a batch from the policy: one to return, the others into the cache, which is empty,
    /// as long as each is a matter of a few instructions. One that is not comes alone.
    fn refill(&mut self) -> Option<FrameIx> {
        let policy = &mut self.policy;
        // The usual batch from the usual policy.
        if self.batch == 4
            && self.depth > 2
            && let Some(first) = policy.try_take_four()
        {
            for (cell, n) in self.stack.iter_mut().zip([3, 2, 1]) {
                *cell = first.0 + n;
            }
            self.filled = 3;
            return Some(first);
        }
        let Some(first) = policy.try_take_one() else {
            return policy.take_one();
        };
        let more = (self.batch - 1).min(self.depth);
        // From the deepest cell up, so that they come out in the order of the policy.
        let mut cell = more;
        let mut last = first;
        // Not beyond a multiple of four: then the next batch is the usual one again.
        while cell > 0 && last.0 % 4 != 3 {
            let Some(frame) = policy.try_take_one() else {
                break;
            };
            last = frame;
            cell -= 1;
            self.stack[cell] = frame.0;
        }
        self.stack.copy_within(cell..more, 0);
        self.filled = more - cell;
        Some(first)
    }

    /// Empties both stacks; `false` when they were empty.
    #[cold]
    #[inline(never)]
    fn flush_all(&mut self) -> bool {
        let some = self.filled() > 0;
        let accepted = self.flush(self.filled) && self.flush_blocks(0);
        debug_assert!(accepted, "a frame in the cache was free in the policy");
        some
    }

    /// A run, when only emptying the stacks can make one.
    #[cold]
    #[inline(never)]
    fn take_emptied(&mut self, order: PageOrder) -> Option<FrameIx> {
        let all = self.policy.free_frames() + self.filled();
        if all < order.frames() || !self.flush_all() {
            return None;
        }
        self.policy.take(order)
    }

    /// `attempt`, and once more with the cache emptied when it fails.
    fn retry<T>(&mut self, attempt: impl Fn(&mut P) -> Option<T>) -> Option<T> {
        if let Some(done) = attempt(&mut self.policy) {
            return Some(done);
        }
        if !self.flush_all() {
            return None;
        }
        attempt(&mut self.policy)
    }
}

// SAFETY: frames come from the policy, at once or by way of the stacks.
unsafe impl<P: Policy> Policy for Cached<P> {
    fn policies(&self) -> Policies {
        self.policy.policies()
    }

    #[inline]
    fn window(&self) -> &Window {
        self.policy.window()
    }

    fn take(&mut self, order: PageOrder) -> Option<FrameIx> {
        if order == PageOrder::FRAME {
            return self.take_one();
        }
        if order == PageOrder::BLOCK
            && let Some(start) = self.try_take_block()
        {
            return Some(start);
        }
        match self.policy.take(order) {
            None => self.take_emptied(order),
            some => some,
        }
    }

    fn take_within(&mut self, order: PageOrder, within: Span) -> Option<FrameIx> {
        self.retry(|policy| policy.take_within(order, within))
    }

    fn take_at(&mut self, span: Span) -> bool {
        self.retry(|policy| policy.take_at(span).then_some(()))
            .is_some()
    }

    fn take_run(&mut self, want: &Want) -> Option<FrameIx> {
        self.retry(|policy| policy.take_run(want))
    }

    fn give(&mut self, span: Span) -> bool {
        self.policy.give(span)
    }

    #[inline]
    fn give_order(&mut self, start: FrameIx, order: PageOrder) -> bool {
        self.policy.give_order(start, order)
    }

    fn take_one(&mut self) -> Option<FrameIx> {
        if let Some(frame) = self.pop().or_else(|| self.refill()) {
            return Some(frame);
        }
        // The policy has no frame left. The blocks here are not worth keeping whole.
        if self.blocks_filled == 0 {
            return None;
        }
        self.flush_blocks(0);
        self.refill()
    }

    fn give_one(&mut self, frame: FrameIx) -> bool {
        if self.depth == 0 {
            return self.policy.give_one(frame);
        }
        self.push(frame) || (self.make_room() && self.push(frame))
    }

    #[inline(always)]
    fn try_take_one(&mut self) -> Option<FrameIx> {
        self.pop()
    }

    #[inline(always)]
    fn try_give_one(&mut self, frame: FrameIx) -> bool {
        self.push(frame)
    }

    #[inline(always)]
    fn try_take_block(&mut self) -> Option<FrameIx> {
        let top = self.blocks_filled.checked_sub(1)?;
        let start = *self.blocks.get(usize::from(top))?;
        self.blocks_filled = top;
        Some(FrameIx(start))
    }

    #[inline(always)]
    fn try_give_block(&mut self, start: FrameIx) -> bool {
        let top = self.blocks_filled;
        if top >= self.blocks_depth {
            return false;
        }
        let Some(cell) = self.blocks.get_mut(usize::from(top)) else {
            return false;
        };
        *cell = start.0;
        self.blocks_filled = top + 1;
        true
    }

    fn next_free(&self, from: FrameIx) -> Option<Span> {
        let behind = self.policy.next_free(from);
        let frames = self.held().iter().map(|frame| Span::at(FrameIx(*frame), 1));
        let blocks = self
            .held_blocks()
            .iter()
            .map(|b| Span::at(FrameIx(*b), Window::BLOCK));
        let rest = Span {
            start: from,
            end: FrameIx(u32::MAX),
        };
        let held = frames
            .chain(blocks)
            .map(|span| span.cut(rest))
            .filter(|s| !s.is_empty());
        held.chain(behind).min_by_key(|span| span.start)
    }

    /// What is in the cache counts as it is: not merged with its neighbours.
    fn free_runs(&self, order: PageOrder) -> u32 {
        let blocks = u32::from(self.blocks_filled);
        let held = match order.get() {
            0 => self.filled(),
            order @ 1..=9 => blocks << (9 - order),
            _ => 0,
        };
        self.policy.free_runs(order) + held
    }

    fn settle(&mut self) -> bool {
        let some = self.filled() > 0;
        if self.filled > 0 {
            self.flush(self.batch);
        } else {
            self.flush_blocks(self.blocks_filled.saturating_sub(1));
        }
        some || self.policy.settle()
    }

    fn check(&self) -> Result<(), Fault> {
        self.policy.check()?;
        for (index, frame) in self.held().iter().enumerate() {
            self.check_behind(Span::at(FrameIx(*frame), 1))?;
            if self.held()[..index].contains(frame) {
                return Err(Fault::Frame(FrameIx(*frame)));
            }
        }
        for (index, start) in self.held_blocks().iter().enumerate() {
            self.check_behind(Span::at(FrameIx(*start), Window::BLOCK))?;
            let inside = |frame: &u32| frame / Window::BLOCK == start / Window::BLOCK;
            if self.held_blocks()[..index].contains(start) || self.held().iter().any(inside) {
                return Err(Fault::Frame(FrameIx(*start)));
            }
        }
        Ok(())
    }
}

impl<P: Policy> Cached<P> {
    /// Checks that nothing of `span`, which is held, is free in the policy.
    fn check_behind(&self, span: Span) -> Result<(), Fault> {
        match self.policy.next_free(span.start) {
            Some(free) if free.start < span.end => Err(Fault::Frame(free.start)),
            _ => Ok(()),
        }
    }
}
