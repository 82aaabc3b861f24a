//! Dataspaces of other servers and of sibling threads: copied from, and attached.

#[path = "engine_support/machine.rs"]
mod machine;
mod server_support;

use l4_sys::{Errno, proto};
use l4re_rs::varg::Arg;
use machine::{PAGE, foreign_byte};
use percore_pager::engine::kernel::Place;
use percore_pager::engine::rm::flag;
use percore_pager::frames::FrameNo;
use server_support::requests::{attach, attach_words, copy, ds, fault, fill, peek, rm, weak};
use server_support::{Item, Manner, Outcome, Rig, Shape};

const RX: u32 = 5;

/// A dataspace of another server: prompt, slow, unwilling, or no dataspace at all.
#[test]
fn foreign_copies() {
    let mut rig = Rig::new();
    let root = rig.root;
    let to = rig.dataspace(root, 100 * PAGE);
    let size = 30 * PAGE + 77;
    for manner in [Manner::Prompt, Manner::Slow] {
        assert_eq!(ds(&mut rig, to, &[1, 0, u64::MAX]), None);
        let words = [3, 5, 3, u64::MAX];
        let sent = rig.send(to, proto::DATASPACE, &words, &[Item::Foreign(size, manner)]);
        let Outcome::Parked(ticket) = sent else {
            panic!("it takes turns: {sent:?}")
        };
        let mut waits = 0;
        while !rig.answers.contains_key(&ticket.0) {
            rig.run();
            if manner == Manner::Slow && !rig.answers.contains_key(&ticket.0) {
                assert!(!rig.core.has_work(), "a waiting call takes no turns");
                // Others are served.
                assert_eq!(
                    rig.call(to, proto::DATASPACE, &[2], &[]).words[0],
                    100 * PAGE
                );
                rig.tables().answer_foreign();
                rig.core.foreign_ready();
                waits += 1;
            }
        }
        assert_eq!(rig.answers[&ticket.0].label, 0);
        assert!(manner == Manner::Prompt || waits > 30, "{waits}");
        for (page, at) in [(0, 5), (0, 4000), (17, 0), (30, 10)] {
            let got = peek(&mut rig, to, page)[at];
            assert_eq!(
                got,
                foreign_byte(page * PAGE + at as u64 - 2),
                "{page} {at}"
            );
        }
        assert_eq!(peek(&mut rig, to, 30)[100], 0, "behind the source's end");
        assert!(rig.tables().foreign.is_empty(), "it was given back");
    }
    for (manner, error) in [
        (Manner::Refuses(Errno::BadProto), Errno::Inval),
        (Manner::Refuses(Errno::NoReply), Errno::Inval),
        (Manner::Refuses(Errno::NoMem), Errno::NoMem),
        (Manner::Breaks(Errno::Perm), Errno::Inval),
        (Manner::Breaks(Errno::NoMem), Errno::NoMem),
    ] {
        let source = Item::Foreign(size, manner);
        assert_eq!(
            copy(&mut rig, to, source, [0, 0, size]),
            Some(error),
            "{manner:?}"
        );
        assert!(rig.tables().foreign.is_empty());
    }
    let calls = rig.tables().foreign_calls;
    assert_eq!(
        copy(&mut rig, to, Item::Foreign(9, Manner::Prompt), [0; 3]),
        None
    );
    assert_eq!(
        rig.tables().foreign_calls,
        calls,
        "nothing is asked for nothing"
    );
    let source = Item::Foreign(9, Manner::Prompt);
    assert_eq!(
        copy(&mut rig, weak(to), source, [0, 0, 9]),
        Some(Errno::Access)
    );
    assert!(rig.tables().foreign.is_empty());
    // No slot to take it to.
    rig.tables().fuse = Some(0);
    assert_eq!(copy(&mut rig, to, source, [0, 0, 9]), Some(Errno::NoMem));
    rig.tables().fuse = None;
    rig.drop_cap(to);
    rig.check_empty();
}

/// A sibling thread's dataspace comes as a label; the siblings' threads read for each other.
#[test]
fn peers_copies() {
    let mut rig = Rig::new();
    let root = rig.root;
    let to = rig.dataspace(root, 10 * PAGE);
    let label = 5 << 32 | 0x9_0000;
    let source = Item::Raw(0x3c, label | 3);
    assert_eq!(copy(&mut rig, to, source, [0, 0, PAGE]), Some(Errno::Inval));
    rig.tables().peers.insert(label, 3 * PAGE);
    let sent = rig.send(to, proto::DATASPACE, &[3, 0, 0, u64::MAX], &[source]);
    let Outcome::Parked(ticket) = sent else {
        panic!("it waits: {sent:?}")
    };
    while !rig.answers.contains_key(&ticket.0) {
        rig.run();
        rig.tables().answer_foreign();
        rig.core.foreign_ready();
    }
    assert_eq!(rig.answers[&ticket.0].label, 0);
    assert_eq!(peek(&mut rig, to, 2)[9], foreign_byte(2 * PAGE + 9));
    // The other side.
    fill(&mut rig, to, 3, 0x3c);
    assert_eq!(rig.core.size_for_peer(to.label), Ok(10 * PAGE));
    let staging = rig.contiguous(root, PAGE);
    let got = rig.map_page(staging, 0, 7);
    let frame = FrameNo(got.memory().1 / PAGE);
    let place = Place { frame, offset: 0 };
    let read =
        |rig: &mut Rig, offset, bytes| rig.core.read_for_peer(to.label, offset, place, bytes);
    assert_eq!(read(&mut rig, 3 * PAGE + 5, 4096), Ok(4091));
    assert_eq!(rig.bytes(&got)[..3], [0x3c; 3]);
    assert_eq!(read(&mut rig, 9 * PAGE, 50), Ok(50));
    assert_eq!(rig.bytes(&got)[..3], [0; 3], "no page, no bytes");
    assert_eq!(read(&mut rig, 10 * PAGE, 50), Ok(0));
    assert_eq!(read(&mut rig, u64::MAX, 50), Ok(0));
    for gone in [staging.label + 16, 0, root.label] {
        assert_eq!(rig.core.size_for_peer(gone), Err(Errno::BadProto));
        let got = rig.core.read_for_peer(gone, 0, place, 1);
        assert_eq!(got, Err(Errno::BadProto));
    }
}

/// Boot files of another server: shown for reading when a loader attaches them, which gives a name;
/// what the in-task region mapper mirrors gets exactly NoEnt (CL-15).
#[test]
fn foreign_dataspaces_are_shown_to_loaders() {
    let mut rig = Rig::new();
    let root = rig.root;
    let map = rig.map(root);
    let window = FrameNo(machine::BASE + 1024 + 1);
    rig.tables().window = Some(window);
    let nameless = |rig: &mut Rig, args| {
        let mut words = attach_words(rig, args);
        words[7] = 1;
        words[8] = 0;
        words
    };
    let words = nameless(&mut rig, (0x10_0000, 4 * PAGE, RX, PAGE, 0));
    for manner in [Manner::Prompt, Manner::Slow] {
        let got = rig.call(map, proto::RM, &words, &[Item::Foreign(8 * PAGE, manner)]);
        assert_eq!(got.error(), Some(Errno::NoEnt));
    }
    let foreign = Item::Foreign(8 * PAGE, Manner::Prompt);
    for flags in [7, RX | flag::PRIVATE] {
        let got = attach(
            &mut rig,
            map,
            foreign,
            (0x10_0000, 4 * PAGE, flags, PAGE, 0),
        );
        assert_eq!(got.error(), Some(Errno::NoEnt), "{flags:#x}");
    }
    let args = (0x10_0000, 4 * PAGE, RX, PAGE, 0);
    let refuses = Item::Foreign(8 * PAGE, Manner::Refuses(Errno::Perm));
    assert_eq!(
        attach(&mut rig, map, refuses, args).error(),
        Some(Errno::NoEnt)
    );
    for (start, manner) in [(0x10_0000, Manner::Prompt), (0x20_0000, Manner::Slow)] {
        let words = attach_words(&mut rig, (start, 4 * PAGE, RX, PAGE, 0));
        let item = Item::Foreign(8 * PAGE, manner);
        let got = match rig.send(map, proto::RM, &words, &[item]) {
            Outcome::Answer(reply) => reply,
            Outcome::Parked(ticket) => {
                assert_eq!(manner, Manner::Slow);
                rig.tables().answer_foreign();
                rig.core.foreign_ready();
                rig.run();
                rig.answers.remove(&ticket.0).expect("answered")
            }
            other => panic!("no answer: {other:?}"),
        };
        assert_eq!(got.words, [start]);
        let page = fault(&mut rig, map, start + 2 * PAGE + 4);
        assert_eq!((page.memory().0, page.memory().3), (start + 2 * PAGE, 5));
        let first = page.memory().1 + (page.memory().0 & ((1 << page.memory().2) - 1));
        assert_eq!(first, window.address() + 2 * PAGE);
        assert_eq!(fault(&mut rig, map, start | 2).error(), Some(Errno::Access));
    }
    // Where something is already: nothing stays shown.
    let again = attach(&mut rig, map, foreign, args);
    assert_eq!(again.error(), Some(Errno::AddrNotAvail));
    rig.run();
    assert_eq!(rig.tables().shown.len(), 2);
    assert_eq!(rm(&mut rig, map, &[1, 0x10_0000, PAGE, 2]).label, 0);
    rig.run();
    assert_eq!(rig.tables().shown.len(), 1);
    rig.drop_cap(map);
    rig.check_empty();
    assert!(rig.tables().shown.is_empty());
}

/// What an attach of a foreign dataspace lacks is there when what is ending has ended: an entry of the table,
/// the account's memory (CL-22).
#[test]
fn showing_waits_for_what_ends() {
    for lacks_entry in [true, false] {
        let mut rig = Rig::shaped(Shape {
            entries: 8,
            ..Shape::USUAL
        });
        rig.tables().window = Some(FrameNo(machine::BASE + 1024 + 1));
        let root = rig.root;
        let factory = rig.factory(root, 40);
        let map = rig.map(factory);
        let victim = rig.dataspace(factory, 30 * PAGE);
        for page in (0..30).step_by(2) {
            rig.map_page(victim, page, 7);
        }
        if lacks_entry {
            while rig.core.objects.has_room() {
                rig.dataspace(root, PAGE);
            }
        } else {
            // Nothing is left of the quota.
            for page in (1..30).step_by(2) {
                rig.map_page(victim, page, 7);
            }
            let more = rig.dataspace(factory, 40 * PAGE);
            let full = |rig: &mut Rig, page| rig.map_page(more, page, 7).error();
            let last = (0..40).find_map(|page| full(&mut rig, page));
            assert_eq!(last, Some(Errno::NoMem));
            let sizes = [8, 64, 512, 4096];
            for size in sizes.iter().rev() {
                let words = rig.create_words(proto::DATASPACE, &[Arg::Uint(*size)]);
                while rig.core.objects.has_room() {
                    let reply = rig.call(factory, proto::FACTORY, &words, &[]);
                    if reply.error().is_some() {
                        break;
                    }
                }
            }
        }
        rig.tables().delete(victim.id);
        let args = (0x10_0000, 4 * PAGE, RX, PAGE, 0);
        let got = attach(&mut rig, map, Item::Foreign(8 * PAGE, Manner::Prompt), args);
        assert_eq!(got.error(), None, "lacks an entry: {lacks_entry}");
        assert_eq!(rig.tables().shown.len(), 1);
        let page = fault(&mut rig, map, 0x10_0000);
        assert_eq!(page.memory().0, 0x10_0000);
    }
}

/// A client that ends with its calls, whether their questions wait, are asked, are answered and not taken, or
/// what they show is there and lacks something: nothing stays, and another client's copy comes to its end.
#[test]
fn who_ends_while_others_are_asked_leaves_nothing() {
    let steps = 14;
    for step in 0..steps {
        for order in [0, 1] {
            let mut rig = Rig::new();
            rig.tables().window = Some(FrameNo(machine::BASE + 1024 + 1));
            let root = rig.root;
            let (gone, stays) = (rig.factory(root, 100), rig.factory(root, 100));
            let map = rig.map(gone);
            let to = [
                rig.dataspace(gone, 3 * PAGE),
                rig.dataspace(stays, 3 * PAGE),
            ];
            let queued = Item::Foreign(3 * PAGE, Manner::Queued);
            let mut tickets = vec![];
            let mut send = |rig: &mut Rig, to, protocol, words: &[u64]| {
                let Outcome::Parked(ticket) = rig.send(to, protocol, words, &[queued]) else {
                    panic!("it waits")
                };
                tickets.push(ticket.0);
            };
            let words = attach_words(&mut rig, (0x10_0000, 2 * PAGE, RX, PAGE, 0));
            let copy = [3, 0, 0, 3 * PAGE];
            if order == 0 {
                send(&mut rig, map, proto::RM, &words);
            }
            send(&mut rig, to[0], proto::DATASPACE, &copy);
            send(&mut rig, to[1], proto::DATASPACE, &copy);
            if order == 1 {
                send(&mut rig, map, proto::RM, &words);
            }
            let ticket = tickets[if order == 0 { 2 } else { 1 }];
            for n in 0..step {
                if n % 2 == 0 {
                    rig.turn();
                } else if rig.tables().fetch_once() {
                    rig.core.foreign_ready();
                }
            }
            // The fetching thread is at a question, too.
            let utcb = rig.utcb();
            let asked = step % 4 == 3 && rig.tables().fetch.ask(utcb).is_some();
            let about = utcb.mr(0);
            rig.tables().delete(gone.id);
            for _ in 0..step % 3 {
                rig.turn();
            }
            if asked {
                utcb.set_mr(0, 0);
                utcb.set_mr(1, PAGE);
                utcb.set_mr(2, 1);
                let answered = rig.tables().fetch.answered(utcb);
                assert!(answered.is_none_or(|from| from.0 == about));
                rig.core.foreign_ready();
            }
            rig.run();
            while rig.tables().fetch_once() {
                rig.core.foreign_ready();
                rig.run();
            }
            assert_eq!(rig.answers[&ticket].label, 0, "{step} {order}");
            assert_eq!(rig.answers.len(), 3, "{step} {order}");
            rig.drop_cap(stays);
            rig.check_empty();
        }
    }
}

/// The same while what is shown lacks an entry, which it waits for.
#[test]
fn who_ends_while_it_lacks_something_leaves_nothing() {
    for turns in 0..12 {
        let mut rig = Rig::shaped(Shape {
            entries: 8,
            ..Shape::USUAL
        });
        rig.tables().window = Some(FrameNo(machine::BASE + 1024 + 1));
        let root = rig.root;
        let factory = rig.factory(root, 100);
        let map = rig.map(factory);
        let victim = rig.dataspace(root, 200 * PAGE);
        for page in (0..200).step_by(2) {
            rig.map_page(victim, page, 7);
        }
        while rig.core.objects.has_room() {
            rig.dataspace(factory, PAGE);
        }
        let words = attach_words(&mut rig, (0x10_0000, 2 * PAGE, RX, PAGE, 0));
        rig.tables().delete(victim.id);
        let item = Item::Foreign(3 * PAGE, Manner::Prompt);
        let Outcome::Parked(_) = rig.send(map, proto::RM, &words, &[item]) else {
            panic!("it waits")
        };
        for _ in 0..turns {
            rig.turn();
        }
        rig.tables().delete(factory.id);
        rig.check_empty();
    }
}
