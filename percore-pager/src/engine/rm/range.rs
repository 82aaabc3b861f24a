//! Ranges of virtual addresses.

use l4_sys::PAGE_SIZE;

/// Addresses from `start` to `end`, both inclusive, in bytes. Never empty, never wraps; may end at
/// the last address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    start: u64,
    end: u64,
}

impl Range {
    /// `None` when `end` is below `start`.
    #[inline]
    pub const fn new(start: u64, end: u64) -> Option<Self> {
        if start <= end {
            Some(Range { start, end })
        } else {
            None
        }
    }

    /// `size` bytes from `start`; `None` when that is nothing or wraps.
    pub const fn sized(start: u64, size: u64) -> Option<Self> {
        match size.checked_sub(1) {
            Some(rest) => match start.checked_add(rest) {
                Some(end) => Some(Range { start, end }),
                None => None,
            },
            None => None,
        }
    }

    /// The whole pages that `size` bytes from `start` touch; `None` when that is nothing or wraps.
    pub const fn pages(start: u64, size: u64) -> Option<Self> {
        match Self::sized(start, size) {
            Some(exact) => Some(Range {
                start: exact.start & !(PAGE_SIZE - 1),
                end: exact.end | (PAGE_SIZE - 1),
            }),
            None => None,
        }
    }

    /// First address.
    #[inline]
    pub const fn start(self) -> u64 {
        self.start
    }

    /// Last address.
    #[inline]
    pub const fn end(self) -> u64 {
        self.end
    }

    /// Bytes; 0 stands for all 2^64.
    #[inline]
    pub const fn size(self) -> u64 {
        (self.end - self.start).wrapping_add(1)
    }

    /// Whether `other` lies inside.
    #[inline]
    pub const fn covers(self, other: Range) -> bool {
        self.start <= other.start && other.end <= self.end
    }

    /// Whether `address` lies inside.
    #[inline]
    pub const fn contains(self, address: u64) -> bool {
        self.start <= address && address <= self.end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_end_at_the_last_address_and_do_not_wrap() {
        let bounds = |r: Option<Range>| r.map(|r| (r.start(), r.end()));
        assert_eq!(
            bounds(Range::sized(u64::MAX, 1)),
            Some((u64::MAX, u64::MAX))
        );
        assert_eq!(Range::sized(u64::MAX, 2), None);
        assert_eq!(Range::sized(5, 0), None);
        assert_eq!(bounds(Range::pages(0xfff, 2)), Some((0, 0x1fff)));
        let last = u64::MAX - 0xfff;
        assert_eq!(bounds(Range::pages(last, 1)), Some((last, u64::MAX)));
        assert_eq!(Range::pages(last, 0x1001), None);
        assert_eq!(Range::new(0, u64::MAX).map(Range::size), Some(0));
        assert_eq!(Range::new(1, 0), None);
    }
}
