//! Frames that are given up and may still be mapped by clients.
//!
//! They wait here until there are enough for one unmap system call, until somebody needs them, or
//! until a caller must be sure (a client that cleared memory must read zeros). Neighbours are joined,
//! so that what was a run of pages is unmapped as one flexpage again.

use crate::frames::{FrameNo, PageOrder, Run};

use super::kernel::{BATCH, Block, Kernel, Revoke};

#[derive(Clone, Copy, Debug)]
struct Span {
    start: u64,
    frames: u64,
    /// Whether the frames are free afterwards; if not, somebody else still uses them.
    free: bool,
}

impl Span {
    /// The block that it is, if it is one.
    fn whole(&self) -> Option<Block> {
        let order = largest_block(self.start, self.frames.max(1));
        (u64::from(order.frames()) == self.frames).then_some(Block {
            start: FrameNo(self.start),
            order,
        })
    }
}

const NOTHING: Span = Span {
    start: 0,
    frames: 0,
    free: false,
};

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Waiting {
    spans: [Span; BATCH],
    used: usize,
    frames: u64,
}

impl Waiting {
    pub(super) const fn new() -> Self {
        Waiting {
            spans: [NOTHING; BATCH],
            used: 0,
            frames: 0,
        }
    }

    /// Frames that will be free.
    pub(super) fn frames(&self) -> u64 {
        self.frames
    }

    pub(super) fn is_empty(&self) -> bool {
        self.used == 0
    }

    /// Adds a run; `false` when there is no room: flush first.
    #[must_use = "the run was not taken when it is false"]
    pub(super) fn push(&mut self, run: Run, free: bool) -> bool {
        let (start, frames) = (run.start().0, run.frames());
        let last = self.used.checked_sub(1).and_then(|n| self.spans.get_mut(n));
        if let Some(last) = last.filter(|last| last.free == free) {
            if last.start + last.frames == start {
                last.frames += frames;
                self.frames += if free { frames } else { 0 };
                return true;
            }
            if start + frames == last.start {
                last.start = start;
                last.frames += frames;
                self.frames += if free { frames } else { 0 };
                return true;
            }
        }
        let Some(slot) = self.spans.get_mut(self.used) else {
            return false;
        };
        *slot = Span {
            start,
            frames,
            free,
        };
        self.used += 1;
        self.frames += if free { frames } else { 0 };
        true
    }

    /// Unmaps everything and tells `give` the runs that are free now. Gives the number of calls, and
    /// of blocks in them.
    pub(super) fn flush(
        &mut self,
        kernel: &mut impl Kernel,
        mut give: impl FnMut(Run),
    ) -> (u64, u64) {
        let spans = self.spans.get_mut(..self.used).unwrap_or(&mut []);
        let sent = match spans {
            // The common case needs no batch.
            [only] if only.whole().is_some() => {
                let block = only.whole();
                kernel.unmap(block.as_slice(), Revoke::All);
                (1, 1)
            }
            _ => Self::unmap_all(spans, kernel),
        };
        for span in spans.iter().filter(|span| span.free) {
            if let Some(run) = Run::new(FrameNo(span.start), span.frames) {
                give(run);
            }
        }
        self.used = 0;
        self.frames = 0;
        sent
    }

    /// Unmaps spans, neighbours joined.
    fn unmap_all(spans: &mut [Span], kernel: &mut impl Kernel) -> (u64, u64) {
        spans.sort_unstable_by_key(|span| span.start);
        let mut batch = Batch::new();
        let mut joined = (0, 0);
        for span in spans.iter() {
            if joined.0 + joined.1 == span.start {
                joined.1 += span.frames;
            } else {
                batch.add(joined, kernel);
                joined = (span.start, span.frames);
            }
        }
        batch.add(joined, kernel);
        batch.send(kernel);
        batch.sent
    }
}

/// Blocks of one system call.
struct Batch {
    blocks: [Block; BATCH],
    used: usize,
    /// Calls made, and blocks in them.
    sent: (u64, u64),
}

impl Batch {
    fn new() -> Self {
        let none = Block {
            start: FrameNo(0),
            order: PageOrder::FRAME,
        };
        Batch {
            blocks: [none; BATCH],
            used: 0,
            sent: (0, 0),
        }
    }

    /// Adds a run as the fewest aligned blocks.
    fn add(&mut self, (mut start, mut frames): (u64, u64), kernel: &mut impl Kernel) {
        while frames > 0 {
            let order = largest_block(start, frames);
            if self.used == BATCH {
                self.send(kernel);
            }
            if let Some(slot) = self.blocks.get_mut(self.used) {
                *slot = Block {
                    start: FrameNo(start),
                    order,
                };
            }
            self.used += 1;
            start += u64::from(order.frames());
            frames -= u64::from(order.frames());
        }
    }

    fn send(&mut self, kernel: &mut impl Kernel) {
        if let Some(blocks) = self.blocks.get(..self.used).filter(|b| !b.is_empty()) {
            kernel.unmap(blocks, Revoke::All);
            self.sent.0 += 1;
            self.sent.1 += blocks.len() as u64;
        }
        self.used = 0;
    }
}

/// The largest aligned block at the start of a run that is not empty.
fn largest_block(start: u64, frames: u64) -> PageOrder {
    let order = start.trailing_zeros().min(frames.ilog2());
    PageOrder::new(order).unwrap_or(PageOrder::MAX)
}
