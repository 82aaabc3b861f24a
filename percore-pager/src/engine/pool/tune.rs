//! What clients may change of a pool, and what it has done: the engine's part of the pager API.
//!
//! # Changing the policy
//!
//! The book-keeping of the policy that is to take over lies in frames of the pool itself, one run, tagged
//! and counted as book-keeping that no account pays for. When the change ends, either way, the run of the
//! policy that is dropped is free again. The first policy's memory came from whoever made the pool and
//! is not a run: it is left alone when it is dropped.

use core::sync::atomic::AtomicU64;

use crate::engine::arena::PageIx;
use crate::engine::kernel::Kernel;
use crate::engine::slabs::NoMemory;
use crate::frames::{
    CacheShape, FrameNo, Memory, Owner, PageOrder, Policies, Policy, Progress, Request, Reshape,
    Run, SwitchError,
};

use super::{META, Pool};

/// Settings of a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tuning {
    /// log2 of the frames that the first fault of a new dataspace brings, where its account does not say.
    pub prefault: u8,
    /// log2 of the frames that a fault brings at most, and of the longest run, in the same way.
    pub run: u8,
    /// Frames that are kept zeroed ahead, at most.
    pub zero_ahead: u32,
    /// Frames that requests for runs leave for single faults.
    pub reserve: u32,
}

impl Tuning {
    /// 16 KiB at first, 2 MiB at most, zeroing bounded by the pool's tables alone, no reserve.
    pub const DEFAULT: Tuning = Tuning {
        prefault: 2,
        run: 9,
        zero_ahead: 1 << 27,
        reserve: 0,
    };
}

/// What a pool has done since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Effects {
    /// Frames zeroed while somebody waited.
    pub zeroed_now: u64,
    /// Frames zeroed ahead.
    pub zeroed_ahead: u64,
    /// Runs of frames taken for clients.
    pub pieces: u64,
    /// Of these, zeroed ahead.
    pub pieces_zeroed: u64,
    /// Unmap calls.
    pub unmap_calls: u64,
    /// Blocks in them.
    pub unmapped: u64,
    /// Frames that went back to their own client without an unmap.
    pub recycled: u64,
}

/// Where a change of policy stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Switching {
    /// None is under way.
    Idle,
    /// More steps are needed.
    Moving,
    /// The new policy is in use.
    Finished,
    /// The change was given up; the old policy is in use alone again.
    Abandoned,
}

/// Why a change of policy was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// A change is under way.
    Busy,
    /// The policy is in use already.
    Same,
    /// There are no frames for its book-keeping.
    NoMemory,
}

impl<P: Policy, K: Kernel> Pool<'_, P, K> {
    /// Whether so many frames for a run leave the reserve alone.
    pub(super) fn leaves_reserve(&self, frames: u64) -> bool {
        let uses = self.uses();
        uses.free + uses.held + uses.waiting >= frames + u64::from(self.tuning.reserve)
    }

    /// Whether idle time is to be used to zero more.
    pub(super) fn wants_zeroed(&self) -> bool {
        self.zeroed_frames() < u64::from(self.tuning.zero_ahead)
    }

    /// Zeroes frames for somebody who waits.
    #[inline]
    pub fn zero_now(&mut self, run: Run) {
        self.kernel.zero(run);
        self.effects.zeroed_now += run.frames();
    }

    /// An aligned run of `order`, and whether it is zero. Makes memory free if it must; leaves the reserve
    /// alone.
    pub(in crate::engine) fn take_order(
        &mut self,
        order: PageOrder,
    ) -> Result<(FrameNo, bool), NoMemory> {
        self.relieved(|pool| {
            let may = pool.leaves_reserve(order.frames().into());
            may.then(|| pool.take(order).ok()).flatten()
        })
        .ok_or(NoMemory)
    }
}

impl<'a, P: Reshape<'a>, K: Kernel> Pool<'a, P, K> {
    /// Begins to change the policy; [`Pool::step_switch`] goes on. May have to zero or unmap
    /// nothing; takes time in proportion to the new policy's book-keeping.
    ///
    /// # Errors
    ///
    /// See [`Refused`]; nothing has changed then.
    pub fn begin_switch(&mut self, policies: Policies) -> Result<(), Refused> {
        if self.changing_to().is_some() || self.policy_is_moving() {
            return Err(Refused::Busy);
        }
        if self.frames.policy().policies() == policies {
            return Err(Refused::Same);
        }
        let need = policies.need(self.frames.window());
        let run = self.take_meta_run(need.bytes()).ok_or(Refused::NoMemory)?;
        let Some(memory) = self.memory_of(run, need.shared) else {
            self.give_meta_run(run);
            return Err(Refused::NoMemory);
        };
        match self.frames.begin_switch(policies, memory) {
            Ok(()) => Ok(()),
            Err((error, _)) => {
                self.give_meta_run(run);
                Err(match error {
                    SwitchError::Busy => Refused::Busy,
                    SwitchError::Same => Refused::Same,
                    SwitchError::TooLittleMemory => Refused::NoMemory,
                })
            }
        }
    }

    /// Moves at most one free run.
    pub fn step_switch(&mut self) -> Switching {
        let (memory, how) = match self.frames.step_switch() {
            Progress::Idle => return Switching::Idle,
            Progress::Moving => return Switching::Moving,
            Progress::Finished(memory) => (memory, Switching::Finished),
            Progress::Abandoned(memory) => (memory, Switching::Abandoned),
        };
        let start = match memory.shared.first() {
            Some(first) => core::ptr::from_ref(first).cast::<u8>(),
            None => memory.private.as_ptr().cast::<u8>(),
        };
        let bytes = (memory.shared.len() + memory.private.len()) * 8;
        // The first policy's memory may lie in the arena too, but is no frame of the allocator.
        if let Some(run) = self.run_of(start, bytes)
            && self.frames.owner(run.start()) == Owner::Tag(META)
        {
            self.give_meta_run(run);
        }
        how
    }

    /// Gives up the change that is under way; steps go on until it is undone. `false` when there is none.
    pub fn abandon_switch(&mut self) -> bool {
        self.changing_to().is_some() && self.frames.abandon_switch()
    }

    /// The policy that is taking over.
    pub fn changing_to(&self) -> Option<Policies> {
        self.frames.policy().live_ref().changing_to()
    }

    /// Whether steps are needed, forward or back.
    pub fn policy_is_moving(&self) -> bool {
        self.frames.policy().live_ref().is_moving()
    }

    /// The cache in front of the policy.
    pub fn cache(&self) -> CacheShape {
        self.frames.policy().cache()
    }

    /// Changes the cache; `false` when there is none to change.
    pub fn set_cache(&mut self, shape: CacheShape) -> bool {
        self.frames.reshape_cache(shape)
    }

    /// Frames for book-keeping that is not a page of objects.
    fn take_meta_run(&mut self, bytes: usize) -> Option<Run> {
        let frames = u32::try_from(bytes.div_ceil(1 << FrameNo::SHIFT).max(1)).ok()?;
        let pages = u64::from(self.arena.pages()) - 1;
        let within = Run::new(FrameNo(self.base.0 + 1), pages)?;
        let request = Request {
            align: PageOrder::FRAME,
            ..Request::frames(META, frames).within(within)
        };
        let run = self.relieved(|pool| pool.frames.alloc(&request).ok())?.run;
        self.meta += run.frames();
        Some(run)
    }

    fn give_meta_run(&mut self, run: Run) {
        let freed = self.frames.free(run, META);
        debug_assert!(freed.is_ok(), "a run that was not taken came back");
        self.meta -= run.frames();
    }

    /// A run of the arena as book-keeping memory of a policy.
    fn memory_of(&self, run: Run, shared: usize) -> Option<Memory<'a>> {
        let page = PageIx(u32::try_from(run.start().0.checked_sub(self.base.0)?).ok()?);
        let words = (run.frames() << FrameNo::SHIFT >> 3) as usize;
        let rest = words.checked_sub(shared)?;
        let start = self.arena.page_address(page)?.cast::<u64>();
        // Policies want nothing of what is in it, and their large tables would take long to clear.
        // SAFETY: the run was just taken and lies in the arena (`take_meta_run`), which stays mapped
        // and which is accessed only where pages were handed out: so these words are nobody else's
        // until `step_switch` has them back. They are aligned, and any bits are valid.
        unsafe {
            Some(Memory {
                shared: core::slice::from_raw_parts(start.as_ptr().cast::<AtomicU64>(), shared),
                private: core::slice::from_raw_parts_mut(start.add(shared).as_ptr(), rest),
            })
        }
    }

    /// The run that `memory_of` made this memory of; `None` for memory from elsewhere.
    fn run_of(&self, start: *const u8, bytes: usize) -> Option<Run> {
        let page = self.arena.page_at(start)?;
        Run::new(
            FrameNo(self.base.0 + u64::from(page.0)),
            (bytes >> FrameNo::SHIFT) as u64,
        )
    }
}
