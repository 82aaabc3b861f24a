//! What a check finds: the truth, recounted frame by frame, or the first thing that is wrong.

use super::allocator::Frames;
use super::ledger::Owner;
use super::policy::Policy;
use super::units::{FrameIx, PageOrder};

/// What a full recount found. `free + owned + held = present`, always.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Truth {
    /// Frames that belong to the allocator.
    pub present: u64,
    /// Frames that nobody has: in the policy, in caches, or zeroed and waiting.
    pub free: u64,
    /// Frames that owners have.
    pub owned: u64,
    /// Frames that were taken out to be zeroed and are not back yet.
    pub held: u64,
}

/// A contradiction in the book-keeping: a defect of this code or a stray write, never something
/// that a client can cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A summary of a set does not match what it summarizes.
    Summary,
    /// The count of frames or sub-units of this block or group is wrong.
    Count(u32),
    /// This block or group is listed in the wrong place, or not at all.
    Listed(u32),
    /// The number of free runs of this order is wrong: kept, recounted.
    Runs(PageOrder, u32, u32),
    /// Two parts hold this frame, or the ledger and the policy disagree about it.
    Frame(FrameIx),
    /// A total is wrong: kept, recounted.
    Total(u64, u64),
}

impl<P: Policy> Frames<'_, P> {
    /// Recounts everything, frame by frame, and compares with all that is kept.
    ///
    /// Takes time in proportion to the window; for tests, and for a debugger. It changes nothing.
    ///
    /// # Errors
    ///
    /// The first contradiction found.
    pub fn validate(&self) -> Result<Truth, Fault> {
        self.policy.check()?;
        if let Some(frame) = self.ledger.contradiction() {
            return Err(Fault::Frame(frame));
        }
        if !self.zeroed.is_aligned() {
            return Err(Fault::Summary);
        }
        let truth = self.recount();
        // Each frame that is free by the ledger is in the policy or zeroed, and no other is.
        let mut in_policy = 0;
        let mut wrong = None;
        let mut at = FrameIx(0);
        while let Some(span) = self.policy.next_free(at) {
            if span.is_empty() || span.start < at {
                return Err(Fault::Frame(span.start));
            }
            if let Err((frame, _)) = self.ledger.expect(span, Owner::Free) {
                return Err(Fault::Frame(frame));
            }
            self.zeroed.for_each(|zeroed| {
                if !zeroed.cut(span).is_empty() {
                    wrong = Some(zeroed.start);
                }
            });
            in_policy += u64::from(span.frames());
            at = span.end;
        }
        let mut zeroed = 0;
        self.zeroed.for_each(|span| {
            zeroed += u64::from(span.frames());
            if let Err((frame, _)) = self.ledger.expect(span, Owner::Free) {
                wrong = Some(frame);
            }
        });
        if let Some(frame) = wrong {
            return Err(Fault::Frame(frame));
        }
        for (kept, found) in [
            (u64::from(self.policy.free_frames()), in_policy),
            (u64::from(self.zeroed.frames()), zeroed),
            (in_policy + zeroed, truth.free),
            (u64::from(self.present_frames()), truth.present),
            (u64::from(self.held_frames()), truth.held),
            (u64::from(self.owned_frames()), truth.owned),
            (truth.free + truth.owned + truth.held, truth.present),
        ] {
            if kept != found {
                return Err(Fault::Total(kept, found));
            }
        }
        Ok(truth)
    }

    fn recount(&self) -> Truth {
        let mut truth = Truth::default();
        self.ledger
            .for_each(self.window().span(), |_, owner| match owner {
                Owner::Absent => {}
                Owner::Free => (truth.present, truth.free) = (truth.present + 1, truth.free + 1),
                Owner::Held => (truth.present, truth.held) = (truth.present + 1, truth.held + 1),
                Owner::Tag(_) => {
                    (truth.present, truth.owned) = (truth.present + 1, truth.owned + 1)
                }
            });
        truth
    }
}
