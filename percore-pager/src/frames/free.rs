//! Giving frames back: every form of free, and what is found wrong.

use super::allocator::Frames;
use super::error::FreeError;
use super::ledger::{Ledger, Owner};
use super::policy::Policy;
use super::units::{FrameIx, FrameNo, OwnerTag, PageOrder, Run, Span};

impl<P: Policy> Frames<'_, P> {
    /// Frees one frame that `owner` has.
    ///
    /// # Errors
    ///
    /// `DoubleFree`, `Foreign`, `NotOwner`.
    #[inline]
    pub fn free_one(&mut self, frame: FrameNo, owner: OwnerTag) -> Result<(), FreeError> {
        let ix = match self.ledger.release_one(frame, owner) {
            Ok(ix) => ix,
            Err(offset) => return self.free_one_of_more(offset, owner),
        };
        if self.policy.try_give_one(ix) {
            Ok(())
        } else {
            self.free_one_fully(ix)
        }
    }

    #[inline(never)]
    fn free_one_fully(&mut self, ix: FrameIx) -> Result<(), FreeError> {
        if self.policy.give_one(ix) {
            return Ok(());
        }
        Err(FreeError::DoubleFree(self.window().frame(ix)))
    }

    /// The same when the frame's own byte does not say that `owner` has it. The frame comes as its
    /// distance from the window's base: that is what the caller has left of it.
    #[cold]
    #[inline(never)]
    fn free_one_of_more(&mut self, offset: u64, owner: OwnerTag) -> Result<(), FreeError> {
        let frame = FrameNo(self.window().base().0.wrapping_add(offset));
        self.free(Run::new(frame, 1).ok_or(FreeError::Foreign(frame))?, owner)
    }

    /// Frees the aligned run of `order` at `start`, all of which `owner` has.
    ///
    /// # Errors
    ///
    /// `DoubleFree`, `Foreign`, `NotOwner`.
    #[inline]
    pub fn free_order(
        &mut self,
        start: FrameNo,
        order: PageOrder,
        owner: OwnerTag,
    ) -> Result<(), FreeError> {
        if order == PageOrder::BLOCK
            && let Some(ix) = self.ledger.release_block(start, owner)
        {
            if self.policy.try_give_block(ix) {
                return Ok(());
            }
            return self.free_block_fully(ix);
        }
        self.free_order_fully(start, order, owner)
    }

    #[inline(never)]
    fn free_block_fully(&mut self, start: FrameIx) -> Result<(), FreeError> {
        self.free_run(start, PageOrder::BLOCK)
    }

    #[inline(never)]
    fn free_order_fully(
        &mut self,
        start: FrameNo,
        order: PageOrder,
        owner: OwnerTag,
    ) -> Result<(), FreeError> {
        if Ledger::SHORT.contains(&order.get())
            && let Some(ix) = self.ledger.release_short(start, order, owner)
        {
            return self.free_run(ix, order);
        }
        let frames = u64::from(order.frames());
        self.free(
            Run::new(start, frames).ok_or(FreeError::Foreign(start))?,
            owner,
        )
    }

    /// Frees `run`, all of which `owner` has. It may be a part of what was allocated, or several
    /// allocations that lie side by side.
    ///
    /// # Errors
    ///
    /// `DoubleFree`, `Foreign`, `NotOwner`, each with the first frame that is to blame.
    #[inline(never)]
    pub fn free(&mut self, run: Run, owner: OwnerTag) -> Result<(), FreeError> {
        let span = self
            .window()
            .span_of(run)
            .ok_or(FreeError::Foreign(run.start()))?;
        self.leave(span, Owner::Tag(owner))?;
        self.free_span(span)
    }

    /// Gives the policy an aligned run that its owner had.
    #[inline]
    fn free_run(&mut self, start: FrameIx, order: PageOrder) -> Result<(), FreeError> {
        if self.policy.give_order(start, order) {
            return Ok(());
        }
        Err(FreeError::DoubleFree(self.window().frame(start)))
    }

    /// Gives the policy frames that their owner had.
    fn free_span(&mut self, span: Span) -> Result<(), FreeError> {
        if self.policy.give(span) {
            return Ok(());
        }
        Err(FreeError::DoubleFree(self.window().frame(span.start)))
    }

    /// Makes `span` free in the ledger if all of it is in the state `from`.
    pub(super) fn leave(&mut self, span: Span, from: Owner) -> Result<(), FreeError> {
        if let Err((ix, owner)) = self.ledger.expect(span, from) {
            let frame = self.window().frame(ix);
            return Err(match owner {
                Owner::Absent => FreeError::Foreign(frame),
                Owner::Free => FreeError::DoubleFree(frame),
                Owner::Held => FreeError::NotOwner(frame, None),
                Owner::Tag(tag) => FreeError::NotOwner(frame, Some(tag)),
            });
        }
        self.ledger.change(span, from, Owner::Free);
        Ok(())
    }
}
