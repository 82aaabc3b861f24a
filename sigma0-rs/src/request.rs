//! What clients may send: decoding, without effects.
//!
//! A [`Request`] says what its fields promise; whoever holds one need not look at the message
//! again. Order of the checks is upstream's (FEATURES.md S0-REQ), plus the word count that upstream
//! leaves out (BUG-14).

use l4_sys::ops::sigma0;
use l4_sys::{Errno, Fpage, MsgTag, UtcbRef};

use crate::map::Range;

/// A checked request of the sigma0 protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// Map RAM at a place that is the caller's or free.
    Ram(Block),
    /// Map I/O memory.
    IoMemory {
        /// What.
        block: Block,
        /// Whether through the cache.
        cached: bool,
    },
    /// Map any free RAM of this order, 12 to 63.
    AnyRam {
        /// log2 of the size in bytes.
        order: u8,
    },
    /// Map the kernel information page.
    Kip,
    /// Print the maps.
    Dump,
}

/// A naturally aligned block of whole pages: order 12 to 63, no overflow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    range: Range,
    order: u8,
}

impl Block {
    /// The block that a client's flexpage names; type and rights bits of it do not matter.
    ///
    /// # Errors
    /// `Inval` when misaligned (looked at first) or below a page.
    #[inline]
    pub fn from_fpage(fpage: Fpage) -> Result<Block, Errno> {
        let order = fpage.order() as u8;
        match Range::block(fpage.address(), order) {
            Some(range) if u32::from(order) >= l4_sys::PAGE_SHIFT => Ok(Block { range, order }),
            _ => Err(Errno::Inval),
        }
    }

    /// Its addresses.
    #[inline]
    #[must_use]
    pub const fn range(self) -> Range {
        self.range
    }

    /// log2 of its size in bytes.
    #[inline]
    #[must_use]
    pub const fn order(self) -> u32 {
        self.order as u32
    }
}

impl Request {
    /// Decodes a message with the sigma0 label.
    ///
    /// # Errors
    /// `MsgTooShort`, `NoSys` for a wrong magic or an unknown number, `Inval` for a bad block.
    #[inline]
    pub fn decode(utcb: UtcbRef, tag: MsgTag) -> Result<Request, Errno> {
        if tag.words() < 1 {
            return Err(Errno::MsgTooShort);
        }
        let word = utcb.mr(0);
        if word & sigma0::MAGIC != sigma0::MAGIC {
            return Err(Errno::NoSys);
        }
        let fpage = || {
            if tag.words() < 2 {
                Err(Errno::MsgTooShort)
            } else {
                Ok(Fpage(utcb.mr(1)))
            }
        };
        let block = || fpage().and_then(Block::from_fpage);
        match sigma0::MAGIC | word & sigma0::ID_MASK {
            sigma0::RAM => Ok(Request::Ram(block()?)),
            sigma0::IOMEM => Ok(Request::IoMemory {
                block: block()?,
                cached: false,
            }),
            sigma0::IOMEM_CACHED => Ok(Request::IoMemory {
                block: block()?,
                cached: true,
            }),
            sigma0::ANY_RAM => {
                let order = fpage()?.order();
                if order < l4_sys::PAGE_SHIFT {
                    return Err(Errno::Inval);
                }
                Ok(Request::AnyRam { order: order as u8 })
            }
            sigma0::KIP => Ok(Request::Kip),
            sigma0::DEBUG_DUMP => Ok(Request::Dump),
            _ => Err(Errno::NoSys),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use l4_sys::MemRights;

    fn decode(words: &[u64]) -> Result<Request, Errno> {
        let mut block = [0u64; 128];
        block[..words.len()].copy_from_slice(words);
        // SAFETY: a UTCB-sized block of this thread.
        let u = unsafe { UtcbRef::from_ptr(block.as_mut_ptr().cast()) };
        Request::decode(u, MsgTag::plain(-6, words.len(), 0))
    }

    fn page(addr: u64, order: u32) -> u64 {
        Fpage::mem(addr, order, MemRights::empty()).0
    }

    #[test]
    fn magic_and_numbers() {
        assert_eq!(decode(&[]), Err(Errno::MsgTooShort));
        assert_eq!(decode(&[0x60]), Err(Errno::NoSys));
        assert_eq!(decode(&[!0xff & !0x100 | 0xa0]), Err(Errno::NoSys));
        assert_eq!(
            decode(&[sigma0::KIP | 0xf]),
            Ok(Request::Kip),
            "low bits are ignored"
        );
        for id in [0x00, 0x10, 0x20, 0x30, 0x40, 0x50, 0xb0, 0xd0, 0xe0, 0xf0] {
            assert_eq!(
                decode(&[sigma0::MAGIC | id, 0]),
                Err(Errno::NoSys),
                "{id:#x}"
            );
        }
    }

    #[test]
    fn blocks() {
        for id in [
            sigma0::RAM,
            sigma0::IOMEM,
            sigma0::IOMEM_CACHED,
            sigma0::ANY_RAM,
        ] {
            assert_eq!(decode(&[id]), Err(Errno::MsgTooShort));
            assert_eq!(decode(&[id, page(0x1000, 11)]), Err(Errno::Inval));
        }
        assert_eq!(decode(&[sigma0::RAM, page(0x1000, 13)]), Err(Errno::Inval));
        let Ok(Request::Ram(b)) = decode(&[sigma0::RAM, page(0x4000, 14)]) else {
            panic!("a block")
        };
        assert_eq!(
            (b.range().start(), b.range().end(), b.order()),
            (0x4000, 0x7fff, 14)
        );
        assert!(decode(&[sigma0::RAM, page(1 << 63, 63)]).is_ok());
        assert_eq!(
            decode(&[sigma0::ANY_RAM, page(0x1000, 13)]),
            Ok(Request::AnyRam { order: 13 }),
            "only the order counts"
        );
    }
}
