//! Book-keeping memory: how much is needed, and what the caller hands over.
//!
//! There are two parts. The *shared* part is an array indexed by frame number, of which an
//! allocator reads and writes only the entries of frames it has. The allocators of several cores
//! may therefore stand on one array: a 2 MiB block has cache lines of its own in it, and they
//! follow the block when it is handed to another core. The words are atomics because each
//! allocator has a reference to all of them; they are read and written with plain loads and stores
//! (relaxed, or not atomic at all), because the message that hands a block over orders them. So
//! whoever adds regions must not let two allocators of two threads have one block at a time. The
//! *private* part belongs to one allocator.
//!
//! Memory given must be zeroed where a function says so; nothing else is assumed of it.

use core::sync::atomic::{AtomicU16, AtomicU64, Ordering::Relaxed};

/// How much book-keeping memory something needs, in 64-bit words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Need {
    /// Words of the part that several allocators of one window may share.
    pub shared: usize,
    /// Words of the part that one allocator has for itself.
    pub private: usize,
}

impl Need {
    /// Bytes of both parts.
    pub const fn bytes(self) -> usize {
        (self.shared + self.private) * 8
    }

    /// Both needs together.
    pub const fn and(self, other: Need) -> Need {
        Need {
            shared: self.shared + other.shared,
            private: self.private + other.private,
        }
    }
}

/// Book-keeping memory of one allocator or policy.
///
/// `shared` must be zero at the frames' first use, and an entry that is handed from one allocator
/// to another must be left as it is. `private` may hold anything.
#[derive(Debug)]
pub struct Memory<'a> {
    /// At least [`Need::shared`] words.
    pub shared: &'a [AtomicU64],
    /// At least [`Need::private`] words.
    pub private: &'a mut [u64],
}

impl<'a> Memory<'a> {
    /// Cuts `need` off the front; `None`, and all is lost, when there is less.
    pub fn split_off(&mut self, need: Need) -> Option<Memory<'a>> {
        let (shared, shared_rest) = self.shared.split_at_checked(need.shared)?;
        let all = core::mem::take(&mut self.private);
        let (private, private_rest) = all.split_at_mut_checked(need.private)?;
        self.shared = shared_rest;
        self.private = private_rest;
        Some(Memory { shared, private })
    }
}

/// Takes `words` words off the front of `memory` and clears them.
pub(super) fn carve<'a>(memory: &mut &'a mut [u64], words: usize) -> Option<&'a mut [u64]> {
    let all = core::mem::take(memory);
    let (front, rest) = all.split_at_mut_checked(words)?;
    *memory = rest;
    front.fill(0);
    Some(front)
}

/// `words` as 16-bit cells that several references may change.
pub(super) fn as_u16(words: &mut [u64]) -> &[AtomicU16] {
    let cells = words.len() * 4;
    // SAFETY: the cells cover exactly the words, AtomicU16 needs less alignment than u64, every
    // bit pattern is valid for both types, and the exclusive borrow is given up for the result's
    // lifetime.
    unsafe { core::slice::from_raw_parts(words.as_mut_ptr().cast(), cells) }
}

/// `words` as bytes.
pub(super) fn as_u8(words: &mut [u64]) -> &mut [u8] {
    let cells = words.len() * 8;
    // SAFETY: the cells cover exactly the words, u8 needs less alignment than u64, every bit
    // pattern is valid for both types, and the exclusive borrow is passed on.
    unsafe { core::slice::from_raw_parts_mut(words.as_mut_ptr().cast(), cells) }
}

/// `words` as 32-bit cells.
pub(super) fn as_u32(words: &mut [u64]) -> &mut [u32] {
    let cells = words.len() * 2;
    // SAFETY: as in `as_u8`, for u32.
    unsafe { core::slice::from_raw_parts_mut(words.as_mut_ptr().cast(), cells) }
}

/// The word, by a plain load.
#[inline(always)]
pub(super) fn load(word: &AtomicU64) -> u64 {
    word.load(Relaxed)
}

/// The words of a line, read as memory that is not shared: so the compiler may read several at a
/// time, and again.
///
/// # Safety
///
/// No other thread may write to them meanwhile: the allocator must have the line's block.
#[inline(always)]
pub(super) unsafe fn read_line(line: &[AtomicU64; 8]) -> [u64; 8] {
    // SAFETY: the words are there, aligned and initialised, as the reference says; atomics have the
    // layout of what they hold; and the caller says that nobody writes.
    unsafe { core::ptr::from_ref(line).cast::<[u64; 8]>().read() }
}

/// Sets the word, by a plain store.
#[inline(always)]
pub(super) fn store(word: &AtomicU64, value: u64) {
    word.store(value, Relaxed);
}

/// Private words in the form of shared ones.
pub(super) fn as_shared(words: &mut [u64]) -> &[AtomicU64] {
    let count = words.len();
    // SAFETY: AtomicU64 has the size, alignment (the words are aligned for u64, which is 8 here)
    // and bit validity of u64, and the exclusive borrow is given up for the result's lifetime.
    unsafe { core::slice::from_raw_parts(words.as_mut_ptr().cast(), count) }
}
