//! Runs a trace on an allocator and on the model side by side.

use std::sync::atomic::AtomicU64;

use percore_pager::frames::{
    AllocError, CacheShape, Cached, FrameNo, Frames, FreeError, Grant, Kind, Live, Memory, Need,
    Owner, OwnerTag, PageOrder, Policy, Progress, RegionError, Request, Run, SwitchError, Window,
    ZeroShape,
};

use super::model::Model;
use super::ops::{Op, Setting};

type Pager<'a> = Frames<'a, Cached<Live<'a>>>;

/// How closely a trace is looked at.
#[derive(Clone, Copy, Debug)]
pub struct Care {
    /// `validate` after so many steps, and at the end.
    pub validate: usize,
    /// Recounts the runs of every order in the model after so many steps, and at the end.
    pub recount: usize,
}

struct Rig<'a> {
    frames: Pager<'a>,
    model: Model,
    window: Window,
    allocated: Vec<(Run, OwnerTag)>,
    zeroing: Vec<Run>,
    spare: Option<Memory<'a>>,
    switching: bool,
}

/// The window of a setting.
pub fn window_of(setting: Setting) -> Window {
    let blocks = u64::from(setting.blocks % 8) + 1;
    let start = match setting.place % 4 {
        0 => 0,
        1 => FrameNo::LIMIT.0 - blocks * 512,
        // So that a 1 GiB boundary is inside when there is more than one block.
        2 => (7 << 18) - 512,
        _ => 123 * 512,
    };
    let run = Run::new(FrameNo(start), blocks * 512).expect("inside the address space");
    Window::covering(run).expect("a small window")
}

/// Runs `ops` in `setting`; panics at the first difference.
pub fn run(setting: Setting, ops: &[Op], care: Care) {
    run_in(window_of(setting), setting, ops, care);
}

/// The same in a window of one's own.
pub fn run_in(window: Window, setting: Setting, ops: &[Op], care: Care) {
    let zero = ZeroShape::of(24, 4, 1);
    let need = Kind::ALL.iter().fold(Need::default(), |most, kind| {
        let need = kind.need(&window);
        Need {
            shared: most.shared.max(need.shared),
            private: most.private.max(need.private),
        }
    });
    // Rubbish where zero is not asked for.
    let shared = |words: usize| -> Vec<AtomicU64> {
        (0..words)
            .map(|n| AtomicU64::new(0x5a5a_0000_ffff_0000 + n as u64))
            .collect()
    };
    let lines = [shared(need.shared), shared(need.shared)];
    let mut privates = [vec![u64::MAX; need.private], vec![0x55; need.private]];
    let [first, second] = &mut privates;
    let top = Pager::need(&window, &zero);
    let tags: Vec<AtomicU64> = (0..top.shared).map(|_| AtomicU64::new(0)).collect();
    let mut top_private = vec![3; top.private];
    let shape = CacheShape {
        depth: setting.depth % 16,
        batch: 4,
        blocks: setting.depth % 3,
    };

    let kind = Kind::ALL[usize::from(setting.kind) % 4];
    let live = Live::new(
        kind,
        window,
        Memory {
            shared: &lines[0],
            private: first,
        },
    );
    let cached = Cached::new(live.expect("enough memory"), shape);
    let memory = Memory {
        shared: &tags,
        private: &mut top_private,
    };
    let frames = Frames::new(cached, zero, memory).expect("enough memory");
    let mut rig = Rig {
        frames,
        model: Model::new(&window),
        window,
        allocated: Vec::new(),
        zeroing: Vec::new(),
        spare: Some(Memory {
            shared: &lines[1],
            private: second,
        }),
        switching: false,
    };
    rig.populate(setting.regions);
    for (number, op) in ops.iter().enumerate() {
        rig.step(*op);
        rig.check_counts();
        if number % care.validate == 0 {
            rig.validate();
        }
        if number % care.recount == 0 {
            rig.check_runs();
        }
    }
    rig.finish();
}

impl<'a> Rig<'a> {
    fn whole(&self) -> Run {
        Run::new(self.window.base(), u64::from(self.window.frames())).expect("a window is a run")
    }

    /// `frames` frames (at least one) from `start`, both brought into the window.
    fn run_at(&self, start: u32, frames: u32) -> Run {
        let size = self.window.frames();
        let start = start % size;
        let frames = (frames % size).clamp(1, size - start);
        Run::new(
            FrameNo(self.window.base().0 + u64::from(start)),
            u64::from(frames),
        )
        .expect("inside the window")
    }

    fn populate(&mut self, regions: u8) {
        let size = self.window.frames();
        match regions % 5 {
            0 => {}
            1 => self.add(self.run_at(size / 2, 1)),
            2 => self.add(self.whole()),
            3 => (0..size)
                .step_by(7)
                .for_each(|at| self.add(self.run_at(at, 6))),
            _ => (0..size)
                .step_by(512)
                .for_each(|at| self.add(self.run_at(at + 1, 510))),
        }
    }

    fn add(&mut self, run: Run) {
        let expected = match self.model.first_not(run, Owner::Absent) {
            None => Ok(()),
            Some((frame, _)) => Err(RegionError::Overlap(frame)),
        };
        assert_eq!(self.frames.add_region(run), expected);
        if expected.is_ok() {
            self.model.set(run, Owner::Free);
        }
    }

    fn tag(raw: u8) -> OwnerTag {
        OwnerTag::new(raw % 253 + 1).expect("1..=253")
    }

    fn order(raw: u8) -> PageOrder {
        // Mostly orders that fit small windows, and now and then one above any region.
        PageOrder::new(u32::from(raw) % 19).expect("0..=18")
    }

    fn granted(&mut self, run: Run, tag: OwnerTag) {
        assert!(
            self.model.all(run, Owner::Free),
            "{run:?} was handed out but was not free"
        );
        self.model.set(run, Owner::Tag(tag));
        self.allocated.push((run, tag));
        for frame in [run.start().0, run.end().0 - 1] {
            assert_eq!(self.frames.owner(FrameNo(frame)), Owner::Tag(tag));
        }
    }

    /// A refusal is right only if no aligned run of `order` is free inside `within`.
    fn refused(&self, order: PageOrder, within: Run) {
        if !self.switching || order == PageOrder::FRAME {
            let runs = self.model.runs(order.get(), within);
            assert_eq!(runs, 0, "{order:?} in {within:?} was refused");
        }
    }

    fn alloc_order(&mut self, order: PageOrder, tag: OwnerTag) -> bool {
        match self.frames.alloc_order(order, tag) {
            Ok(start) => {
                assert_eq!(start.0 % u64::from(order.frames()), 0);
                let run = Run::new(start, u64::from(order.frames())).expect("a valid run");
                self.granted(run, tag);
                true
            }
            Err(error) => {
                assert_eq!(error, AllocError::NoMemory);
                self.refused(order, self.whole());
                false
            }
        }
    }

    fn alloc(&mut self, request: Request) {
        let within = request.within.unwrap_or(self.whole());
        let order = PageOrder::holding(request.frames).map(|order| order.max(request.align));
        match self.frames.alloc(&request) {
            Ok(Grant { run, zeroed }) => {
                assert_eq!(run.frames(), u64::from(request.frames));
                assert_eq!(run.start().0 % u64::from(request.align.frames()), 0);
                assert!(run.start() >= within.start() && run.end() <= within.end());
                assert!(!zeroed || self.model.is_zero(run), "{run:?} is not zero");
                self.granted(run, request.owner);
            }
            Err(AllocError::BadRequest) => assert_eq!(order, None),
            Err(error) => {
                assert_eq!(error, AllocError::NoMemory);
                self.refused(order.expect("a good request"), within);
            }
        }
    }

    fn free(&mut self, run: Run, tag: OwnerTag) {
        let expected = match self.model.first_not(run, Owner::Tag(tag)) {
            None => Ok(()),
            Some((frame, Owner::Free)) => Err(FreeError::DoubleFree(frame)),
            Some((frame, Owner::Absent)) => Err(FreeError::Foreign(frame)),
            Some((frame, Owner::Held)) => Err(FreeError::NotOwner(frame, None)),
            Some((frame, Owner::Tag(other))) => Err(FreeError::NotOwner(frame, Some(other))),
        };
        let done = if run.frames() == 1 {
            self.frames.free_one(run.start(), tag)
        } else {
            self.frames.free(run, tag)
        };
        assert_eq!(done, expected, "freeing {run:?} of {tag:?}");
        if expected.is_ok() {
            self.model.set(run, Owner::Free);
        }
    }

    /// Cuts `gone` out of the runs that are remembered as allocated.
    fn forget(&mut self, gone: Run) {
        let before = std::mem::take(&mut self.allocated);
        for (run, tag) in before {
            for (from, to) in [
                (run.start().0, run.end().0.min(gone.start().0)),
                (run.start().0.max(gone.end().0), run.end().0),
            ] {
                if from < to {
                    let part = Run::new(FrameNo(from), to - from).expect("part of a run");
                    self.allocated.push((part, tag));
                }
            }
        }
    }

    fn step(&mut self, op: Op) {
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
            Op::Switch { kind } => self.switch(Kind::ALL[usize::from(kind) % 4]),
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

    fn switch(&mut self, kind: Kind) {
        let Some(memory) = self.spare.take() else {
            // No memory to offer: a change is under way, and so it is refused.
            let memory = Memory {
                shared: &[],
                private: &mut [],
            };
            let refused = self.frames.begin_switch(kind, memory);
            assert!(matches!(refused, Err((SwitchError::Busy, Some(_)))));
            return;
        };
        match self.frames.begin_switch(kind, memory) {
            Ok(()) => self.switching = true,
            Err((error, memory)) => {
                assert_eq!(error, SwitchError::Same);
                assert_eq!(self.frames.policy().kind(), kind);
                self.spare = memory;
            }
        }
    }

    fn step_switch(&mut self) {
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

    /// Conservation, after every step.
    fn check_counts(&self) {
        let (free, owned, held) = self.model.counts();
        assert_eq!(self.frames.free_frames(), free);
        assert_eq!(self.frames.held_frames(), held);
        assert_eq!(self.frames.owned_frames(), owned);
        assert_eq!(self.frames.present_frames(), free + owned + held);
    }

    fn validate(&self) {
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
    fn check_runs(&self) {
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
    fn finish(mut self) {
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
