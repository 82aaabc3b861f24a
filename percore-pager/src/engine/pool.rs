//! The memory of one pager thread: its frames, and what they are used for.
//!
//! A frame is in exactly one of these states, and [`Pool::figures`] adds up to all of them:
//!
//! * free (in the frame allocator, zeroed ahead of need, or out to be zeroed);
//! * book-keeping ([`Store`]), charged to the account of the objects in it;
//! * a dataspace's, *used*: charged, and what is in it belongs to clients;
//! * a dataspace's, *kept*: part of a run of which a page is used, so that the rest of the run can
//!   follow contiguously; not charged, never seen by a client, and given back when memory is short;
//! * *waiting*: given up, but maybe still mapped by clients. Some wait for their own account's next
//!   dataspace (`recycle.rs`).
//!
//! So "no frame reaches a new owner while it is mapped" has one place: only
//! [`Pool::unmap_waiting`] gives a frame back that was ever used.

use crate::frames::{FrameNo, Frames, OwnerTag, PageOrder, Policy, Run};

use super::arena::{Arena, PageIx, Ref, Store};
use super::ds::Ds;
use super::kernel::{Block, Kernel, Revoke};
use super::quota::{Account, Reach};
use super::ready::{ORDERS, Ready, ZeroDepth};
use super::recycle::Recycle;
use super::slabs::NoMemory;
use super::waiting::Waiting;

mod again;
mod ahead;
mod long;
mod relief;
mod short;
mod tune;

use relief::Budget;
pub(super) use relief::PIECE;
pub use relief::TURN_PIECES;
pub(super) use short::AtHand;
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
    /// What must be unmapped before somebody gets an answer. Empty between two turns.
    urgent: Waiting,
    hurry: bool,
    recycle: Recycle,
    /// Frames that were zeroed ahead of need.
    ready: Ready,
    /// What is being zeroed ahead of need: its class, and how many frames of it are.
    ahead: Option<(FrameNo, usize, u64)>,
    meta: u64,
    kept: u64,
    /// One of the dataspaces with kept frames, which are a ring: the one that gives back next.
    pub(super) keepers: Option<Ref<Ds>>,
    budget: Budget,
    short: bool,
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
        let mut ready = Ready::new();
        ready.set_depth(ZeroDepth::for_frames(frames.present_frames().into()));
        (end.0 <= 1 << 32).then_some(Pool {
            frames,
            arena,
            base,
            kernel,
            waiting: Waiting::new(),
            urgent: Waiting::new(),
            hurry: false,
            recycle: Recycle::new(),
            ready,
            ahead: None,
            meta: 0,
            kept: 0,
            keepers: None,
            budget: Budget::Unbounded,
            short: false,
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
        let waiting = self.waiting.frames() + self.urgent.frames() + self.recycle.frames();
        let ready = u64::from(self.ready.frames());
        let ahead = self.ahead.map_or(0, |(_, class, _)| ORDERS[class].frames());
        let owned = u64::from(self.frames.owned_frames());
        Uses {
            free: u64::from(self.frames.free_frames()) + ready,
            held: u64::from(self.frames.held_frames() + ahead),
            meta: self.meta,
            data: owned - self.meta - waiting - ready - u64::from(ahead),
            kept: self.kept,
            waiting,
        }
    }

    /// Free frames that were zeroed ahead of need.
    pub fn zeroed_frames(&self) -> u64 {
        u64::from(self.ready.frames() + self.frames.zeroed_frames())
    }

    /// How much faults bring where an account does not say it.
    pub fn reach(&self) -> Reach {
        let most = self.tuning.run.min(Reach::MAX);
        Reach::new(self.tuning.prefault.min(most), 0, most).unwrap_or(Reach::DEFAULT)
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

    /// Whether a run of `order` is there that was zeroed ahead.
    pub(super) fn has_zeroed(&self, order: PageOrder) -> bool {
        self.ready.has(order)
    }

    pub(super) fn add_kept(&mut self, frames: u64) {
        self.kept += frames;
    }

    pub(super) fn sub_kept(&mut self, frames: u64) {
        self.kept -= frames;
    }

    /// A frame, and whether it is zero. Does not make memory free: [`Pool::relieve`] does.
    #[inline(always)]
    pub(super) fn take_one(&mut self) -> Option<(FrameNo, bool)> {
        self.effects.pieces += 1;
        if let Some(frame) = self.ready.pop_frame() {
            self.effects.pieces_zeroed += 1;
            return Some((frame, true));
        }
        if self.ready.frames() == 0
            && let Ok(frame) = self.frames.alloc_one(DATA)
        {
            self.ready.miss_frame();
            return Some((frame, false));
        }
        self.effects.pieces -= 1;
        self.take(PageOrder::FRAME).ok()
    }

    /// The same for a run of `order`.
    #[inline(never)]
    pub(super) fn take(&mut self, order: PageOrder) -> Result<(FrameNo, bool), NoMemory> {
        let frames = &mut self.frames;
        let spare = |start, count| {
            let freed = Run::new(start, count).map(|run| frames.free(run, DATA));
            debug_assert!(freed.is_some_and(|f| f.is_ok()), "zeroed frames are ours");
        };
        if let Some(start) = self.ready.take(order, spare) {
            self.effects.pieces += 1;
            self.effects.pieces_zeroed += 1;
            return Ok((start, true));
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
        let list = match self.hurry {
            true => &mut self.urgent,
            false => &mut self.waiting,
        };
        if list.push(run, free) {
            return;
        }
        // Rare: who gives up much looks at `must_unmap` before.
        while self.flush(u64::MAX).is_some() {
            let list = match self.hurry {
                true => &mut self.urgent,
                false => &mut self.waiting,
            };
            if list.push(run, free) {
                return;
            }
        }
        debug_assert!(false, "there is no room where nothing waits");
    }

    /// Whether so much waits that a turn is to be spent on it before more is given up.
    pub fn must_unmap(&self) -> bool {
        self.waiting.is_due()
    }

    /// Does something after which clients must not see what was taken from them, and has that unmapped
    /// before it returns; what waited before waits on.
    pub(super) fn unmapping<T>(&mut self, work: impl FnOnce(&mut Self) -> T) -> T {
        self.hurry = true;
        let done = work(self);
        self.hurry = false;
        while !self.urgent.is_empty() && self.flush(u64::MAX).is_some() {}
        done
    }

    /// Unmaps a system call's worth of what waits, and frees it. `false` when nothing waits.
    pub fn unmap_waiting(&mut self) -> bool {
        self.await_orphans();
        self.flush(u64::MAX).is_some()
    }

    /// The same for about `most` pages. Gives the numbers of flexpages and of pages.
    fn flush(&mut self, most: u64) -> Option<(u64, u64)> {
        let list = match self.urgent.is_empty() {
            true => &mut self.waiting,
            false => &mut self.urgent,
        };
        let frames = &mut self.frames;
        let done = list.flush(&mut self.kernel, most, |run| {
            let freed = match run.frames() {
                1 => frames.free_one(run.start(), DATA),
                _ => frames.free(run, DATA),
            };
            debug_assert!(freed.is_ok(), "a frame that was not taken came back");
        });
        let (blocks, _) = done?;
        self.effects.unmap_calls += 1;
        self.effects.unmapped += blocks;
        done
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
}

impl<P: Policy, K: Kernel> Store for Pool<'_, P, K> {
    fn arena(&self) -> &Arena {
        &self.arena
    }

    fn arena_mut(&mut self) -> &mut Arena {
        &mut self.arena
    }

    fn take_page(&mut self) -> Option<PageIx> {
        let page = self.page_at_hand();
        // What is kept may be given back meanwhile: whoever makes a node of a dataspace's table reads
        // the words of its groups after that.
        if page.is_some() {
            page
        } else {
            self.relieved(Self::page_at_hand)
        }
    }

    fn give_page(&mut self, page: PageIx) {
        let frame = FrameNo(self.base.0 + u64::from(page.0));
        let freed = self.frames.free_one(frame, META);
        debug_assert!(freed.is_ok(), "a page that was not taken came back");
        self.meta -= 1;
    }

    fn may_go_on(&mut self) -> bool {
        self.take_step()
    }

    fn account_closes(&mut self, account: Ref<Account>) {
        self.end_waiting_for(account);
    }
}
