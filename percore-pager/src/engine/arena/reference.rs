//! References into an arena, as numbers.

use core::fmt;
use core::marker::PhantomData;
use core::num::NonZeroU32;

use super::PAGE_GRANULES_SHIFT;

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
