//! Labels of gates.

use core::num::NonZeroU64;

use crate::engine::rm::Backing;

/// Names an object: its table entry in bits 4 to 31, the entry's generation, which is never 0, in bits 32
/// to 63. The low bits are 0; the kernel puts the rights of the capability used there.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub struct Label(NonZeroU64);

/// What a capability allows, from the low bits of a message's label.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rights {
    /// W: may change the object.
    pub write: bool,
    /// S: may create.
    pub special: bool,
}

/// Entries that a label can name.
pub const MAX_ENTRIES: usize = 1 << 28;

impl Label {
    pub(super) fn new(index: u32, generation: u32) -> Option<Self> {
        let place = index.checked_mul(1 << 4)?;
        if generation == 0 {
            return None;
        }
        NonZeroU64::new(u64::from(generation) << 32 | u64::from(place)).map(Label)
    }

    /// From a message's label or a received item. `None` when it cannot be a label.
    #[inline]
    pub fn from_word(word: u64) -> Option<(Self, Rights)> {
        let rights = Rights {
            write: word & 1 != 0,
            special: word & 2 != 0,
        };
        let label = word & !3;
        if label & 0xf != 0 || label >> 32 == 0 {
            return None;
        }
        Some((Label(NonZeroU64::new(label)?), rights))
    }

    /// The label to make a gate with.
    pub fn word(self) -> u64 {
        self.0.get()
    }

    #[inline]
    pub(super) fn index(self) -> usize {
        (self.0.get() as u32 >> 4) as usize
    }

    #[inline]
    pub(super) fn generation(self) -> u32 {
        (self.0.get() >> 32) as u32
    }
}

impl From<Label> for Backing {
    fn from(label: Label) -> Backing {
        Backing(label.0)
    }
}

impl From<Backing> for Label {
    /// What is no label finds nothing.
    fn from(backing: Backing) -> Label {
        Label(backing.0)
    }
}
