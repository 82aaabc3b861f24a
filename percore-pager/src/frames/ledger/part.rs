//! Parts of one block, of any length: cut at the boundaries of chunks.

use core::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};

use super::super::memory::{load, store};
use super::super::units::{FrameIx, Span};
use super::{ABSENT, BLOCK, CHUNK, FREE, Ledger, Owner, chunk_shift, pattern};

/// The pieces of `part` that lie in one chunk each.
fn pieces(part: Span) -> impl Iterator<Item = Span> {
    let mut at = part.start.0;
    core::iter::from_fn(move || {
        if at >= part.end.0 {
            return None;
        }
        let start = at;
        at = (start / CHUNK * CHUNK + CHUNK).min(part.end.0);
        Some(Span::at(FrameIx(start), at - start))
    })
}

impl<'a> Ledger<'a> {
    pub(super) fn block(number: usize) -> Span {
        Span::at(FrameIx(number as u32 * BLOCK), BLOCK)
    }

    /// The byte of a frame's chunk.
    pub(super) fn chunk(&self, ix: u32) -> u8 {
        (self.chunks[(ix / BLOCK) as usize] >> chunk_shift(ix)) as u8
    }

    fn set_chunk(&mut self, ix: u32, state: u8) {
        let (chunks, shift) = (&mut self.chunks[(ix / BLOCK) as usize], chunk_shift(ix));
        *chunks = *chunks & !(0xff << shift) | u64::from(state) << shift;
    }

    /// [`Ledger::expect`] for frames of one block.
    pub(super) fn expect_part(&self, part: Span, state: u8) -> Result<(), (FrameIx, Owner)> {
        if part.is_empty() {
            return Ok(());
        }
        let differs = |at, found| Err((at, Owner::from_state(found)));
        let whole = self.blocks[(part.start.0 / BLOCK) as usize];
        if whole != FREE {
            return if whole == state {
                Ok(())
            } else {
                differs(part.start, whole)
            };
        }
        for piece in pieces(part) {
            let chunk = self.chunk(piece.start.0);
            if chunk == FREE {
                self.expect_bytes(piece, state)?;
            } else if chunk != state {
                return differs(piece.start, chunk);
            }
        }
        Ok(())
    }

    /// The same for frames whose own bytes tell.
    fn expect_bytes(&self, piece: Span, state: u8) -> Result<(), (FrameIx, Owner)> {
        let (before, words, after) = self.bytes_of(piece);
        let is = |byte: &AtomicU8| byte.load(Relaxed) == state;
        let differ = words
            .iter()
            .fold(0, |differ, word| differ | load(word) ^ pattern(state));
        if differ == 0 && before.iter().all(is) && after.iter().all(is) {
            return Ok(());
        }
        let mut at = piece.start.0..piece.end.0;
        let other = at.find_map(|at| {
            let found = self.frames[at as usize].load(Relaxed);
            (found != state).then(|| (FrameIx(at), Owner::from_state(found)))
        });
        other.map_or(Ok(()), Err)
    }

    /// The bytes of frames: up to a word's boundary, whole words, the rest.
    #[inline]
    fn bytes_of(&self, piece: Span) -> (&'a [AtomicU8], &'a [AtomicU64], &'a [AtomicU8]) {
        let (start, end) = (piece.start.0 as usize, piece.end.0 as usize);
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

    fn fill(&mut self, piece: Span, state: u8) {
        let (before, words, after) = self.bytes_of(piece);
        before.iter().for_each(|byte| byte.store(state, Relaxed));
        words.iter().for_each(|word| store(word, pattern(state)));
        after.iter().for_each(|byte| byte.store(state, Relaxed));
    }

    /// [`Ledger::change`] for frames of one block.
    pub(super) fn change_part(&mut self, part: Span, to: u8) {
        if part.is_empty() {
            return;
        }
        let number = (part.start.0 / BLOCK) as usize;
        let whole = core::mem::replace(&mut self.blocks[number], FREE);
        if whole != FREE {
            // Part of a block that was given out as one: from now on each chunk for itself.
            self.chunks[number] = pattern(whole);
            self.set_there(number, true);
        }
        for piece in pieces(part) {
            let at = piece.start.0;
            let chunk = self.chunk(at);
            if piece.frames() == CHUNK {
                if chunk == FREE {
                    self.fill(piece, FREE);
                }
                self.set_chunk(at, to);
                continue;
            }
            if chunk != FREE {
                self.fill(Span::at(FrameIx(at / CHUNK * CHUNK), CHUNK), chunk);
                self.set_chunk(at, FREE);
            }
            self.fill(piece, to);
        }
        if to == ABSENT && self.expect_part(Self::block(number), ABSENT).is_ok() {
            // The last of the block: its bytes are not this allocator's any more.
            self.gather(number);
            self.blocks[number] = ABSENT;
            self.set_there(number, false);
        }
    }

    /// Clears the bytes of a block's frames and chunks; its own has to say from now on what they
    /// said.
    pub(super) fn gather(&mut self, number: usize) {
        if self.blocks[number] == FREE {
            self.fill(Self::block(number), FREE);
            self.chunks[number] = 0;
        }
    }
}
