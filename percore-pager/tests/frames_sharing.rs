//! Several frame allocators on one shared array: hand-over of blocks, and frees of frames that are
//! another's.

mod frames_support;

use frames_support::{Any, ME, YOU, order, run, shared};
use percore_pager::frames::{
    CacheShape, Cached, Chosen, FrameNo, Frames, FreeError, Kind, Memory, Need, Owner, PageOrder,
    Policies, Window, ZeroShape,
};

/// Two allocators on one shared array hand a block to each other, with no copy and no clearing.
#[test]
fn two_allocators_of_one_window_hand_blocks_over() {
    let alone = [Kind::Bitmap, Kind::Slab].map(Policies::from);
    for kind in alone
        .into_iter()
        .chain([Policies::new(Kind::Slab, Kind::Bitmap)])
    {
        let window = Window::covering(run(0, 2048)).expect("small");
        let zero = ZeroShape::OFF;
        let lines = shared(kind.need(&window).shared);
        let tags = shared(Any::need(&window, &zero).shared);
        let make = || -> Any {
            let private = |words: usize| vec![0; words].leak();
            let memory = Memory {
                shared: lines,
                private: private(kind.need(&window).private),
            };
            let policy = Chosen::new(kind, window, memory).expect("enough memory");
            let memory = Memory {
                shared: tags,
                private: private(Any::need(&window, &zero).private),
            };
            Frames::new(policy, zero, memory).expect("enough memory")
        };
        let (mut here, mut there) = (make(), make());
        here.add_region(run(0, 1024)).expect("free");
        there.add_region(run(1024, 1024)).expect("free");
        for round in 0..3 {
            // Leave the block's line and tags in every state before it goes.
            let taken: Vec<FrameNo> = (0..700)
                .map(|_| here.alloc_one(ME).expect("free"))
                .collect();
            let run_of_8 = here.alloc_order(order(3), YOU).expect("free");
            // The bytes of its owner are in the part that both see; the block is only one's.
            assert_eq!(
                there.free_order(run_of_8, order(3), YOU),
                Err(FreeError::Foreign(run_of_8))
            );
            taken
                .iter()
                .for_each(|frame| here.free_one(*frame, ME).expect("mine"));
            here.free_order(run_of_8, order(3), YOU).expect("yours");
            assert_eq!(here.remove_region(run(512, 512)), Ok(()));
            assert_eq!(there.add_region(run(512, 512)), Ok(()));
            assert_eq!(here.owner(FrameNo(600)), Owner::Absent);
            assert_eq!(there.free_runs(order(9)), 3);
            let frames: Vec<FrameNo> = (0..1500)
                .map(|_| there.alloc_one(YOU).expect("free"))
                .collect();
            here.validate().expect("consistent");
            there.validate().expect("consistent");
            frames
                .iter()
                .for_each(|frame| there.free_one(*frame, YOU).expect("yours"));
            assert_eq!(there.remove_region(run(512, 512)), Ok(()), "round {round}");
            assert_eq!(here.add_region(run(512, 512)), Ok(()));
            assert_eq!(here.free_runs(order(10)), 1);
        }
    }
}

/// Every form of free finds that frames are another allocator's, though both stand on one array and
/// the owner has the same tag there; with a cache in front and without.
#[test]
fn a_free_of_another_allocators_frames_is_foreign() {
    let window = Window::covering(run(512, 2048)).expect("small");
    let zero = ZeroShape::OFF;
    for (kind, shape) in Policies::all()
        .flat_map(|kind| [CacheShape::OFF, CacheShape::DEFAULT].map(|shape| (kind, shape)))
    {
        let lines = shared(kind.need(&window).shared);
        let tags = shared(Any::need(&window, &zero).shared);
        let make = |first: u64| {
            let part = |shared, need: Need| Memory {
                shared,
                private: vec![0; need.private].leak(),
            };
            let policy = Chosen::new(kind, window, part(lines, kind.need(&window)));
            let policy = Cached::new(policy.expect("enough memory"), shape);
            let rest = part(tags, Any::need(&window, &zero));
            let mut frames = Frames::new(policy, zero, rest).expect("enough memory");
            frames.add_region(run(first, 1024)).expect("free");
            frames
        };
        let (mut here, mut there) = (make(512), make(1536));
        let mut seen = Vec::new();
        for order in (0..10).rev().map(order) {
            let start = there.alloc_order(order, ME).expect("free");
            seen.push((start, order));
        }
        let single = there.alloc_one(ME).expect("free");
        for round in 0..2 {
            let before = (here.free_frames(), here.owned_frames());
            for (start, order) in seen.iter().copied() {
                let frames = u64::from(order.frames());
                let last = FrameNo(start.0 + frames - 1);
                let foreign = |frame| Err(FreeError::Foreign(frame));
                for frame in [start, last, single] {
                    assert_eq!(here.owner(frame), Owner::Absent);
                    assert_eq!(here.free_one(frame, ME), foreign(frame), "{kind}");
                    assert_eq!(here.free_one(frame, YOU), foreign(frame));
                }
                assert_eq!(here.free_order(start, order, ME), foreign(start));
                assert_eq!(here.free(run(start.0, frames), ME), foreign(start));
                assert_eq!(there.owner(start), Owner::Tag(ME));
                assert_eq!(there.owner(last), Owner::Tag(ME));
            }
            assert_eq!((here.free_frames(), here.owned_frames()), before);
            here.validate().expect("consistent");
            there.validate().expect("consistent");
            // A block that has changed hands is as foreign as one never had.
            if round == 0 {
                here.remove_region(run(512, 512)).expect("free");
                there.add_region(run(512, 512)).expect("nobody has it");
                let at = run(700, 1);
                there.alloc_at(at, ME).expect("free");
                seen.push((at.start(), PageOrder::FRAME));
            }
        }
        for (start, order) in seen {
            there.free_order(start, order, ME).expect("mine");
            assert_eq!(there.free_one(start, ME), Err(FreeError::DoubleFree(start)));
        }
        there.free_one(single, ME).expect("mine");
    }
}
