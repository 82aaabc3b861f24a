//! Runs of a power of two inside one block, the sizes that are allocated most. They are aligned, so
//! each is a part of a word of frames' bytes, whole words of them, or a part of the block's word of
//! chunks' bytes.

use super::super::memory::{load, store};
use super::super::units::{FrameIx, FrameNo, OwnerTag, PageOrder};
use super::{BLOCK, CHUNK, FREE, Ledger, chunk_shift, pattern};

/// The bytes of an aligned run of `1 << order` (at most 4) bytes in a word, the first of which begins
/// at bit `shift`.
#[inline(always)]
fn bytes(order: u32, shift: u32) -> u64 {
    (u64::MAX >> (64 - (8 << order))) << shift
}

impl Ledger<'_> {
    /// Orders of runs that lie in one block.
    pub(in super::super) const SHORT: core::ops::Range<u32> = 0..PageOrder::BLOCK.get();
    /// Order of a run that has a word of frames' bytes, and of one that is a chunk.
    const WORD: u32 = 3;
    const CHUNK: u32 = CHUNK.trailing_zeros();

    /// Notes that `owner` has the aligned run of `order` (see [`Self::SHORT`]) at `ix`, which was
    /// free.
    #[inline]
    pub(in super::super) fn claim_short(&mut self, ix: FrameIx, order: PageOrder, owner: OwnerTag) {
        let (at, order) = (ix.0, order.get());
        let own = pattern(owner.get());
        if order >= Self::CHUNK {
            let mask = bytes(order - Self::CHUNK, chunk_shift(at));
            if let Some(chunks) = self.chunks.get_mut((at / BLOCK) as usize) {
                *chunks |= own & mask;
            }
            return;
        }
        let Some(words) = self.words.as_chunks::<8>().0.get((at / CHUNK) as usize) else {
            return;
        };
        let first = at as usize / 8;
        if order < Self::WORD {
            let word = &words[first % 8];
            store(word, load(word) | own & bytes(order, at % 8 * 8));
            return;
        }
        // One, two or four words.
        store(&words[first % 8], own);
        if order > Self::WORD {
            store(&words[(first + 1) % 8], own);
        }
        if order > Self::WORD + 1 {
            store(&words[(first + 2) % 8], own);
            store(&words[(first + 3) % 8], own);
        }
    }

    /// Index of the aligned run of `order` (see [`Self::SHORT`]) at `start`, which is free from now
    /// on, if the bytes that are its own alone say that `owner` has it.
    #[inline]
    pub(in super::super) fn release_short(
        &mut self,
        start: FrameNo,
        order: PageOrder,
        owner: OwnerTag,
    ) -> Option<FrameIx> {
        let offset = start.0.wrapping_sub(self.window.base().0);
        let block = (offset / u64::from(BLOCK)) as usize;
        // Where the block is not there, the frames' bytes are another allocator's.
        if *self.blocks.get(block)? != FREE || offset & u64::from(order.frames() - 1) != 0 {
            return None;
        }
        let (at, order) = (offset as u32, order.get());
        let own = pattern(owner.get());
        if order >= Self::CHUNK {
            let chunks = self.chunks.get_mut(block)?;
            let mask = bytes(order - Self::CHUNK, chunk_shift(at));
            if (*chunks ^ own) & mask != 0 {
                return None;
            }
            *chunks &= !mask;
            return Some(FrameIx(at));
        }
        let words = self.words.get(at as usize / 8..)?;
        if order < Self::WORD {
            let word = words.first()?;
            let (mask, found) = (bytes(order, at % 8 * 8), load(word));
            if (found ^ own) & mask != 0 {
                return None;
            }
            store(word, found & !mask);
            return Some(FrameIx(at));
        }
        let words = words.get(..1 << (order - Self::WORD))?;
        let differ = words
            .iter()
            .fold(0, |differ, word| differ | load(word) ^ own);
        if differ != 0 {
            return None;
        }
        words.iter().for_each(|word| store(word, 0));
        Some(FrameIx(at))
    }
}
