//! What goes wrong in the middle of requests: memory, quota and system calls that fail, objects and clients
//! that end while their call is parked.

mod engine_support;
#[path = "engine_support/machine.rs"]
mod machine;
mod server_support;

use l4_sys::{Errno, proto};
use l4re_rs::msg::Writer;
use l4re_rs::varg::Arg;
use machine::PAGE;
use percore_pager::engine::rm::flag;
use server_support::{Cap, Item, Manner, Outcome, Reply, Rig, Shape};

const RWX: u32 = 7;

/// A request that is tried in all kinds of shortage.
struct Case {
    name: &'static str,
    /// What a client has before.
    prepare: fn(&mut Rig, Cap) -> Vec<Cap>,
    /// The capability, the protocol, the words and the item of the request.
    request: fn(&mut Rig, &[Cap]) -> (Cap, i64, Vec<u64>, Vec<Item>),
    /// What a client is told in a shortage.
    error: Errno,
    /// Whether what was done so far stays, as upstream's.
    partly: bool,
}

fn attach(rig: &mut Rig, (start, pages, flags): (u64, u64, u32)) -> Vec<u64> {
    let utcb = rig.utcb();
    let tag = Writer::new(utcb)
        .u32(0)
        .u64(start)
        .u64(pages * PAGE)
        .u32(flags)
        .u64(0)
        .u8(12)
        .u64(1)
        .array(b"x\0")
        .u64(0)
        .finish(proto::RM)
        .expect("it fits");
    (0..tag.words()).map(|n| utcb.mr(n)).collect()
}

/// A dataspace with a table: three pages of it that are not neighbours are there.
fn touched(rig: &mut Rig, factory: Cap) -> Cap {
    let ds = rig.dataspace(factory, 100 * PAGE);
    for page in [0, 33, 70] {
        assert_eq!(rig.map_page(ds, page, 7).label, 0);
    }
    ds
}

fn object(
    rig: &mut Rig,
    factory: Cap,
    kind: i64,
    args: &[Arg<'_>],
) -> (Cap, i64, Vec<u64>, Vec<Item>) {
    (
        factory,
        proto::FACTORY,
        rig.create_words(kind, args),
        vec![],
    )
}

const CASES: &[Case] = &[
    Case {
        name: "create on demand",
        prepare: |_, factory| vec![factory],
        request: |rig, caps| object(rig, caps[0], proto::DATASPACE, &[Arg::Uint(9 * PAGE)]),
        error: Errno::NoMem,
        partly: false,
    },
    Case {
        name: "create contiguous",
        prepare: |_, factory| vec![factory],
        request: |rig, caps| {
            let args = [Arg::Uint(20 * PAGE), Arg::Uint(1)];
            object(rig, caps[0], proto::DATASPACE, &args)
        },
        error: Errno::NoMem,
        partly: false,
    },
    Case {
        name: "create map",
        prepare: |_, factory| vec![factory],
        request: |rig, caps| object(rig, caps[0], proto::RM, &[]),
        error: Errno::NoMem,
        partly: false,
    },
    Case {
        name: "create factory",
        prepare: |_, factory| vec![factory],
        request: |rig, caps| object(rig, caps[0], proto::FACTORY, &[Arg::Uint(9 * PAGE)]),
        error: Errno::NoMem,
        partly: false,
    },
    Case {
        name: "map",
        prepare: |rig, factory| vec![rig.dataspace(factory, 1 << 30)],
        request: |_, caps| (caps[0], proto::DATASPACE, vec![0, 1 << 29, 0, 7], vec![]),
        error: Errno::NoMem,
        partly: true,
    },
    Case {
        name: "allocate",
        prepare: |rig, factory| vec![touched(rig, factory)],
        request: |_, caps| (caps[0], proto::DATASPACE, vec![4, 0, 90 * PAGE], vec![]),
        error: Errno::NoMem,
        partly: true,
    },
    Case {
        name: "clear",
        prepare: |rig, factory| {
            let (ds, copy) = (touched(rig, factory), rig.dataspace(factory, 100 * PAGE));
            let words = [3, 0, 0, u64::MAX];
            let shared = rig.call(copy, proto::DATASPACE, &words, &[Item::Gate(ds)]);
            assert_eq!(shared.label, 0);
            vec![ds, copy]
        },
        request: |_, caps| (caps[0], proto::DATASPACE, vec![1, 5, 90 * PAGE], vec![]),
        error: Errno::NoMem,
        partly: true,
    },
    Case {
        name: "copy in",
        prepare: |rig, factory| vec![touched(rig, factory), rig.dataspace(factory, 90 * PAGE)],
        request: |_, caps| {
            let words = vec![3, 0, 0, u64::MAX];
            (caps[1], proto::DATASPACE, words, vec![Item::Gate(caps[0])])
        },
        error: Errno::NoMem,
        partly: true,
    },
    Case {
        name: "copy in, unaligned",
        prepare: |rig, factory| vec![touched(rig, factory), rig.dataspace(factory, 90 * PAGE)],
        request: |_, caps| {
            let words = vec![3, 100, 0, u64::MAX];
            (caps[1], proto::DATASPACE, words, vec![Item::Gate(caps[0])])
        },
        error: Errno::NoMem,
        partly: true,
    },
    Case {
        name: "copy in, foreign",
        prepare: |rig, factory| vec![rig.dataspace(factory, 90 * PAGE)],
        request: |_, caps| {
            let source = Item::Foreign(40 * PAGE, Manner::Prompt);
            (
                caps[0],
                proto::DATASPACE,
                vec![3, 0, 0, u64::MAX],
                vec![source],
            )
        },
        error: Errno::NoMem,
        partly: true,
    },
    Case {
        name: "attach",
        prepare: |rig, factory| vec![rig.map(factory), rig.dataspace(factory, 9 * PAGE)],
        request: |rig, caps| {
            let words = attach(rig, (0x10_0000, 9, RWX));
            (caps[0], proto::RM, words, vec![Item::Gate(caps[1])])
        },
        error: Errno::AddrNotAvail,
        partly: false,
    },
    Case {
        name: "attach anonymous",
        prepare: |rig, factory| vec![rig.map(factory)],
        request: |rig, caps| {
            let words = attach(rig, (0x10_0000, 90, RWX | flag::ANONYMOUS));
            (caps[0], proto::RM, words, vec![Item::Void])
        },
        error: Errno::NoMem,
        partly: false,
    },
    Case {
        name: "attach private",
        prepare: |rig, factory| vec![rig.map(factory), touched(rig, factory)],
        request: |rig, caps| {
            let words = attach(rig, (0x10_0000, 90, RWX | flag::PRIVATE));
            (caps[0], proto::RM, words, vec![Item::Gate(caps[1])])
        },
        error: Errno::NoMem,
        partly: false,
    },
    Case {
        name: "reserve area",
        prepare: |rig, factory| vec![rig.map(factory)],
        request: |_, caps| (caps[0], proto::RM, vec![3, 0x10_0000, 0x1000, 0], vec![]),
        error: Errno::AddrNotAvail,
        partly: false,
    },
    Case {
        name: "detach the middle",
        prepare: |rig, factory| {
            let caps = vec![rig.map(factory), rig.dataspace(factory, 9 * PAGE)];
            let words = attach(rig, (0x10_0000, 9, RWX));
            let got = rig.call(caps[0], proto::RM, &words, &[Item::Gate(caps[1])]);
            assert_eq!(got.label, 0);
            caps
        },
        request: |_, caps| (caps[0], proto::RM, vec![1, 0x10_1000, PAGE, 0], vec![]),
        error: Errno::NoMem,
        partly: false,
    },
    Case {
        name: "add jump",
        prepare: |rig, factory| vec![rig.map(factory)],
        request: |_, caps| (caps[0], proto::RM, vec![8, 1, 2, 3], vec![]),
        error: Errno::NoMem,
        partly: false,
    },
    Case {
        name: "page fault",
        prepare: |rig, factory| {
            let caps = vec![rig.map(factory), rig.dataspace(factory, 1 << 30)];
            let words = attach(rig, (0x10_0000, 1 << 17, RWX));
            let got = rig.call(caps[0], proto::RM, &words, &[Item::Gate(caps[1])]);
            assert_eq!(got.label, 0);
            caps
        },
        request: |_, caps| (caps[0], proto::PAGE_FAULT, vec![0x1010_0002, 0], vec![]),
        error: Errno::NoMem,
        partly: true,
    },
    Case {
        name: "page in",
        prepare: |rig, factory| {
            let caps = vec![rig.map(factory), rig.dataspace(factory, 1 << 30)];
            let words = attach(rig, (0x10_0000, 1 << 17, RWX));
            let got = rig.call(caps[0], proto::RM, &words, &[Item::Gate(caps[1])]);
            assert_eq!(got.label, 0);
            caps
        },
        request: |_, caps| {
            (
                caps[0],
                proto::RM,
                vec![10, 0x1010_0000, 0x1010_0fff, 7],
                vec![],
            )
        },
        error: Errno::AddrNotAvail,
        partly: true,
    },
];

/// What a client can see of its objects without touching them.
fn picture(rig: &mut Rig, factory: Cap, caps: &[Cap]) -> (Vec<Reply>, [u64; 5]) {
    rig.run();
    let mut seen = vec![];
    for cap in caps {
        for (protocol, words) in [
            (proto::RM, [5, 0]),
            (proto::RM, [6, 0]),
            (proto::DATASPACE, [2, 0]),
        ] {
            seen.push(rig.call(*cap, protocol, &words, &[]));
        }
    }
    let info = rig.info(factory);
    (seen, info)
}

/// Sends a case's request and waits for the answer. A capability that comes is kept.
fn perform(rig: &mut Rig, case: &Case, caps: &mut Vec<Cap>) -> Reply {
    let (cap, protocol, words, items) = (case.request)(rig, caps);
    let reply = rig.call(cap, protocol, &words, &items);
    if protocol == proto::FACTORY && reply.label == 0 {
        let made = rig.receive(&reply).expect("a capability");
        caps.push(made);
    }
    reply
}

/// After a refusal in a shortage: the right error, nothing changed; then the same works.
fn refused(
    rig: &mut Rig,
    case: &Case,
    (factory, caps): (Cap, &mut Vec<Cap>),
    (reply, before): (Reply, (Vec<Reply>, [u64; 5])),
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

/// Each object of a call ends after so many turns of it.
#[test]
fn objects_end_in_the_middle_of_calls() {
    let mut parked = 0;
    for case in CASES {
        for victim in 0..4 {
            for turns in 0..12 {
                let mut rig = Rig::new();
                let root = rig.root;
                let factory = rig.factory(root, 500);
                let caps = (case.prepare)(&mut rig, factory);
                let (cap, protocol, words, items) = (case.request)(&mut rig, &caps);
                let sent = rig.send(cap, protocol, &words, &items);
                let Outcome::Parked(ticket) = sent else {
                    continue;
                };
                parked += 1;
                for _ in 0..turns {
                    rig.turn();
                }
                let gone = match victim {
                    0 => factory,
                    1 => root,
                    n => match caps.get(n - 2) {
                        Some(cap) => *cap,
                        None => continue,
                    },
                };
                if gone != root {
                    rig.tables().delete(gone.id);
                }
                rig.run();
                let reply = rig.answers.remove(&ticket.0).expect("answered");
                // As if the end had come before the call, or the call before the end.
                let named = if protocol == proto::RM {
                    Errno::NoEnt
                } else {
                    Errno::Inval
                };
                let may = if gone == cap || gone == factory {
                    [Errno::BadProto, named]
                } else {
                    [named, named]
                };
                if let Some(error) = reply.error() {
                    assert!(
                        may.contains(&error),
                        "{} without {victim}: {error:?}",
                        case.name
                    );
                    assert!(gone != root, "{}: {error:?}", case.name);
                } else if protocol == proto::FACTORY && gone == root {
                    assert!(rig.receive(&reply).is_ok());
                }
                if gone != factory {
                    rig.tables().delete(factory.id);
                }
                rig.check_empty();
            }
        }
    }
    assert!(parked > 100, "{parked} calls were parked");
}

/// Callers that are gone when their answer comes.
#[test]
fn callers_end_in_the_middle_of_calls() {
    for case in CASES {
        let mut rig = Rig::new();
        let root = rig.root;
        let factory = rig.factory(root, 500);
        let caps = (case.prepare)(&mut rig, factory);
        let (cap, protocol, words, items) = (case.request)(&mut rig, &caps);
        let live = rig.core.objects.live();
        rig.deaf = true;
        let sent = rig.send(cap, protocol, &words, &items);
        rig.run();
        assert!(!rig.deaf, "{}: {sent:?}", case.name);
        if protocol == proto::FACTORY {
            assert_eq!(rig.core.objects.live(), live, "{}", case.name);
        }
        rig.tables().delete(factory.id);
        rig.check_empty();
    }
}

/// Without room for parked calls, and without reply capabilities, calls are done to their end.
#[test]
fn calls_that_cannot_be_parked() {
    for (places, inline_work) in [(0, false), (5, true)] {
        for case in CASES {
            let mut rig = Rig::shaped(Shape {
                places,
                inline_work,
                ..Shape::USUAL
            });
            let root = rig.root;
            let factory = rig.factory(root, 500);
            let mut caps = (case.prepare)(&mut rig, factory);
            let (cap, protocol, words, items) = (case.request)(&mut rig, &caps);
            let sent = rig.send(cap, protocol, &words, &items);
            let Outcome::Answer(reply) = sent else {
                panic!("{}: {sent:?}", case.name)
            };
            assert!(reply.label >= 0, "{}: {reply:?}", case.name);
            if protocol == proto::FACTORY {
                let made = rig.receive(&reply).expect("a capability");
                caps.push(made);
            }
            rig.tables().delete(factory.id);
            rig.check_empty();
        }
        // What waits for another server cannot wait here.
        let mut rig = Rig::shaped(Shape {
            places,
            inline_work,
            ..Shape::USUAL
        });
        let root = rig.root;
        let ds = rig.dataspace(root, PAGE);
        let source = Item::Foreign(PAGE, Manner::Slow);
        let got = rig.call(ds, proto::DATASPACE, &[3, 0, 0, PAGE], &[source]);
        assert_eq!(got.error(), Some(Errno::NoMem));
        rig.drop_cap(ds);
        rig.check_empty();
    }
}

/// More long calls than places, of several clients, with others served in between.
#[test]
fn many_calls_at_once() {
    let mut rig = Rig::shaped(Shape {
        places: 3,
        frames: 2048,
        ..Shape::USUAL
    });
    let root = rig.root;
    let sets: Vec<Cap> = (0..3).map(|_| rig.dataspace(root, 300 * PAGE)).collect();
    let mut tickets = vec![];
    for ds in &sets {
        match rig.send(*ds, proto::DATASPACE, &[4, 0, 300 * PAGE], &[]) {
            Outcome::Parked(ticket) => tickets.push(ticket.0),
            other => panic!("it takes turns: {other:?}"),
        }
    }
    let mut first = None;
    while rig.turn() {
        assert_eq!(
            rig.map_page(sets[0], 0, 4).label,
            0,
            "a fault waits for nobody"
        );
        if first.is_none() && !rig.answers.is_empty() {
            first = Some(rig.core.counters().turns);
        }
    }
    assert_eq!(rig.answers.len(), 3);
    // They take turns: the first is not done long before the last.
    let (first, all) = (first.expect("one was first"), rig.core.counters().turns);
    assert!(first * 3 > all * 2, "{first} of {all} turns");
    for ds in sets {
        rig.drop_cap(ds);
    }
    rig.check_empty();
}

/// A client that deletes and creates without end does not keep others' calls from going on.
#[test]
fn ends_and_calls_take_turns() {
    let mut rig = Rig::new();
    let root = rig.root;
    let victim = rig.dataspace(root, 400 * PAGE);
    let words = [4, 0, 400 * PAGE];
    let Outcome::Parked(ticket) = rig.send(victim, proto::DATASPACE, &words, &[]) else {
        panic!("it takes turns")
    };
    let mut rounds = 0;
    while !rig.answers.contains_key(&ticket.0) {
        let noise = rig.create_words(proto::DATASPACE, &[Arg::Uint(PAGE)]);
        if let Outcome::Answer(reply) = rig.send(root, proto::FACTORY, &noise, &[])
            && let Ok(cap) = rig.receive(&reply)
        {
            rig.drop_cap(cap);
        }
        rig.turn();
        rounds += 1;
        assert!(rounds < 2000, "the call does not go on");
    }
    assert_eq!(rig.answers[&ticket.0].label, 0);
    rig.drop_cap(victim);
    rig.check_empty();
}
