//! The newtypes of this module: one for each index or quantity that a function edge sees.
//!
//! [`FrameNo`] and [`Run`] speak of physical memory and are what callers use. [`FrameIx`] and
//! [`Span`] count from the start of an allocator's window and are what policies use; only
//! [`Window`](super::Window) converts between the two.

use core::fmt;

/// Number of a 4 KiB frame of physical memory: its address shifted right by 12.
///
/// All values up to 2^52 (one past the last frame of a 64-bit address space) may occur.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FrameNo(pub u64);

impl FrameNo {
    /// log2 of the bytes in a frame.
    pub const SHIFT: u32 = 12;
    /// One past the last frame of a 64-bit address space.
    pub const LIMIT: FrameNo = FrameNo(1 << (64 - Self::SHIFT));

    /// The frame that holds the physical address `address` (bytes).
    pub const fn containing(address: u64) -> Self {
        FrameNo(address >> Self::SHIFT)
    }

    /// Physical address of the frame's first byte. The frame must be below [`Self::LIMIT`].
    pub const fn address(self) -> u64 {
        self.0 << Self::SHIFT
    }
}

impl fmt::Debug for FrameNo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "F{:#x}", self.0)
    }
}

/// log2 of a number of frames: 0 is 4 KiB, 9 is 2 MiB, 18 is 1 GiB. Never above [`Self::MAX`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PageOrder(u8);

impl PageOrder {
    /// One frame, 4 KiB.
    pub const FRAME: PageOrder = PageOrder(0);
    /// One block, 2 MiB.
    pub const BLOCK: PageOrder = PageOrder(9);
    /// The largest: 1 GiB.
    pub const MAX: PageOrder = PageOrder(18);
    /// How many orders there are.
    pub const COUNT: usize = 19;

    /// `order` if it is at most [`Self::MAX`].
    pub const fn new(order: u32) -> Option<Self> {
        if order <= Self::MAX.0 as u32 {
            Some(PageOrder(order as u8))
        } else {
            None
        }
    }

    /// The smallest order whose run holds `frames` frames; `None` for 0 and above 1 GiB.
    pub const fn holding(frames: u32) -> Option<Self> {
        if frames == 0 || frames > 1 << Self::MAX.0 {
            return None;
        }
        Some(PageOrder(frames.next_power_of_two().trailing_zeros() as u8))
    }

    /// The order as a number, 0..=18.
    #[inline]
    pub const fn get(self) -> u32 {
        self.0 as u32
    }

    /// Frames in a run of this order.
    #[inline]
    pub const fn frames(self) -> u32 {
        1 << self.0
    }

    /// All orders, from one frame up.
    pub fn all() -> impl DoubleEndedIterator<Item = PageOrder> {
        (0..=Self::MAX.0).map(PageOrder)
    }
}

impl fmt::Debug for PageOrder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "O{}", self.0)
    }
}

/// Consecutive frames of physical memory. Never empty, never past [`FrameNo::LIMIT`].
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Run {
    start: FrameNo,
    frames: u64,
}

impl Run {
    /// `frames` frames from `start`; `None` when empty or past the end of the address space.
    pub const fn new(start: FrameNo, frames: u64) -> Option<Self> {
        if frames == 0 || start.0 >= FrameNo::LIMIT.0 || frames > FrameNo::LIMIT.0 - start.0 {
            return None;
        }
        Some(Run { start, frames })
    }

    /// One frame.
    #[inline(always)]
    pub const fn single(frame: u32) -> Self {
        Run {
            start: FrameNo(frame as u64),
            frames: 1,
        }
    }

    /// First frame.
    #[inline]
    pub const fn start(self) -> FrameNo {
        self.start
    }

    /// One past the last frame; at most [`FrameNo::LIMIT`].
    #[inline]
    pub const fn end(self) -> FrameNo {
        FrameNo(self.start.0 + self.frames)
    }

    /// Number of frames, at least 1.
    #[inline]
    pub const fn frames(self) -> u64 {
        self.frames
    }

    /// Whether `frame` is one of the run's.
    pub const fn contains(self, frame: FrameNo) -> bool {
        frame.0 >= self.start.0 && frame.0 < self.end().0
    }
}

impl fmt::Debug for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "F{:#x}+{:#x}", self.start.0, self.frames)
    }
}

/// Who has a run: a number from 1 to 253 that the caller gives a meaning (a client account).
///
/// One byte a frame is what the budget of 1.2 bytes a frame leaves for it. 0 in the ledger means
/// free; the two values above mark frames that are being zeroed and frames that are not there.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OwnerTag(u8);

impl OwnerTag {
    /// The largest tag.
    pub const MAX: OwnerTag = OwnerTag(253);

    /// `tag` if it is 1..=253.
    pub const fn new(tag: u8) -> Option<Self> {
        if tag >= 1 && tag <= Self::MAX.0 {
            Some(OwnerTag(tag))
        } else {
            None
        }
    }

    /// The tag as a number.
    #[inline]
    pub const fn get(self) -> u8 {
        self.0
    }
}

impl fmt::Debug for OwnerTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "T{}", self.0)
    }
}

/// Index of a frame from the start of a window.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FrameIx(pub u32);

impl fmt::Debug for FrameIx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "i{:#x}", self.0)
    }
}

/// Consecutive frames of a window: `start..end`, empty when they are equal.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Span {
    /// First frame.
    pub start: FrameIx,
    /// One past the last frame.
    pub end: FrameIx,
}

impl Span {
    /// `frames` frames from `start`. The sum must fit a window (below 2^31).
    #[inline]
    pub const fn at(start: FrameIx, frames: u32) -> Self {
        Span {
            start,
            end: FrameIx(start.0 + frames),
        }
    }

    /// Number of frames.
    #[inline]
    pub const fn frames(self) -> u32 {
        self.end.0 - self.start.0
    }

    /// Whether there is no frame in it.
    #[inline]
    pub const fn is_empty(self) -> bool {
        self.end.0 <= self.start.0
    }

    /// The frames that are in both.
    pub fn cut(self, other: Span) -> Span {
        let start = self.start.max(other.start);
        Span {
            start,
            end: self.end.min(other.end).max(start),
        }
    }
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "i{:#x}..{:#x}", self.start.0, self.end.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_may_end_at_the_top_of_the_address_space_but_not_past_it() {
        let last = FrameNo(FrameNo::LIMIT.0 - 1);
        assert_eq!(Run::new(last, 1).map(Run::end), Some(FrameNo::LIMIT));
        assert_eq!(Run::new(last, 2), None);
        assert_eq!(Run::new(FrameNo::LIMIT, 1), None);
        assert_eq!(Run::new(FrameNo(0), 0), None);
        assert_eq!(Run::new(FrameNo(1), u64::MAX), None);
        assert_eq!(last.address(), u64::MAX - 0xfff);
        assert_eq!(FrameNo::containing(u64::MAX), last);
    }

    #[test]
    fn the_order_that_holds_a_number_of_frames() {
        let order = |n| PageOrder::holding(n).map(PageOrder::get);
        assert_eq!(order(0), None);
        assert_eq!(
            (order(1), order(2), order(3), order(4), order(5)),
            (Some(0), Some(1), Some(2), Some(2), Some(3))
        );
        assert_eq!(order(512), Some(9));
        assert_eq!(order(513), Some(10));
        assert_eq!(order(1 << 18), Some(18));
        assert_eq!(order((1 << 18) + 1), None);
    }

    #[test]
    fn tags_leave_out_the_ledger_s_own_values() {
        assert_eq!(OwnerTag::new(0), None);
        assert!(OwnerTag::new(1).is_some() && OwnerTag::new(253).is_some());
        assert_eq!(OwnerTag::new(254), None);
        assert_eq!(OwnerTag::new(255), None);
    }

    #[test]
    fn cutting_spans() {
        let s = |a, b| Span {
            start: FrameIx(a),
            end: FrameIx(b),
        };
        assert_eq!(s(0, 10).cut(s(5, 20)), s(5, 10));
        assert!(s(0, 10).cut(s(10, 20)).is_empty());
        assert!(s(30, 40).cut(s(10, 20)).is_empty());
    }
}
