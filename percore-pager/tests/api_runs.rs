//! The pager API: runs and the reserve.

mod api_support;
mod engine_support;
#[path = "engine_support/machine.rs"]
mod machine;
mod server_support;

use api_support::*;
use l4_sys::{Errno, PAGE_SIZE};
use percore_pager::api::{self, Op, PROTOCOL, flag, request};
use percore_pager::frames::FrameNo;
use server_support::{Outcome, Shape};

#[test]
fn runs_are_mapped_where_they_were_asked_for() {
    let mut rig = rig();
    let root = rig.root;
    let factory = rig.factory(root, 300);
    let request = alloc_request(2, 5, 0, 32 * PAGE_SIZE);
    let reply = rig.call(factory, api::PROTOCOL, &words(&request), &[]);
    let it = got(&reply, 2).expect("memory");
    for (n, (spot, frame, rights)) in it.mapped.iter().enumerate() {
        assert_eq!((*spot, *rights), ((32 + 4 * n as u64) * PAGE_SIZE, 6));
        assert_eq!(frame % 4, 0);
        for page in 0..4 {
            let bytes = rig.tables().fake.page(FrameNo(frame + page));
            assert!(bytes.iter().all(|byte| *byte == 0), "not zeroed");
        }
    }
    let figures = own(&mut rig, factory);
    assert_eq!(
        (figures.runs, figures.run_frames, figures.kept_runs),
        (5, 20, 0)
    );
    assert!(figures.reserved >= 20 * PAGE_SIZE);

    let runs = list(&mut rig, factory);
    let listed: Vec<u32> = runs.iter().map(|run| run.handle).collect();
    assert_eq!(listed, it.handles);
    for (run, (_, frame, _)) in runs.iter().zip(&it.mapped) {
        assert_eq!(
            (run.order, run.kept, run.address),
            (2, 0, frame * PAGE_SIZE)
        );
    }

    // A part of a run again, to be read only.
    let map = |handle, rights, order, offset, spot| request::Map {
        head: head(Op::Map),
        handle,
        rights,
        order,
        zero: 0,
        offset,
        spot,
    };
    let request = map(it.handles[1], 4, 13, 2 * PAGE_SIZE, 8 * PAGE_SIZE);
    let reply = rig.call(factory, api::PROTOCOL, &words(&request), &[]);
    let (base, address, order, rights) = reply.memory();
    let first = it.mapped[1].1;
    assert_eq!(
        (base, address, order, rights),
        (8 * PAGE_SIZE, (first + 2) * PAGE_SIZE, 13, 4)
    );
    for (request, error) in [
        (map(it.handles[0] ^ 1 << 22, 4, 12, 0, 0), Errno::NoEnt),
        (map(0, 4, 12, 0, 0), Errno::NoEnt),
        (map(it.handles[0], 0, 12, 0, 0), Errno::Inval),
        (map(it.handles[0], 8, 12, 0, 0), Errno::Inval),
        (map(it.handles[0], 4, 11, 0, 0), Errno::Inval),
        (map(it.handles[0], 4, 64, 0, 0), Errno::Inval),
        (map(it.handles[0], 4, 13, PAGE_SIZE, 0), Errno::Inval),
        (map(it.handles[0], 4, 13, 0, PAGE_SIZE), Errno::Inval),
        (map(it.handles[0], 4, 12, 4 * PAGE_SIZE, 0), Errno::Range),
        (map(it.handles[0], 4, 15, 0, 0), Errno::Range),
        (map(it.handles[0], 4, 12, !0xfff, 0), Errno::Range),
    ] {
        let reply = rig.call(factory, api::PROTOCOL, &words(&request), &[]);
        assert_eq!(reply.error(), Some(error), "{request:?}");
    }
    // Another factory knows nothing of them.
    let other = rig.factory(root, 100);
    assert_eq!(
        free(&mut rig, other, &it.handles[..1], false),
        Err(Errno::NoEnt)
    );
    let request = map(it.handles[1], 4, 12, 0, 0);
    let reply = rig.call(other, api::PROTOCOL, &words(&request), &[]);
    assert_eq!(reply.error(), Some(Errno::NoEnt));
}

#[test]
fn wrong_runs_are_refused() {
    let mut rig = rig();
    let root = rig.root;
    let bad = |order, count, flags, rights, spot| {
        let request = alloc_request(order, count, flags, spot);
        request::Alloc { rights, ..request }
    };
    for request in [
        bad(19, 1, 0, 6, 0),
        bad(u32::MAX, 1, 0, 6, 0),
        bad(0, 0, 0, 6, 0),
        bad(0, 17, 0, 6, 0),
        bad(0, 1, 8, 6, 0),
        bad(0, 1, 0, 0, 0),
        bad(0, 1, 0, 8, 0),
        bad(0, 1, 0, 0x106, 0),
        bad(2, 1, 0, 6, PAGE_SIZE),
        bad(0, 16, 0, 6, !0xfff),
    ] {
        let reply = rig.call(root, api::PROTOCOL, &words(&request), &[]);
        assert_eq!(reply.error(), Some(Errno::Inval), "{request:?}");
    }
    let factory = rig.factory(root, 20);
    assert_eq!(
        alloc(&mut rig, factory, (5, 1), 0),
        Err(Errno::NoMem),
        "above the quota"
    );
    assert_eq!(
        alloc(&mut rig, factory, (0, 1), flag::FROM_RESERVE),
        Err(Errno::NoEnt)
    );
    // As many as there are.
    let got = alloc(&mut rig, factory, (2, 16), 0).expect("some");
    assert!((2..=4).contains(&got.handles.len()), "{got:?}");
    // All or nothing.
    let before = own(&mut rig, factory);
    let twice = [got.handles[0], got.handles[1], got.handles[0]];
    let unknown = [got.handles[0], 77];
    for handles in [&twice[..], &unknown[..]] {
        assert_eq!(free(&mut rig, factory, handles, false), Err(Errno::NoEnt));
        assert_eq!(own(&mut rig, factory), before);
    }
    assert_eq!(free(&mut rig, factory, &[], false), Err(Errno::Inval));
    let many = free_request(&[1; 64], 0);
    let mut many = many.clone();
    many[1] = many[1] & !0xffff_ffff | 65;
    let reply = rig.call(factory, api::PROTOCOL, &many, &[]);
    assert_eq!(reply.error(), Some(Errno::Inval));
    free(&mut rig, factory, &got.handles, false).expect("ours");
    assert_eq!(
        free(&mut rig, factory, &got.handles[..1], false),
        Err(Errno::NoEnt),
        "old handles"
    );
    assert_eq!(own(&mut rig, factory).runs, 0);
}

#[test]
fn the_reserve_keeps_runs_for_their_client() {
    let mut rig = rig();
    let root = rig.root;
    let factory = rig.factory(root, 300);
    assert_eq!(reserve(&mut rig, factory, 2, 10), Ok(10));
    let figures = own(&mut rig, factory);
    assert_eq!(
        (figures.runs, figures.kept_runs, figures.kept_frames),
        (0, 10, 40)
    );
    let (taken, given) = (
        rig.core.api_counters().runs_taken,
        rig.core.api_counters().runs_given,
    );
    rig.tables().fake.work = 0;
    let got = alloc(&mut rig, factory, (2, 4), flag::FROM_RESERVE).expect("ten are there");
    assert_eq!(rig.tables().fake.work, 0, "nothing is zeroed");
    assert_eq!(rig.core.api_counters().runs_taken, taken);
    let client = 5;
    for (n, (_, frame, _)) in got.mapped.iter().enumerate() {
        let bytes = rig.tables().fake.page(FrameNo(*frame));
        assert!(bytes.iter().all(|byte| *byte == 0));
        bytes.fill(n as u8 + 1);
        rig.tables().fake.maps.insert(
            (client, n as u64),
            machine::Mapping {
                frame: *frame,
                write: true,
            },
        );
    }
    // Back into the reserve: no unmap, and the contents stay its client's.
    let unmaps = rig.tables().fake.unmaps;
    free(&mut rig, factory, &got.handles, true).expect("ours");
    assert_eq!(
        (rig.tables().fake.unmaps, rig.tables().fake.maps.len()),
        (unmaps, 4)
    );
    assert_eq!(rig.core.api_counters().runs_recycled, 4);
    let request = request::Map {
        head: head(Op::Map),
        handle: got.handles[0],
        rights: 6,
        order: 12,
        zero: 0,
        offset: 0,
        spot: 0,
    };
    let reply = rig.call(factory, api::PROTOCOL, &words(&request), &[]);
    assert_eq!(
        reply.error(),
        Some(Errno::NoEnt),
        "what is in the reserve is not in use"
    );
    let again = alloc(&mut rig, factory, (2, 1), flag::FROM_RESERVE).expect("used ones");
    let page = again.mapped[0].1;
    assert_eq!(
        rig.tables().fake.page(FrameNo(page))[0],
        4,
        "the one freed last"
    );
    let clean =
        alloc(&mut rig, factory, (2, 3), flag::FROM_RESERVE | flag::CLEAR).expect("used ones");
    for (_, frame, _) in &clean.mapped {
        assert!(
            rig.tables()
                .fake
                .page(FrameNo(*frame))
                .iter()
                .all(|byte| *byte == 0)
        );
    }
    // Less, and nothing.
    assert_eq!(reserve(&mut rig, factory, 2, 1), Ok(1));
    assert_eq!(rig.core.api_counters().runs_given, given + 5);
    assert_eq!(reserve(&mut rig, factory, 2, 0), Ok(0));
    assert_eq!(reserve(&mut rig, factory, 19, 0), Err(Errno::Inval));
    // More than there is: as many as there are.
    let have = reserve(&mut rig, factory, 0, 10_000).expect("some");
    assert!((200..300).contains(&have), "{have}");
    assert_eq!(own(&mut rig, factory).kept_runs, u64::from(have));
    rig.drop_cap(factory);
    rig.tables().fake.maps.retain(|_, _| false);
    rig.check_empty();
}

#[test]
fn a_frame_goes_to_nobody_else_while_it_is_mapped() {
    let mut rig = rig();
    let root = rig.root;
    let first = rig.factory(root, 950);
    let got = alloc(&mut rig, first, (3, 16), 0).expect("memory");
    let frames: Vec<u64> = got.mapped.iter().map(|(_, frame, _)| *frame).collect();
    for frame in &frames {
        for page in 0..8 {
            rig.tables().fake.page(FrameNo(frame + page)).fill(0x77);
            let mapping = machine::Mapping {
                frame: frame + page,
                write: true,
            };
            rig.tables().fake.maps.insert((1, frame + page), mapping);
        }
    }
    let calls = rig.tables().fake.unmaps;
    free(&mut rig, first, &got.handles, false).expect("ours");
    assert_eq!(rig.tables().fake.unmaps, calls, "unmapping waits");
    assert_eq!(memory(&mut rig, root).waiting, 128);
    // Somebody else takes all there is.
    rig.drop_cap(first);
    rig.run();
    let second = rig.factory(root, 950);
    while let Ok(got) = alloc(&mut rig, second, (0, 16), 0) {
        for (_, frame, _) in got.mapped {
            let shown = rig.tables().fake.maps.values().any(|m| m.frame == frame);
            assert!(!shown, "frame {frame} is still mapped by its old owner");
            assert!(
                rig.tables()
                    .fake
                    .page(FrameNo(frame))
                    .iter()
                    .all(|b| *b == 0)
            );
        }
    }
    assert_eq!(
        rig.tables().fake.unmaps,
        calls + 1,
        "one call for all of them"
    );
}

#[test]
fn runs_end_with_their_factory() {
    let mut rig = rig();
    let root = rig.root;
    let outer = rig.factory(root, 600);
    let inner = rig.factory(outer, 300);
    alloc(&mut rig, inner, (0, 16), 0).expect("memory");
    alloc(&mut rig, outer, (4, 8), 0).expect("memory");
    reserve(&mut rig, inner, 1, 20).expect("memory");
    rig.drop_cap(inner);
    rig.drop_cap(outer);
    rig.check_empty();
}

/// The factory ends while its request is parked: the answer comes, and nothing is lost.
#[test]
fn a_factory_ends_in_the_middle_of_a_request() {
    let requests = [
        words(&alloc_request(6, 8, 0, 0)),
        words(&request::Reserve {
            head: head(Op::Reserve),
            order: 6,
            count: 8,
        }),
    ];
    for request in requests {
        for turns in 0..6 {
            let mut rig = rig();
            let root = rig.root;
            let factory = rig.factory(root, 900);
            let Outcome::Parked(ticket) = begin(&mut rig, factory, &request) else {
                panic!("that is more than a turn's work");
            };
            for _ in 0..turns {
                rig.turn();
            }
            // Runs that are not zeroed cannot be named.
            let named = list(&mut rig, factory);
            assert!(named.iter().all(|run| run.kept == 1), "{named:?}");
            rig.drop_cap(factory);
            rig.run();
            let told = rig.answers.remove(&ticket.0).expect("answered");
            assert_eq!(told.error(), Some(Errno::BadProto));
            rig.check_empty();
        }
    }
}

/// The table of many runs ends in turns of their own: freeing a node looks through its whole head.
#[test]
fn a_large_table_of_runs_ends_in_small_turns() {
    let mut rig = shaped(Shape {
        frames: 8192,
        ..Shape::USUAL
    });
    let root = rig.root;
    let factory = rig.factory(root, 4000);
    const RUNS: u64 = 2048;
    for _ in 0..RUNS / 16 {
        let request = alloc_request(0, 16, flag::NO_MAP, 0);
        assert_eq!(rig.call(factory, PROTOCOL, &words(&request), &[]).label, 16);
    }
    let before = rig.core.counters().turns;
    rig.drop_cap(factory);
    rig.run();
    // 64 records a turn, and of the 32 leaves and their node four.
    let turns = rig.core.counters().turns - before;
    assert!(turns >= RUNS / 64 + RUNS / 64 / 4, "{turns} turns");
    rig.check_empty();
}
