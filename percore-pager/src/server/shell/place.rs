//! The map of the program's address space, and of its slots.
//!
//! | where | what |
//! | --- | --- |
//! | [`Places::ram`] + physical address | RAM from sigma0, where it says it is |
//! | [`Places::loaned`] upward | memory from the loader's allocator |
//! | [`Places::utcbs`] + 4 KiB for each thread | UTCBs of its threads |
//! | [`Places::foreign`] + 2 MiB for each thread | windows onto other servers' dataspaces |
//! | [`Places::shown`] + 1 GiB for each thread | other servers' memory that clients are shown |
//!
//! All of these are kept free in the program's own region map, so that nothing else is put there.
//!
//! They lie below 512 GiB where that is possible, in the same entry of the topmost page table as all
//! programs. When the kernel goes from one space to another on a CPU, it keeps the entries that both
//! have; one that the other does not have is dropped, and comes back by a fault of this program at its
//! first use: two faults and some 370 instructions for each request, counted.

use l4_sys::utcb::UTCB_SIZE;
use l4_sys::{CapIdx, Fpage, MemRights};

use super::cpus::MAX_CPUS;

/// log2 of a window onto a foreign dataspace.
pub const FOREIGN_ORDER: u32 = 21;
/// Threads of a pager thread's family: itself, one that fetches, one that idles, one that works.
pub const FAMILY: u64 = 4;

/// See the [module](self). Addresses of the program.
#[derive(Clone, Copy, Debug)]
pub struct Places {
    /// Where physical address 0 would be. A multiple of the bytes that RAM can lie in.
    pub ram: u64,
    /// log2 of the bytes that RAM can lie in.
    pub ram_order: u32,
    /// Where borrowed memory begins.
    pub loaned: u64,
    /// UTCBs.
    pub utcbs: u64,
    /// Windows.
    pub foreign: u64,
    /// Memory to be shown.
    pub shown: u64,
}

impl Places {
    /// The places of the program on the kernel, for RAM below 256 GiB.
    pub const KERNEL: Places = Places {
        ram: 1 << 38,
        ram_order: 38,
        loaned: 128 << 30,
        utcbs: 124 << 30,
        foreign: 125 << 30,
        shown: 192 << 30,
    };

    /// For RAM above that, up to 8 TiB: requests cost the faults that the [module](self) tells of.
    pub const LARGE: Places = Places {
        ram: 1 << 43,
        ram_order: 43,
        loaned: 1 << 42,
        ..Places::KERNEL
    };

    /// The places for a machine whose RAM ends at this address.
    pub const fn for_ram(end: u64) -> Places {
        if end <= 1 << Places::KERNEL.ram_order {
            Places::KERNEL
        } else {
            Places::LARGE
        }
    }

    /// First addresses and sizes of two areas that do not touch each other's and together are all.
    pub const fn all(&self) -> [(u64, u64); 2] {
        let low_end = 256 << 30;
        let high = if self.loaned < low_end {
            self.ram
        } else {
            self.loaned
        };
        let end = self.ram + (1 << self.ram_order);
        [(self.utcbs, low_end - self.utcbs), (high, end - high)]
    }

    /// The window to receive RAM in.
    pub const fn window(&self) -> Fpage {
        Fpage::mem(self.ram, self.ram_order, MemRights::RWX)
    }

    /// Where a block of RAM is that was received in the window.
    pub const fn physical(&self, block: Fpage) -> Fpage {
        let offset = block.address() & ((1 << self.ram_order) - 1);
        Fpage::mem(self.ram + offset, block.order(), MemRights::RWX)
    }

    /// The page of UTCBs of a family.
    pub const fn utcb_page(&self, worker: u32) -> Fpage {
        Fpage::mem(self.utcbs + ((worker as u64) << 12), 12, MemRights::RW)
    }

    /// The UTCB of a member of a family.
    pub const fn utcb(&self, worker: u32, member: u64) -> u64 {
        self.utcb_page(worker).address() + member * UTCB_SIZE
    }

    /// A thread's window onto foreign dataspaces.
    pub const fn foreign_window(&self, worker: u32) -> Fpage {
        let at = self.foreign + ((worker as u64) << FOREIGN_ORDER);
        Fpage::mem(at, FOREIGN_ORDER, MemRights::RW)
    }
}

/// Blocks of 2 MiB that a thread has for memory to be shown.
pub const SHOWN: usize = 512;

impl Places {
    /// Address of a thread's blocks for memory to be shown.
    pub const fn shown_windows(&self, worker: u32) -> u64 {
        self.shown + ((worker as u64 * SHOWN as u64) << FOREIGN_ORDER)
    }
}

/// Slots of the object space: a directory of 512 tables of 128.
const ALL_SLOTS: u64 = 1 << 16;
/// Slots of a thread beside its gates: threads, interrupts, buffers, foreign dataspaces.
pub const OWN_SLOTS: u64 = 128;
/// Slots for dataspaces that memory was borrowed with.
const BORROWED: u64 = 512;
/// Most objects of a thread.
const MAX_ENTRIES: u64 = 8192;

/// How the slots are divided among threads.
#[derive(Clone, Copy, Debug)]
pub struct Slots {
    first: u64,
    entries: u64,
}

impl Slots {
    /// For so many threads, from `first` on.
    pub fn new(first: CapIdx, workers: u32) -> Self {
        let first = first.slot() + BORROWED;
        let workers = u64::from(workers.clamp(1, MAX_CPUS));
        let room = ALL_SLOTS.saturating_sub(first) / workers;
        // A gate and a counted copy of it for each object.
        let entries = (room.saturating_sub(OWN_SLOTS) / 2).min(MAX_ENTRIES);
        Slots { first, entries }
    }

    /// First slot for borrowed memory: there are as many as threads can have regions.
    pub fn borrowed(&self) -> CapIdx {
        CapIdx::from_slot(self.first - BORROWED)
    }

    /// Objects of a thread.
    pub fn entries(&self) -> u32 {
        self.entries as u32
    }

    fn base(&self, worker: u32) -> u64 {
        self.first + u64::from(worker) * (OWN_SLOTS + 2 * self.entries)
    }

    /// A thread's own slots, `n` below [`OWN_SLOTS`].
    pub fn own(&self, worker: u32, n: u64) -> CapIdx {
        CapIdx::from_slot(self.base(worker) + n)
    }

    /// The gate of an object.
    pub fn gate(&self, worker: u32, entry: u32) -> CapIdx {
        CapIdx::from_slot(self.base(worker) + OWN_SLOTS + u64::from(entry))
    }

    /// The counted copy of an object's gate.
    pub fn held(&self, worker: u32, entry: u32) -> CapIdx {
        CapIdx::from_slot(self.base(worker) + OWN_SLOTS + self.entries + u64::from(entry))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_do_not_overlap_and_fit() {
        for workers in [1, 4, 48, MAX_CPUS] {
            let slots = Slots::new(CapIdx::from_slot(64), workers);
            let n = slots.entries();
            assert!(n >= 300, "{workers} threads: {n} objects each");
            for worker in 0..workers {
                assert_eq!(slots.own(worker, OWN_SLOTS), slots.gate(worker, 0));
                assert_eq!(slots.gate(worker, n), slots.held(worker, 0));
                assert_eq!(slots.held(worker, n), slots.own(worker + 1, 0));
            }
            assert!(slots.held(workers - 1, n - 1).slot() < ALL_SLOTS);
            assert!(slots.borrowed().slot() + BORROWED <= slots.own(0, 0).slot());
        }
    }

    #[test]
    fn utcbs_of_a_family_fit_its_page() {
        const { assert!(FAMILY * UTCB_SIZE <= 4096) };
        let places = Places::KERNEL;
        assert_eq!(places.utcb(1, 2), (124 << 30) + 4096 + 2048);
        let block = Fpage::mem(0x4000_0000, 30, MemRights::RWX);
        assert_eq!(places.physical(block).address(), (1 << 38) + 0x4000_0000);
    }

    #[test]
    fn areas_do_not_overlap() {
        for places in [Places::KERNEL, Places::LARGE] {
            let [(low, size), (high, _)] = places.all();
            assert!(low + size <= high);
            let end = |page: Fpage| page.address() + (1 << page.order());
            let last = MAX_CPUS - 1;
            let mut areas = [
                (places.utcbs, end(places.utcb_page(last))),
                (places.foreign, end(places.foreign_window(last))),
                (places.loaned, places.loaned + (64 << 30)),
                (places.shown, places.shown_windows(last + 1)),
                (places.ram, places.ram + (1 << places.ram_order)),
            ];
            areas.sort_unstable();
            for pair in areas.windows(2) {
                assert!(pair[0].1 <= pair[1].0, "{places:x?}: {areas:x?}");
            }
            for (start, end) in areas {
                let kept = places
                    .all()
                    .iter()
                    .any(|(a, n)| *a <= start && end <= a + n);
                assert!(kept, "{start:#x} is not kept free");
            }
        }
        assert_eq!(Places::for_ram(1 << 38).ram, 1 << 38);
        assert_eq!(Places::for_ram((1 << 38) + 1).ram, 1 << 43);
    }
}
