//! Who has each frame: a byte a frame, one a chunk of 64 frames, and one a block of 512.
//!
//! # Invariants
//!
//! * A frame's state is the OR of its own byte, its chunk's and its block's; at most one of them is
//!   not zero. A chunk's byte is set when the whole chunk was given out (or is missing) as a part
//!   of one run, and a block's in the same way. So no run of a power of two has more than eight
//!   words of bytes to write, up to a block, and longer runs have a byte a block.
//! * 0 is free, 1..=253 an owner, 254 held (taken to be zeroed), 255 not there.
//! * A policy or a cache above it has exactly the frames that are free here, except those that wait
//!   zeroed.
//! * A block is not there if and only if its byte says so. Then its line leads [nowhere](line), and the
//!   frames' bytes are never looked at: they may be another allocator's.
//!
//! The frames' bytes are the shared part (see [`memory`](super::memory)): bytes of a block that is
//! handed over are all zero. The rest is private.

mod line;
mod part;
mod short;

use core::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};

use super::memory::{Memory, Need, as_u8, carve};
use super::units::{FrameIx, FrameNo, OwnerTag, Span};
use super::window::Window;
use line::Line;

const FREE: u8 = 0;
const HELD: u8 = 254;
const ABSENT: u8 = 255;
const BLOCK: u32 = Window::BLOCK;
/// Frames of a chunk.
const CHUNK: u32 = 64;

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
    /// One for each block, as the two below.
    lines: &'a mut [Line],
    /// Bits 8n to 8n + 7 of a block's word are the byte of its chunk n.
    chunks: &'a mut [u64],
    blocks: &'a mut [u8],
}

impl<'a> Ledger<'a> {
    pub(super) const fn need(window: &Window) -> Need {
        let blocks = window.blocks();
        Need {
            shared: window.frames() as usize / 8,
            private: 2 * blocks as usize + blocks.div_ceil(8) as usize,
        }
    }

    /// A ledger in which all frames are absent. The shared memory must be zero.
    pub(super) fn new(window: Window, memory: Memory<'a>) -> Option<Self> {
        let Memory {
            shared,
            mut private,
        } = memory;
        let words = shared.get(..Self::need(&window).shared)?;
        let number = window.blocks() as usize;
        let lines = Line::carve(carve(&mut private, number)?);
        for (block, line) in lines.iter_mut().enumerate() {
            *line = Line::nowhere(block);
        }
        let chunks = carve(&mut private, number)?;
        let blocks = &mut as_u8(carve(&mut private, number.div_ceil(8))?)[..number];
        blocks.fill(ABSENT);
        // SAFETY: the bytes cover exactly the words, and an AtomicU8 needs less alignment. Both
        // are interior mutable, so the two views may exist side by side; both are used from the
        // thread that has the block (see `memory`), so no two accesses of different size race.
        let frames = unsafe { core::slice::from_raw_parts(words.as_ptr().cast(), words.len() * 8) };
        Some(Ledger {
            window,
            words,
            frames,
            lines,
            chunks,
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
        let offset = frame.0.wrapping_sub(self.window.base().0);
        Owner::from_state(self.state(offset))
    }

    /// State of the frame with the index `offset`, absent if there is none.
    #[inline]
    fn state(&self, offset: u64) -> u8 {
        let number = (offset / u64::from(BLOCK)) as usize;
        match (
            self.lines.get(number),
            self.chunks.get(number),
            self.blocks.get(number),
        ) {
            (Some(line), Some(chunks), Some(block)) => {
                // SAFETY: the frame is of this block, so its byte is where the line says.
                let own = unsafe { &*line.0.wrapping_add(offset as usize) };
                let chunk = (chunks >> chunk_shift(offset as u32)) as u8;
                own.load(Relaxed) | chunk | block
            }
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

    /// Index of `frame`, which is free from now on, if its byte says that `owner` has it. Else, as
    /// an error, what the index would be if it were a frame of the window.
    #[inline]
    pub(super) fn release_one(&mut self, frame: FrameNo, owner: OwnerTag) -> Result<FrameIx, u64> {
        let offset = frame.0.wrapping_sub(self.window.base().0);
        let Some(line) = self.lines.get((offset / u64::from(BLOCK)) as usize) else {
            return Err(offset);
        };
        // SAFETY: the frame is of this block, so its byte is where the line says. It is read as
        // memory that is not shared, which takes an instruction less: the block is there, so only
        // this allocator writes to its bytes, or the byte is one of NOWHERE's.
        let (byte, found) = unsafe {
            let byte = &*line.0.wrapping_add(offset as usize);
            (byte, byte.as_ptr().read())
        };
        if found != owner.get() {
            return Err(offset);
        }
        byte.store(FREE, Relaxed);
        Ok(FrameIx(offset as u32))
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

    /// Moves `span`, all of which is in the state `from`, to the state `to`.
    pub(super) fn change(&mut self, span: Span, from: Owner, to: Owner) {
        debug_assert!(self.expect(span, from).is_ok());
        let (from, to) = (from.state(), to.state());
        let (head, blocks, tail) = Self::cut(span);
        self.change_part(head, to);
        if from != FREE && !uniform(&self.blocks[blocks.clone()], from) {
            blocks.clone().for_each(|number| self.gather(number));
        }
        if from == ABSENT || to == ABSENT {
            for number in blocks.clone() {
                self.set_there(number, to != ABSENT);
            }
        }
        self.blocks[blocks].fill(to);
        self.change_part(tail, to);
    }

    /// Notes whether a block is there.
    fn set_there(&mut self, number: usize, there: bool) {
        self.lines[number] = if there {
            Line(self.frames.as_ptr())
        } else {
            Line::nowhere(number)
        };
    }

    /// Calls `visit` with each frame of `span` and its state.
    pub(super) fn for_each(&self, span: Span, mut visit: impl FnMut(FrameIx, Owner)) {
        for ix in span.start.0..span.end.0 {
            let state = self.state(u64::from(ix));
            visit(FrameIx(ix), Owner::from_state(state));
        }
    }

    /// The first frame that breaks an [invariant](self).
    pub(super) fn contradiction(&self) -> Option<FrameIx> {
        let number = |ix: u32| (ix / BLOCK) as usize;
        (0..self.window.frames())
            .find(|ix| {
                let (block, line) = (self.blocks[number(*ix)], self.lines[number(*ix)].0);
                let chunk = self.chunk(*ix);
                if block == ABSENT {
                    return chunk != FREE || line != Line::nowhere(number(*ix)).0;
                }
                let own = self.frames[*ix as usize].load(Relaxed);
                let set = [own, chunk, block].iter().filter(|b| **b != FREE).count();
                set > 1 || line != self.frames.as_ptr()
            })
            .map(FrameIx)
    }
}

/// Where the byte of a frame's chunk is in the block's word of them.
#[inline(always)]
fn chunk_shift(ix: u32) -> u32 {
    ix / CHUNK % 8 * 8
}

/// Eight bytes of `state`.
#[inline(always)]
fn pattern(state: u8) -> u64 {
    u64::from_ne_bytes([state; 8])
}

/// Whether all `bytes` are `byte`; eight at a time.
fn uniform(bytes: &[u8], byte: u8) -> bool {
    let (words, rest) = bytes.as_chunks::<8>();
    words
        .iter()
        .all(|word| u64::from_ne_bytes(*word) == pattern(byte))
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
