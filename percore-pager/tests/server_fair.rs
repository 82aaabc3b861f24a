//! One client's long calls and everybody else: nobody waits for ever, and no message for long.

#[path = "engine_support/machine.rs"]
mod machine;
mod server_support;

use l4_sys::{Errno, proto};
use machine::PAGE;
use percore_pager::api::{PROTOCOL, flag, object};
use server_support::cases::CASES;
use server_support::{Cap, Item, Manner, Outcome, Rig, Shape};

fn parked(sent: Outcome) -> u32 {
    match sent {
        Outcome::Parked(ticket) => ticket.0,
        other => panic!("it takes turns: {other:?}"),
    }
}

/// Answers the fetching thread's questions, with turns in between, until there are none.
fn fetch_all(rig: &mut Rig) {
    rig.run();
    while rig.tables().fetch_once() {
        rig.core.foreign_ready();
        rig.run();
    }
}

/// Copies from several other servers at once: one question is under way at a time, whichever call asks
/// first and whenever another one comes in between.
#[test]
fn copies_from_other_servers_wait_for_each_other_and_not_for_ever() {
    // After so many answers for the first copy the second comes.
    for late in 0..6 {
        for first in 1..4 {
            let mut rig = Rig::new();
            let root = rig.root;
            let sets = [rig.dataspace(root, 4 * PAGE), rig.dataspace(root, 4 * PAGE)];
            let source = Item::Foreign(4 * PAGE, Manner::Queued);
            let words = [3, 0, 0, first * PAGE];
            let mut tickets = vec![parked(rig.send(
                sets[0],
                proto::DATASPACE,
                &words,
                &[source],
            ))];
            for _ in 0..late {
                rig.run();
                if rig.tables().fetch_once() {
                    rig.core.foreign_ready();
                }
            }
            let words = [3, 0, 0, 2 * PAGE];
            tickets.push(parked(rig.send(
                sets[1],
                proto::DATASPACE,
                &words,
                &[source],
            )));
            fetch_all(&mut rig);
            for ticket in tickets {
                let reply = rig.answers.remove(&ticket);
                assert_eq!(
                    reply.map(|r| r.label),
                    Some(0),
                    "{late} {first}: still waiting"
                );
            }
            for cap in sets {
                rig.drop_cap(cap);
            }
            rig.check_empty();
        }
    }
}

/// The same when the copy that asks is dropped, because its object ends, and when it is refused.
#[test]
fn a_copy_that_ends_lets_the_next_ask() {
    for turns in 0..4 {
        let mut rig = Rig::new();
        let root = rig.root;
        let (gone, stays) = (rig.dataspace(root, PAGE), rig.dataspace(root, PAGE));
        let source = Item::Foreign(PAGE, Manner::Queued);
        let words = [3, 0, 0, PAGE];
        let first = parked(rig.send(gone, proto::DATASPACE, &words, &[source]));
        rig.run();
        let second = parked(rig.send(stays, proto::DATASPACE, &words, &[source]));
        rig.run();
        rig.tables().delete(gone.id);
        for _ in 0..turns {
            rig.turn();
        }
        fetch_all(&mut rig);
        let label = |rig: &mut Rig, ticket| rig.answers.remove(&ticket).map(|r| r.label);
        let lost = Some(Errno::BadProto.label());
        assert_eq!(label(&mut rig, first), lost, "{turns}");
        assert_eq!(label(&mut rig, second), Some(0), "{turns}");
        rig.drop_cap(stays);
        rig.check_empty();
    }
}

/// A factory as the service makes it: the top of a tree of its own.
fn service_factory(rig: &mut Rig, pages: u64) -> Cap {
    let utcb = rig.utcb();
    let made = rig.core.create_factory(utcb, Some(pages * PAGE));
    let reply = rig.take(made.expect("memory"));
    rig.receive(&reply).expect("a capability")
}

/// A copy of so many pages from another server that is asked through the fetching thread.
fn copier(rig: &mut Rig, factory: Cap, pages: u64) -> u32 {
    let ds = rig.dataspace(factory, pages * PAGE);
    let source = Item::Foreign(pages * PAGE, Manner::Queued);
    let words = [3, 0, 0, pages * PAGE];
    parked(rig.send(ds, proto::DATASPACE, &words, &[source]))
}

/// A long copy from another server, or several of one client, delay another client's copy by a question each
/// time that it asks one, and not to their end.
#[test]
fn copies_from_other_servers_take_turns() {
    for calls in [1, 3] {
        let mut rig = Rig::new();
        let (greedy, other) = (
            service_factory(&mut rig, 300),
            service_factory(&mut rig, 100),
        );
        let long: Vec<u32> = (0..calls).map(|_| copier(&mut rig, greedy, 40)).collect();
        rig.run();
        let short = copier(&mut rig, other, 2);
        let mut asked = 0;
        while !rig.answers.contains_key(&short) {
            rig.run();
            assert!(rig.tables().fetch_once(), "somebody asks");
            rig.core.foreign_ready();
            rig.run();
            asked += 1;
        }
        // Three of its own, for the size and two pages; and one of the other client before each of them.
        assert!(asked <= 7, "{asked} questions, {calls} other calls");
        fetch_all(&mut rig);
        assert!(long.iter().all(|ticket| rig.answers[ticket].label == 0));
        for factory in [greedy, other] {
            rig.tables().delete(factory.id);
        }
        rig.check_empty();
    }
}

/// A call that keeps its place until another server answers, which it does not.
fn sleeper(rig: &mut Rig, factory: Cap) -> Outcome {
    let ds = rig.dataspace(factory, PAGE);
    let source = Item::Foreign(PAGE, Manner::Slow);
    rig.send(ds, proto::DATASPACE, &[3, 0, 0, PAGE], &[source])
}

/// When there is no place for a call it is refused, however long it would take, and leaves nothing
/// half made.
#[test]
fn a_call_without_a_place_is_refused() {
    let mut refused = 0;
    for case in CASES {
        let mut rig = Rig::shaped(Shape {
            places: 2,
            ..Shape::USUAL
        });
        let root = rig.root;
        let factory = rig.factory(root, 500);
        let caps = (case.prepare)(&mut rig, factory);
        // Of two places one tree of factories has one.
        let place = parked(sleeper(&mut rig, factory));
        let (cap, protocol, words, items) = (case.request)(&mut rig, &caps);
        let live = rig.core.objects.live();
        let Outcome::Answer(reply) = rig.send(cap, protocol, &words, &items) else {
            panic!("{}: there is no place", case.name)
        };
        if reply.error() == Some(Errno::NoMem) {
            refused += 1;
            rig.run();
            assert_eq!(rig.core.objects.live(), live, "{}", case.name);
        } else {
            assert!(reply.label >= 0, "{}: {reply:?}", case.name);
        }
        assert!(!rig.answers.contains_key(&place));
        rig.tables().delete(factory.id);
        rig.check_empty();
        assert!(rig.answers.contains_key(&place), "its object has ended");
    }
    assert!(refused > 3, "{refused} calls were refused");
}

/// The places go to several clients, not to the first that has many threads.
#[test]
fn one_client_cannot_take_all_places() {
    let mut rig = Rig::shaped(Shape {
        places: 16,
        frames: 4096,
        entries: 256,
        ..Shape::USUAL
    });
    let greedy = service_factory(&mut rig, 600);
    let deep = (0..70).fold(greedy, |above, n| rig.factory(above, 500 - 2 * n));
    let other = service_factory(&mut rig, 100);
    let mut had = [0; 3];
    for (had, factory) in had.iter_mut().zip([greedy, deep, other]) {
        for _ in 0..20 {
            match sleeper(&mut rig, factory) {
                Outcome::Parked(_) => *had += 1,
                Outcome::Answer(reply) => assert_eq!(reply.error(), Some(Errno::NoMem)),
                other => panic!("no answer: {other:?}"),
            }
        }
    }
    // What is nested deep counts as one client's, whoever that is.
    assert_eq!(had, [8, 4, 2]);
    // The first has got enough, others still get places.
    let last = service_factory(&mut rig, 600);
    let ds = rig.dataspace(last, 300 * PAGE);
    let reply = rig.call(ds, proto::DATASPACE, &[4, 0, 300 * PAGE], &[]);
    assert_eq!(reply.label, 0);
    for factory in [greedy, other, last] {
        rig.drop_cap(factory);
    }
    rig.drop_cap(deep);
    rig.tables().delete(greedy.id);
    rig.check_empty();
}

/// Two threads of a client that want different reserves: each is answered, and turns come to an end.
#[test]
fn reserves_that_are_at_odds() {
    for (first, second) in [(160, 0), (0, 160), (160, 40), (160, 160)] {
        let mut rig = Rig::new();
        let root = rig.root;
        let factory = rig.factory(root, 500);
        let ask = |count: u64| [13 | (0xffff_ffff << 32), count << 32];
        assert_eq!(rig.call(factory, PROTOCOL, &ask(80), &[]).label, 0);
        let mut tickets = vec![];
        for count in [first, second] {
            if let Outcome::Parked(ticket) = rig.send(factory, PROTOCOL, &ask(count), &[]) {
                tickets.push(ticket.0);
            }
        }
        rig.run();
        for ticket in &tickets {
            let reply = &rig.answers[ticket];
            assert_eq!(reply.label, 0);
            assert!(reply.words[0] <= 160, "{reply:?}");
        }
        assert!(!tickets.is_empty());
        // With nobody else it is exact.
        let reply = rig.call(factory, PROTOCOL, &ask(7), &[]);
        assert_eq!((reply.label, reply.words[0]), (0, 7));
        rig.drop_cap(factory);
        rig.check_empty();
    }
}

/// Who has a frame: a search in factories that are nested deep does so much in a turn, not more.
#[test]
fn a_search_goes_up_in_turns() {
    let mut rig = Rig::shaped(Shape {
        entries: 128,
        ..Shape::USUAL
    });
    let root = rig.root;
    let (asks, mut deep) = (rig.factory(root, 100), rig.factory(root, 800));
    let top = deep;
    let mut chain = vec![];
    for n in 0..60 {
        deep = rig.factory(deep, 700 - 2 * n);
        chain.push(deep);
    }
    let ds = rig.dataspace(deep, PAGE);
    let frame = rig.map_page(ds, 0, 7).memory().1;
    let search = |frame| [14 | (0xffff_ffff << 32), frame, u64::from(flag::SEARCH)];
    for (factory, kind) in [(asks, object::NONE), (root, object::DATASPACE)] {
        let before = rig.core.counters().turns;
        let reply = rig.call(factory, PROTOCOL, &search(frame), &[]);
        assert_eq!((reply.label, reply.words[0] >> 32), (0, kind.into()));
        // Each of the 60 is as many steps below the root as there are above it.
        let turns = rig.core.counters().turns - before;
        assert!(turns >= 60 * 60 / 2 / 64, "{turns} turns");
    }
    rig.tables().delete(top.id);
    rig.drop_cap(asks);
    rig.check_empty();
}
