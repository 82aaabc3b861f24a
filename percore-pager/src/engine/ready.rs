//! Frames that were zeroed ahead of need: single ones, runs of 64 KiB and blocks of 2 MiB.
//!
//! They are taken from the frame allocator as ours and are nobody's until a fault takes them, which
//! is a few instructions. A request for a run takes one of its order, or the front of a longer one. Of
//! a block that was begun the rest stays together, so that a client that takes more and more has it from
//! one block. What is zeroed next is decided by what was missed: a class whose requests found nothing
//! zeroed comes first.

use crate::frames::{FrameNo, PageOrder};

/// Number of classes.
pub(super) const CLASSES: usize = 3;
/// Their orders.
pub(super) const ORDERS: [PageOrder; CLASSES] = [PageOrder::FRAME, RUN, PageOrder::BLOCK];
/// 64 KiB.
pub(super) const RUN: PageOrder = match PageOrder::new(4) {
    Some(order) => order,
    None => PageOrder::FRAME,
};
/// Most of each class.
const DEPTH: [usize; CLASSES] = [256, 64, 4];
/// At most one frame in so many is in each class. Blocks are what long sequential use takes, and the dearest to
/// zero while somebody waits: so a core with 32 MiB has all four. What waits is free memory all the same,
/// and is taken back when memory gets short.
const PART: [u64; CLASSES] = [8, 8, 4];

/// How many of a class may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ZeroDepth {
    /// Single frames, at most 256.
    pub(super) frames: u32,
    /// Runs of 64 KiB, at most 64.
    pub(super) runs: u32,
    /// Blocks of 2 MiB, at most 4.
    pub(super) blocks: u32,
}

impl ZeroDepth {
    /// 1 MiB, 4 MiB and 8 MiB, but none more than its part of `present` frames.
    pub(super) fn for_frames(present: u64) -> Self {
        let part = |class: usize| {
            let frames = u64::from(ORDERS[class].frames());
            (present / PART[class] / frames).min(DEPTH[class] as u64) as u32
        };
        ZeroDepth {
            frames: part(0),
            runs: part(1),
            blocks: part(2),
        }
    }
}

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Ready {
    frames: u32,
    used: [u32; CLASSES],
    depth: [u32; CLASSES],
    missed: [u32; CLASSES],
    singles: [u32; DEPTH[0]],
    runs: [u32; DEPTH[1]],
    blocks: [u32; DEPTH[2]],
    /// What is left of a block that was begun: first frame, and the one behind the last.
    rest: (u32, u32),
    /// The most frames in it since [`Ready::fell`] last said so.
    top: u32,
}

impl Ready {
    pub(super) const fn new() -> Self {
        Ready {
            frames: 0,
            used: [0; CLASSES],
            depth: [0; CLASSES],
            missed: [0; CLASSES],
            singles: [0; DEPTH[0]],
            runs: [0; DEPTH[1]],
            blocks: [0; DEPTH[2]],
            rest: (0, 0),
            top: 0,
        }
    }

    /// Whether there are so many frames fewer than before; says it once, and then for so many more.
    #[inline]
    pub(super) fn fell(&mut self, by: u32) -> bool {
        let fell = self.frames + by <= self.top;
        if fell || self.frames > self.top {
            self.top = self.frames;
        }
        fell
    }

    /// Most frames that may wait.
    pub(super) fn capacity(&self) -> u32 {
        let each = self.depth.iter().zip(ORDERS);
        each.map(|(depth, order)| depth * order.frames()).sum()
    }

    /// Frames in it.
    #[inline(always)]
    pub(super) fn frames(&self) -> u32 {
        self.frames
    }

    /// Sets how many may wait; more than that may be there until they are taken.
    pub(super) fn set_depth(&mut self, depth: ZeroDepth) {
        let wanted = [depth.frames, depth.runs, depth.blocks];
        for ((depth, wanted), most) in self.depth.iter_mut().zip(wanted).zip(DEPTH) {
            *depth = wanted.min(most as u32);
        }
    }

    /// Requests of each class that found nothing zeroed, as far as they were not made up for.
    #[cfg(test)]
    pub(super) fn missed(&self) -> [u32; CLASSES] {
        self.missed
    }

    /// A request for a single frame found nothing.
    #[inline(always)]
    pub(super) fn miss_frame(&mut self) {
        self.missed[0] = self.missed[0].wrapping_add(1);
    }

    fn cells(&mut self, class: usize) -> &mut [u32] {
        match class {
            0 => &mut self.singles,
            1 => &mut self.runs,
            _ => &mut self.blocks,
        }
    }

    /// A single frame.
    #[inline(always)]
    pub(super) fn pop_frame(&mut self) -> Option<FrameNo> {
        let top = self.used[0].checked_sub(1)?;
        let frame = *self.singles.get(top as usize)?;
        self.used[0] = top;
        self.frames -= 1;
        Some(FrameNo(u64::from(frame)))
    }

    /// What [`Ready::pop_frame`] would give.
    pub(super) fn next_frame(&self) -> Option<FrameNo> {
        let top = self.used[0].checked_sub(1)?;
        let frame = *self.singles.get(top as usize)?;
        Some(FrameNo(u64::from(frame)))
    }

    fn pop(&mut self, class: usize) -> Option<u32> {
        let top = self.used[class].checked_sub(1)?;
        let start = *self.cells(class).get(top as usize)?;
        self.used[class] = top;
        self.frames -= ORDERS[class].frames();
        Some(start)
    }

    /// Puts a zeroed run of a class by; `false` when there is no room.
    #[must_use = "the run is lost when it is false"]
    pub(super) fn push(&mut self, class: usize, start: FrameNo) -> bool {
        let used = self.used[class];
        if used >= self.depth[class] {
            return false;
        }
        let Some(cell) = self.cells(class).get_mut(used as usize) else {
            return false;
        };
        *cell = start.0 as u32;
        self.used[class] = used + 1;
        self.frames += ORDERS[class].frames();
        true
    }

    /// A run of `order`. What there is no room for is told to `spare`: start, frames.
    pub(super) fn take(
        &mut self,
        order: PageOrder,
        mut spare: impl FnMut(FrameNo, u64),
    ) -> Option<FrameNo> {
        let class = ORDERS.iter().position(|o| *o >= order)?;
        let found = match order.get() {
            0 => self.pop(0).or_else(|| self.cut_run(order, &mut spare)),
            1..4 => self.cut_run(order, &mut spare),
            4 => self.pop(1).or_else(|| self.part(order, &mut spare)),
            5..9 => self.part(order, &mut spare),
            _ => self.pop(2),
        };
        if found.is_none() {
            self.missed[class] = self.missed[class].wrapping_add(1);
        }
        found.map(|start| FrameNo(u64::from(start)))
    }

    /// The front of a run of 64 KiB.
    fn cut_run(&mut self, order: PageOrder, spare: &mut impl FnMut(FrameNo, u64)) -> Option<u32> {
        let run = self.pop(1).or_else(|| self.part(RUN, spare))?;
        self.stow(run + order.frames(), run + RUN.frames(), spare);
        Some(run)
    }

    /// A part of a block, of the one that was begun if possible.
    fn part(&mut self, order: PageOrder, spare: &mut impl FnMut(FrameNo, u64)) -> Option<u32> {
        if let Some(start) = self.rest_run(order, spare) {
            return Some(start);
        }
        let block = self.pop(2)?;
        self.begin_block(block, spare);
        self.rest_run(order, spare)
    }

    /// A run of what is left of the block that was begun.
    fn rest_run(&mut self, order: PageOrder, spare: &mut impl FnMut(FrameNo, u64)) -> Option<u32> {
        let (from, to) = self.rest;
        let start = from.next_multiple_of(order.frames());
        let end = start + order.frames();
        if end > to {
            return None;
        }
        self.rest.0 = end;
        self.frames -= end - from;
        self.stow(from, start, spare);
        Some(start)
    }

    /// Begins a block that was popped.
    fn begin_block(&mut self, start: u32, spare: &mut impl FnMut(FrameNo, u64)) {
        let (from, to) = self.rest;
        self.rest = (start, start + PageOrder::BLOCK.frames());
        self.frames += PageOrder::BLOCK.frames() - (to - from);
        self.stow(from, to, spare);
    }

    /// Puts zeroed frames by as runs and single frames; what has no room is told to `spare`.
    fn stow(&mut self, from: u32, mut to: u32, spare: &mut impl FnMut(FrameNo, u64)) {
        for class in [1, 0] {
            let frames = ORDERS[class].frames();
            // From the end, so that what is left stays aligned.
            while to - from >= frames
                && to.is_multiple_of(frames)
                && self.push(class, FrameNo(u64::from(to - frames)))
            {
                to -= frames;
            }
        }
        if to > from {
            spare(FrameNo(u64::from(from)), u64::from(to - from));
        }
    }

    /// Whether [`Ready::take`] would find a run of `order`.
    pub(super) fn has(&self, order: PageOrder) -> bool {
        let mut classes = (0..CLASSES).filter(|class| ORDERS[*class] >= order);
        let (from, to) = self.rest;
        classes.any(|class| self.used[class] > 0)
            || from.next_multiple_of(order.frames()) + order.frames() <= to
    }

    /// What to zero next, the most missed first: classes with room.
    pub(super) fn wanted(&self) -> impl Iterator<Item = usize> {
        // Runs are what faults mostly take; then single frames, then blocks.
        let mut order = [1, 0, 2];
        let missed = self.missed;
        order.sort_unstable_by_key(|class: &usize| core::cmp::Reverse(missed[*class]));
        let room: [bool; CLASSES] = core::array::from_fn(|c| self.used[c] < self.depth[c]);
        order.into_iter().filter(move |class| room[*class])
    }

    /// One of a class was zeroed.
    pub(super) fn made_up(&mut self, class: usize) {
        self.missed[class] = self.missed[class].saturating_sub(1);
    }

    /// The largest run that waits, to be used otherwise.
    pub(super) fn give_back(&mut self) -> Option<(FrameNo, u64)> {
        let (from, to) = core::mem::take(&mut self.rest);
        if from < to {
            self.frames -= to - from;
            return Some((FrameNo(u64::from(from)), u64::from(to - from)));
        }
        let class = (0..CLASSES).rev().find(|class| self.used[*class] > 0)?;
        let start = self.pop(class)?;
        Some((FrameNo(u64::from(start)), u64::from(ORDERS[class].frames())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_comes_from_one_block() {
        let mut ready = Ready::new();
        ready.set_depth(ZeroDepth {
            frames: 3,
            runs: 3,
            blocks: 1,
        });
        assert!(ready.push(2, FrameNo(1024)) && !ready.push(2, FrameNo(512)));
        let order = |order| PageOrder::new(order).expect("small");
        let lost = core::cell::Cell::new(0);
        let take =
            |ready: &mut Ready, order| ready.take(order, |_, frames| lost.set(lost.get() + frames));
        for (n, start) in [(5, 0), (6, 64), (7, 128), (8, 256)] {
            assert!(ready.has(order(n)));
            assert_eq!(take(&mut ready, order(n)), Some(FrameNo(1024 + start)));
        }
        // Two runs are left of it.
        assert_eq!((ready.used, ready.frames(), lost.get()), ([0, 2, 0], 32, 0));
        assert_eq!(take(&mut ready, order(5)), None);
        assert_eq!(ready.missed(), [0, 0, 1]);
        assert_eq!(ready.wanted().next(), Some(2));
        // Three frames have room, of fifteen.
        assert!(take(&mut ready, order(0)).is_some());
        assert_eq!((ready.used, lost.get()), ([3, 1, 0], 12));
        assert!(ready.push(2, FrameNo(1024)));
        assert!(take(&mut ready, order(8)).is_some() && ready.has(order(8)));
        assert_eq!(ready.frames(), 3 + 16 + 256);
        while ready.give_back().is_some() {}
        assert_eq!(ready.frames(), 0);
    }

    #[test]
    fn what_falls_is_said_once() {
        let mut ready = Ready::new();
        ready.set_depth(ZeroDepth::for_frames(10_000));
        let push = |ready: &mut Ready, class, start| assert!(ready.push(class, FrameNo(start)));
        push(&mut ready, 2, 0);
        push(&mut ready, 2, 512);
        assert!(!ready.fell(512) && ready.pop(1).is_none());
        assert!(ready.pop(2).is_some() && ready.fell(512) && !ready.fell(512));
        push(&mut ready, 1, 1024);
        assert!(!ready.fell(512));
        assert!(ready.pop(1).is_some() && !ready.fell(512));
        assert!(ready.pop(2).is_some() && ready.fell(512) && !ready.fell(512));
    }
}
