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

    /// Address 0 is left out: a null pointer in a table.
    fn check(&self, start: u64, end: u64) -> Option<()> {
        if start == 0 {
            return None;
        }
        let mut at = start;
        loop {
            let ram = self.maps.lookup(MapId::Ram, at);
            let run = if ram.state.is_absent() {
                self.maps.lookup(MapId::Io, at)
            } else {
                ram
            };
            if run.state.is_absent() {
                return None;
            }
            if run.range.end() >= end {
                return Some(());
            }
            at = run.range.end() + 1;
        }
    }
}

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
