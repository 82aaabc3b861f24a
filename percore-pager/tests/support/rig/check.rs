//! Comparisons of the allocator with the model, and the end of a trace.

use percore_pager::frames::{FrameNo, Owner, PageOrder};

use super::Rig;

impl Rig<'_> {
    /// Conservation, after every step.
    pub(super) fn check_counts(&self) {
        let (free, owned, held) = self.model.counts();
        assert_eq!(self.frames.free_frames(), free);
        assert_eq!(self.frames.held_frames(), held);
        assert_eq!(self.frames.owned_frames(), owned);
        assert_eq!(self.frames.present_frames(), free + owned + held);
    }

    pub(super) fn validate(&self) {
        let truth = self
            .frames
            .validate()
            .expect("the book-keeping is consistent");
        let (free, owned, held) = self.model.counts();
        assert_eq!(
            (truth.free, truth.owned),
            (u64::from(free), u64::from(owned))
        );
        assert_eq!(
            (truth.held, truth.present),
            (u64::from(held), u64::from(free + owned + held))
        );
    }

    /// Counts by order: exact when all free frames are in one policy.
    pub(super) fn check_runs(&self) {
        let exact = !self.switching
            && self.frames.policy().filled() == 0
            && self.frames.zeroed_frames() == 0;
        for order in PageOrder::all() {
            let (kept, found) = (
                self.frames.free_runs(order),
                self.model.runs(order.get(), self.whole()),
            );
            assert!(
                kept <= found && (!exact || kept == found),
                "{order:?}: {kept}, {found}"
            );
        }
        if exact {
            let largest = PageOrder::all()
                .rev()
                .find(|o| self.model.runs(o.get(), self.whole()) > 0);
            assert_eq!(self.frames.largest(), largest);
        }
    }

    /// Compares every frame, gives everything back, ends a change, and compares again.
    pub(super) fn finish(mut self) {
        self.validate();
        for at in 0..u64::from(self.window.frames()) {
            let frame = FrameNo(self.window.base().0 + at);
            assert_eq!(
                self.frames.owner(frame),
                self.model.state(frame),
                "{frame:?}"
            );
        }
        for (run, tag) in std::mem::take(&mut self.allocated) {
            self.free(run, tag);
        }
        for run in std::mem::take(&mut self.zeroing) {
            assert_eq!(self.frames.abandon_zeroing(run), Ok(()));
            self.model.set(run, Owner::Free);
        }
        let mut steps = 0;
        while self.switching {
            self.step_switch();
            steps += 1;
            assert!(
                steps <= self.window.frames() + 1,
                "a change of policy does not end"
            );
        }
        while self.frames.drop_zeroed() {}
        self.validate();
        self.check_counts();
        assert_eq!(self.model.counts().1, 0);
        self.check_runs();
    }
}
