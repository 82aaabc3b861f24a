//! What a table says about a group of pages and about a page.

use crate::engine::arena::{Pod, Ref};
use crate::engine::quota::Account;
use crate::frames::FrameNo;

/// log2 of the pages in a group.
pub(super) const GROUP_SHIFT: u32 = 4;
/// Pages in a group.
pub(super) const GROUP: u64 = 1 << GROUP_SHIFT;

/// Sixteen pages.
///
/// As a word: bits 0 to 15 `used`, 16 to 31 `kept`, 32 to 63 `base` or, with both masks 0, the
/// table's reference; 0 is empty.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Group {
    /// Nothing.
    Empty,
    /// Page n, if bit n of `kept` is set, is frame `base + n` (modulo 2^32). It is zeroed, charged
    /// and may be mapped if bit n of `used` is set too. `used` lies within `kept`, which is not 0.
    Run { base: u32, kept: u16, used: u16 },
    /// One entry each.
    Table(Ref<Pages>),
}

/// The entries of a group whose pages are not one run.
pub(super) type Pages = [u64; GROUP as usize];

impl Group {
    #[inline(always)]
    pub(super) fn from_word(word: u64) -> Self {
        let (used, kept, high) = (word as u16, (word >> 16) as u16, (word >> 32) as u32);
        if kept != 0 {
            return Group::Run {
                base: high,
                kept,
                used,
            };
        }
        match Ref::from_raw(high) {
            Some(table) => Group::Table(table),
            None => Group::Empty,
        }
    }

    #[inline]
    pub(super) fn word(self) -> u64 {
        match self {
            Group::Empty | Group::Run { kept: 0, .. } => 0,
            Group::Run { base, kept, used } => {
                u64::from(base) << 32 | u64::from(kept) << 16 | u64::from(used)
            }
            Group::Table(table) => u64::from(table.raw()) << 32,
        }
    }
}

/// Frame of page `n` of a run.
#[inline]
pub(super) fn frame_of(base: u32, n: u32) -> FrameNo {
    FrameNo(u64::from(base.wrapping_add(n)))
}

/// The runs of set bits of `mask`: first bit and length.
pub(super) fn runs(mut mask: u16) -> impl Iterator<Item = (u32, u32)> {
    core::iter::from_fn(move || {
        if mask == 0 {
            return None;
        }
        let first = mask.trailing_zeros();
        let length = (mask >> first).trailing_ones();
        mask &= !((((1u32 << length) - 1) << first) as u16);
        Some((first, length))
    })
}

/// A frame that several dataspaces use, until one of them writes to it. Lies in memory of the account
/// that is charged for the frame.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(super) struct Shared {
    pub(super) frame: u32,
    pub(super) users: u32,
    pub(super) payer: Option<Ref<Account>>,
    pub(super) unused: u32,
}

// SAFETY: numbers and an optional reference; every pattern is valid.
unsafe impl Pod for Shared {}

/// One page of a [`Group::Table`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Page {
    /// Nothing.
    Empty,
    /// A frame of the dataspace's own, charged to its account.
    Own(FrameNo),
    /// Copied before it is written.
    Shared(Ref<Shared>),
    /// A frame that is nobody's (of a static dataspace); copied before it is written.
    Static(FrameNo),
}

impl Page {
    #[inline(always)]
    pub(super) fn from_word(word: u64) -> Self {
        let value = word >> 2;
        match (word & 3, Ref::from_raw(value as u32)) {
            (1, _) => Page::Own(FrameNo(value)),
            (2, Some(record)) => Page::Shared(record),
            (3, _) => Page::Static(FrameNo(value)),
            _ => Page::Empty,
        }
    }

    #[inline(always)]
    pub(super) fn word(self) -> u64 {
        match self {
            Page::Empty => 0,
            Page::Own(frame) => frame.0 << 2 | 1,
            Page::Shared(record) => u64::from(record.raw()) << 2 | 2,
            Page::Static(frame) => frame.0 << 2 | 3,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_come_back() {
        let table = Ref::from_raw(77).expect("not 0");
        for group in [
            Group::Empty,
            Group::Table(table),
            Group::Run {
                base: u32::MAX,
                kept: 0x8001,
                used: 1,
            },
            Group::Run {
                base: 0,
                kept: 1,
                used: 0,
            },
        ] {
            assert_eq!(Group::from_word(group.word()), group);
        }
        let record = Ref::from_raw(u32::MAX).expect("not 0");
        for page in [
            Page::Empty,
            Page::Own(FrameNo(0)),
            Page::Own(FrameNo(1 << 40)),
            Page::Shared(record),
            Page::Static(FrameNo(9)),
        ] {
            assert_eq!(Page::from_word(page.word()), page);
        }
        assert_eq!(frame_of(u32::MAX, 3), FrameNo(2));
        assert!(runs(0b1011_1000_0000_0110).eq([(1, 2), (11, 3), (15, 1)]));
        assert!(runs(u16::MAX).eq([(0, 16)]) && runs(0).next().is_none());
    }
}
