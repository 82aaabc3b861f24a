//! Memory descriptors of the kernel information page.
//!
//! Two words each. Word 0: bits 0-3 type, 4-7 sub-type, 8 eager, 9 virtual, 10 up the start; word
//! 1 the inclusive end, whose low 10 bits count as set. So the unit is 1 KiB.

/// What a range of memory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemType {
    /// Unused descriptor.
    Undefined,
    /// Ordinary RAM.
    Conventional,
    /// In use by the kernel, nobody may map it.
    Reserved,
    /// Like reserved.
    Dedicated,
    /// Shared memory.
    Shared,
    /// Left by the boot loader for user level, e.g. the ACPI root pointer.
    Info,
    /// The root task's image and modules.
    Bootloader,
    /// Architecture-specific, e.g. ACPI tables.
    Arch,
    /// A number without a meaning.
    Unknown(u8),
}

/// Sub-type of [`MemType::Info`]: the range starts with the ACPI root pointer.
pub const INFO_ACPI_RSDP: u8 = 0;
/// Sub-type of [`MemType::Arch`]: ACPI tables.
pub const ARCH_ACPI_TABLES: u8 = 3;
/// Sub-type of [`MemType::Arch`]: ACPI non-volatile storage.
pub const ARCH_ACPI_NVS: u8 = 4;
/// Sub-type of [`MemType::Reserved`]: the kernel's image.
pub const RESERVED_KERNEL: u8 = 0;
/// Sub-type of [`MemType::Reserved`]: the kernel's heap.
pub const RESERVED_HEAP: u8 = 1;

/// One descriptor. Any pair of words is one; `end` may be below `start` in a broken one.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct MemDesc {
    /// Start and attributes.
    pub low: u64,
    /// Inclusive end.
    pub high: u64,
}

impl MemDesc {
    /// A descriptor for `start..=end` in bytes, rounded outwards to 1 KiB.
    #[must_use]
    pub const fn new(start: u64, end: u64, kind: MemType, sub_type: u8, is_virtual: bool) -> Self {
        MemDesc {
            low: (start & !0x3ff)
                | kind.number() as u64
                | ((sub_type as u64 & 0xf) << 4)
                | if is_virtual { 0x200 } else { 0 },
            high: end | 0x3ff,
        }
    }

    /// First byte.
    #[must_use]
    pub const fn start(self) -> u64 {
        self.low & !0x3ff
    }

    /// Last byte.
    #[must_use]
    pub const fn end(self) -> u64 {
        self.high | 0x3ff
    }

    /// Type.
    #[must_use]
    pub const fn kind(self) -> MemType {
        match self.low as u8 & 0xf {
            0 => MemType::Undefined,
            1 => MemType::Conventional,
            2 => MemType::Reserved,
            3 => MemType::Dedicated,
            4 => MemType::Shared,
            0xd => MemType::Info,
            0xe => MemType::Bootloader,
            0xf => MemType::Arch,
            n => MemType::Unknown(n),
        }
    }

    /// Sub-type, 0 to 15; its meaning depends on the type.
    #[must_use]
    pub const fn sub_type(self) -> u8 {
        (self.low >> 4) as u8 & 0xf
    }

    /// Whether this describes the virtual address space of tasks instead of memory.
    #[must_use]
    pub const fn is_virtual(self) -> bool {
        self.low & 0x200 != 0
    }

    /// Whether the kernel should map it eagerly.
    #[must_use]
    pub const fn is_eager(self) -> bool {
        self.low & 0x100 != 0
    }
}

impl MemType {
    /// The number in a descriptor.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            MemType::Undefined => 0,
            MemType::Conventional => 1,
            MemType::Reserved => 2,
            MemType::Dedicated => 3,
            MemType::Shared => 4,
            MemType::Info => 0xd,
            MemType::Bootloader => 0xe,
            MemType::Arch => 0xf,
            MemType::Unknown(n) => n & 0xf,
        }
    }
}

impl core::fmt::Debug for MemDesc {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(
            f,
            "{:?}({:#x}..={:#x})",
            self.kind(),
            self.start(),
            self.end()
        )
    }
}

const _: () = assert!(core::mem::size_of::<MemDesc>() == 16);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_come_back() {
        let d = MemDesc::new(0x1000, 0x9fbff, MemType::Arch, ARCH_ACPI_TABLES, false);
        assert_eq!((d.start(), d.end()), (0x1000, 0x9fbff));
        assert_eq!((d.kind(), d.sub_type()), (MemType::Arch, 3));
        assert!(!d.is_virtual() && !d.is_eager());
        assert!(MemDesc::new(0, 0xffff, MemType::Conventional, 0, true).is_virtual());
        for n in 0..16 {
            assert_eq!(MemDesc { low: n, high: 0 }.kind().number(), n as u8);
        }
    }
}
