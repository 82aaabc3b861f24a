//! Who has each frame: one byte a frame, and one a block.
//!
//! # Invariants
//!
//! * A frame's state is the OR of its own byte and its block's byte; at most one of them is not
//!   zero. A block's byte is set when the whole block was given out (or is missing) as one, so
//!   that runs of many blocks cost a byte a block and not one a frame.
//! * 0 is free, 1..=253 an owner, 254 held (taken to be zeroed), 255 not there.
//! * A policy or a cache above it has exactly the frames that are free here, except those that wait
//!   zeroed.
//!
//! The frames' bytes are the shared part (see [`memory`](super::memory)): bytes of a block that is
//! handed over are all zero. The question "who has this frame" takes two loads.

use core::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};

use super::memory::{Memory, Need, as_u8, carve, load, store};
use super::units::{FrameIx, FrameNo, OwnerTag, Span};
use super::window::Window;

const FREE: u8 = 0;
const HELD: u8 = 254;
const ABSENT: u8 = 255;
const BLOCK: u32 = Window::BLOCK;

/// Answer to "who has this frame".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// The frame does not belong to this allocator.
    Absent,
    /// Nobody has it.
    Free,
    /// It was taken out to be zeroed.
    Held,
    /// This owner has it.
    Tag(OwnerTag),
}

impl Owner {
    #[inline]
    fn from_state(state: u8) -> Owner {
        match OwnerTag::new(state) {
            Some(tag) => Owner::Tag(tag),
            None if state == FREE => Owner::Free,
            None if state == HELD => Owner::Held,
            None => Owner::Absent,
        }
    }

    #[inline]
    fn state(self) -> u8 {
        match self {
            Owner::Absent => ABSENT,
            Owner::Free => FREE,
            Owner::Held => HELD,
            Owner::Tag(tag) => tag.get(),
        }
    }
}

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Ledger<'a> {
    window: Window,
    words: &'a [AtomicU64],
    frames: &'a [AtomicU8],
    blocks: &'a mut [u8],
}

impl<'a> Ledger<'a> {
    pub(super) const fn need(window: &Window) -> Need {
        Need {
            shared: window.frames() as usize / 8,
            private: window.blocks().div_ceil(8) as usize,
        }
    }

    /// A ledger in which all frames are absent. The shared memory must be zero.
    pub(super) fn new(window: Window, memory: Memory<'a>) -> Option<Self> {
        let Memory {
            shared,
            mut private,
        } = memory;
        let need = Self::need(&window);
        let words = shared.get(..need.shared)?;
        let blocks = &mut as_u8(carve(&mut private, need.private)?)[..window.blocks() as usize];
        blocks.fill(ABSENT);
        // SAFETY: the bytes cover exactly the words, and an AtomicU8 needs less alignment. Both
        // are interior mutable, so the two views may exist side by side; both are used from the
        // thread that has the block (see `memory`), so no two accesses of different size race.
        let frames = unsafe { core::slice::from_raw_parts(words.as_ptr().cast(), words.len() * 8) };
        Some(Ledger {
            window,
            words,
            frames,
            blocks,
        })
    }

    #[inline]
    pub(super) fn window(&self) -> &Window {
        &self.window
    }

    /// Who has `frame`.
    #[inline]
    pub(super) fn owner(&self, frame: FrameNo) -> Owner {
        match self.window.index(frame) {
            Some(ix) => Owner::from_state(self.state(ix)),
            None => Owner::Absent,
        }
    }

    #[inline]
    fn state(&self, ix: FrameIx) -> u8 {
        match (
            self.frames.get(ix.0 as usize),
            self.blocks.get((ix.0 / BLOCK) as usize),
        ) {
            (Some(frame), Some(block)) => frame.load(Relaxed) | block,
            _ => ABSENT,
        }
    }

    /// Notes that `owner` has the frame, which was free.
    ///
    /// # Safety
    ///
    /// The frame must be inside the window.
    #[inline]
    pub(super) unsafe fn claim_one(&mut self, ix: FrameIx, owner: OwnerTag) {
        debug_assert!((ix.0 as usize) < self.frames.len());
        // SAFETY: there is a byte for each frame of the window.
        let frame = unsafe { self.frames.get_unchecked(ix.0 as usize) };
        frame.store(owner.get(), Relaxed);
    }

    /// Index of `frame`, which is free from now on, if its byte says that `owner` has it.
    #[inline]
    pub(super) fn release_one(&mut self, frame: FrameNo, owner: OwnerTag) -> Option<FrameIx> {
        let ix = frame.0.wrapping_sub(self.window.base().0);
        let byte = self.frames.get(ix as usize)?;
        if byte.load(Relaxed) != owner.get() {
            return None;
        }
        byte.store(FREE, Relaxed);
        Some(FrameIx(ix as u32))
    }

    /// Notes that `owner` has the block that begins at `ix`, which was free.
    #[inline]
    pub(super) fn claim_block(&mut self, ix: FrameIx, owner: OwnerTag) {
        if let Some(block) = self.blocks.get_mut((ix.0 / BLOCK) as usize) {
            *block = owner.get();
        }
    }

    /// Index of the block that begins at `start`, which is free from now on, if `owner` was given
    /// it as one.
    #[inline]
    pub(super) fn release_block(&mut self, start: FrameNo, owner: OwnerTag) -> Option<FrameIx> {
        // A start that is no block's keeps bits below the block number, which makes it too large.
        let offset = start.0.wrapping_sub(self.window.base().0);
        let block = offset.rotate_right(BLOCK.ilog2());
        let state = self.blocks.get_mut(block as usize)?;
        if *state != owner.get() {
            return None;
        }
        *state = FREE;
        Some(FrameIx(block as u32 * BLOCK))
    }

    /// The blocks that `span` meets: number, the part in it, and whether that is all of it.
    #[inline]
    fn blocks(span: Span) -> impl Iterator<Item = (u32, Span, bool)> {
        (span.start.0 / BLOCK..span.end.0.div_ceil(BLOCK)).map(move |block| {
            let part = span.cut(Span::at(FrameIx(block * BLOCK), BLOCK));
            (block, part, part.frames() == BLOCK)
        })
    }

    /// `Err` with the first frame of `span`, and its state, that is not in the state `expected`.
    #[inline]
    pub(super) fn expect(&self, span: Span, expected: Owner) -> Result<(), (FrameIx, Owner)> {
        let state = expected.state();
        for (block, part, _) in Self::blocks(span) {
            let whole = self.blocks[block as usize];
            if whole == state && state != FREE {
                continue;
            }
            if whole != FREE {
                return Err((part.start, Owner::from_state(whole)));
            }
            self.expect_frames(part, state)?;
        }
        Ok(())
    }

    fn expect_frames(&self, part: Span, state: u8) -> Result<(), (FrameIx, Owner)> {
        let pattern = u64::from_ne_bytes([state; 8]);
        let mut at = part.start.0;
        while at < part.end.0 {
            if at % 8 == 0 && at + 8 <= part.end.0 && load(&self.words[at as usize / 8]) == pattern
            {
                at += 8;
                continue;
            }
            let found = self.frames[at as usize].load(Relaxed);
            if found != state {
                return Err((FrameIx(at), Owner::from_state(found)));
            }
            at += 1;
        }
        Ok(())
    }

    fn fill(&mut self, part: Span, state: u8) {
        let pattern = u64::from_ne_bytes([state; 8]);
        let mut at = part.start.0;
        while at < part.end.0 {
            if at % 8 == 0 && at + 8 <= part.end.0 {
                store(&self.words[at as usize / 8], pattern);
                at += 8;
            } else {
                self.frames[at as usize].store(state, Relaxed);
                at += 1;
            }
        }
    }

    /// Moves `span`, all of which is in the state `from`, to the state `to`.
    #[inline]
    pub(super) fn change(&mut self, span: Span, from: Owner, to: Owner) {
        debug_assert!(self.expect(span, from).is_ok());
        let (from, to) = (from.state(), to.state());
        for (block, part, all) in Self::blocks(span) {
            let whole = self.blocks[block as usize];
            if all && (whole != FREE || from == FREE) {
                self.blocks[block as usize] = to;
                continue;
            }
            if whole != FREE {
                // Part of a block that was given out as one: from now on each frame for itself.
                self.blocks[block as usize] = FREE;
                self.fill(Span::at(FrameIx(block * BLOCK), BLOCK), whole);
            }
            self.fill(part, if all { FREE } else { to });
            if all {
                self.blocks[block as usize] = to;
            }
        }
    }

    /// Calls `visit` with each frame of `span` and its state.
    pub(super) fn for_each(&self, span: Span, mut visit: impl FnMut(FrameIx, Owner)) {
        for ix in span.start.0..span.end.0 {
            let ix = FrameIx(ix);
            visit(ix, Owner::from_state(self.state(ix)));
        }
    }

    /// The first frame both of whose bytes are set, which must not be.
    pub(super) fn contradiction(&self) -> Option<FrameIx> {
        (0..self.window.frames())
            .find(|ix| {
                self.frames[*ix as usize].load(Relaxed) != FREE
                    && self.blocks[(ix / BLOCK) as usize] != FREE
            })
            .map(FrameIx)
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::super::units::Run;
    use super::*;
    use std::vec;
    use std::vec::Vec;

    #[test]
    fn states_of_parts_of_blocks_agree_with_a_plain_table() {
        let run = Run::new(FrameNo(0), 2048).expect("valid");
        let window = Window::covering(run).expect("small");
        let need = Ledger::need(&window);
        let shared: Vec<AtomicU64> = (0..need.shared).map(|_| AtomicU64::new(0)).collect();
        let mut private = vec![7; need.private];
        let memory = Memory {
            shared: &shared,
            private: &mut private,
        };
        let mut ledger = Ledger::new(window, memory).expect("enough memory");
        let mut model = vec![Owner::Absent; 2048];
        let tag = |n| Owner::Tag(OwnerTag::new(n).expect("valid"));
        let states = [Owner::Absent, Owner::Free, Owner::Held, tag(1), tag(253)];
        let mut seed = 42u64;
        let mut random = |below: u32| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (seed >> 33) as u32 % below
        };
        for _ in 0..3000 {
            let start = random(2048);
            let mut end = start + 1 + random(2048 - start);
            if random(2) == 0 {
                end = start + 1;
            }
            let from = model[start as usize];
            let same = model[start as usize..end as usize]
                .iter()
                .take_while(|s| **s == from);
            let span = Span::at(FrameIx(start), same.count() as u32);
            let expected = if span.end.0 == end {
                Ok(())
            } else {
                Err((span.end, model[span.end.0 as usize]))
            };
            assert_eq!(
                ledger.expect(Span::at(FrameIx(start), end - start), from),
                expected
            );
            let to = states[random(5) as usize];
            ledger.change(span, from, to);
            model[start as usize..span.end.0 as usize].fill(to);
            let mut wrong = None;
            ledger.for_each(window.span(), |ix, state| {
                if state != model[ix.0 as usize] {
                    wrong = Some((ix, state));
                }
            });
            assert_eq!(wrong, None);
            assert_eq!(ledger.contradiction(), None);
        }
    }
}
