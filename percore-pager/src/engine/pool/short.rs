//! What the short ways of faults and requests need of a pool: frames that are at hand, without a system
//! call and without making memory free; and giving one frame back.

use crate::engine::arena::{Arena, PageIx, Store};
use crate::engine::kernel::Kernel;
use crate::frames::{FrameNo, PageOrder, Policy, Request, Run};

use super::{DATA, META, Pool};

impl<P: Policy, K: Kernel> Pool<'_, P, K> {
    /// A frame that is zero: by a few instructions where one was zeroed ahead. Others are a call.
    #[inline(always)]
    pub(in crate::engine) fn take_quick(&mut self) -> Option<FrameNo> {
        if let Some(frame) = self.ready.pop_frame() {
            self.effects.pieces += 1;
            self.effects.pieces_zeroed += 1;
            return Some(frame);
        }
        self.take_and_zero()
    }

    /// Takes `wanted` if that is the frame that comes next, and says whether it is zero.
    pub(in crate::engine) fn take_if(&mut self, wanted: FrameNo) -> Option<bool> {
        if self.ready.frames() > 0 {
            if self.ready.next_frame()? != wanted {
                return None;
            }
            self.ready.pop_frame()?;
            self.effects.pieces += 1;
            self.effects.pieces_zeroed += 1;
            return Some(true);
        }
        let frame = self.frames.alloc_one(DATA).ok()?;
        if frame != wanted {
            let freed = self.frames.free_one(frame, DATA);
            debug_assert!(freed.is_ok(), "the frame was just taken");
            return None;
        }
        self.ready.miss_frame();
        self.effects.pieces += 1;
        Some(false)
    }

    #[cold]
    #[inline(never)]
    fn take_and_zero(&mut self) -> Option<FrameNo> {
        // Not while runs wait that were zeroed ahead: those are cut up.
        let at_hand = match self.ready.frames() {
            0 => self.frames.alloc_one(DATA).ok(),
            _ => None,
        };
        let (frame, zeroed) = match at_hand {
            Some(frame) => {
                self.ready.miss_frame();
                self.effects.pieces += 1;
                (frame, false)
            }
            None => self.take(PageOrder::FRAME).ok()?,
        };
        if !zeroed {
            self.zero_now(Run::single(frame.0 as u32));
        }
        Some(frame)
    }

    /// Gives up a frame that clients may have mapped, has it unmapped, and frees it: the same as
    /// [`Pool::give_up`] and [`Pool::unmap_waiting`].
    #[inline(always)]
    pub(in crate::engine) fn return_one(&mut self, frame: FrameNo) {
        self.revoke(frame);
        let freed = self.frames.free_one(frame, DATA);
        debug_assert!(freed.is_ok(), "a frame that was not taken came back");
    }

    /// A book-keeping page that is free now: no system call is made for it.
    pub(super) fn page_at_hand(&mut self) -> Option<PageIx> {
        let pages = u64::from(self.arena.pages()) - 1;
        let within = Run::new(FrameNo(self.base.0 + 1), pages)?;
        let frame = match self.frames.alloc_one(META) {
            Ok(frame) if within.contains(frame) => frame,
            Ok(frame) => {
                let freed = self.frames.free_one(frame, META);
                debug_assert!(freed.is_ok(), "the frame was just taken");
                let request = Request::one(META).within(within);
                self.frames.alloc(&request).ok()?.run.start()
            }
            Err(_) => return None,
        };
        self.meta += 1;
        Some(PageIx((frame.0 - self.base.0) as u32))
    }
}

/// A pool from which book-keeping pages are taken only if they are free now. Making memory free takes system
/// calls, which use the UTCB: short ways, after which the complete one may have to read the message, must not.
pub(in crate::engine) struct AtHand<'a, 'f, P, K>(pub(in crate::engine) &'a mut Pool<'f, P, K>);

impl<P: Policy, K: Kernel> Store for AtHand<'_, '_, P, K> {
    #[inline(always)]
    fn arena(&self) -> &Arena {
        self.0.arena()
    }

    #[inline(always)]
    fn arena_mut(&mut self) -> &mut Arena {
        self.0.arena_mut()
    }

    fn take_page(&mut self) -> Option<PageIx> {
        self.0.page_at_hand()
    }

    fn give_page(&mut self, page: PageIx) {
        self.0.give_page(page);
    }
}
