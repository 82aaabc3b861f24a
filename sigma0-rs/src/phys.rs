//! Reading physical memory that the firmware or the boot loader left.
//!
//! Sigma0 sees memory one to one: the kernel maps what it touches. A pointer in a broken table must
//! not make it touch the kernel's own memory or nothing at all, so every address is looked up in
//! the maps first: what no client could ever get, sigma0 does not read either.

use core::ptr::NonNull;

use crate::map::{MapId, Range, Regions};

/// A reader that only goes where the maps say that there is something.
#[derive(Clone, Copy)]
pub struct Phys<'a> {
    maps: &'a Regions,
}

impl<'a> Phys<'a> {
    /// Reads what `maps` knows.
    #[must_use]
    pub const fn new(maps: &'a Regions) -> Self {
        Phys { maps }
    }

    /// Copies physical memory to `out`; `None` when a part of it is nobody's to read.
    #[must_use]
    pub fn copy(&self, address: u64, out: &mut [u8]) -> Option<()> {
        let Some(last) = (out.len() as u64).checked_sub(1) else {
            return Some(());
        };
        let end = address.checked_add(last)?;
        self.check(address, end)?;
        // Whole words where that comes out even: the search for tables goes through 128 KiB.
        let even = if address.is_multiple_of(8) {
            out.len() & !7
        } else {
            0
        };
        let (words, bytes) = out.split_at_mut(even);
        let mut at = l4_sys::mem::at(address);
        for w in words.chunks_exact_mut(8) {
            // SAFETY: `check` found these bytes in the RAM or I/O map, so the kernel maps them on
            // the access, and `at` is aligned. The memory is the firmware's or the boot loader's
            // and nobody writes it now.
            let value = unsafe { at.cast::<u64>().read_volatile() };
            w.copy_from_slice(&value.to_le_bytes());
            at = at.wrapping_add(8);
        }
        for b in bytes {
            // SAFETY: as above.
            *b = unsafe { at.read_volatile() };
            at = at.wrapping_add(1);
        }
        Some(())
    }

    /// A little-endian word.
    #[must_use]
    pub fn u64(&self, address: u64) -> Option<u64> {
        let mut b = [0; 8];
        self.copy(address, &mut b)?;
        Some(u64::from_le_bytes(b))
    }

    /// The first address in `first ..= last`, in steps of 16 from `first` (a multiple of 16), where
    /// `word` lies. Memory that nobody may read is passed over. The maps are asked once a run, not
    /// once a word: start-up goes through 128 KiB this way.
    #[must_use]
    pub fn find_word(&self, first: u64, last: u64, word: u64) -> Option<u64> {
        let mut at = first;
        while at <= last {
            let (run, readable) = self.run_at(at);
            let end = run.end().min(last);
            if !readable || at == 0 {
                at = end.checked_add(1)?.checked_next_multiple_of(16)?;
                continue;
            }
            while at < end && end - at >= 7 {
                // SAFETY: `run_at` found these bytes in the RAM or I/O map, so the kernel maps them
                // on the access; the address is a multiple of 16. See `copy`.
                if unsafe { l4_sys::mem::at(at).cast::<u64>().read_volatile() } == word {
                    return Some(at);
                }
                at = at.checked_add(16)?;
            }
            at = at.max(end.checked_add(1)?.checked_next_multiple_of(16)?);
        }
        None
    }

    /// The run that holds `address`, and whether anybody may read it.
    fn run_at(&self, address: u64) -> (Range, bool) {
        let ram = self.maps.lookup(MapId::Ram, address);
        if !ram.state.is_absent() {
            return (ram.range, true);
        }
        let io = self.maps.lookup(MapId::Io, address);
        let stored = !io.state.is_absent();
        // Not RAM and not I/O memory: up to where either of them begins.
        let range = Range::new(address, io.range.end().min(ram.range.end())).unwrap_or(io.range);
        (if stored { io.range } else { range }, stored)
    }

    /// Address 0 is left out: a null pointer in a table.
    fn check(&self, start: u64, end: u64) -> Option<()> {
        if start == 0 {
            return None;
        }
        let mut at = start;
        loop {
            let (run, readable) = self.run_at(at);
            if !readable {
                return None;
            }
            if run.end() >= end {
                return Some(());
            }
            at = run.end() + 1;
        }
    }
}

/// Touches each GiB of RAM once. Sigma0 later zeroes memory that clients give back and puts its
/// own bookkeeping in free pages; the kernel then needs a page table for that GiB, and a kernel
/// without memory would stop sigma0 for good. So the tables are made while there is memory, 4 KiB
/// of the kernel's for a GiB.
pub fn touch(maps: &Regions) {
    for run in maps.runs(MapId::Ram) {
        let mut at = run.range.start().max(8);
        // Descriptors may claim anything; no machine has more than this.
        for _ in 0..MOST_GIB {
            // SAFETY: the run is in the RAM map, so the kernel maps it on the access; the value
            // does not matter.
            let _ = unsafe { l4_sys::mem::at(at).read_volatile() };
            match (at | (GIB - 1)).checked_add(1) {
                Some(next) if next <= run.range.end() => at = next,
                _ => break,
            }
        }
    }
}

const GIB: u64 = 1 << 30;
const MOST_GIB: u32 = 1 << 16;

/// Where a free page can be written, for the maps' own growth.
#[must_use]
pub fn window(page: u64) -> Option<NonNull<u8>> {
    NonNull::new(l4_sys::mem::at(page))
}

/// Zeroes memory that nobody has mapped.
pub fn zero(range: Range) {
    let bytes = (range.end() - range.start()).saturating_add(1);
    // SAFETY: the range is RAM that belongs to the scrubber: no client has it mapped, and sigma0's
    // own image and bookkeeping are never in the RAM map.
    unsafe { l4_sys::mem::zero(range.start(), bytes) };
}
