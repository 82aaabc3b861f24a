//! Objects and clients that end while their call is parked, and calls that cannot be parked.

#[path = "engine_support/machine.rs"]
mod machine;
mod server_support;

use l4_sys::{Errno, proto};
use l4re_rs::varg::Arg;
use machine::PAGE;
use percore_pager::server::{Ticket, Verdict};
use server_support::cases::CASES;
use server_support::{Cap, Item, Manner, Outcome, Rig, Shape};

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

/// Without reply capabilities calls are done to their end. (Without room for parked calls they are
/// refused: `server_fair.rs`.)
#[test]
fn calls_that_cannot_be_parked() {
    for places in [0, 5] {
        for case in CASES {
            let mut rig = Rig::shaped(Shape {
                places,
                inline_work: true,
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
            inline_work: true,
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
        // A client has half of them, so many as are free.
        places: 6,
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

/// A message with a capability cannot be tried again: the next one's would be taken for it.
#[test]
fn capabilities_are_not_kept_for_later() {
    let mut rig = Rig::new();
    let root = rig.root;
    let (ds, other) = (rig.dataspace(root, 9 * PAGE), rig.dataspace(root, PAGE));
    rig.drop_cap(other);
    rig.tables().fuse = Some(0);
    let words = [3, 0, 0, PAGE];
    let mine = Item::Foreign(PAGE, Manner::Prompt);
    let sent = rig.send(ds, proto::DATASPACE, &words, &[mine]);
    assert!(rig.core.has_work(), "an object is ending");
    rig.tables().fuse = None;
    rig.tables().received = Some((PAGE, Manner::Prompt));
    let Outcome::Answer(reply) = sent else {
        panic!("it is put aside: {sent:?}")
    };
    assert_eq!(reply.error(), Some(Errno::NoMem));
    rig.run();
    assert!(
        rig.tables().received.take().is_some(),
        "somebody else's was taken"
    );
    rig.drop_cap(ds);
    rig.check_empty();
}

/// A factory for a client of the service, when the table is full of objects that are ending (CL-22).
#[test]
fn factories_for_the_service_wait_for_ends() {
    let mut rig = Rig::new();
    let root = rig.root;
    let maps: Vec<Cap> = (1..Shape::USUAL.entries).map(|_| rig.map(root)).collect();
    let utcb = rig.utcb();
    let ask = |rig: &mut Rig, ticket| {
        rig.core
            .create_for_service(utcb, Some(PAGE), Ticket(ticket))
    };
    let full = ask(&mut rig, 70);
    assert_eq!(full, Verdict::error(Errno::NoMem), "nothing is ending");
    for map in maps {
        rig.tables().delete(map.id);
    }
    rig.core.gates_deleted();
    assert_eq!(ask(&mut rig, 71), Verdict::Parked);
    rig.run();
    let reply = rig.answers.remove(&71).expect("answered");
    let made = rig.receive(&reply).expect("a factory");
    rig.drop_cap(made);
    rig.check_empty();
}

/// A deletion notice during a round may be about an object that the round has passed.
#[test]
fn notices_during_a_round() {
    let mut rig = Rig::new();
    let root = rig.root;
    let maps: Vec<Cap> = (0..60).map(|_| rig.map(root)).collect();
    rig.drop_cap(maps[59]);
    assert!(rig.turn(), "the first part of a round");
    assert_eq!(rig.core.objects.live(), 61, "nothing is found there");
    rig.drop_cap(maps[0]);
    rig.run();
    assert_eq!(rig.core.objects.live(), 59);
    assert_eq!(rig.core.counters().ended, 2);
    for cap in &maps[1..59] {
        rig.drop_cap(*cap);
    }
    rig.check_empty();
}

/// Somebody drops an object again and again, before a round through the table ends: what has been found
/// is taken apart all the same.
#[test]
fn notices_without_end_do_not_hold_up_ends() {
    let mut rig = Rig::shaped(Shape {
        entries: 640,
        ..Shape::USUAL
    });
    let root = rig.root;
    let victim = rig.dataspace(root, 100 * PAGE);
    for page in 0..100 {
        rig.map_page(victim, page, 7);
    }
    let many: Vec<Cap> = (0..600).map(|_| rig.map(root)).collect();
    let before = rig.core.pool.uses().data;
    rig.drop_cap(victim);
    let mut freed = None;
    for (n, cap) in many.iter().enumerate() {
        rig.drop_cap(*cap);
        for _ in 0..8 {
            rig.turn();
        }
        if freed.is_none() && rig.core.pool.uses().data < before {
            freed = Some(n);
        }
    }
    assert!(freed.is_some_and(|n| n < 20), "after {freed:?} notices");
    rig.check_empty();
}

/// What ended first comes to its end although more is found to have ended in each turn.
#[test]
fn later_ends_do_not_hold_up_earlier_ones() {
    let mut rig = Rig::shaped(Shape {
        entries: 640,
        ..Shape::USUAL
    });
    let root = rig.root;
    let victim = rig.dataspace(root, 1600 * PAGE);
    for page in (0..1600).step_by(16) {
        rig.map_page(victim, page, 7);
    }
    let many: Vec<Cap> = (0..600).map(|_| rig.map(root)).collect();
    let before = rig.core.pool.uses().data;
    rig.drop_cap(victim);
    assert!(rig.turn(), "it is found");
    for cap in many {
        rig.drop_cap(cap);
    }
    let mut turns = 0;
    while rig.core.pool.uses().data > before - 100 {
        assert!(rig.turn(), "it is taken apart");
        turns += 1;
    }
    assert!(turns < 100, "{turns} turns");
    rig.check_empty();
}
