//! Fault messages as a pager receives them.

use l4_sys::MemRights;

/// A page fault: label -2, word 0 is the address with the kind of access in its low bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageFault {
    /// Faulting address; the low three bits are cleared.
    pub address: u64,
    /// What the thread wanted to do.
    pub access: MemRights,
}

impl PageFault {
    /// Reads word 0 of a fault message. Bit 1 is write, bit 2 instruction fetch, bit 0 is ignored.
    #[inline]
    #[must_use]
    pub const fn decode(word: u64) -> Self {
        let mut access = MemRights::R.bits();
        if word & 2 != 0 {
            access |= MemRights::W.bits();
        }
        if word & 4 != 0 {
            access |= MemRights::X.bits();
        }
        PageFault {
            address: word & !7,
            access: MemRights::from_bits_truncate(access),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn access_bits() {
        assert_eq!(PageFault::decode(0x1006).access, MemRights::RWX);
        assert_eq!(
            PageFault::decode(0x1001),
            PageFault {
                address: 0x1000,
                access: MemRights::R
            }
        );
        assert_eq!(PageFault::decode(0x1002).access, MemRights::RW);
        assert_eq!(PageFault::decode(0x1004).access, MemRights::RX);
    }
}
