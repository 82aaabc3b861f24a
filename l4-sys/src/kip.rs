//! The kernel information page: version, clock, memory descriptors, boot information.

use crate::memdesc::{MemDesc, MemType};

/// First word of every kernel information page.
pub const MAGIC: u32 = 0x4be6_344c;
/// Top byte of the version of Fiasco.OC kernels.
pub const VERSION_FIASCO: u8 = 0x87;
/// Offset of the code that returns the clock in microseconds.
pub const READ_US: usize = 0x900;
/// Offset of the code that returns the clock in nanoseconds.
pub const READ_NS: usize = 0x980;
/// Size of the page in bytes.
pub const KIP_SIZE: usize = 4096;

/// Fixed part of the page.
#[derive(Debug)]
#[repr(C)]
pub struct Kip {
    /// [`MAGIC`].
    pub magic: u32,
    /// Interface version; the top byte tells the kernel.
    pub version: u32,
    /// Offset of the version and feature strings, in units of 16 bytes.
    pub offset_version_strings: u8,
    /// Nobody's.
    pub fill0: [u8; 3],
    /// Offset of the system calls; unused on amd64.
    pub kip_sys_calls: u8,
    /// Node.
    pub node: u8,
    /// Nobody's.
    pub fill1: [u8; 2],
    /// Entry of sigma0.
    pub sigma0_ip: u64,
    /// Entry of the root task.
    pub root_ip: u64,
    /// The kernel's clock; read it by [`READ_US`].
    pub clock: u64,
    /// CPU frequency in kHz.
    pub frequency_cpu: u64,
    /// Physical address of the ACPI root pointer, 0 when the boot loader gave none.
    pub acpi_rsdp_addr: u64,
    /// Physical address of a device tree, or 0.
    pub dt_addr: u64,
    /// The boot loader's value for user level: where the module list is.
    pub user_ptr: u64,
    /// Nobody's.
    pub res0: u64,
    /// Scheduling granularity in microseconds.
    pub scheduler_granularity: u32,
    /// Offset of the memory descriptors in bytes.
    pub mem_descs: u32,
    /// Number of memory descriptors.
    pub mem_descs_num: u32,
    /// Nobody's.
    pub res1: u32,
    /// Nobody's.
    pub res2: [u64; 2],
    /// Name of the platform, NUL-padded.
    pub platform_name: [u8; 16],
    /// Whether the kernel runs more than one CPU.
    pub is_mp: u32,
}

const _: () = {
    use core::mem::offset_of;
    assert!(offset_of!(Kip, sigma0_ip) == 16);
    assert!(offset_of!(Kip, acpi_rsdp_addr) == 48);
    assert!(offset_of!(Kip, user_ptr) == 64);
    assert!(offset_of!(Kip, mem_descs) == 84);
    assert!(offset_of!(Kip, platform_name) == 112);
};

impl Kip {
    /// Whether the version is one of Fiasco.OC's.
    #[must_use]
    pub const fn is_fiasco(&self) -> bool {
        (self.version >> 24) as u8 == VERSION_FIASCO
    }

    /// First address behind all RAM, 0 without any.
    #[must_use]
    pub fn ram_end(&self) -> u64 {
        let ram = |d: &&MemDesc| !d.is_virtual() && d.kind() == MemType::Conventional;
        let descriptors = self.mem_descs().iter().filter(ram);
        descriptors.map(|d| d.end() + 1).max().unwrap_or(0)
    }

    /// The memory descriptors. A count that would run over the page is cut at its end.
    #[must_use]
    pub fn mem_descs(&self) -> &[MemDesc] {
        let offset = self.mem_descs as usize;
        let room = KIP_SIZE.saturating_sub(offset) / core::mem::size_of::<MemDesc>();
        let count = (self.mem_descs_num as usize).min(room);
        if count == 0 || !offset.is_multiple_of(8) {
            return &[];
        }
        // SAFETY: the page is 4096 bytes, and `count` descriptors from `offset` lie inside it; a
        // `Kip` reference is only made from a whole mapped page (`from_addr`).
        unsafe {
            core::slice::from_raw_parts(
                core::ptr::from_ref(self)
                    .cast::<u8>()
                    .add(offset)
                    .cast::<MemDesc>(),
                count,
            )
        }
    }

    /// The version and feature strings: the first is the kernel's name, then the features.
    pub fn strings(&self) -> impl Iterator<Item = &[u8]> {
        let offset = self.offset_version_strings as usize * 16;
        // SAFETY: `offset` is below 4096 (255 * 16), and the page is 4096 bytes.
        let bytes = unsafe {
            core::slice::from_raw_parts(
                core::ptr::from_ref(self).cast::<u8>().add(offset),
                KIP_SIZE - offset,
            )
        };
        bytes.split(|b| *b == 0).take_while(|s| !s.is_empty())
    }

    /// Whether the kernel has the named feature.
    #[must_use]
    pub fn has_feature(&self, name: &str) -> bool {
        self.strings().skip(1).any(|s| s == name.as_bytes())
    }

    /// The page at an address.
    ///
    /// # Safety
    /// A whole kernel information page (4096 bytes) is readable at `addr` (as
    /// [`crate::mem::at`] sees it) for as long as the program runs.
    #[must_use]
    pub unsafe fn from_addr(addr: u64) -> &'static Kip {
        // SAFETY: the caller's promise.
        unsafe { &*crate::mem::at(addr).cast::<Kip>() }
    }
}
