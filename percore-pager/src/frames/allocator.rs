//! The allocator of a core's frames: the interface that the rest of the engine uses.
//!
//! [`Frames`] joins a policy with the ledger of owners and the stacks of zeroed frames. All
//! checks of what callers say are made here and before anything is changed, so a refused call
//! leaves everything as it was.

use super::error::{AllocError, SetupError};
use super::ledger::{Ledger, Owner};
use super::memory::{Memory, Need};
use super::policy::{Policy, Want};
use super::request::{Grant, Request};
use super::units::{FrameIx, FrameNo, OwnerTag, PageOrder, Run, Span};
use super::window::Window;
use super::zeroed::{ZeroShape, Zeroed};

/// See the [module](self) and [`frames`](super).
///
/// No method blocks, and none panics on any argument. Costs are bounded by constants and the
/// length of the run in question (one step for 8 frames or, for whole blocks, for one block),
/// unless the policy is `Avl`.
#[derive(Debug)]
pub struct Frames<'a, P> {
    pub(super) policy: P,
    pub(super) ledger: Ledger<'a>,
    pub(super) zeroed: Zeroed<'a>,
    pub(super) present: u32,
    pub(super) held: u32,
    /// The window's base: beside the fields that the short paths use, and not to be looked up.
    base: FrameNo,
}

impl<'a, P: Policy> Frames<'a, P> {
    /// Book-keeping memory beside the policy's: a byte for each frame and a little.
    pub const fn need(window: &Window, zeroed: &ZeroShape) -> Need {
        Ledger::need(window).and(zeroed.need())
    }

    /// An allocator without any frame, on a policy without any frame. The shared memory must be
    /// zero.
    ///
    /// # Errors
    ///
    /// `TooLittleMemory` when there is less than [`Self::need`].
    pub fn new(policy: P, zeroed: ZeroShape, mut memory: Memory<'a>) -> Result<Self, SetupError> {
        let window = *policy.window();
        let too_little = SetupError::TooLittleMemory;
        let part = memory.split_off(Ledger::need(&window)).ok_or(too_little)?;
        let ledger = Ledger::new(window, part).ok_or(too_little)?;
        let zeroed = Zeroed::new(&zeroed, window.skew(), memory.private).ok_or(too_little)?;
        Ok(Frames {
            policy,
            ledger,
            zeroed,
            present: 0,
            held: 0,
            base: window.base(),
        })
    }

    /// The frame numbers it may have frames of.
    pub fn window(&self) -> &Window {
        self.ledger.window()
    }

    /// The policy, to ask it.
    pub fn policy(&self) -> &P {
        &self.policy
    }

    // ---- Allocation ----

    /// One frame, wherever it is; not zeroed. The path for faults.
    ///
    /// # Errors
    ///
    /// `NoMemory`.
    #[inline]
    pub fn alloc_one(&mut self, owner: OwnerTag) -> Result<FrameNo, AllocError> {
        match self.alloc_one_at_hand(owner) {
            Some(frame) => Ok(frame),
            None => self.alloc_one_fully(owner),
        }
    }

    /// The same if that is a matter of a few instructions. `None`, and nothing has changed, otherwise.
    #[inline(always)]
    pub fn alloc_one_at_hand(&mut self, owner: OwnerTag) -> Option<FrameNo> {
        let ix = self.policy.try_take_one()?;
        // SAFETY: a policy returns frames of its window, and the ledger was made for it.
        unsafe { self.ledger.claim_one(ix, owner) };
        Some(FrameNo(self.base.0 + u64::from(ix.0)))
    }

    #[cold]
    #[inline(never)]
    fn alloc_one_fully(&mut self, owner: OwnerTag) -> Result<FrameNo, AllocError> {
        match self.policy.take_one() {
            Some(ix) => {
                // SAFETY: a policy returns frames of its window, and the ledger was made for it.
                unsafe { self.ledger.claim_one(ix, owner) };
                Ok(self.window().frame(ix))
            }
            None => self.alloc_order_fully(PageOrder::FRAME, owner),
        }
    }

    /// An aligned run of `order`, wherever it is; not zeroed.
    ///
    /// # Errors
    ///
    /// `NoMemory`.
    #[inline]
    pub fn alloc_order(
        &mut self,
        order: PageOrder,
        owner: OwnerTag,
    ) -> Result<FrameNo, AllocError> {
        if order == PageOrder::BLOCK
            && let Some(ix) = self.policy.try_take_block()
        {
            self.ledger.claim_block(ix, owner);
            return Ok(self.window().frame(ix));
        }
        self.alloc_order_fully(order, owner)
    }

    #[inline(never)]
    fn alloc_order_fully(
        &mut self,
        order: PageOrder,
        owner: OwnerTag,
    ) -> Result<FrameNo, AllocError> {
        match self.policy.take(order) {
            Some(ix) => Ok(self.claim(ix, order, owner)),
            None => self.alloc_order_zeroed(order, owner),
        }
    }

    /// The same when only zeroed frames may be left.
    #[cold]
    #[inline(never)]
    fn alloc_order_zeroed(
        &mut self,
        order: PageOrder,
        owner: OwnerTag,
    ) -> Result<FrameNo, AllocError> {
        while self.drop_zeroed() {
            if let Some(ix) = self.policy.take(order) {
                return Ok(self.claim(ix, order, owner));
            }
        }
        Err(AllocError::NoMemory)
    }

    /// Notes that `owner` has the run of `order` at `ix`, which was free.
    #[inline(always)]
    fn claim(&mut self, ix: FrameIx, order: PageOrder, owner: OwnerTag) -> FrameNo {
        if Ledger::SHORT.contains(&order.get()) {
            self.ledger.claim_short(ix, order, owner);
        } else if order == PageOrder::BLOCK {
            self.ledger.claim_block(ix, owner);
        } else {
            let span = Span::at(ix, order.frames());
            self.ledger.change(span, Owner::Free, Owner::Tag(owner));
        }
        FrameNo(self.base.0 + u64::from(ix.0))
    }

    /// A run as `request` says. Runs whose length is no power of two are given when an aligned run of
    /// the next power of two (of length and alignment) is free; the policy may find more.
    ///
    /// # Errors
    ///
    /// `BadRequest`, `NoMemory`.
    pub fn alloc(&mut self, request: &Request) -> Result<Grant, AllocError> {
        let order = PageOrder::holding(request.frames)
            .ok_or(AllocError::BadRequest)?
            .max(request.align);
        let within = match request.within {
            Some(run) => self.window().clip(run),
            None => self.window().span(),
        };
        let want = Want {
            frames: request.frames,
            align: request.align,
            within,
        };
        let everywhere = within == self.window().span();
        let (start, zeroed) = match self.take_zeroed(request, order) {
            Some(start) => (start, true),
            None => (
                self.take(&want, order, everywhere)
                    .ok_or(AllocError::NoMemory)?,
                false,
            ),
        };
        let span = Span::at(start, request.frames);
        self.ledger
            .change(span, Owner::Free, Owner::Tag(request.owner));
        let run = self.window().run(span).ok_or(AllocError::BadRequest)?;
        Ok(Grant { run, zeroed })
    }

    /// Exactly `run`.
    ///
    /// # Errors
    ///
    /// `NotFree` when a frame of it is taken or not there.
    pub fn alloc_at(&mut self, run: Run, owner: OwnerTag) -> Result<(), AllocError> {
        let span = self.window().span_of(run).ok_or(AllocError::NotFree)?;
        if self.ledger.expect(span, Owner::Free).is_err() || !self.take_at(span) {
            return Err(AllocError::NotFree);
        }
        self.ledger.change(span, Owner::Free, Owner::Tag(owner));
        Ok(())
    }

    // ---- Questions, all in constant time ----

    /// Who has `frame`.
    #[inline]
    pub fn owner(&self, frame: FrameNo) -> Owner {
        self.ledger.owner(frame)
    }

    /// Frames that nobody has, zeroed ones included.
    pub fn free_frames(&self) -> u32 {
        self.policy.free_frames() + self.zeroed.frames()
    }

    /// Free frames that are zeroed.
    pub fn zeroed_frames(&self) -> u32 {
        self.zeroed.frames()
    }

    /// Frames that are out to be zeroed.
    pub fn held_frames(&self) -> u32 {
        self.held
    }

    /// Frames that owners have.
    pub fn owned_frames(&self) -> u32 {
        self.present - self.held - self.free_frames()
    }

    /// All frames that are there.
    pub fn present_frames(&self) -> u32 {
        self.present
    }

    /// Aligned free runs of `order` in the policy: so many allocations of this order would
    /// succeed one after the other. Frames in a cache or zeroed ones are not counted for orders
    /// above 0.
    pub fn free_runs(&self, order: PageOrder) -> u32 {
        let zeroed = if order == PageOrder::FRAME {
            self.zeroed.frames()
        } else {
            0
        };
        self.policy.free_runs(order) + zeroed
    }

    /// The largest order of which the policy has a free run.
    pub fn largest(&self) -> Option<PageOrder> {
        self.policy.largest()
    }

    // ---- Inside ----

    /// Gives frames to the policy that the ledger says are free and the policy does not have.
    pub(super) fn give(&mut self, span: Span) {
        let accepted = self.policy.give(span);
        debug_assert!(
            accepted,
            "the policy has frames that the ledger had as taken"
        );
    }

    fn take_zeroed(&mut self, request: &Request, order: PageOrder) -> Option<FrameIx> {
        if !request.zeroed || request.within.is_some() {
            return None;
        }
        let policy = &mut self.policy;
        let start = self.zeroed.take(order, |rest| {
            let accepted = policy.give(rest);
            debug_assert!(accepted, "a zeroed run was free in the policy");
        })?;
        let spare = Span {
            start: FrameIx(start.0 + request.frames),
            end: FrameIx(start.0 + order.frames()),
        };
        if !spare.is_empty() {
            self.give(spare);
        }
        Some(start)
    }

    /// Takes a run from the policy, making zeroed runs dirty as long as it has none.
    fn take(&mut self, want: &Want, order: PageOrder, everywhere: bool) -> Option<FrameIx> {
        loop {
            let taken = if everywhere && want.frames == order.frames() {
                self.policy.take(order)
            } else {
                self.policy.take_run(want)
            };
            if taken.is_some() || !self.drop_zeroed() {
                return taken;
            }
        }
    }

    /// Takes exactly `span`, which is free by the ledger, from the policy.
    pub(super) fn take_at(&mut self, span: Span) -> bool {
        while !self.policy.take_at(span) {
            if !self.drop_zeroed() {
                return false;
            }
        }
        true
    }
}
