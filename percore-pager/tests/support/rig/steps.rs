//! One operation of a trace, on the allocator and on the model.

use percore_pager::frames::{
    AllocError, FrameNo, FreeError, Memory, Owner, PageOrder, Policies, Policy, Progress,
    RegionError, Request, Run, SwitchError,
};

use super::super::ops::Op;
use super::Rig;

impl Rig<'_> {
    pub(super) fn step(&mut self, op: Op) {
        match op {
            Op::AllocOne { tag } => {
                let tag = Self::tag(tag);
                match self.frames.alloc_one(tag) {
                    Ok(frame) => self.granted(Run::new(frame, 1).expect("a frame"), tag),
                    Err(error) => {
                        assert_eq!(error, AllocError::NoMemory);
                        self.refused(PageOrder::FRAME, self.whole());
                    }
                }
            }
            Op::AllocOrder { order, tag } => {
                self.alloc_order(Self::order(order), Self::tag(tag));
            }
            Op::Alloc {
                frames,
                align,
                tag,
                zeroed,
            } => {
                let request = Request::frames(Self::tag(tag), u32::from(frames) % 1500)
                    .aligned(Self::order(align % 12));
                self.alloc(if zeroed { request.zeroed() } else { request });
            }
            Op::AllocWithin {
                frames,
                align,
                start,
                length,
                tag,
            } => {
                let within = self.run_at(start, u32::from(length) + 1);
                let request = Request::frames(Self::tag(tag), u32::from(frames) + 1)
                    .aligned(Self::order(align % 11))
                    .within(within);
                self.alloc(request);
            }
            Op::AllocAt { start, frames, tag } => {
                let (run, tag) = (self.run_at(start, u32::from(frames)), Self::tag(tag));
                let expected = if self.model.all(run, Owner::Free) {
                    Ok(())
                } else {
                    Err(AllocError::NotFree)
                };
                assert_eq!(self.frames.alloc_at(run, tag), expected, "{run:?}");
                if expected.is_ok() {
                    self.granted(run, tag);
                }
            }
            Op::Free { which } => {
                if !self.allocated.is_empty() {
                    let which = usize::from(which) % self.allocated.len();
                    let (run, tag) = self.allocated.swap_remove(which);
                    self.free(run, tag);
                }
            }
            Op::FreePart {
                which,
                skip,
                frames,
            } => {
                if let Some((run, tag)) = self
                    .allocated
                    .get(usize::from(which) % self.allocated.len().max(1))
                    .copied()
                {
                    let skip = u64::from(skip) % run.frames();
                    let frames = u64::from(frames) % (run.frames() - skip) + 1;
                    let part = Run::new(FrameNo(run.start().0 + skip), frames).expect("a part");
                    self.forget(part);
                    self.free(part, tag);
                }
            }
            Op::FreeRaw { start, frames, tag } => {
                // Also beyond the window's ends.
                let start = self.window.base().0 + u64::from(start) % 9000;
                let start = FrameNo(start.saturating_sub(100).min(FrameNo::LIMIT.0 - 1));
                let frames = u64::from(frames % 64 + 1).min(FrameNo::LIMIT.0 - start.0);
                let run = Run::new(start, frames).expect("inside the address space");
                let tag = Self::tag(tag % 3);
                let mine = self.model.all(run, Owner::Tag(tag));
                if self.window.span_of(run).is_some() {
                    self.free(run, tag);
                } else {
                    assert_eq!(
                        self.frames.free(run, tag),
                        Err(FreeError::Foreign(run.start()))
                    );
                }
                if mine {
                    self.forget(run);
                }
            }
            Op::Add { start, frames } => self.add(self.run_at(start, u32::from(frames))),
            Op::Remove { start, frames } => {
                let run = self.run_at(start, u32::from(frames));
                let expected = match self.model.first_not(run, Owner::Free) {
                    None => Ok(()),
                    Some((frame, Owner::Absent)) => Err(RegionError::Absent(frame)),
                    Some((frame, _)) => Err(RegionError::Busy(frame)),
                };
                assert_eq!(self.frames.remove_region(run), expected, "{run:?}");
                if expected.is_ok() {
                    self.model.set(run, Owner::Absent);
                }
            }
            Op::BeginZeroing { size } => {
                let order = PageOrder::new([0, 0, 4, 9, 7][usize::from(size) % 5]).expect("small");
                if let Some(run) = self.frames.begin_zeroing(order) {
                    assert_eq!(run.frames(), u64::from(order.frames()));
                    assert!(self.model.all(run, Owner::Free));
                    self.model.set(run, Owner::Held);
                    self.zeroing.push(run);
                }
            }
            Op::EndZeroing { which } | Op::AbandonZeroing { which } => {
                if !self.zeroing.is_empty() {
                    let run = self
                        .zeroing
                        .swap_remove(usize::from(which) % self.zeroing.len());
                    if matches!(op, Op::EndZeroing { .. }) {
                        assert_eq!(self.frames.end_zeroing(run), Ok(()));
                        self.model.set(run, Owner::Free);
                        self.model.set_zero(run);
                    } else {
                        assert_eq!(self.frames.abandon_zeroing(run), Ok(()));
                        self.model.set(run, Owner::Free);
                    }
                }
            }
            Op::DropZeroed => {
                let some = self.frames.zeroed_frames() > 0;
                assert_eq!(self.frames.drop_zeroed(), some);
            }
            Op::Switch { kind } => self.switch(super::policies(kind)),
            Op::Step { count } => (0..count % 32).for_each(|_| self.step_switch()),
            Op::AbandonSwitch => assert_eq!(self.frames.abandon_switch(), self.switching),
            Op::Exhaust { order, tag } => {
                let (order, tag) = (Self::order(order), Self::tag(tag));
                while self.alloc_order(order, tag) {}
            }
            Op::FreeHalf => {
                let mut keep = false;
                for (run, tag) in std::mem::take(&mut self.allocated) {
                    keep = !keep;
                    if keep {
                        self.allocated.push((run, tag));
                    } else {
                        self.free(run, tag);
                    }
                }
            }
        }
    }

    fn switch(&mut self, policies: Policies) {
        let Some(memory) = self.spare.take() else {
            // No memory to offer: a change is under way, and so it is refused.
            let memory = Memory {
                shared: &[],
                private: &mut [],
            };
            let refused = self.frames.begin_switch(policies, memory);
            assert!(matches!(refused, Err((SwitchError::Busy, Some(_)))));
            return;
        };
        match self.frames.begin_switch(policies, memory) {
            Ok(()) => self.switching = true,
            Err((error, memory)) => {
                assert_eq!(error, SwitchError::Same);
                assert_eq!(self.frames.policy().policies(), policies);
                self.spare = memory;
            }
        }
    }

    pub(super) fn step_switch(&mut self) {
        match self.frames.step_switch() {
            Progress::Idle => assert!(!self.switching),
            Progress::Moving => assert!(self.switching),
            Progress::Finished(memory) | Progress::Abandoned(memory) => {
                assert!(self.switching);
                self.switching = false;
                self.spare = Some(memory);
            }
        }
    }
}
