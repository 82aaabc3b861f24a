//! How much memory a fault brings: what an account says about it.

/// How much memory a fault brings, in log2 of pages: what the first fault of a dataspace brings, and
/// the least and the most that any brings. Between these it follows the use (`ds/populate.rs`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Reach {
    start: u8,
    least: u8,
    most: u8,
}

impl Reach {
    /// The largest: 2 MiB.
    pub const MAX: u8 = 9;
    /// 16 KiB at first, single pages in sparse use, up to 2 MiB in sequential use.
    pub const DEFAULT: Reach = Reach {
        start: 2,
        least: 0,
        most: Self::MAX,
    };
    /// 2 MiB for each fault.
    pub const LARGEST: Reach = Reach {
        start: Self::MAX,
        least: Self::MAX,
        most: Self::MAX,
    };

    /// `None` unless `least` <= `start` <= `most` <= [`Reach::MAX`].
    pub const fn new(start: u8, least: u8, most: u8) -> Option<Self> {
        if least <= start && start <= most && most <= Self::MAX {
            Some(Reach { start, least, most })
        } else {
            None
        }
    }

    /// What the first fault of a dataspace brings.
    #[inline]
    pub const fn start(self) -> u8 {
        self.start
    }

    /// What a fault brings at least: the window that is mapped ahead.
    #[inline]
    pub const fn least(self) -> u8 {
        self.least
    }

    /// What a fault brings at most.
    #[inline]
    pub const fn most(self) -> u8 {
        self.most
    }
}
