//! Flexpages: an aligned, power-of-two sized piece of memory, ports or capability slots.
//!
//! Bits: 0-3 rights, 4-5 type, 6-11 log2 of the size, 12 and up the address, port or slot.

use bitflags::bitflags;

use crate::cap::CapIdx;

bitflags! {
    /// Rights of a memory flexpage.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub struct MemRights: u8 {
        /// Instruction fetch.
        const X = 1;
        /// Write.
        const W = 2;
        /// Read.
        const R = 4;
        /// Read and write.
        const RW = 6;
        /// Read and fetch.
        const RX = 5;
        /// Everything.
        const RWX = 7;
    }
}

bitflags! {
    /// Rights of a capability.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub struct CapRights: u8 {
        /// Write: may change what the object holds.
        const W = 1;
        /// Special: may create, and may pass S on.
        const S = 2;
        /// Read: may use the capability at all.
        const R = 4;
        /// Delete the object.
        const D = 8;
        /// Read and write.
        const RW = 5;
        /// Read and special.
        const RS = 6;
        /// Read, write and special.
        const RWS = 7;
        /// Everything.
        const RWSD = 15;
    }
}

/// What a flexpage is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum FpageType {
    /// Nothing, or everything; few interfaces take it.
    Special = 0,
    /// Memory; the order counts bytes.
    Memory = 1,
    /// x86 I/O ports; the order counts ports.
    Io = 2,
    /// Capability slots; the order counts slots.
    Obj = 3,
}

/// Order that stands for a whole address space.
pub const WHOLE_SPACE: u32 = 63;
/// Order of the whole I/O port space.
pub const WHOLE_IO_SPACE: u32 = 16;

/// A flexpage in kernel form. Any value can occur in a received message: check before use.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(transparent)]
pub struct Fpage(pub u64);

impl Fpage {
    /// Names nothing.
    pub const INVALID: Fpage = Fpage::generic(0, FpageType::Special, 0, 0);

    /// From parts; `address` is in bytes, ports or slots times 4096, `order` is taken modulo 64.
    #[must_use]
    pub const fn generic(address: u64, kind: FpageType, order: u32, rights: u8) -> Self {
        Fpage(
            (rights as u64 & 0xf)
                | ((kind as u64) << 4)
                | ((order as u64 & 0x3f) << 6)
                | (address >> 12 << 12),
        )
    }

    /// `2^order` bytes of memory at `address`.
    #[must_use]
    pub const fn mem(address: u64, order: u32, rights: MemRights) -> Self {
        Fpage::generic(address, FpageType::Memory, order, rights.bits())
    }

    /// The whole address space, as a receive window.
    #[must_use]
    pub const fn whole_space() -> Self {
        Fpage::mem(0, WHOLE_SPACE, MemRights::empty())
    }

    /// `2^order` ports from `port` on, readable and writable.
    #[must_use]
    pub const fn io(port: u64, order: u32) -> Self {
        Fpage::generic(port << 12, FpageType::Io, order, MemRights::RW.bits())
    }

    /// `2^order` capability slots from `cap` on.
    #[must_use]
    pub const fn obj(cap: CapIdx, order: u32, rights: CapRights) -> Self {
        Fpage::generic(cap.raw(), FpageType::Obj, order, rights.bits())
    }

    /// The type.
    #[must_use]
    pub const fn kind(self) -> FpageType {
        match (self.0 >> 4) & 3 {
            0 => FpageType::Special,
            1 => FpageType::Memory,
            2 => FpageType::Io,
            _ => FpageType::Obj,
        }
    }

    /// log2 of the size, 0 to 63.
    #[must_use]
    pub const fn order(self) -> u32 {
        ((self.0 >> 6) & 0x3f) as u32
    }

    /// The raw rights bits, 0 to 15.
    #[must_use]
    pub const fn rights(self) -> u8 {
        (self.0 & 0xf) as u8
    }

    /// Rights of a memory flexpage.
    #[must_use]
    pub const fn mem_rights(self) -> MemRights {
        MemRights::from_bits_truncate(self.rights())
    }

    /// Address of a memory flexpage in bytes.
    #[must_use]
    pub const fn address(self) -> u64 {
        self.0 >> 12 << 12
    }

    /// First port of an I/O flexpage, or slot of an object flexpage.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0 >> 12
    }

    /// The same piece with other rights.
    #[must_use]
    pub const fn with_rights(self, rights: u8) -> Self {
        Fpage((self.0 & !0xf) | (rights as u64 & 0xf))
    }
}

impl core::fmt::Debug for Fpage {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(
            f,
            "fpage({:?} {:#x} order {} rights {:#x})",
            self.kind(),
            self.address(),
            self.order(),
            self.rights()
        )
    }
}

const _: () = assert!(core::mem::size_of::<Fpage>() == 8);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_come_back() {
        let f = Fpage::mem(0x1234_5000, 14, MemRights::RW);
        assert_eq!(f.kind(), FpageType::Memory);
        assert_eq!(
            (f.address(), f.order(), f.mem_rights()),
            (0x1234_5000, 14, MemRights::RW)
        );
        let p = Fpage::io(0x3f8, 3);
        assert_eq!(
            (p.kind(), p.number(), p.order(), p.rights()),
            (FpageType::Io, 0x3f8, 3, 6)
        );
        let o = Fpage::obj(CapIdx::from_slot(17), 0, CapRights::RWS);
        assert_eq!((o.kind(), o.number(), o.rights()), (FpageType::Obj, 17, 7));
        assert_eq!(f.with_rights(1).rights(), 1);
    }
}
