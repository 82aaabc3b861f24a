//! Runs of a power of two inside one block, the sizes that are allocated most: whole words of bytes,
//! several for each branch, and nothing to cut up.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::super::memory::{load, store};
use super::super::units::{FrameIx, FrameNo, OwnerTag, PageOrder};
use super::{BLOCK, FREE, Ledger};

impl Ledger<'_> {
    /// Notes that `owner` has the aligned run of `order` (see [`Self::SHORT`]) at `ix`, which was
    /// free.
    #[inline]
    pub(in super::super) fn claim_short(&mut self, ix: FrameIx, order: PageOrder, owner: OwnerTag) {
        if order < Self::WORD {
            let bytes = ix.0 as usize..(ix.0 + order.frames()) as usize;
            let bytes = self.frames[bytes].iter();
            return bytes.for_each(|byte| byte.store(owner.get(), Relaxed));
        }
        let first = ix.0 as usize / 8;
        fill_words(
            &self.words[first..first + order.frames() as usize / 8],
            owner.get(),
        );
    }

    /// Index of the aligned run of `order` (see [`Self::SHORT`]) at `start`, which is free from now
    /// on, if it has words of bytes and they say that `owner` has it.
    #[inline]
    pub(in super::super) fn release_short(
        &mut self,
        start: FrameNo,
        order: PageOrder,
        owner: OwnerTag,
    ) -> Option<FrameIx> {
        if order < Self::WORD {
            return None;
        }
        let offset = start.0.wrapping_sub(self.window.base().0);
        let first = (offset / 8) as usize;
        let words = self
            .words
            .get(first..)?
            .get(..order.frames() as usize / 8)?;
        let aligned = offset.is_multiple_of(u64::from(order.frames()));
        // Where the block is not there, the bytes are another allocator's.
        if !aligned
            || self.blocks[first / (BLOCK as usize / 8)] != FREE
            || !all_words(words, u64::from_ne_bytes([owner.get(); 8]))
        {
            return None;
        }
        fill_words(words, FREE);
        Some(FrameIx(offset as u32))
    }

    /// Orders of runs that lie in one block.
    pub(in super::super) const SHORT: core::ops::Range<u32> = 0..PageOrder::BLOCK.get();
    /// Order of the runs that have a word of bytes.
    const WORD: PageOrder = match PageOrder::new(3) {
        Some(order) => order,
        None => PageOrder::FRAME,
    };
}

/// Fills `words` with the byte `state`.
#[inline]
pub(super) fn fill_words(words: &[AtomicU64], state: u8) {
    let pattern = u64::from_ne_bytes([state; 8]);
    let (eights, rest) = words.as_chunks::<8>();
    for eight in eights {
        eight.iter().for_each(|word| store(word, pattern));
    }
    rest.iter().for_each(|word| store(word, pattern));
}

/// Whether all `words` are `pattern`; eight words for each branch.
pub(super) fn all_words(words: &[AtomicU64], pattern: u64) -> bool {
    let (eights, rest) = words.as_chunks::<8>();
    let differ = |words: &[AtomicU64]| {
        words
            .iter()
            .fold(0, |differ, word| differ | load(word) ^ pattern)
    };
    eights.iter().all(|eight| differ(eight) == 0) && differ(rest) == 0
}
