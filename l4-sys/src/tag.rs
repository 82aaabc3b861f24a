//! Message tags: the word that describes a message, in both directions.
//!
//! Bits: 0-5 untyped words, 6-11 items, 12-15 flags, 16 and up the label, signed. A request's
//! label is the protocol; a reply's label is the result, negative for an error.

use bitflags::bitflags;

bitflags! {
    /// Flag bits of a message tag.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct TagFlags: u64 {
        /// Received only: the IPC failed, the reason is in the UTCB ([`crate::utcb`]).
        const ERROR = 0x8000;
        /// Transfer the FPU state with the message.
        const TRANSFER_FPU = 0x1000;
        /// Let the receiver run at once on the sender's time slice.
        const SCHEDULE = 0x2000;
        /// Propagate: keep the original sender. Kernel-internal users only.
        const PROPAGATE = 0x4000;
    }
}

/// Most untyped words in a message; items take two words each from the same space.
pub const MAX_WORDS: usize = 63;

/// A message tag. Any 64-bit value is a tag; accessors never fail.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(transparent)]
pub struct MsgTag(pub u64);

impl MsgTag {
    /// A tag from its parts. `words` and `items` are taken modulo 64.
    #[must_use]
    pub const fn new(label: i64, words: usize, items: usize, flags: TagFlags) -> Self {
        MsgTag(
            ((label as u64) << 16)
                | (words as u64 & 0x3f)
                | ((items as u64 & 0x3f) << 6)
                | (flags.bits() & 0xf000),
        )
    }

    /// A tag without flags: what nearly every request and reply is.
    #[must_use]
    pub const fn plain(label: i64, words: usize, items: usize) -> Self {
        MsgTag::new(label, words, items, TagFlags::empty())
    }

    /// Protocol of a request or result of a reply, as the 48-bit signed number it is.
    #[must_use]
    pub const fn label(self) -> i64 {
        (self.0 as i64) >> 16
    }

    /// Number of untyped words, 0 to 63.
    #[must_use]
    pub const fn words(self) -> usize {
        (self.0 & 0x3f) as usize
    }

    /// Number of items, 0 to 63.
    #[must_use]
    pub const fn items(self) -> usize {
        ((self.0 >> 6) & 0x3f) as usize
    }

    /// Flag bits.
    #[must_use]
    pub const fn flags(self) -> TagFlags {
        TagFlags::from_bits_truncate(self.0)
    }

    /// Whether the kernel reports that the IPC failed.
    #[must_use]
    pub const fn has_error(self) -> bool {
        self.0 & 0x8000 != 0
    }

    /// Whether words and items together fit the message registers.
    #[must_use]
    pub const fn fits(self) -> bool {
        self.words() + 2 * self.items() <= MAX_WORDS
    }
}

impl core::fmt::Debug for MsgTag {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(
            f,
            "tag(label {}, words {}, items {}{})",
            self.label(),
            self.words(),
            self.items(),
            if self.has_error() { ", error" } else { "" }
        )
    }
}

const _: () = assert!(core::mem::size_of::<MsgTag>() == 8);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn negative_labels_survive() {
        let t = MsgTag::plain(-15, 7, 2);
        assert_eq!((t.label(), t.words(), t.items()), (-15, 7, 2));
        assert!(!t.has_error());
        assert!(MsgTag::new(0, 0, 0, TagFlags::ERROR).has_error());
        assert_eq!(t.0 & 0xffff, 7 | 2 << 6);
    }

    #[test]
    fn fits_counts_items_twice() {
        assert!(MsgTag::plain(0, 63, 0).fits());
        assert!(MsgTag::plain(0, 1, 31).fits());
        assert!(!MsgTag::plain(0, 2, 31).fits());
    }
}
