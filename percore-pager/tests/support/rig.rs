//! Runs a trace on an allocator and on the model side by side.

mod check;
mod steps;

use std::sync::atomic::AtomicU64;

use percore_pager::frames::{
    AllocError, CacheShape, Cached, FrameNo, Frames, FreeError, Grant, Live, Memory, Need, Owner,
    OwnerTag, PageOrder, Policies, RegionError, Request, Run, Window, ZeroShape,
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

/// The policies with a number: each alone, each pair.
pub(super) fn policies(number: u8) -> Policies {
    let mut all = Policies::all();
    all.nth(usize::from(number) % 16).expect("there are 16")
}

/// Runs `ops` in `setting`; panics at the first difference.
pub fn run(setting: Setting, ops: &[Op], care: Care) {
    run_in(window_of(setting), setting, ops, care);
}

/// The same in a window of one's own.
pub fn run_in(window: Window, setting: Setting, ops: &[Op], care: Care) {
    let zero = ZeroShape::of(24, 4, 1);
    let need = Policies::all().fold(Need::default(), |most, policies| {
        let need = policies.need(&window);
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

    let policies = policies(setting.kind);
    let live = Live::new(
        policies,
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
        let order = (0..=18).find(|order| run.frames() == 1 << order);
        let order = order.and_then(PageOrder::new);
        let done = match order {
            Some(PageOrder::FRAME) => self.frames.free_one(run.start(), tag),
            // Both forms, for one and the same run too; also where the start is not aligned.
            Some(order) if !tag.get().is_multiple_of(4) => {
                self.frames.free_order(run.start(), order, tag)
            }
            _ => self.frames.free(run, tag),
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
}
