//! Typed items of a message: what is sent with it and where received ones go.
//!
//! An item is two words behind the untyped words. Word 0 says what to do and where the receiver
//! puts it (send base, bits 12 up), word 1 is a flexpage. A receiver names its windows in the
//! buffer registers, and finds in place of each sent item a *return item* that says what came.

use crate::cap::CapIdx;
use crate::fpage::{Fpage, FpageType};

/// Word-0 bit of every item that maps something.
pub const ITEM_MAP: u64 = 8;
/// Word-0 bit: the next item uses the same receive buffer.
pub const ITEM_CONT: u64 = 1;
/// Word-0 bit: move instead of copy.
pub const ITEM_GRANT: u64 = 2;

/// Buffer bit: forward received mappings of this item.
pub const RCV_FORWARD_MAPPINGS: u64 = 1;
/// Buffer bits of a one-word buffer for a single capability.
pub const RCV_SINGLE_CAP: u64 = ITEM_MAP | 2;
/// Buffer bit: a capability for one of my own gates comes as its label, one of my own task as a
/// raw flexpage, without a mapping.
pub const RCV_LOCAL_ID: u64 = 4;

/// Shift of the memory buffer's index in the buffer descriptor.
pub const BDR_MEM_SHIFT: u32 = 0;
/// Shift of the port buffer's index in the buffer descriptor.
pub const BDR_IO_SHIFT: u32 = 5;
/// Shift of the capability buffer's index in the buffer descriptor.
pub const BDR_OBJ_SHIFT: u32 = 10;

/// Attribute bits 4 to 7 of word 0 of a capability item: do not count the new reference.
pub const OBJ_NO_REF_CNT: u64 = 0x10;
/// Attribute bit of a capability item: pass the right to receive from the gate.
pub const OBJ_GATE_SERVER: u64 = 0x20;

/// How the receiver caches memory that it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Caching {
    /// As the sender's own mapping.
    AsSender = 0,
    /// Cached.
    Cached = 0x30,
    /// Write-combining.
    Buffered = 0x50,
    /// Uncached.
    Uncached = 0x10,
}

/// An item to send: two message words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SendItem {
    /// Control and send base.
    pub control: u64,
    /// What is sent.
    pub fpage: Fpage,
}

impl SendItem {
    /// Map memory: `base` is the place inside the receiver's window, its low 12 bits are dropped.
    #[must_use]
    pub const fn mem(base: u64, caching: Caching, fpage: Fpage) -> Self {
        SendItem {
            control: (base >> 12 << 12) | caching as u64 | ITEM_MAP,
            fpage,
        }
    }

    /// Map capabilities or ports.
    #[must_use]
    pub const fn plain(fpage: Fpage) -> Self {
        SendItem {
            control: ITEM_MAP,
            fpage,
        }
    }

    /// Move instead of map: the sender loses what it sends.
    #[must_use]
    pub const fn granted(self) -> Self {
        SendItem {
            control: self.control | ITEM_GRANT,
            ..self
        }
    }
}

/// A return item: what the kernel put in place of an item that was sent.
///
/// Word 0 keeps the sender's send base (bits 12 up) and the flexpage's order (6-11) and type (4-5);
/// bit 3 is set, bits 1-2 say what happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// Something was mapped into the window. `base` is the send base as the sender gave it, not
    /// the address in the receiver's space; the kernel tells neither the place nor the rights.
    Mapped {
        /// What was sent.
        kind: FpageType,
        /// log2 of the size that was sent.
        order: u32,
        /// Send base.
        base: u64,
    },
    /// Nothing was mapped: the item was void, or the sender had nothing there.
    Nothing,
    /// A capability for one of the receiver's own gates: its label, low two bits W and S.
    OwnGate(u64),
    /// A flexpage of the receiver's own task, sent back to it.
    OwnFpage(Fpage),
}

impl Received {
    /// Reads a return item from its two words. Total: every pair has a meaning.
    #[must_use]
    pub const fn decode(control: u64, data: u64) -> Self {
        if control & ITEM_MAP == 0 {
            return Received::Nothing;
        }
        let sent = Fpage(control);
        match (control >> 1) & 3 {
            0 => Received::Mapped {
                kind: sent.kind(),
                order: sent.order(),
                base: sent.address(),
            },
            1 => Received::Nothing,
            2 => Received::OwnGate(data),
            _ => Received::OwnFpage(Fpage(data)),
        }
    }

    /// Whether a capability now sits in the receive slot.
    #[must_use]
    pub const fn is_cap(self) -> bool {
        matches!(
            self,
            Received::Mapped {
                kind: FpageType::Obj,
                ..
            }
        )
    }
}

/// A receive buffer for a single capability: one buffer word.
#[must_use]
pub const fn single_cap(slot: CapIdx) -> u64 {
    slot.raw() | RCV_SINGLE_CAP
}

/// A receive buffer for a single capability that leaves own gates as labels.
#[must_use]
pub const fn single_cap_or_label(slot: CapIdx) -> u64 {
    slot.raw() | RCV_SINGLE_CAP | RCV_LOCAL_ID
}

/// A buffer descriptor from the indices of the first buffer of each type.
#[must_use]
pub const fn bdr(mem: u32, io: u32, obj: u32) -> u64 {
    ((mem as u64) << BDR_MEM_SHIFT)
        | ((io as u64) << BDR_IO_SHIFT)
        | ((obj as u64) << BDR_OBJ_SHIFT)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fpage::{CapRights, MemRights};

    /// What the kernel writes as word 0, from the two words sent.
    fn returned(item: SendItem, what: u64) -> u64 {
        (item.control & !0xff6) | (item.fpage.0 & 0xff0) | what
    }

    #[test]
    fn return_items_decode() {
        let cap = SendItem::plain(Fpage::obj(CapIdx::from_slot(9), 0, CapRights::RWS));
        assert!(Received::decode(returned(cap, 0), 0).is_cap());
        assert_eq!(Received::decode(returned(cap, 2), 0), Received::Nothing);
        assert_eq!(
            Received::decode(returned(cap, 4), 0x1003),
            Received::OwnGate(0x1003)
        );
        assert_eq!(
            Received::decode(returned(cap, 6), cap.fpage.0),
            Received::OwnFpage(cap.fpage)
        );
        assert_eq!(returned(cap, 0) & 0x3e, 0x38);
        let mem = SendItem::mem(
            0x5000,
            Caching::Cached,
            Fpage::mem(0x9000, 13, MemRights::RW),
        );
        assert_eq!(
            Received::decode(returned(mem, 0), 0),
            Received::Mapped {
                kind: FpageType::Memory,
                order: 13,
                base: 0x5000
            }
        );
        assert_eq!(Received::decode(0, 0), Received::Nothing);
    }

    #[test]
    fn grant_keeps_the_rest() {
        let m = SendItem::mem(0x5fff, Caching::Uncached, Fpage::INVALID);
        assert_eq!(m.control, 0x5000 | 0x10 | 8);
        assert_eq!(m.granted().control, m.control | 2);
    }
}
