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

mod short;

use core::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};

use super::memory::{Memory, Need, as_u8, carve};
use super::units::{FrameIx, FrameNo, OwnerTag, Span};
use super::window::Window;
use short::{all_words, fill_words};

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

    /// Cuts `span` into what lies before its first block boundary, whole blocks, and the rest.
    #[inline]
    fn cut(span: Span) -> (Span, core::ops::Range<usize>, Span) {
        let first = span.start.0.next_multiple_of(BLOCK).min(span.end.0);
        let last = (span.end.0 / BLOCK * BLOCK).max(first);
        let head = Span {
            start: span.start,
            end: FrameIx(first),
        };
        let tail = Span {
            start: FrameIx(last),
            end: span.end,
        };
        // Both are block boundaries, or equal.
        let blocks = if first < last {
            first / BLOCK..last / BLOCK
        } else {
            0..0
        };
        (head, blocks.start as usize..blocks.end as usize, tail)
    }

    fn block(number: usize) -> Span {
        Span::at(FrameIx(number as u32 * BLOCK), BLOCK)
    }

    /// `Err` with the first frame of `span`, and its state, that is not in the state `expected`.
    pub(super) fn expect(&self, span: Span, expected: Owner) -> Result<(), (FrameIx, Owner)> {
        let state = expected.state();
        let (head, blocks, tail) = Self::cut(span);
        self.expect_part(head, state)?;
        // A run that was given out as one: a byte for each block tells.
        if state == FREE || !uniform(&self.blocks[blocks.clone()], state) {
            for number in blocks {
                self.expect_part(Self::block(number), state)?;
            }
        }
        self.expect_part(tail, state)
    }

    /// The same for frames of one block.
    fn expect_part(&self, part: Span, state: u8) -> Result<(), (FrameIx, Owner)> {
        if part.is_empty() {
            return Ok(());
        }
        let whole = self.blocks[(part.start.0 / BLOCK) as usize];
        if whole != FREE {
            let right = whole == state;
            return if right {
                Ok(())
            } else {
                Err((part.start, Owner::from_state(whole)))
            };
        }
        let (before, words, after) = self.bytes_of(part);
        let pattern = u64::from_ne_bytes([state; 8]);
        let is = |byte: &AtomicU8| byte.load(Relaxed) == state;
        let right = before.iter().all(is) && all_words(words, pattern) && after.iter().all(is);
        if right {
            Ok(())
        } else {
            self.first_other(part, state)
        }
    }

    /// The bytes of a part: up to a word's boundary, whole words, the rest.
    #[inline]
    fn bytes_of(&self, part: Span) -> (&'a [AtomicU8], &'a [AtomicU64], &'a [AtomicU8]) {
        let (start, end) = (part.start.0 as usize, part.end.0 as usize);
        let first = start.next_multiple_of(8);
        if first + 8 > end {
            return (&self.frames[start..end], &[], &[]);
        }
        let last = end / 8 * 8;
        (
            &self.frames[start..first],
            &self.words[first / 8..last / 8],
            &self.frames[last..end],
        )
    }

    #[cold]
    fn first_other(&self, part: Span, state: u8) -> Result<(), (FrameIx, Owner)> {
        for at in part.start.0..part.end.0 {
            let found = self.frames[at as usize].load(Relaxed);
            if found != state {
                return Err((FrameIx(at), Owner::from_state(found)));
            }
        }
        Ok(())
    }

    fn fill(&mut self, part: Span, state: u8) {
        let (before, words, after) = self.bytes_of(part);
        before.iter().for_each(|byte| byte.store(state, Relaxed));
        fill_words(words, state);
        after.iter().for_each(|byte| byte.store(state, Relaxed));
    }

    /// Moves `span`, all of which is in the state `from`, to the state `to`.
    pub(super) fn change(&mut self, span: Span, from: Owner, to: Owner) {
        debug_assert!(self.expect(span, from).is_ok());
        let (from, to) = (from.state(), to.state());
        let (head, blocks, tail) = Self::cut(span);
        self.change_part(head, to);
        if from == FREE || uniform(&self.blocks[blocks.clone()], from) {
            self.blocks[blocks].fill(to);
        } else {
            for number in blocks {
                if self.blocks[number] == FREE {
                    self.fill(Self::block(number), FREE);
                }
                self.blocks[number] = to;
            }
        }
        self.change_part(tail, to);
    }

    /// The same for a part of a block.
    fn change_part(&mut self, part: Span, to: u8) {
        if part.is_empty() {
            return;
        }
        let number = (part.start.0 / BLOCK) as usize;
        let whole = core::mem::replace(&mut self.blocks[number], FREE);
        if whole != FREE {
            // Part of a block that was given out as one: from now on each frame for itself.
            self.fill(Self::block(number), whole);
        }
        self.fill(part, to);
    }

    /// Calls `visit` with each frame of `span` and its state.
    pub(super) fn for_each(&self, span: Span, mut visit: impl FnMut(FrameIx, Owner)) {
        for ix in span.start.0..span.end.0 {
            let ix = FrameIx(ix);
            visit(ix, Owner::from_state(self.state(ix)));
        }
    }

    /// The first frame both of whose bytes are set, which must not be. Where the block is absent,
    /// the frames' bytes may be another allocator's.
    pub(super) fn contradiction(&self) -> Option<FrameIx> {
        (0..self.window.frames())
            .find(|ix| {
                let whole = self.blocks[(ix / BLOCK) as usize];
                let own = self.frames[*ix as usize].load(Relaxed);
                own != FREE && whole != FREE && whole != ABSENT
            })
            .map(FrameIx)
    }
}

/// Whether all `bytes` are `byte`; eight at a time.
fn uniform(bytes: &[u8], byte: u8) -> bool {
    let (words, rest) = bytes.as_chunks::<8>();
    let pattern = u64::from_ne_bytes([byte; 8]);
    words
        .iter()
        .all(|word| u64::from_ne_bytes(*word) == pattern)
        && rest.iter().all(|found| *found == byte)
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
