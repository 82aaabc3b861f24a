//! Copying: the steps of [`Work::copy_in`].

use l4_sys::{Errno, PAGE_SHIFT, PAGE_SIZE};

use crate::engine::arena::Store;
use crate::engine::kernel::{Kernel, Place};
use crate::engine::pool::Pool;
use crate::frames::{FrameNo, Policy};

use super::create::TURN_FRAMES;
use super::object::Kind;
use super::page;
use super::read;
use super::share;
use super::word::Page;
use super::work::{Source, TURN_PIECES, What, Work};

impl Work {
    pub(super) fn copy_some<P: Policy, K: Kernel>(
        &mut self,
        pool: &mut Pool<'_, P, K>,
        source: Source,
        mut from: u64,
        down: bool,
    ) -> Result<(), Errno> {
        let (mut copied, mut pieces) = (0, 0);
        let mut quiet = share::Quiet::default();
        while self.left > 0 && copied < TURN_FRAMES && pieces < TURN_PIECES {
            let page = page_at(self.at, down);
            let fresh = !page::is_there(pool.arena(), self.ds, page);
            let on_demand = pool.arena().get(self.ds).kind() == Kind::OnDemand;
            let own = !on_demand || matches!(page::look(pool.arena(), self.ds, page), Page::Own(_));
            if fresh && copied > 0 {
                // It may take a whole turn to make it.
                break;
            }
            let room = |at: u64| {
                if down {
                    at.wrapping_sub(1) % PAGE_SIZE + 1
                } else {
                    PAGE_SIZE - at % PAGE_SIZE
                }
            };
            let bytes = room(self.at).min(room(from)).min(self.left);
            let (to, end) = (self.at, from);
            if down {
                self.at -= bytes;
                from -= bytes;
            }
            let shared = bytes == PAGE_SIZE && self.share_page(pool, source, from, &mut quiet)?;
            if !shared {
                if let Err(error) = self.copy_page(pool, source, from, bytes as u32) {
                    (self.at, from) = (to, end);
                    self.keep_source(source, from, down);
                    return Err(error);
                }
                // A page that is shared is copied before it is written.
                copied += if fresh {
                    TURN_FRAMES
                } else {
                    2 - u64::from(own)
                };
            }
            pieces += 1;
            self.left -= bytes;
            if !down {
                self.at += bytes;
                from += bytes;
            }
        }
        self.keep_source(source, from, down);
        Ok(())
    }

    fn keep_source(&mut self, source: Source, from: u64, down: bool) {
        self.kind = What::Copy { source, from, down };
    }

    /// Shares a whole page instead of copying it; `false` when that cannot be done.
    fn share_page<P: Policy, K: Kernel>(
        &self,
        pool: &mut Pool<'_, P, K>,
        source: Source,
        from: u64,
        quiet: &mut share::Quiet,
    ) -> Result<bool, Errno> {
        let Source::Own(source) = source else {
            return Ok(false);
        };
        let to = pool.arena().get(self.ds);
        let src = pool.arena().get(source);
        let fixed = src.kind() == Kind::Static && !src.may_write(true);
        if to.kind() != Kind::OnDemand || !fixed && src.kind() != Kind::OnDemand {
            return Ok(false);
        }
        let frame = FrameNo(src.root + (from >> PAGE_SHIFT));
        let page = if fixed {
            Page::Static(frame)
        } else {
            Page::Empty
        };
        let (to, from) = (self.at >> PAGE_SHIFT, from >> PAGE_SHIFT);
        let fixed = fixed.then_some(page);
        share::copy_page(pool, (source, from), (self.ds, to), fixed, quiet)
    }

    fn copy_page<P: Policy, K: Kernel>(
        &self,
        pool: &mut Pool<'_, P, K>,
        source: Source,
        from: u64,
        bytes: u32,
    ) -> Result<(), Errno> {
        let place = |frame, at: u64| Place {
            frame,
            offset: (at % PAGE_SIZE) as u32,
        };
        match source {
            Source::Foreign(foreign, _) => {
                if let Some(frame) = self.frame_to_write(pool, true)? {
                    let to = place(frame, self.at);
                    pool.kernel.copy_foreign(to, foreign, from, bytes)?;
                }
            }
            Source::Own(source) => {
                // A source page that does not exist reads as zero and is not made.
                let empty = read::frame(pool, source, from).is_none();
                if let Some(to) = self.frame_to_write(pool, !empty)? {
                    let to = place(to, self.at);
                    match read::frame(pool, source, from) {
                        Some(frame) => pool.kernel.copy(to, place(frame, from), bytes),
                        None => pool.kernel.zero_bytes(to, bytes),
                    }
                }
            }
        }
        Ok(())
    }
}

/// The page that a copy at `at` touches next.
fn page_at(at: u64, down: bool) -> u64 {
    (if down { at.wrapping_sub(1) } else { at }) >> PAGE_SHIFT
}
