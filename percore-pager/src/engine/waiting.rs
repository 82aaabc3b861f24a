//! Frames that are given up and may still be mapped by clients.
//!
//! They wait here until there are enough for one unmap system call, until somebody needs them, or
//! until a caller must be sure (a client that cleared memory must read zeros). Neighbours are joined,
//! so that what was a run of pages is unmapped as few flexpages again.
//!
//! # How much at a time
//!
//! The kernel takes some 400 instructions for each small page that it unmaps, and the thread serves
//! nobody meanwhile. So a call is for at most [`PAGES`] pages. The exception is memory that was given up as
//! one run of 2 MiB or more (a contiguous dataspace): what clients have of it are 2 MiB pages where
//! addresses allow, and it goes by 2 MiB, one flush for 512 pages.

use crate::frames::{FrameNo, PageOrder, Run};

use super::kernel::{BATCH, Block, Kernel, Revoke};

/// Pages of one call, unless it is one block of a long run.
const PAGES: u64 = 64;

/// Spans that can wait: a call's worth, and what one group of scattered pages adds before anybody looks.
const SPANS: usize = 80;

#[derive(Clone, Copy, Debug)]
struct Span {
    start: u64,
    frames: u64,
    /// Whether the frames are free afterwards; if not, somebody else still uses them.
    free: bool,
    /// Whether it was given up as one run of 2 MiB or more.
    long: bool,
}

impl Span {
    /// Whether `next` lies just behind and can be one with it.
    fn joins(&self, next: &Span) -> bool {
        (self.free, self.long) == (next.free, next.long) && self.start + self.frames == next.start
    }

    /// Takes the largest aligned block off the end that one call may have; `None`, and nothing is taken, if it is
    /// more than `room` frames.
    fn pop(&mut self, room: u64) -> Option<Block> {
        let block = self.last_block();
        let frames = u64::from(block.order.frames());
        if frames > room {
            return None;
        }
        self.frames -= frames;
        Some(block)
    }

    /// The largest aligned block at the end that one call may have.
    fn last_block(&self) -> Block {
        let most = match self.long {
            true => u64::from(PageOrder::BLOCK.frames()),
            false => PAGES,
        };
        let end = self.start + self.frames;
        let order = end.trailing_zeros().min(self.frames.min(most).ilog2());
        let order = PageOrder::new(order).unwrap_or(PageOrder::FRAME);
        Block {
            start: FrameNo(end - u64::from(order.frames())),
            order,
        }
    }
}

const NOTHING: Span = Span {
    start: 0,
    frames: 0,
    free: false,
    long: false,
};

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Waiting {
    spans: [Span; SPANS],
    used: usize,
    frames: u64,
    /// Whether the spans are in order and joined.
    sorted: bool,
}

impl Waiting {
    pub(super) const fn new() -> Self {
        Waiting {
            spans: [NOTHING; SPANS],
            used: 0,
            frames: 0,
            sorted: true,
        }
    }

    /// Frames that will be free.
    #[inline]
    pub(super) fn frames(&self) -> u64 {
        self.frames
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.used == 0
    }

    /// Whether so many runs more can be added without a flush.
    pub(super) fn has_room(&self, runs: usize) -> bool {
        self.used + runs <= SPANS
    }

    /// Whether a call's worth waits: who adds more flushes first.
    pub(super) fn is_due(&self) -> bool {
        self.used >= BATCH
    }

    /// Adds a run; `false` when there is no room: flush first.
    #[must_use = "the run was not taken when it is false"]
    pub(super) fn push(&mut self, run: Run, free: bool) -> bool {
        let new = Span {
            start: run.start().0,
            frames: run.frames(),
            free,
            long: run.frames() >= u64::from(PageOrder::BLOCK.frames()),
        };
        let last = self.used.checked_sub(1).and_then(|n| self.spans.get_mut(n));
        match last {
            Some(last) if last.joins(&new) => last.frames += new.frames,
            Some(last) if new.joins(last) => {
                last.start = new.start;
                last.frames += new.frames;
            }
            _ => {
                let Some(slot) = self.spans.get_mut(self.used) else {
                    return false;
                };
                *slot = new;
                self.used += 1;
            }
        }
        self.sorted = self.used == 1;
        self.frames += if free { new.frames } else { 0 };
        true
    }

    /// Unmaps a call's worth, of about `most` pages if that is less, and tells `give` the runs that are free
    /// now. Gives the numbers of flexpages and of pages; `None` when nothing waits, or nothing that may be so little.
    pub(super) fn flush(
        &mut self,
        kernel: &mut impl Kernel,
        most: u64,
        mut give: impl FnMut(Run),
    ) -> Option<(u64, u64)> {
        let most = most.min(PAGES);
        if let Some(block) = self.only_block(most) {
            // The common case of one who waits for it needs no batch.
            kernel.unmap(&[block], Revoke::All);
            let free = self.frames > 0;
            (self.used, self.frames) = (0, 0);
            if let Some(run) = Run::new(block.start, block.order.frames().into())
                && free
            {
                give(run);
            }
            return Some((1, block.order.frames().into()));
        }
        self.sort();
        let mut batch = [Block {
            start: FrameNo(0),
            order: PageOrder::FRAME,
        }; BATCH];
        let mut done = [NOTHING; BATCH];
        let (mut blocks, mut spans, mut pages) = (0, 0, 0);
        // Those from here on have been looked at for what fits into the rest of the call.
        let mut looked = self.used;
        while pages < most && blocks < BATCH {
            let Some(last) = self.used.checked_sub(1) else {
                break;
            };
            let Some(span) = self.spans.get_mut(last) else {
                break;
            };
            let end = span.start + span.frames;
            // A block of a long run is a call of its own.
            let apart = span.long && (blocks > 0 || most < PAGES);
            while !apart && span.frames > 0 && pages < most && blocks < BATCH {
                let room = if blocks == 0 { u64::MAX } else { most - pages };
                let Some(block) = span.pop(room) else {
                    break;
                };
                pages += u64::from(block.order.frames());
                if let Some(slot) = batch.get_mut(blocks) {
                    *slot = block;
                }
                blocks += 1;
            }
            let start = span.start + span.frames;
            if start == end {
                // Rather a block of another span than a piece of this one: that would make small pieces of all
                // that follow.
                let room = most - pages;
                let mut others = self.spans.iter().take(looked.min(last)).enumerate().rev();
                let fits =
                    |span: &Span| !span.long && u64::from(span.last_block().order.frames()) <= room;
                let Some((fitting, _)) = others.find(|(_, span)| blocks > 0 && fits(span)) else {
                    break;
                };
                self.spans.swap(fitting, last);
                self.sorted = false;
                looked = fitting;
                continue;
            }
            if let Some(slot) = done.get_mut(spans).filter(|_| span.free) {
                (slot.start, slot.frames) = (start, end - start);
                self.frames -= end - start;
                spans += 1;
            }
            if span.frames == 0 {
                self.used -= 1;
            }
        }
        let batch = batch.get(..blocks).filter(|batch| !batch.is_empty())?;
        kernel.unmap(batch, Revoke::All);
        for span in done.iter().take(spans) {
            if let Some(run) = Run::new(FrameNo(span.start), span.frames) {
                give(run);
            }
        }
        Some((blocks as u64, pages))
    }

    /// All that waits, if it is one block that a call for `most` pages may have.
    fn only_block(&self, most: u64) -> Option<Block> {
        let [span, ..] = &self.spans;
        let mut rest = *span;
        let may = self.used == 1 && (most == PAGES || !span.long);
        let block = may.then(|| rest.pop(u64::MAX))?;
        block.filter(|_| rest.frames == 0)
    }

    /// Puts the spans in order and joins neighbours.
    fn sort(&mut self) {
        if self.sorted {
            return;
        }
        self.sorted = true;
        let Some(spans) = self.spans.get_mut(..self.used) else {
            return;
        };
        spans.sort_unstable_by_key(|span| span.start);
        let mut kept = 0;
        for n in 1..self.used {
            let Some(span) = self.spans.get(n).copied() else {
                break;
            };
            match self.spans.get_mut(kept) {
                Some(before) if before.joins(&span) => before.frames += span.frames,
                _ => {
                    kept += 1;
                    if let Some(slot) = self.spans.get_mut(kept) {
                        *slot = span;
                    }
                }
            }
        }
        self.used = (kept + 1).min(self.used);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::kernel::{Foreign, Place};
    use l4_sys::Errno;
    extern crate std;
    use std::vec::Vec;

    /// Keeps the pages of each call.
    struct Calls(Vec<Vec<(u64, u64)>>);

    impl Kernel for Calls {
        fn unmap(&mut self, blocks: &[Block], _: Revoke) {
            let pages = |it: &Block| (it.start.0, u64::from(it.order.frames()));
            self.0.push(blocks.iter().map(pages).collect());
        }
        fn zero(&mut self, _: Run) {}
        fn zero_bytes(&mut self, _: Place, _: u32) {}
        fn copy(&mut self, _: Place, _: Place, _: u32) {}
        fn copy_foreign(&mut self, _: Place, _: Foreign, _: u64, _: u32) -> Result<u32, Errno> {
            Err(Errno::NoSys)
        }
    }

    /// What does not fit the rest of a call leaves it to what does: calls are as full as runs allow, no
    /// run is cut into smaller flexpages for that, and each frame is given back once.
    #[test]
    fn smaller_runs_fill_a_call() {
        let mut waiting = Waiting::new();
        // By address: 16 of one page each, eight of 32 pages, three of 64.
        let sizes = [(16, 1), (8, 32), (3, 64)];
        let mut given = Vec::new();
        for (at, (count, frames)) in sizes.into_iter().enumerate() {
            for n in 0..count {
                let start = FrameNo((at as u64 + 1) * 0x1_0000 + 2 * frames * n);
                assert!(waiting.push(Run::new(start, frames).expect("a run"), true));
            }
        }
        // Taken first: a page and 32 pages, behind which no 64 fit.
        assert!(waiting.push(Run::new(FrameNo(0x9_0000), 32).expect("a run"), true));
        assert!(waiting.push(Run::new(FrameNo(0x9_0041), 1).expect("a page"), true));
        let mut calls = Calls(Vec::new());
        let all = waiting.frames();
        while let Some((blocks, pages)) = waiting.flush(&mut calls, PAGES, |run| {
            given.push((run.start().0, run.frames()))
        }) {
            let last = calls.0.last().expect("a call");
            assert_eq!(last.len() as u64, blocks);
            assert_eq!(last.iter().map(|(_, pages)| pages).sum::<u64>(), pages);
        }
        let mut full: Vec<u64> = calls
            .0
            .iter()
            .map(|it| it.iter().map(|(_, n)| n).sum())
            .collect();
        assert_eq!(full.iter().sum::<u64>(), all);
        // 497 pages: seven full calls and the rest, in whichever order.
        assert_eq!(all, 497);
        full.sort_unstable();
        assert_eq!(full, [49, 64, 64, 64, 64, 64, 64, 64]);
        let blocks: usize = calls.0.iter().map(Vec::len).sum();
        assert_eq!(blocks, 16 + 8 + 3 + 2, "as many flexpages as runs");
        assert_eq!(given.iter().map(|(_, frames)| frames).sum::<u64>(), all);
        given.sort_unstable();
        assert!(given.windows(2).all(|it| it[0].0 + it[0].1 <= it[1].0));
        assert_eq!(waiting.frames(), 0);
    }
}
