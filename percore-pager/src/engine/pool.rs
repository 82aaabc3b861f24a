//! The memory of one pager thread: its frames, and what they are used for.
//!
//! A frame is in exactly one of these states, and [`Pool::figures`] adds up to all of them:
//!
//! * free (in the frame allocator, zeroed or not, or out to be zeroed);
//! * book-keeping ([`Store`]), charged to the account of the objects in it;
//! * a dataspace's, *used*: charged, and what is in it belongs to clients;
//! * a dataspace's, *kept*: part of a run of which a page is used, so that the rest of the run can
//!   follow contiguously; not charged, never seen by a client, and given back when memory is short;
//! * *waiting*: given up, but maybe still mapped by clients.
//!
//! So "no frame reaches a new owner while it is mapped" has one place: only
//! [`Pool::unmap_waiting`] gives a frame back that was ever used.

use crate::frames::{FrameNo, Frames, OwnerTag, PageOrder, Policy, Request, Run};

use super::arena::{Arena, PageIx, Ref, Store};
use super::ds::Ds;
use super::kernel::{Block, Kernel, Revoke};
use super::slabs::NoMemory;
use super::waiting::Waiting;

mod tune;

pub use tune::{Effects, Refused, Switching, Tuning};

/// Tag of book-keeping pages in the frame allocator.
pub const META: OwnerTag = tag(1);
/// Tag of dataspaces' frames.
pub const DATA: OwnerTag = tag(2);

const fn tag(number: u8) -> OwnerTag {
    match OwnerTag::new(number) {
        Some(tag) => tag,
        None => OwnerTag::MAX,
    }
}

/// What one turn zeroes ahead.
const ZERO_STEP: PageOrder = match PageOrder::new(4) {
    Some(order) => order,
    None => PageOrder::FRAME,
};

/// Most frames that are kept, as a part of all.
const KEPT_PART: u64 = 16;

/// How many frames are what. See the [module](self).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Uses {
    /// Nobody's.
    pub free: u64,
    /// Out to be zeroed.
    pub held: u64,
    /// Book-keeping.
    pub meta: u64,
    /// Dataspaces', used and kept.
    pub data: u64,
    /// Of these, kept.
    pub kept: u64,
    /// Waiting to be unmapped.
    pub waiting: u64,
}

/// See the [module](self).
#[derive(Debug)]
pub struct Pool<'a, P, K> {
    frames: Frames<'a, P>,
    arena: Arena,
    /// The frame that the arena's page 0 is.
    base: FrameNo,
    /// What the world outside is told.
    pub kernel: K,
    waiting: Waiting,
    /// What is being zeroed ahead of need, and how many frames of it are.
    ahead: Option<(Run, u64)>,
    meta: u64,
    kept: u64,
    /// Dataspaces with kept frames.
    pub(super) keepers: Option<Ref<Ds>>,
    /// Settings that clients may change.
    pub tuning: Tuning,
    /// What was done so far.
    pub effects: Effects,
}

impl<'a, P: Policy, K: Kernel> Pool<'a, P, K> {
    /// A pool of the frames of `frames`, all of them free. The arena's page 0 is the frame `base`.
    /// `None` when frame numbers do not fit 32 bits.
    pub fn new(frames: Frames<'a, P>, arena: Arena, base: FrameNo, kernel: K) -> Option<Self> {
        let end = frames.window().run(frames.window().span())?.end();
        (end.0 <= 1 << 32).then_some(Pool {
            frames,
            arena,
            base,
            kernel,
            waiting: Waiting::new(),
            ahead: None,
            meta: 0,
            kept: 0,
            keepers: None,
            tuning: Tuning::DEFAULT,
            effects: Effects::default(),
        })
    }

    /// The frame allocator, to ask it.
    pub fn frames(&self) -> &Frames<'a, P> {
        &self.frames
    }

    /// How many frames are what.
    pub fn uses(&self) -> Uses {
        let waiting = self.waiting.frames();
        Uses {
            free: u64::from(self.frames.free_frames()),
            held: u64::from(self.frames.held_frames()),
            meta: self.meta,
            data: u64::from(self.frames.owned_frames()) - self.meta - waiting,
            kept: self.kept,
            waiting,
        }
    }

    /// Bytes that clients could have: free, waiting and kept frames.
    pub fn available(&self) -> u64 {
        let uses = self.uses();
        (uses.free + uses.held + uses.waiting + uses.kept) << FrameNo::SHIFT
    }

    /// Whether `more` frames may be kept beside what is.
    pub(super) fn may_keep(&self, more: u64) -> bool {
        (self.kept + more) * KEPT_PART <= u64::from(self.frames.present_frames())
    }

    /// Whether so many frames may be there that were zeroed ahead.
    pub(super) fn has_zeroed(&self, frames: u32) -> bool {
        self.frames.zeroed_frames() >= frames
    }

    pub(super) fn add_kept(&mut self, frames: u64) {
        self.kept += frames;
    }

    pub(super) fn sub_kept(&mut self, frames: u64) {
        self.kept -= frames;
    }

    /// A run of `order`, and whether it is zero. Does not make memory free: [`Pool::relieve`] does.
    #[inline]
    pub(super) fn take(&mut self, order: PageOrder) -> Result<(FrameNo, bool), NoMemory> {
        if self.frames.zeroed_frames() > 0 {
            let grant = self.frames.alloc(&Request::order(DATA, order).zeroed());
            let grant = grant.map_err(|_| NoMemory)?;
            self.effects.pieces += 1;
            self.effects.pieces_zeroed += u64::from(grant.zeroed);
            return Ok((grant.run.start(), grant.zeroed));
        }
        let frame = if order == PageOrder::FRAME {
            self.frames.alloc_one(DATA)
        } else {
            self.frames.alloc_order(order, DATA)
        };
        let frame = frame.map_err(|_| NoMemory)?;
        self.effects.pieces += 1;
        Ok((frame, false))
    }

    /// `frames` consecutive frames, 1 to 2^18, the first aligned to `align`.
    pub(super) fn take_run(&mut self, frames: u32, align: PageOrder) -> Result<Run, NoMemory> {
        let request = Request::frames(DATA, frames).aligned(align);
        loop {
            // The reserve is for single faults; frames that are kept may have to be given back first.
            let got = match self.leaves_reserve(u64::from(frames)) {
                true => self.frames.alloc(&request).ok(),
                false => None,
            };
            match got {
                Some(grant) => {
                    self.effects.pieces += 1;
                    return Ok(grant.run);
                }
                None if self.relieve() => {}
                None => return Err(NoMemory),
            }
        }
    }

    /// Gives back frames that no client has seen.
    pub(super) fn give_unseen(&mut self, start: FrameNo, frames: u64) {
        if let Some(run) = Run::new(start, frames) {
            let freed = self.frames.free(run, DATA);
            debug_assert!(freed.is_ok(), "a frame that was not taken came back");
        }
    }

    /// Gives up frames that clients may have mapped. They are free once they have been unmapped.
    pub(super) fn give_up(&mut self, start: FrameNo, frames: u64) {
        self.wait(start, frames, true);
    }

    /// Has a frame unmapped that somebody else goes on to use.
    pub(super) fn forget(&mut self, frame: FrameNo) {
        self.wait(frame, 1, false);
    }

    /// The same for memory that is nobody's to free.
    pub(super) fn unmap_static(&mut self, start: FrameNo, frames: u64) {
        self.wait(start, frames, false);
    }

    fn wait(&mut self, start: FrameNo, frames: u64, free: bool) {
        let Some(run) = Run::new(start, frames) else {
            return;
        };
        if !self.waiting.push(run, free) {
            self.unmap_waiting();
            let pushed = self.waiting.push(run, free);
            debug_assert!(pushed, "there is room after a flush");
        }
    }

    /// Unmaps what waits, by one or a few system calls, and frees it. `false` when nothing waits.
    pub fn unmap_waiting(&mut self) -> bool {
        if self.waiting.is_empty() {
            return false;
        }
        let frames = &mut self.frames;
        let (calls, blocks) = self.waiting.flush(&mut self.kernel, |run| {
            let freed = frames.free(run, DATA);
            debug_assert!(freed.is_ok(), "a frame that was not taken came back");
        });
        self.effects.unmap_calls += calls;
        self.effects.unmapped += blocks;
        true
    }

    /// Takes the mappings of one frame away from everybody at once.
    pub(super) fn revoke(&mut self, frame: FrameNo) {
        let block = Block {
            start: frame,
            order: PageOrder::FRAME,
        };
        self.kernel.unmap(&[block], Revoke::All);
        self.effects.unmap_calls += 1;
        self.effects.unmapped += 1;
    }

    /// Makes some memory free; `false` when nothing more can be done.
    pub(super) fn relieve(&mut self) -> bool {
        self.unmap_waiting() || self.stop_zeroing() || super::ds::give_back_kept(self)
    }

    /// A bounded piece of work for an idle thread: unmaps what waits, or zeroes 64 KiB or a frame
    /// ahead of need. `false` when there is nothing to do.
    pub fn idle(&mut self) -> bool {
        if self.unmap_waiting() {
            return true;
        }
        if self.ahead.is_none() {
            if !self.wants_zeroed() {
                return false;
            }
            let orders = [ZERO_STEP, PageOrder::FRAME, PageOrder::BLOCK];
            let mut runs = orders
                .into_iter()
                .filter_map(|o| self.frames.begin_zeroing(o));
            let Some(run) = runs.next() else {
                return false;
            };
            drop(runs);
            self.ahead = Some((run, 0));
        }
        let Some((run, done)) = self.ahead else {
            return false;
        };
        let frames = u64::from(ZERO_STEP.frames()).min(run.frames() - done);
        if let Some(part) = Run::new(FrameNo(run.start().0 + done), frames) {
            self.kernel.zero(part);
            self.effects.zeroed_ahead += frames;
        }
        let done = done + frames;
        self.ahead = Some((run, done)).filter(|_| done < run.frames());
        if self.ahead.is_none() {
            let put = self.frames.end_zeroing(run);
            debug_assert!(put.is_ok(), "the run was taken to be zeroed");
        }
        true
    }

    /// Gives up zeroing ahead what is half done.
    fn stop_zeroing(&mut self) -> bool {
        let Some((run, _)) = self.ahead.take() else {
            return false;
        };
        let put = self.frames.abandon_zeroing(run);
        debug_assert!(put.is_ok(), "the run was taken to be zeroed");
        true
    }
}

impl<P: Policy, K: Kernel> Store for Pool<'_, P, K> {
    fn arena(&self) -> &Arena {
        &self.arena
    }

    fn arena_mut(&mut self) -> &mut Arena {
        &mut self.arena
    }

    fn take_page(&mut self) -> Option<PageIx> {
        let pages = u64::from(self.arena.pages()) - 1;
        let within = Run::new(FrameNo(self.base.0 + 1), pages)?;
        loop {
            let frame = match self.frames.alloc_one(META) {
                Ok(frame) if within.contains(frame) => Some(frame),
                Ok(frame) => {
                    let freed = self.frames.free_one(frame, META);
                    debug_assert!(freed.is_ok(), "the frame was just taken");
                    let request = Request::one(META).within(within);
                    self.frames.alloc(&request).ok().map(|g| g.run.start())
                }
                Err(_) => None,
            };
            if let Some(frame) = frame {
                self.meta += 1;
                return Some(PageIx((frame.0 - self.base.0) as u32));
            }
            // Not from kept frames: what gives them back may be at work on a table.
            if !self.unmap_waiting() && !self.stop_zeroing() {
                return None;
            }
        }
    }

    fn give_page(&mut self, page: PageIx) {
        let frame = FrameNo(self.base.0 + u64::from(page.0));
        let freed = self.frames.free_one(frame, META);
        debug_assert!(freed.is_ok(), "a page that was not taken came back");
        self.meta -= 1;
    }
}
