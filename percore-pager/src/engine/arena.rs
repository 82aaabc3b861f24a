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
//! an arena is [`Pod`], and an access never leaves the arena, because its place is cut off at the
//! arena's end. So the rind of unsafe code in this file holds without trusting the rest.

use core::fmt;
use core::marker::PhantomData;
use core::num::NonZeroU32;
use core::ptr::NonNull;

/// Bytes of a page.
pub const PAGE_BYTES: usize = 4096;
/// log2 of the unit in which references count.
const GRANULE_SHIFT: u32 = 4;
/// log2 of the units in a page.
const PAGE_GRANULES_SHIFT: u32 = 12 - GRANULE_SHIFT;
/// Most pages of an arena: 64 GiB.
pub const MAX_PAGES: usize = 1 << (32 - PAGE_GRANULES_SHIFT);

/// Plain data: may lie in an arena.
///
/// # Safety
///
/// Every bit pattern is a valid value; the size is at most a page and the alignment at most 16.
pub unsafe trait Pod: Copy {}

// SAFETY: all bit patterns are numbers; 4096 bytes at most for the lengths used here (the check
// is in `Arena::fits`).
unsafe impl<const N: usize> Pod for [u64; N] {}

/// Number of a page, counted from the arena's start. Page 0 is never used.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub struct PageIx(pub u32);

/// Where a `T` lies in an arena. Takes 4 bytes, also inside an `Option`.
#[repr(transparent)]
pub struct Ref<T>(NonZeroU32, PhantomData<fn() -> T>);

impl<T> Clone for Ref<T> {
    #[inline(always)]
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Ref<T> {}

impl<T> PartialEq for Ref<T> {
    #[inline(always)]
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl<T> Eq for Ref<T> {}

impl<T> fmt::Debug for Ref<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "@{:#x}", self.0)
    }
}

impl<T> Ref<T> {
    /// The start of a page. `None` for page 0.
    #[inline]
    pub const fn page_start(page: PageIx) -> Option<Self> {
        Self::from_raw(page.0 << PAGE_GRANULES_SHIFT)
    }

    /// From a number that [`Ref::raw`] gave; `None` for 0.
    #[inline]
    pub const fn from_raw(raw: u32) -> Option<Self> {
        match NonZeroU32::new(raw) {
            Some(raw) => Some(Ref(raw, PhantomData)),
            None => None,
        }
    }

    /// The reference as a number, not 0.
    #[inline]
    pub const fn raw(self) -> u32 {
        self.0.get()
    }

    /// The page it lies in.
    #[inline]
    pub const fn page(self) -> PageIx {
        PageIx(self.raw() >> PAGE_GRANULES_SHIFT)
    }

    /// The same place, taken to hold another type.
    #[inline]
    pub const fn cast<U>(self) -> Ref<U> {
        Ref(self.0, PhantomData)
    }
}

/// See the [module](self). All access goes through the arena's own borrow, so an exclusive borrow
/// of the arena is one of everything in it.
#[derive(Debug)]
pub struct Arena {
    base: NonNull<u8>,
    bytes: usize,
}

impl Arena {
    /// The `pages` pages at `base`. `None` unless there are 2 to [`MAX_PAGES`] and `base` is
    /// page-aligned.
    ///
    /// # Safety
    ///
    /// All of it stays mapped for reading and writing as long as the arena lives. A page that a
    /// [`Store`] on this arena has handed out is not accessed in any other way until it is given
    /// back; what happens to other pages does not matter.
    pub unsafe fn new(base: NonNull<u8>, pages: usize) -> Option<Self> {
        let aligned = base.as_ptr().addr().is_multiple_of(PAGE_BYTES);
        ((2..=MAX_PAGES).contains(&pages) && aligned).then_some(Arena {
            base,
            bytes: pages * PAGE_BYTES,
        })
    }

    /// Number of pages, page 0 included.
    pub fn pages(&self) -> u32 {
        (self.bytes / PAGE_BYTES) as u32
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

    #[inline(always)]
    fn place<T: Pod>(&self, at: Ref<T>) -> NonNull<T> {
        const { assert!(size_of::<T>() <= PAGE_BYTES && align_of::<T>() <= 1 << GRANULE_SHIFT) }
        let offset = (at.raw() as usize) << GRANULE_SHIFT;
        let last = self.bytes - size_of::<T>();
        debug_assert!(offset <= last);
        // SAFETY: cut off so that a `T` ends inside the arena, which has at least two pages. The
        // last place is aligned too: a type's size is a multiple of its alignment.
        unsafe { self.base.add(offset.min(last)).cast() }
    }

    /// What lies at `at`.
    #[inline(always)]
    pub fn get<T: Pod>(&self, at: Ref<T>) -> &T {
        // SAFETY: inside the arena and aligned (granules are 16 bytes, the base is a page start);
        // any bits are a `T`; the arena's shared borrow excludes writers.
        unsafe { self.place(at).as_ref() }
    }

    /// What lies at `at`, to be changed.
    #[inline(always)]
    pub fn get_mut<T: Pod>(&mut self, at: Ref<T>) -> &mut T {
        // SAFETY: as in `get`, with the arena's exclusive borrow.
        unsafe { self.place(at).as_mut() }
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

    #[inline(always)]
    fn word_place(&self, at: Ref<[u64; 0]>, index: usize) -> NonNull<u64> {
        let offset = ((at.raw() as usize) << GRANULE_SHIFT) + (index & (PAGE_BYTES / 8 - 1)) * 8;
        let last = self.bytes - 8;
        debug_assert!(offset <= last && index < PAGE_BYTES / 8);
        // SAFETY: cut off at the last word; both terms are multiples of 8.
        unsafe { self.base.add(offset.min(last)).cast() }
    }

    /// Writes `value` to `at`.
    #[inline(always)]
    pub fn set<T: Pod>(&mut self, at: Ref<T>, value: T) {
        *self.get_mut(at) = value;
    }
}

/// Where book-keeping pages come from.
pub trait Store {
    /// The memory.
    fn arena(&self) -> &Arena;

    /// The memory, to be changed.
    fn arena_mut(&mut self) -> &mut Arena;

    /// A page with any contents, not page 0. `None` when there is no memory.
    fn take_page(&mut self) -> Option<PageIx>;

    /// Takes a page back that was handed out.
    fn give_page(&mut self, page: PageIx);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[repr(C, align(4096))]
    struct Memory([u64; 512 * 3]);

    #[test]
    fn objects_are_where_their_references_say() {
        let mut memory = Memory([0; 512 * 3]);
        let base = NonNull::from(&mut memory).cast();
        // SAFETY: three pages of our own, which nothing else uses.
        let mut arena = unsafe { Arena::new(base, 3) }.expect("aligned");
        let first = Ref::<[u64; 2]>::page_start(PageIx(1)).expect("not page 0");
        let last = Ref::<[u64; 2]>::from_raw(3 * 256 - 1).expect("not 0");
        arena.set(first, [1, 2]);
        assert_eq!(*arena.get(first), [1, 2]);
        assert_eq!((first.page(), last.page()), (PageIx(1), PageIx(2)));
        arena.set(last, [3, 4]);
        assert_eq!(*arena.get(last), [3, 4]);
        assert_eq!((arena.pages(), size_of::<Option<Ref<u8>>>()), (3, 4));
        assert_eq!(
            (&memory.0[512..514], &memory.0[1534..]),
            (&[1, 2][..], &[3, 4][..])
        );
    }

    #[test]
    fn what_is_no_arena_is_refused() {
        let mut memory = Memory([0; 512 * 3]);
        let base = NonNull::from(&mut memory).cast::<u8>();
        // SAFETY: never accessed.
        unsafe {
            assert!(Arena::new(base, 1).is_none());
            assert!(Arena::new(base, MAX_PAGES + 1).is_none());
            assert!(Arena::new(base.add(16), 2).is_none());
        }
    }
}
