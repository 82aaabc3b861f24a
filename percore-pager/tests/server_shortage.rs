//! Memory, quota and system calls that end in the middle of requests.

#[path = "engine_support/machine.rs"]
mod machine;
mod server_support;

use l4_sys::{Errno, proto};
use l4re_rs::varg::Arg;
use machine::PAGE;
use percore_pager::engine::rm::flag;
use server_support::cases::{CASES, Case, Picture, RWX, attach, perform, picture};
use server_support::{Cap, Item, Outcome, Reply, Rig, Shape};

/// After a refusal in a shortage: the right error, nothing changed; then the same works.
fn refused(
    rig: &mut Rig,
    case: &Case,
    (factory, caps): (Cap, &mut Vec<Cap>),
    (reply, before): (Reply, Picture),
    live: u32,
) {
    let name = case.name;
    assert_eq!(reply.error(), Some(case.error), "{name}");
    let after = picture(rig, factory, caps);
    assert_eq!(rig.core.objects.live(), live, "{name}");
    assert!(rig.tables().foreign.is_empty(), "{name}");
    if !case.partly {
        assert_eq!(after, before, "{name}");
    }
    assert_eq!(after.0, before.0, "{name}");
}

/// The quota ends after so many pages.
#[test]
fn quota_used_up_everywhere() {
    for case in CASES {
        let mut outcomes = [0, 0];
        let mut used = None;
        for pages in (0..1).chain(0..140) {
            let mut rig = Rig::new();
            let root = rig.root;
            // Less than a page is enough for nothing (MOE-QUO-03).
            let quota = used
                .map_or(300 * PAGE, |used| (used + pages) * PAGE)
                .max(100);
            let args = [Arg::Uint(quota)];
            let factory = rig.create(root, proto::FACTORY, &args).expect("memory");
            let mut caps = (case.prepare)(&mut rig, factory);
            let before = picture(&mut rig, factory, &caps);
            if used.is_none() {
                used = Some(before.1[1] / PAGE);
                continue;
            }
            let live = rig.core.objects.live();
            let reply = perform(&mut rig, case, &mut caps);
            if reply.label >= 0 {
                outcomes[1] += 1;
            } else {
                outcomes[0] += 1;
                refused(&mut rig, case, (factory, &mut caps), (reply, before), live);
            }
            rig.tables().delete(factory.id);
            rig.check_empty();
            if outcomes[1] >= 3 {
                break;
            }
        }
        println!("{}: refused {} times, then done", case.name, outcomes[0]);
        assert!(outcomes[1] > 0, "{} {outcomes:?}", case.name);
        // A map's nodes fit a page that is there: see `maps_fill_their_quota`.
        let free = ["attach", "detach the middle", "reserve area", "add jump"];
        assert!(
            outcomes[0] > 0 || free.contains(&case.name),
            "{}",
            case.name
        );
    }
}

/// A map's nodes: regions, areas and jumps until the quota is used up.
#[test]
fn maps_fill_their_quota() {
    let mut rig = Rig::new();
    let root = rig.root;
    let (factory, ds) = (rig.factory(root, 4), rig.dataspace(root, PAGE));
    let map = rig.map(factory);
    let rm = |rig: &mut Rig, words: &[u64]| rig.call(map, proto::RM, words, &[]);
    let mut counts = [0u64; 3];
    for (kind, error) in [Errno::AddrNotAvail, Errno::AddrNotAvail, Errno::NoMem]
        .into_iter()
        .enumerate()
    {
        let got = loop {
            let at = 0x10_0000 + counts[kind] * 0x10_0000;
            let got = match kind {
                0 => {
                    let words = attach(&mut rig, (at, 3, RWX));
                    rig.call(map, proto::RM, &words, &[Item::Gate(ds)])
                }
                1 => rm(&mut rig, &[3, at + 0x8_0000, 5, 0]),
                _ => rm(&mut rig, &[8, at, at + 5, at]),
            };
            if got.label != 0 {
                break got;
            }
            counts[kind] += 1;
        };
        assert_eq!(got.error(), Some(error), "{counts:?}");
    }
    let [regions, areas, jumps] = counts;
    assert!(regions > 80 && jumps == 0, "{counts:?}");
    assert!(areas < 70, "{counts:?}");
    // A region that would fall in two does not change.
    let list = rm(&mut rig, &[5, 0x10_0000]);
    let split = rm(&mut rig, &[1, 0x10_1000, PAGE, 1]);
    assert_eq!(split.error(), Some(Errno::NoMem));
    assert_eq!(rm(&mut rig, &[5, 0x10_0000]), list);
    // With one region less it can be done; and a dead map gives all back.
    assert_eq!(rm(&mut rig, &[1, 0x20_0000, PAGE, 2]).label, 0);
    assert_eq!(rm(&mut rig, &[1, 0x10_1000, PAGE, 1]).label, 2);
    for cap in [map, factory, ds] {
        rig.drop_cap(cap);
    }
    rig.check_empty();
}

/// The frames of the thread end after so many, while the quota has room.
#[test]
fn memory_used_up_everywhere() {
    for case in CASES {
        let mut outcomes = [0, 0];
        for pages in 0..140 {
            let mut rig = Rig::new();
            let root = rig.root;
            let factory = rig.factory(root, 300);
            let mut caps = (case.prepare)(&mut rig, factory);
            rig.run();
            while rig.core.pool.unmap_waiting() {}
            let utcb = rig.utcb();
            let tag = rig.core.create_factory(utcb, None).expect("memory");
            let reply = rig.take(tag);
            let rich = rig.receive(&reply).expect("a capability");
            let hog = rig.dataspace(rich, 1 << 30);
            let mut at = 0;
            // Single pages that are not neighbours, so that nothing is kept for it.
            while rig.core.pool.available() / PAGE > pages {
                if rig.map_page(hog, at, 6).label != 0 {
                    break;
                }
                at += 17;
            }
            assert!(rig.core.pool.available() / PAGE < pages + 10);
            let before = picture(&mut rig, factory, &caps);
            let live = rig.core.objects.live();
            let reply = perform(&mut rig, case, &mut caps);
            if reply.label >= 0 {
                outcomes[1] += 1;
            } else {
                outcomes[0] += 1;
                let (mut before, partly) = (before, case.partly);
                // Free memory is part of the figures.
                let mut after = picture(&mut rig, factory, &caps);
                (before.1[4], after.1[4]) = (0, 0);
                assert!(
                    partly || before == after,
                    "{}: {before:?} {after:?}",
                    case.name
                );
                assert_eq!(reply.error(), Some(case.error), "{}", case.name);
                assert_eq!(rig.core.objects.live(), live);
                rig.drop_cap(hog);
                // The hog is on its way out: nobody notices that this takes time.
                let again = perform(&mut rig, case, &mut caps);
                assert!(again.label >= 0, "{} with {pages}: {again:?}", case.name);
            }
            rig.tables().delete(factory.id);
            for cap in [hog, rich] {
                rig.tables().delete(cap.id);
            }
            rig.check_empty();
            if outcomes[1] >= 3 {
                break;
            }
        }
        println!("{}: refused {} times, then done", case.name, outcomes[0]);
        assert!(outcomes[1] > 0, "{} {outcomes:?}", case.name);
    }
}

/// The n-th system call that can fail fails.
#[test]
fn system_calls_fail_everywhere() {
    for case in CASES {
        for calls in 0..60 {
            let mut rig = Rig::new();
            let root = rig.root;
            let factory = rig.factory(root, 300);
            let mut caps = (case.prepare)(&mut rig, factory);
            let before = picture(&mut rig, factory, &caps);
            let live = rig.core.objects.live();
            rig.tables().fuse = Some(calls);
            let reply = perform(&mut rig, case, &mut caps);
            let used = rig.tables().fuse != Some(calls);
            rig.tables().fuse = None;
            let done = reply.label >= 0;
            if !done {
                refused(&mut rig, case, (factory, &mut caps), (reply, before), live);
                let again = perform(&mut rig, case, &mut caps);
                assert!(again.label >= 0, "{}: {again:?}", case.name);
            }
            rig.tables().delete(factory.id);
            rig.check_empty();
            if done && (used || calls == 0) {
                break;
            }
        }
    }
}

/// A region's own copy that needs memory in a later turn, while an object is ending that has it (CL-22).
#[test]
fn a_private_region_waits_for_ends() {
    let mut short = 0;
    for turns in 0..24 {
        let mut rig = Rig::shaped(Shape {
            entries: 128,
            ..Shape::USUAL
        });
        let root = rig.root;
        let mine = rig.factory(root, 64);
        // Looking for what has ended takes more than a turn.
        let others: Vec<Cap> = (0..60).map(|_| rig.map(root)).collect();
        let (map, source) = (rig.map(mine), rig.contiguous(mine, 20 * PAGE));
        let big = rig.contiguous(mine, 30 * PAGE);
        let words = attach(&mut rig, (0x10_0000, 20, RWX | flag::PRIVATE));
        let Outcome::Parked(ticket) = rig.send(map, proto::RM, &words, &[Item::Gate(source)])
        else {
            panic!("it takes turns")
        };
        for _ in 0..turns {
            rig.turn();
        }
        if rig.answers.contains_key(&ticket.0) {
            short += 1;
            assert_eq!(rig.answers[&ticket.0].error(), Some(Errno::NoMem));
        } else {
            rig.tables().delete(big.id);
            rig.run();
            assert_eq!(rig.answers[&ticket.0].label, 0, "after {turns} turns");
        }
        rig.tables().delete(mine.id);
        for map in others {
            rig.drop_cap(map);
        }
        rig.check_empty();
    }
    assert!((3..20).contains(&short), "{short} were short of memory");
}
