//! Corners of the frame allocators, each on every policy and every two.

mod frames_support;

use frames_support::{Any, ME, YOU, memory, order, run};
use percore_pager::frames::{
    AllocError, CacheShape, Cached, Chosen, FrameNo, Frames, FreeError, Kind, Live, Need, Owner,
    PageOrder, Policies, Policy, Progress, RegionError, Request, Run, SetupError, Window,
    ZeroShape,
};

fn empty(policies: impl Into<Policies>, window: Window) -> Any {
    let policies = policies.into();
    let memory_for_it = memory(policies.need(&window));
    let policy = Chosen::new(policies, window, memory_for_it).expect("enough memory");
    let zero = ZeroShape::of(8, 2, 1);
    Frames::new(policy, zero, memory(Any::need(&window, &zero))).expect("enough memory")
}

/// An allocator of `region` and nothing else, for each policy.
fn each(region: Run, test: impl Fn(Any)) {
    for policies in Policies::all() {
        println!("{policies}");
        let mut frames = empty(policies, Window::covering(region).expect("small"));
        frames.add_region(region).expect("nothing is there yet");
        test(frames);
    }
}

#[test]
fn a_region_of_one_frame() {
    each(run(1000, 1), |mut frames| {
        assert_eq!(frames.largest(), Some(PageOrder::FRAME));
        assert_eq!(frames.alloc_order(order(1), ME), Err(AllocError::NoMemory));
        assert_eq!(frames.alloc_one(ME), Ok(FrameNo(1000)));
        assert_eq!(frames.alloc_one(ME), Err(AllocError::NoMemory));
        assert_eq!(
            frames.remove_region(run(1000, 1)),
            Err(RegionError::Busy(FrameNo(1000)))
        );
        assert_eq!(
            frames.free_one(FrameNo(1000), YOU),
            Err(FreeError::NotOwner(FrameNo(1000), Some(ME)))
        );
        assert_eq!(frames.free_one(FrameNo(1000), ME), Ok(()));
        assert_eq!(
            frames.free_one(FrameNo(1000), ME),
            Err(FreeError::DoubleFree(FrameNo(1000)))
        );
        assert_eq!(
            frames.free_one(FrameNo(1001), ME),
            Err(FreeError::Foreign(FrameNo(1001)))
        );
        assert_eq!(frames.remove_region(run(1000, 1)), Ok(()));
        assert_eq!(
            frames.free_one(FrameNo(1000), ME),
            Err(FreeError::Foreign(FrameNo(1000)))
        );
        assert_eq!(frames.validate().expect("consistent").present, 0);
    });
}

#[test]
fn a_region_that_ends_at_the_top_of_the_address_space() {
    let top = FrameNo::LIMIT.0;
    each(run(top - 1024, 1024), |mut frames| {
        let grant = frames
            .alloc(&Request::order(ME, order(10)))
            .expect("all of it");
        assert_eq!(grant.run, run(top - 1024, 1024));
        assert_eq!(frames.owner(FrameNo(top - 1)), Owner::Tag(ME));
        assert_eq!(frames.owner(FrameNo(top)), Owner::Absent);
        assert_eq!(frames.free(run(top - 1, 1), ME), Ok(()));
        assert_eq!(frames.alloc_one(YOU), Ok(FrameNo(top - 1)));
        assert_eq!(frames.free(run(top - 1024, 1023), ME), Ok(()));
        assert_eq!(frames.validate().expect("consistent").free, 1023);
    });
}

#[test]
fn orders_above_the_region_and_senseless_requests() {
    each(run(0, 512), |mut frames| {
        for above in 10..=18 {
            assert_eq!(
                frames.alloc_order(order(above), ME),
                Err(AllocError::NoMemory)
            );
        }
        let bad = Err(AllocError::BadRequest);
        assert_eq!(frames.alloc(&Request::frames(ME, 0)), bad);
        assert_eq!(frames.alloc(&Request::frames(ME, (1 << 18) + 1)), bad);
        assert_eq!(frames.alloc(&Request::frames(ME, u32::MAX)), bad);
        let outside = Request::one(ME).within(run(4096, 100));
        assert_eq!(frames.alloc(&outside), Err(AllocError::NoMemory));
        assert_eq!(frames.alloc_at(run(511, 2), ME), Err(AllocError::NotFree));
        assert_eq!(frames.free_frames(), 512);
    });
}

#[test]
fn holes_are_never_handed_out_or_merged_over() {
    for policies in Policies::all() {
        let mut frames = empty(policies, Window::covering(run(0, 2048)).expect("small"));
        for (start, length) in [(0, 600), (700, 1), (1000, 24), (1536, 512)] {
            frames.add_region(run(start, length)).expect("apart");
        }
        assert_eq!(
            frames.add_region(run(599, 2)),
            Err(RegionError::Overlap(FrameNo(599)))
        );
        assert_eq!(
            frames.add_region(run(2000, 100)),
            Err(RegionError::OutsideWindow)
        );
        assert_eq!(
            (frames.free_runs(order(9)), frames.free_runs(order(10))),
            (2, 0)
        );
        let mut number = 0;
        while let Ok(frame) = frames.alloc_one(ME) {
            assert!(
                [0..600, 700..701, 1000..1024, 1536..2048]
                    .iter()
                    .any(|r| r.contains(&frame.0))
            );
            number += 1;
        }
        assert_eq!(number, 600 + 1 + 24 + 512);
        assert_eq!(
            frames.free(run(590, 20), ME),
            Err(FreeError::Foreign(FrameNo(600)))
        );
        assert_eq!(
            frames.remove_region(run(650, 1)),
            Err(RegionError::Absent(FrameNo(650)))
        );
        frames.validate().expect("consistent");
    }
}

/// Every request fails at some time; each failure must leave all as it was.
#[test]
fn out_of_memory_at_every_step() {
    for limit in 0..40 {
        each(run(512, 32), |mut frames| {
            let taken = (0..limit).filter(|_| frames.alloc_one(YOU).is_ok()).count() as u32;
            let before = (
                frames.free_frames(),
                PageOrder::all()
                    .map(|o| frames.free_runs(o))
                    .collect::<Vec<_>>(),
            );
            for size in PageOrder::all() {
                let fits = frames.free_runs(size) > 0;
                match frames.alloc_order(size, ME) {
                    Ok(start) => {
                        assert!(fits);
                        frames.free_order(start, size, ME).expect("just allocated");
                    }
                    Err(error) => assert!(!fits && error == AllocError::NoMemory),
                }
            }
            let after = (
                frames.free_frames(),
                PageOrder::all()
                    .map(|o| frames.free_runs(o))
                    .collect::<Vec<_>>(),
            );
            assert_eq!(before, after);
            assert_eq!(
                frames.validate().expect("consistent").owned,
                u64::from(taken)
            );
        });
    }
}

#[test]
fn too_little_memory_is_refused() {
    let window = Window::covering(run(0, 4096)).expect("small");
    for policies in Policies::all() {
        let need = policies.need(&window);
        let short = Need {
            private: need.private - 1,
            ..need
        };
        assert!(Chosen::new(policies, window, memory(short)).is_none());
        if need.shared > 0 {
            let short = Need {
                shared: need.shared - 1,
                ..need
            };
            assert!(Chosen::new(policies, window, memory(short)).is_none());
        }
        let policy = Chosen::new(policies, window, memory(need)).expect("enough memory");
        let short = Need {
            shared: 0,
            ..Any::need(&window, &ZeroShape::OFF)
        };
        let made = Frames::new(policy, ZeroShape::OFF, memory(short));
        assert_eq!(made.err(), Some(SetupError::TooLittleMemory));
    }
}

/// Placement: with fewer single frames than half of memory, in any order of frees, whole blocks
/// stay whole, and after the block in use the fullest one is filled first.
#[test]
fn the_fullest_block_is_filled_first() {
    for kind in [Kind::Bitmap] {
        let mut frames = empty(kind, Window::covering(run(0, 8 * 512)).expect("small"));
        frames.add_region(run(0, 8 * 512)).expect("free");
        assert!((0..4 * 512).all(|_| frames.alloc_one(ME).is_ok()));
        // Block 2 is the fullest after this, block 0 the emptiest.
        for (block, free) in [(0, 400), (1, 300), (2, 100), (3, 200)] {
            (0..free).for_each(|n| frames.free_one(FrameNo(block * 512 + n), ME).expect("mine"));
        }
        let blocks: Vec<u64> = (0..1000)
            .map(|_| frames.alloc_one(ME).expect("free").0 / 512)
            .collect();
        let mut runs = blocks.clone();
        runs.dedup();
        // The block in use (block 0, where the first frame was freed) is filled first.
        assert_eq!(runs, [0, 2, 3, 1]);
        assert_eq!(frames.free_runs(order(9)), 4);
    }
}

#[test]
fn zeroed_frames_are_kept_apart_and_given_when_nothing_else_is_left() {
    each(run(0, 1024), |mut frames| {
        let block = frames
            .begin_zeroing(PageOrder::BLOCK)
            .expect("free and room");
        assert_eq!((frames.held_frames(), frames.free_frames()), (512, 512));
        assert_eq!(
            frames.free(block, ME),
            Err(FreeError::NotOwner(block.start(), None))
        );
        frames.end_zeroing(block).expect("held");
        assert_eq!((frames.zeroed_frames(), frames.free_frames()), (512, 1024));
        assert!(
            frames.begin_zeroing(PageOrder::BLOCK).is_none(),
            "there is room for one"
        );
        let dirty = frames.alloc(&Request::one(ME)).expect("free");
        assert!(!dirty.zeroed && !block.contains(dirty.run.start()));
        let zero = frames.alloc(&Request::one(ME).zeroed()).expect("free");
        assert!(zero.zeroed && block.contains(zero.run.start()));
        // All dirty frames, and then the zeroed ones: nothing is out of reach.
        let rest = (0..1022).filter(|_| frames.alloc_one(YOU).is_ok()).count();
        assert_eq!((rest, frames.free_frames()), (1022, 0));
        assert_eq!(frames.alloc_one(YOU), Err(AllocError::NoMemory));
        frames.validate().expect("consistent");
    });
}

/// Every pair of policies: frames are taken and given between any two steps of a change.
#[test]
fn a_policy_is_replaced_while_it_is_in_use() {
    let region = run(0, 4 * 512);
    let window = Window::covering(region).expect("small");
    for from in Policies::all() {
        for to in Policies::all().filter(|to| *to != from) {
            for give_up in [false, true] {
                let live = Live::new(from, window, memory(from.need(&window))).expect("enough");
                let zero = ZeroShape::OFF;
                let rest = memory(Frames::<Cached<Live>>::need(&window, &zero));
                let mut frames =
                    Frames::new(Cached::new(live, CacheShape::OFF), zero, rest).expect("enough");
                frames.add_region(region).expect("free");
                let mut mine: Vec<FrameNo> = (0..1000)
                    .map(|_| frames.alloc_one(ME).expect("free"))
                    .collect();
                mine.iter()
                    .step_by(2)
                    .for_each(|frame| frames.free_one(*frame, ME).expect("mine"));
                mine = mine.into_iter().skip(1).step_by(2).collect();
                frames
                    .begin_switch(to, memory(to.need(&window)))
                    .expect("not busy");
                let mut steps = 0;
                loop {
                    match frames.step_switch() {
                        Progress::Moving => {}
                        Progress::Finished(_) => {
                            assert!(!give_up);
                            assert_eq!(frames.policy().policies(), to);
                            break;
                        }
                        Progress::Abandoned(memory) => {
                            assert!(give_up);
                            assert_eq!(frames.policy().policies(), from);
                            assert_eq!(memory.private.len(), to.need(&window).private);
                            break;
                        }
                        Progress::Idle => panic!("the change is lost"),
                    }
                    steps += 1;
                    if give_up && steps == 100 {
                        assert!(frames.abandon_switch());
                    }
                    let at = steps * 7 % mine.len();
                    let frame = mine.swap_remove(at);
                    frames.free_one(frame, ME).expect("mine");
                    mine.push(frames.alloc_one(ME).expect("one was just freed"));
                    assert_eq!(frames.free_frames(), 4 * 512 - 500);
                    if steps % 16 == 0 {
                        frames.validate().expect("consistent");
                    }
                }
                mine.iter()
                    .for_each(|frame| frames.free_one(*frame, ME).expect("mine"));
                assert_eq!(frames.free_runs(order(9)), 4);
                frames.validate().expect("consistent");
            }
        }
    }
}
