//! Dataspaces of other servers and of sibling threads: copied from, and attached.

#[path = "engine_support/machine.rs"]
mod machine;
mod server_support;

use l4_sys::{Errno, proto};
use machine::{PAGE, foreign_byte};
use percore_pager::engine::kernel::Place;
use percore_pager::engine::rm::flag;
use percore_pager::frames::FrameNo;
use server_support::requests::{attach, attach_words, copy, ds, fault, fill, peek, rm, weak};
use server_support::{Item, Manner, Outcome, Rig};

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
