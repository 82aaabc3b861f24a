//! Places in physical memory to try, found in the kernel's memory descriptors.

use l4_sys::kip::Kip;
use l4_sys::memdesc::{MemDesc, MemType};
use l4_sys::{PAGE_SHIFT, PAGE_SIZE};

/// Which descriptors of the machine touch a page or a block.
pub struct Places {
    kip: &'static Kip,
}

impl Places {
    /// From the kernel information page.
    #[must_use]
    pub fn new(kip: &'static Kip) -> Self {
        Places { kip }
    }

    /// All descriptors of memory.
    pub fn descriptors(&self) -> impl Iterator<Item = MemDesc> {
        let all = self.kip.mem_descs().iter().copied();
        all.filter(|d| !d.is_virtual() && d.kind() != MemType::Undefined && d.end() >= d.start())
    }

    /// Whether a descriptor of another type than `but` touches the `size` bytes at `start`.
    #[must_use]
    pub fn touched(&self, start: u64, size: u64, but: MemType) -> bool {
        let end = start.saturating_add(size - 1);
        self.descriptors()
            .any(|d| d.kind() != but && d.start() <= end && d.end() >= start)
    }

    /// Pages that lie wholly in a descriptor of type `kind` and are touched by no other type
    /// except Conventional, lowest descriptor first.
    pub fn pages(&self, kind: MemType) -> impl Iterator<Item = u64> {
        self.descriptors()
            .filter(move |d| d.kind() == kind)
            .flat_map(|d| {
                let first = d.start().next_multiple_of(PAGE_SIZE);
                let end = d.end().saturating_add(1);
                (first..end)
                    .step_by(1 << PAGE_SHIFT)
                    .take_while(move |p| p + PAGE_SIZE <= end)
            })
            .filter(move |page| {
                let end = page + (PAGE_SIZE - 1);
                !self.descriptors().any(|d| {
                    d.kind() != kind
                        && d.kind() != MemType::Conventional
                        && d.start() <= end
                        && d.end() >= *page
                })
            })
    }

    /// The lowest aligned block of RAM that no carve-out touches, at or above `from`.
    #[must_use]
    pub fn free_block(&self, order: u32, from: u64) -> Option<u64> {
        let size = 1u64 << order;
        let candidates = self
            .descriptors()
            .filter(|d| d.kind() == MemType::Conventional)
            .flat_map(|d| {
                let first = d.start().max(from).next_multiple_of(size);
                let end = d.end().saturating_add(1);
                (first..end)
                    .step_by(1 << order)
                    .take_while(move |b| b + size <= end)
            });
        candidates
            .filter(|b| !self.touched(*b, size, MemType::Conventional))
            .min()
    }

    /// A page of no descriptor at all: device memory, or nothing.
    #[must_use]
    pub fn io_page(&self) -> u64 {
        // Below the local APIC, where PC chip sets decode devices.
        let candidates = (0xe000_0000u64..0xfec0_0000).step_by(1 << 20);
        candidates
            .filter(|p| !self.touched(*p, 1 << 20, MemType::Undefined))
            .last()
            .unwrap_or(0xfed0_0000)
    }

    /// Bytes of RAM that no carve-out touches, in whole pages.
    #[must_use]
    pub fn free_bytes(&self) -> u64 {
        let mut bytes = 0;
        let mut at = 0;
        while let Some(page) = self.free_block(PAGE_SHIFT, at) {
            // Skip ahead to the next edge of any descriptor.
            let edge = self
                .descriptors()
                .flat_map(|d| {
                    [
                        d.start() & !(PAGE_SIZE - 1),
                        d.end().saturating_add(1) & !(PAGE_SIZE - 1),
                    ]
                })
                .filter(|e| *e > page)
                .min()
                .unwrap_or(page + PAGE_SIZE);
            bytes += edge - page;
            at = edge;
        }
        bytes
    }
}
