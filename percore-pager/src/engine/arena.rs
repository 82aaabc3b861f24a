//! Book-keeping memory, and references into it that are numbers.
//!
//! An [`Arena`] is a stretch of memory that is mapped once into the server. Its pages are frames
//! like all others: a page becomes book-keeping memory when a [`Store`] hands it out and is a
//! client's frame again when it has gone back. What lies in such a page is named by a [`Ref`]:
//! the distance from the arena's start in units of 16 bytes, so that a link costs 4 bytes and
//! half a cache line holds a tree node.
//!
//! # Why a wrong reference is harmless
//!
//! A `Ref` may outlive what it names (a bug of this crate, never a client's doing: clients name
//! objects by generation-checked numbers). Then it reads other numbers: every type that may lie in
//! an arena is [`Pod`], and an access never leaves the arena, because a place is cut off at the
//! start of the arena's last page, which is never handed out and is larger than every type. So the
//! rind of unsafe code in this file holds without trusting the rest.

use core::marker::PhantomData;
use core::ops::{Deref, DerefMut};
use core::ptr::NonNull;

mod reference;

pub use reference::{PageIx, Ref};

use super::quota::Account;

/// Bytes of a page.
pub const PAGE_BYTES: usize = 4096;
/// log2 of the unit in which references count.
const GRANULE_SHIFT: u32 = 4;
/// log2 of the units in a page.
const PAGE_GRANULES_SHIFT: u32 = 12 - GRANULE_SHIFT;
/// Most pages of an arena: 64 GiB.
pub const MAX_PAGES: usize = 1 << (32 - PAGE_GRANULES_SHIFT);

/// Most words of an array.
const ARRAY: usize = 64;

/// Plain data: may lie in an arena.
///
/// # Safety
///
/// Every bit pattern is a valid value; the size is at most a page and the alignment at most 16.
pub unsafe trait Pod: Copy {}

// SAFETY: all bit patterns are numbers; 4096 bytes at most for the lengths used here (the check
// is in `Arena::fits`).
unsafe impl<const N: usize> Pod for [u64; N] {}

/// See the [module](self). All access goes through the arena's own borrow, so an exclusive borrow
/// of the arena is one of everything in it.
#[derive(Debug)]
pub struct Arena {
    base: NonNull<u8>,
    /// The last page's start in granules.
    last: u32,
    /// See [`Arena::age`].
    age: u64,
}

impl Arena {
    /// The `pages` pages at `base`, of which the last is only there to be larger than every type.
    /// `None` unless there are 3 to [`MAX_PAGES`] and `base` is page-aligned.
    ///
    /// # Safety
    ///
    /// All of it stays mapped for reading and writing as long as the arena lives. A page that a
    /// [`Store`] on this arena has handed out is not accessed in any other way until it is given
    /// back; what happens to other pages does not matter.
    pub unsafe fn new(base: NonNull<u8>, pages: usize) -> Option<Self> {
        let aligned = base.as_ptr().addr().is_multiple_of(PAGE_BYTES);
        ((3..=MAX_PAGES).contains(&pages) && aligned).then(|| Arena {
            base,
            last: ((pages - 1) << PAGE_GRANULES_SHIFT) as u32,
            age: 1,
        })
    }

    /// Rises when a region changes or an object ends: what was found out about regions and their objects
    /// is true as long as it is the same. Never 0.
    #[inline(always)]
    pub(super) fn age(&self) -> u64 {
        self.age
    }

    /// See [`Arena::age`].
    pub(super) fn note_change(&mut self) {
        self.age += 1;
    }

    /// Number of pages that may be handed out, page 0 included, which may not.
    pub fn pages(&self) -> u32 {
        self.last >> PAGE_GRANULES_SHIFT
    }

    /// Address of a page that may be handed out.
    pub(super) fn page_address(&self, page: PageIx) -> Option<NonNull<u8>> {
        // SAFETY: inside the arena.
        (page.0 < self.pages()).then(|| unsafe { self.base.add(page.0 as usize * PAGE_BYTES) })
    }

    /// The page that begins at an address.
    pub(super) fn page_at(&self, address: *const u8) -> Option<PageIx> {
        let offset = address.addr().checked_sub(self.base.as_ptr().addr())?;
        let page = PageIx(u32::try_from(offset / PAGE_BYTES).ok()?);
        (offset.is_multiple_of(PAGE_BYTES) && page.0 < self.pages()).then_some(page)
    }

    /// Where `at` is, cut off at the last page's start.
    #[inline(always)]
    fn start(&self, at: u32) -> NonNull<u8> {
        debug_assert!(at < self.last);
        let granule = at.min(self.last) as usize;
        // SAFETY: at most the start of the arena's last page.
        unsafe { self.base.add(granule << GRANULE_SHIFT) }
    }

    #[inline(always)]
    fn place<T: Pod>(&self, at: Ref<T>) -> NonNull<T> {
        const { assert!(size_of::<T>() <= PAGE_BYTES && align_of::<T>() <= 1 << GRANULE_SHIFT) }
        self.start(at.raw()).cast()
    }

    /// What lies at `at`.
    #[inline(always)]
    pub fn get<T: Pod>(&self, at: Ref<T>) -> &T {
        // SAFETY: `place` is at most at the start of the last page, so a `T` ends inside the arena;
        // granules are 16 bytes and the base is a page start, so it is aligned; any bits are a `T`;
        // the arena's shared borrow excludes writers.
        unsafe { self.place(at).as_ref() }
    }

    /// What lies at `at`, to be changed.
    #[inline(always)]
    pub fn get_mut<T: Pod>(&mut self, at: Ref<T>) -> &mut T {
        // SAFETY: as in `get`, with the arena's exclusive borrow.
        unsafe { self.place(at).as_mut() }
    }

    /// The arena, to be held in registers: so that the compiler need not load where it is again after each
    /// store to it. Only for loads and stores: a change of its age would be lost.
    #[inline(always)]
    pub(super) fn in_registers(&mut self) -> Held<'_> {
        Held {
            arena: Arena {
                base: self.base,
                last: self.last,
                age: self.age,
            },
            borrow: PhantomData,
        }
    }

    /// Half word `index` of the array at `at`.
    #[inline(always)]
    pub fn half(&self, at: Ref<[u64; 0]>, index: usize) -> u32 {
        let index = index & (PAGE_BYTES / 4 - 1);
        // SAFETY: at most a page behind a place that `start` gave, aligned to 4.
        unsafe { self.start(at.raw()).cast::<u32>().add(index).read() }
    }

    /// Sets half word `index` of the array at `at`.
    #[inline(always)]
    pub fn set_half(&mut self, at: Ref<[u64; 0]>, index: usize, value: u32) {
        let index = index & (PAGE_BYTES / 4 - 1);
        // SAFETY: as in `half`.
        unsafe { self.start(at.raw()).cast::<u32>().add(index).write(value) }
    }

    /// Word `index` of the array at `at`.
    #[inline(always)]
    pub fn word(&self, at: Ref<[u64; 0]>, index: usize) -> u64 {
        // SAFETY: as in `get`: `word_place` gives an aligned place of 8 bytes in the arena.
        unsafe { self.word_place(at, index).read() }
    }

    /// Sets word `index` of the array at `at`.
    #[inline(always)]
    pub fn set_word(&mut self, at: Ref<[u64; 0]>, index: usize, value: u64) {
        // SAFETY: as in `get_mut`.
        unsafe { self.word_place(at, index).write(value) }
    }

    /// Whether words `from` to `to` of the array at `at` are `first`, `first + step` and so on (modulo
    /// 2^64). An array has at most 64 words.
    #[inline]
    pub fn words_rise(
        &self,
        at: Ref<[u64; 0]>,
        (from, to): (usize, usize),
        first: u64,
        step: u64,
    ) -> bool {
        let words = to.min(ARRAY).saturating_sub(from);
        // SAFETY: `from + words` is at most 64, which is less than a page behind a place that `start`
        // gave; any bits are words; the arena's shared borrow excludes writers.
        let words =
            unsafe { core::slice::from_raw_parts(self.word_place(at, from).as_ptr(), words) };
        let mut wanted = first;
        for word in words {
            if *word != wanted {
                return false;
            }
            wanted = wanted.wrapping_add(step);
        }
        true
    }

    /// Sets words `from` to `to` of the array at `at` to `first`, `first + step` and so on (modulo
    /// 2^64). An array has at most 64 words.
    #[inline]
    pub fn set_words(
        &mut self,
        at: Ref<[u64; 0]>,
        (from, to): (usize, usize),
        first: u64,
        step: u64,
    ) {
        let words = to.min(ARRAY).saturating_sub(from);
        // SAFETY: as in `words_rise`, with the arena's exclusive borrow.
        let words =
            unsafe { core::slice::from_raw_parts_mut(self.word_place(at, from).as_ptr(), words) };
        let mut value = first;
        for word in words {
            *word = value;
            value = value.wrapping_add(step);
        }
    }

    /// The same as [`Arena::word`] for an array that is named by its number. Any number is as good as
    /// any [`Ref`].
    #[inline(always)]
    pub(super) fn word_at(&self, raw: u32, index: usize) -> u64 {
        let index = index & (PAGE_BYTES / 8 - 1);
        // SAFETY: as in `word_place`, for which the number need not be that of an object, either.
        unsafe { self.start(raw).cast::<u64>().add(index).read() }
    }

    /// The same as [`Arena::set_word`] in this way.
    #[inline(always)]
    pub(super) fn set_word_at(&mut self, raw: u32, index: usize, value: u64) {
        let index = index & (PAGE_BYTES / 8 - 1);
        // SAFETY: as in `word_at`, with the arena's exclusive borrow.
        unsafe { self.start(raw).cast::<u64>().add(index).write(value) }
    }

    /// Sets the first `words` words of the array at `at` to 0; at most 64.
    #[inline]
    pub fn clear_words(&mut self, at: Ref<[u64; 0]>, words: usize) {
        let words = words.min(ARRAY);
        // SAFETY: as in `set_words`.
        unsafe { self.word_place(at, 0).write_bytes(0, words) };
    }

    #[inline(always)]
    fn word_place(&self, at: Ref<[u64; 0]>, index: usize) -> NonNull<u64> {
        let index = index & (PAGE_BYTES / 8 - 1);
        // SAFETY: at most a page behind a place that `start` gave, aligned to 8.
        unsafe { self.start(at.raw()).cast::<u64>().add(index) }
    }

    /// Writes `value` to `at`.
    #[inline(always)]
    pub fn set<T: Pod>(&mut self, at: Ref<T>, value: T) {
        *self.get_mut(at) = value;
    }
}

/// See [`Arena::in_registers`]: stands for the exclusive borrow that it was made from.
pub(super) struct Held<'a> {
    arena: Arena,
    borrow: PhantomData<&'a mut Arena>,
}

impl Deref for Held<'_> {
    type Target = Arena;

    #[inline(always)]
    fn deref(&self) -> &Arena {
        &self.arena
    }
}

impl DerefMut for Held<'_> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut Arena {
        &mut self.arena
    }
}

/// Where book-keeping pages come from.
pub trait Store {
    /// The memory.
    fn arena(&self) -> &Arena;

    /// The memory, to be changed.
    fn arena_mut(&mut self) -> &mut Arena;

    /// A page with any contents, of number 1 to [`Arena::pages`] - 1. `None` when there is no memory.
    fn take_page(&mut self) -> Option<PageIx>;

    /// Takes a page back that was handed out.
    fn give_page(&mut self, page: PageIx);

    /// Whether a search that has taken a step may take another one in this turn. If not, what it is for fails, and
    /// is to be asked for again in a later turn, where it goes on.
    fn may_go_on(&mut self) -> bool {
        true
    }

    /// The account's factory has gone: nothing is to be held for it any more.
    fn account_closes(&mut self, account: Ref<Account>) {
        let _ = account;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[repr(C, align(4096))]
    struct Memory([u64; 512 * 4]);

    #[test]
    fn objects_are_where_their_references_say() {
        let mut memory = Memory([0; 512 * 4]);
        let base = NonNull::from(&mut memory).cast();
        // SAFETY: four pages of our own, which nothing else uses.
        let mut arena = unsafe { Arena::new(base, 4) }.expect("aligned");
        let first = Ref::<[u64; 2]>::page_start(PageIx(1)).expect("not page 0");
        let last = Ref::<[u64; 2]>::from_raw(3 * 256 - 1).expect("not 0");
        arena.set(first, [1, 2]);
        assert_eq!(*arena.get(first), [1, 2]);
        assert_eq!((first.page(), last.page()), (PageIx(1), PageIx(2)));
        arena.set(last, [3, 4]);
        assert_eq!(*arena.get(last), [3, 4]);
        assert_eq!((arena.pages(), size_of::<Option<Ref<u8>>>()), (3, 4));
        let array = first.cast();
        assert_eq!((arena.half(array, 2), arena.word(array, 1)), (2, 2));
        arena.set_half(array, 1, 7);
        assert_eq!(arena.word(array, 0), 7 << 32 | 1);
        arena.set(first, [1, 2]);
        assert_eq!(
            (&memory.0[512..514], &memory.0[1534..1536]),
            (&[1, 2][..], &[3, 4][..])
        );
    }

    #[test]
    fn what_is_no_arena_is_refused() {
        let mut memory = Memory([0; 512 * 4]);
        let base = NonNull::from(&mut memory).cast::<u8>();
        // SAFETY: never accessed.
        unsafe {
            assert!(Arena::new(base, 2).is_none());
            assert!(Arena::new(base, MAX_PAGES + 1).is_none());
            assert!(Arena::new(base.add(16), 4).is_none());
        }
    }
}
