//! A thread's tables, cut from the front of its own memory.
//!
//! [`Carver`] is the rind: it hands out pieces of a region that nobody else uses, each once. What it
//! hands out lives as long as the program, which never gives its tables back.

use core::sync::atomic::AtomicU64;

use l4_sys::mem;

use crate::engine::objects::Entry;
use crate::engine::rm::Range;
use crate::frames::{FrameNo, Run};
use crate::server::api::CoreAt;
use crate::server::parked::Parked;

use super::fetch::Line;
use super::windows::Window;

/// Bytes of a cache line.
const LINE: u64 = 64;

/// See the [module](self).
#[derive(Debug)]
pub struct Carver {
    next: u64,
    end: u64,
}

impl Carver {
    /// Cuts from `run`, from its first frame on.
    ///
    /// # Safety
    /// The run is mapped readable and writable for ever, and nothing else uses it but what the pieces
    /// are for; what is behind [`Carver::rest`] is the caller's.
    pub unsafe fn new(run: Run) -> Self {
        Carver {
            next: run.start().0 << FrameNo::SHIFT,
            end: run.end().0 << FrameNo::SHIFT,
        }
    }

    /// Address of `bytes` zeroed bytes that begin a cache line of their own.
    pub fn bytes(&mut self, bytes: u64) -> Option<u64> {
        let start = self.next;
        let next = start.checked_add(bytes)?.checked_next_multiple_of(LINE)?;
        if next > self.end {
            return None;
        }
        self.next = next;
        // SAFETY: inside the run, which is writable, and not handed out before.
        unsafe { mem::zero(start, next - start) };
        Some(start)
    }

    /// The same, from a page boundary on.
    pub fn pages(&mut self, bytes: u64) -> Option<u64> {
        self.next = self.next.checked_next_multiple_of(l4_sys::PAGE_SIZE)?;
        self.bytes(bytes.next_multiple_of(l4_sys::PAGE_SIZE))
    }

    /// `count` values, each `value` at first.
    fn slice<T: Copy>(&mut self, count: usize, value: T) -> Option<&'static mut [T]> {
        const { assert!(align_of::<T>() as u64 <= LINE) }
        let start = self.bytes((size_of::<T>() as u64).checked_mul(count as u64)?)?;
        let first = mem::at(start).cast::<T>();
        for n in 0..count {
            // SAFETY: the piece is `count` values long, aligned to a line, and nobody else's.
            unsafe { first.add(n).write(value) };
        }
        // SAFETY: as above, and all values have just been written.
        Some(unsafe { core::slice::from_raw_parts_mut(first, count) })
    }

    /// Entries of an object table.
    pub fn entries(&mut self, count: u32) -> Option<&'static mut [Entry]> {
        self.slice(count as usize, Entry::EMPTY)
    }

    /// Places for parked calls.
    pub fn parked(&mut self, count: usize) -> Option<&'static mut [Parked]> {
        self.slice(count, Parked::EMPTY)
    }

    /// Places for questions to other servers.
    pub fn lines(&mut self, count: usize) -> Option<&'static mut [Line]> {
        self.slice(count, Line::EMPTY)
    }

    /// Places for what of other servers' is shown.
    pub fn windows(&mut self, count: usize) -> Option<&'static mut [Window]> {
        self.slice(count, Window::EMPTY)
    }

    /// Ranges of addresses.
    pub fn ranges(
        &mut self,
        ranges: impl Iterator<Item = Range> + Clone,
    ) -> Option<&'static [Range]> {
        let first = ranges.clone().next();
        let places = match first {
            Some(first) => self.slice(ranges.clone().count(), first)?,
            None => return Some(&[]),
        };
        places
            .iter_mut()
            .zip(ranges)
            .for_each(|(place, range)| *place = range);
        Some(places)
    }

    /// Which processors are served, and by whom.
    pub fn processors(
        &mut self,
        all: impl Iterator<Item = CoreAt> + Clone,
    ) -> Option<&'static [CoreAt]> {
        let first = all.clone().next()?;
        let places = self.slice(all.clone().count(), first)?;
        places
            .iter_mut()
            .zip(all)
            .for_each(|(place, at)| *place = at);
        Some(places)
    }

    /// Words for one user.
    pub fn words(&mut self, count: usize) -> Option<&'static mut [u64]> {
        self.slice(count, 0)
    }

    /// Words that several references may change.
    pub fn shared(&mut self, count: usize) -> Option<&'static [AtomicU64]> {
        let start = self.bytes((count as u64).checked_mul(8)?)?;
        // SAFETY: zeroed, aligned, nobody else's, and every bit pattern is valid.
        Some(unsafe { core::slice::from_raw_parts(mem::at(start).cast(), count) })
    }

    /// A value of `T`, of which every byte is 0.
    ///
    /// # Safety
    /// That is a valid `T`.
    pub unsafe fn zeroed<T: Sync>(&mut self) -> Option<&'static T> {
        let start = self.pages(size_of::<T>() as u64)?;
        // SAFETY: aligned to a page, zeroed, nobody else's; the caller says that this is a `T`.
        Some(unsafe { &*mem::at(start).cast::<T>() })
    }

    /// What is left, in whole frames.
    pub fn rest(&self) -> Option<Run> {
        let first = self.next.div_ceil(l4_sys::PAGE_SIZE);
        let end = self.end / l4_sys::PAGE_SIZE;
        Run::new(FrameNo(first), end.checked_sub(first)?)
    }
}
