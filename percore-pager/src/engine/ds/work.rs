//! Clear, allocate and copy_in: requests that may take many turns.
//!
//! A [`Work`] is made by a request's checks and then stepped until it is done; the caller serves
//! others between two steps and answers at the end. The dataspaces it names must live as long as
//! it does: a caller whose object dies drops the work.

use l4_sys::{Errno, PAGE_SHIFT, PAGE_SIZE};

use crate::engine::arena::{Ref, Store};
use crate::engine::kernel::{Foreign, Kernel, Place};
use crate::engine::pool::Pool;
use crate::frames::{FrameNo, Policy};

use super::create::TURN_FRAMES;
use super::object::{Ds, Kind};
use super::page;
use super::populate;
use super::table::{self, Found};
use super::word::{GROUP, GROUP_SHIFT};

/// Pieces that one turn may handle.
pub(super) const TURN_PIECES: u64 = 64;
/// Pages that one turn of an allocation makes sure of, at some 310 instructions each: three groups.
const TURN_PAGES: u64 = 48;
/// Words of a table that one turn may look at, as [`table::next_used`] counts them: some 3000 instructions.
pub(super) const TURN_WORDS: u32 = 512;

/// Whether a request is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "the client waits until it is done"]
pub enum Progress {
    /// Answer now.
    Done,
    /// Step again.
    More,
}

/// Where a copy comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// One of the engine's own.
    Own(Ref<Ds>),
    /// Another server's, and its size in bytes.
    Foreign(Foreign, u64),
}

/// See the [module](self).
#[derive(Clone, Copy, Debug)]
pub struct Work {
    pub(super) ds: Ref<Ds>,
    /// Bytes that are left: from here, or with `down` up to here and below.
    pub(super) at: u64,
    pub(super) left: u64,
    pub(super) kind: What,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum What {
    Clear,
    Allocate {
        write: bool,
    },
    /// From `at` of the source, in the same way.
    Copy {
        source: Source,
        from: u64,
        down: bool,
    },
}

impl Work {
    /// Clears `size` bytes at `offset` (MOE-DS-11 to -14), cut off at the end.
    ///
    /// # Errors
    ///
    /// `Access` not writable, `Range` the offset is behind the last page.
    pub fn clear<S: Store>(
        mem: &S,
        ds: Ref<Ds>,
        offset: u64,
        size: u64,
        writable: bool,
    ) -> Result<Self, Errno> {
        let it = mem.arena().get(ds);
        if !it.may_write(writable) {
            return Err(Errno::Access);
        }
        let room = it
            .rounded_size()
            .checked_sub(offset)
            .filter(|room| *room > 0);
        let left = room.ok_or(Errno::Range)?.min(size);
        Ok(Work {
            ds,
            at: offset,
            left,
            kind: What::Clear,
        })
    }

    /// Makes sure that `size` bytes at `offset` have memory (MOE-DS-25 to -27).
    ///
    /// # Errors
    ///
    /// `Range` unless the offset is below the exact size and the range within it.
    pub fn allocate<S: Store>(
        mem: &S,
        ds: Ref<Ds>,
        offset: u64,
        size: u64,
        writable: bool,
    ) -> Result<Self, Errno> {
        let it = mem.arena().get(ds);
        let mut work = Work {
            ds,
            at: offset,
            left: size,
            kind: What::Allocate {
                write: it.may_write(writable),
            },
        };
        if it.kind() != Kind::OnDemand {
            work.left = 0;
        } else if offset >= it.size() || size > it.size() - offset {
            return Err(Errno::Range);
        }
        Ok(work)
    }

    /// Makes memory for pages up to `end`, which is not behind the last page.
    pub(super) fn bring(ds: Ref<Ds>, first: u64, end: u64, write: bool) -> Self {
        Work {
            ds,
            at: first << PAGE_SHIFT,
            left: (end - first) << PAGE_SHIFT,
            kind: What::Allocate { write },
        }
    }

    /// Copies `size` bytes at `from` of `source` to `offset` (MOE-DS-17 to -23); cut off at the
    /// destination's exact and the source's rounded size. Ranges of one dataspace may overlap.
    ///
    /// # Errors
    ///
    /// `Access` the destination is not writable.
    pub fn copy_in<S: Store>(
        mem: &S,
        ds: Ref<Ds>,
        offset: u64,
        (source, from): (Source, u64),
        size: u64,
        writable: bool,
    ) -> Result<Self, Errno> {
        let it = mem.arena().get(ds);
        if !it.may_write(writable) {
            return Err(Errno::Access);
        }
        let source_size = match source {
            Source::Own(source) => mem.arena().get(source).rounded_size(),
            Source::Foreign(_, size) => size,
        };
        let room = it.size().saturating_sub(offset);
        let mut left = size.min(room).min(source_size.saturating_sub(from));
        let same = source == Source::Own(ds);
        if same && offset == from {
            left = 0;
        }
        let down = same && offset > from && offset - from < left;
        let shift = if down { left } else { 0 };
        Ok(Work {
            ds,
            at: offset.saturating_add(shift),
            left,
            kind: What::Copy {
                source,
                from: from.saturating_add(shift),
                down,
            },
        })
    }

    /// Does a turn's worth.
    ///
    /// # Errors
    ///
    /// `NoMem`, or what a foreign source answered: what is done so far stays.
    pub fn step<P: Policy, K: Kernel>(
        &mut self,
        pool: &mut Pool<'_, P, K>,
    ) -> Result<Progress, Errno> {
        // What is taken away must not be seen any more when the client goes on.
        match self.kind {
            What::Clear => pool.unmapping(|pool| self.clear_some(pool)),
            What::Allocate { write } => self.allocate_some(pool, write),
            What::Copy { source, from, down } => {
                pool.unmapping(|pool| self.copy_some(pool, source, from, down))
            }
        }?;
        Ok(if self.left == 0 {
            Progress::Done
        } else {
            Progress::More
        })
    }

    fn advance(&mut self, bytes: u64) {
        self.at += bytes;
        self.left -= bytes;
    }

    fn clear_some<P: Policy, K: Kernel>(&mut self, pool: &mut Pool<'_, P, K>) -> Result<(), Errno> {
        if pool.arena().get(self.ds).kind() != Kind::OnDemand {
            let mut budget = TURN_FRAMES * PAGE_SIZE;
            while self.left > 0 && budget > 0 {
                let bytes = (PAGE_SIZE - self.at % PAGE_SIZE).min(self.left).min(budget);
                self.zero_part(pool, bytes)?;
                budget -= bytes;
            }
            return Ok(());
        }
        let (mut budget, mut words) = (TURN_PIECES, TURN_WORDS);
        while self.left > 0 && budget > 0 {
            let within = self.at % PAGE_SIZE;
            if within != 0 || self.left < PAGE_SIZE {
                let bytes = (PAGE_SIZE - within).min(self.left);
                self.zero_part(pool, bytes)?;
                budget -= 1;
                continue;
            }
            let page = self.at >> PAGE_SHIFT;
            let group = page >> GROUP_SHIFT;
            match table::next_used(pool.arena(), self.ds, group, &mut words) {
                Found::Group(found, slot) if found == group => {
                    let first = page % GROUP;
                    let pages = (self.left >> PAGE_SHIFT).min(GROUP - first);
                    let mask = (((1u32 << pages) - 1) << first) as u16;
                    // Not the pieces: each page is one for the kernel, which unmaps them in this turn.
                    page::drop_pages(pool, self.ds, slot, mask, true);
                    budget = budget.saturating_sub(pages);
                    self.advance(pages * PAGE_SIZE);
                }
                Found::Group(next, _) => self.skip_to(next),
                Found::GoOn(next) => {
                    self.skip_to(next);
                    budget = 0;
                }
                Found::End => self.skip_to(u64::MAX),
            }
        }
        Ok(())
    }

    /// Goes on at a group, as far as whole pages are left.
    fn skip_to(&mut self, group: u64) {
        let to = group.saturating_mul(GROUP * PAGE_SIZE);
        self.advance((to - self.at).min(self.left & !(PAGE_SIZE - 1)));
    }

    /// Zeroes bytes of one page in place.
    fn zero_part<P: Policy, K: Kernel>(
        &mut self,
        pool: &mut Pool<'_, P, K>,
        bytes: u64,
    ) -> Result<(), Errno> {
        if let Some(frame) = self.frame_to_write(pool, false)? {
            let offset = (self.at % PAGE_SIZE) as u32;
            pool.kernel
                .zero_bytes(Place { frame, offset }, bytes as u32);
        }
        self.advance(bytes);
        Ok(())
    }

    /// The frame of the page at `at`. A page that does not exist is made only with `make`.
    pub(super) fn frame_to_write<P: Policy, K: Kernel>(
        &self,
        pool: &mut Pool<'_, P, K>,
        make: bool,
    ) -> Result<Option<FrameNo>, Errno> {
        let it = pool.arena().get(self.ds);
        let page = self.at >> PAGE_SHIFT;
        if it.kind() != Kind::OnDemand {
            return Ok(Some(FrameNo(it.root + page)));
        }
        if !make && !page::is_there(pool.arena(), self.ds, page) {
            return Ok(None);
        }
        populate::bring(pool, self.ds, page, true).map(|brought| Some(brought.frame()))
    }

    fn allocate_some<P: Policy, K: Kernel>(
        &mut self,
        pool: &mut Pool<'_, P, K>,
        write: bool,
    ) -> Result<(), Errno> {
        let (mut frames, mut pages) = (0, 0);
        while self.left > 0 && frames < TURN_FRAMES && pages < TURN_PAGES {
            let page = self.at >> PAGE_SHIFT;
            if !page::is_there(pool.arena(), self.ds, page) {
                if frames > 0 {
                    break;
                }
                // It is known that the pages before will be used.
                pool.arena_mut().get_mut(self.ds).next_page = page;
            }
            frames += populate::bring(pool, self.ds, page, write)?.work();
            pages += 1;
            self.advance((PAGE_SIZE - self.at % PAGE_SIZE).min(self.left));
        }
        Ok(())
    }
}
