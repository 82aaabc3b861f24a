//! Where the owner bytes of a block's frames are.

use core::sync::atomic::{AtomicU8, AtomicU64};

use super::BLOCK;

/// Where the owner bytes of a block's frames are: this address plus a frame's index.
///
/// A block that is there has its bytes in the shared part. So that a free of a single frame need
/// not ask whether its block is there, one that is not has its bytes in [`NOWHERE`], which says
/// that nobody has them.
#[derive(Clone, Copy, Debug)]
#[repr(transparent)]
pub(super) struct Line(pub(super) *const AtomicU8);

/// Bytes of blocks that are not there. Never written.
static NOWHERE: [AtomicU64; BLOCK as usize / 8] = [const { AtomicU64::new(0) }; BLOCK as usize / 8];

// SAFETY: it is the address of atomics, all of which can be used from any thread.
unsafe impl Send for Line {}
// SAFETY: as above.
unsafe impl Sync for Line {}

impl Line {
    /// The line of a block that is not there.
    pub(super) fn nowhere(block: usize) -> Self {
        let bytes: *const AtomicU8 = NOWHERE.as_ptr().cast();
        Line(bytes.wrapping_sub(block * BLOCK as usize))
    }

    /// `words` as lines.
    pub(super) fn carve(words: &mut [u64]) -> &mut [Line] {
        const { assert!(size_of::<Line>() == 8 && align_of::<Line>() == 8) };
        // SAFETY: a line has the size and alignment of a word and is valid with any bits, and the
        // exclusive borrow is passed on.
        unsafe { core::slice::from_raw_parts_mut(words.as_mut_ptr().cast(), words.len()) }
    }
}
