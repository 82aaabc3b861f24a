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

use l4_sys::utcb::UTCB_SIZE;
use l4_sys::{CapIdx, Fpage, MemRights};

use super::cpus::MAX_CPUS;

/// log2 of the bytes that RAM can lie in.
const RAM_ORDER: u32 = 40;
/// log2 of a window onto a foreign dataspace.
pub const FOREIGN_ORDER: u32 = 21;
/// Threads of a pager thread's family: itself, one that fetches, one that idles.
pub const FAMILY: u64 = 3;

/// See the [module](self). Addresses of the program.
#[derive(Clone, Copy, Debug)]
pub struct Places {
    /// Where physical address 0 would be. A multiple of 2^40.
    pub ram: u64,
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
    /// The places of the program on the kernel. Each area is 1 TiB, far from where loaders put things.
    pub const KERNEL: Places = Places {
        ram: 1 << 40,
        loaned: 2 << 40,
        utcbs: 3 << 40,
        foreign: 4 << 40,
        shown: 5 << 40,
    };

    /// First address and size of all areas together.
    pub const fn all(&self) -> (u64, u64) {
        (self.ram, 5 << 40)
    }

    /// The window to receive RAM in.
    pub const fn window(&self) -> Fpage {
        Fpage::mem(self.ram, RAM_ORDER, MemRights::RWX)
    }

    /// Where a block of RAM is that was received in the window.
    pub const fn physical(&self, block: Fpage) -> Fpage {
        let offset = block.address() & ((1 << RAM_ORDER) - 1);
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

/// log2 of the bytes of a thread's windows for memory to be shown, and their number.
pub const SHOWN_ORDER: u32 = 25;
/// See [`SHOWN_ORDER`].
pub const SHOWN: usize = 32;

impl Places {
    /// Window `n`, below [`SHOWN`], of a thread for memory to be shown.
    pub const fn shown_window(&self, worker: u32, n: usize) -> Fpage {
        let number = worker as u64 * SHOWN as u64 + n as u64;
        Fpage::mem(
            self.shown + (number << SHOWN_ORDER),
            SHOWN_ORDER,
            MemRights::RX,
        )
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
        assert_eq!(places.utcb(1, 2), (3 << 40) + 4096 + 2048);
        let block = Fpage::mem(0x4000_0000, 30, MemRights::RWX);
        assert_eq!(places.physical(block).address(), (1 << 40) + 0x4000_0000);
    }
}
