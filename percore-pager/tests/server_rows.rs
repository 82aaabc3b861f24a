//! Whole messages to a pager thread: objects, Meta, factories, quota.

#[path = "engine_support/machine.rs"]
mod machine;
mod server_support;

use l4_sys::{CapRights, Errno, proto};
use l4re_rs::varg::Arg;
use machine::PAGE;
use server_support::{Cap, Item, Outcome, Reply, Rig, Shape};

fn weak(cap: Cap, rights: CapRights) -> Cap {
    Cap { rights, ..cap }
}

fn errors(outcome: Outcome) -> Option<Errno> {
    match outcome {
        Outcome::Answer(reply) => reply.error(),
        other => panic!("no answer: {other:?}"),
    }
}

fn meta(rig: &mut Rig, cap: Cap, words: &[u64]) -> Reply {
    rig.call(cap, proto::META, words, &[])
}

#[test]
fn meta_tells_the_interfaces() {
    let mut rig = Rig::new();
    let root = rig.root;
    let ds = rig.dataspace(root, 1);
    let map = rig.map(root);
    for (cap, count, protocol) in [
        (root, 3, proto::MEM_ALLOC),
        (ds, 1, proto::DATASPACE),
        (map, 5, 0),
    ] {
        assert_eq!(meta(&mut rig, cap, &[0]).label, count);
        let first = meta(&mut rig, cap, &[1, 0]);
        assert_eq!((first.label, first.words[0]), (0, protocol as u64));
        assert_eq!(meta(&mut rig, cap, &[1, 9]).error(), Some(Errno::Range));
        assert_eq!(meta(&mut rig, cap, &[]).error(), Some(Errno::MsgTooShort));
        assert_eq!(meta(&mut rig, cap, &[3]).error(), Some(Errno::NoSys));
        let supports = meta(&mut rig, cap, &[2, proto::RM as u64]);
        assert_eq!(supports.label, i64::from(cap == map));
    }
}

/// MOE-OBJ-02, -09, -15, CL-39.
#[test]
fn labels_and_protocols_that_are_not() {
    let mut rig = Rig::new();
    let root = rig.root;
    let ds = rig.dataspace(root, 1);
    let map = rig.map(root);
    for label in [0, 1, 2, 3] {
        let got = errors(rig.raw(label, proto::DATASPACE, &[2], &[]));
        assert_eq!(got, Some(Errno::NoEnt));
    }
    for label in [
        4,
        8,
        16,
        ds.label ^ 1 << 32,
        ds.label + 4,
        ds.label + 1600,
        u64::MAX,
    ] {
        for protocol in [
            proto::DATASPACE,
            proto::PAGE_FAULT,
            proto::FACTORY,
            5,
            0x5051,
        ] {
            let got = errors(rig.raw(label, protocol, &[2, 0, 0, 0], &[]));
            assert_eq!(got, Some(Errno::BadProto), "{label:#x} {protocol}");
        }
        // What is gone speaks only Meta, and has no interfaces.
        let Outcome::Answer(none) = rig.raw(label, proto::META, &[0], &[]) else {
            panic!("Meta is answered")
        };
        assert_eq!((none.label, none.words.len()), (0, 0));
        assert_eq!(
            errors(rig.raw(label, proto::META, &[1, 0], &[])),
            Some(Errno::Range)
        );
    }
    for (cap, strange) in [
        (ds, proto::RM),
        (ds, proto::FACTORY),
        (ds, proto::PAGE_FAULT),
        (map, proto::DATASPACE),
        (map, proto::FACTORY),
        (root, proto::DATASPACE),
        (root, 0x5050),
        (ds, 0x5051),
        (root, proto::EXCEPTION),
    ] {
        let got = rig.call(cap, strange, &[0; 30], &[]);
        assert_eq!(got.error(), Some(Errno::BadProto), "{strange}");
    }
}

/// MOE-OBJ-05 to -08, -11: hand-over, last reference, explicit deletion, factories.
#[test]
fn objects_end_with_their_capabilities() {
    let mut rig = Rig::new();
    let root = rig.root;
    let ds = rig.dataspace(root, 3 * PAGE);
    assert_eq!(rig.core.objects.live(), 2);
    rig.run();
    assert_eq!(rig.core.objects.live(), 2, "somebody has it");
    rig.drop_cap(ds);
    rig.run();
    assert_eq!(rig.core.objects.live(), 1);
    assert_eq!(rig.send(ds, proto::DATASPACE, &[2], &[]), Outcome::Gone);
    // A message that was under way.
    assert_eq!(
        errors(rig.raw(ds.label, proto::DATASPACE, &[2], &[])),
        Some(Errno::BadProto)
    );
    rig.check_empty();

    let outer = rig.factory(root, 200);
    let inner = rig.factory(outer, 100);
    let there = [
        rig.dataspace(inner, 9),
        rig.map(inner),
        rig.factory(inner, 8),
        rig.map(outer),
    ];
    let page = rig.map_page(there[0], 0, 7);
    assert_eq!(page.label, 0);
    rig.tables().delete(outer.id);
    rig.run();
    for cap in there {
        assert_eq!(rig.send(cap, proto::META, &[0], &[]), Outcome::Gone);
    }
    rig.check_empty();
}

/// BUG-18, BUG-23, MOE-OBJ-13.
#[test]
fn what_reaches_nobody_ends() {
    let mut rig = Rig::new();
    let root = rig.root;
    let before = rig.info(root);
    for (kind, args) in [
        (proto::DATASPACE, &[Arg::Uint(5 * PAGE)][..]),
        (proto::DATASPACE, &[Arg::Uint(200 * PAGE), Arg::Uint(1)]),
        (proto::RM, &[]),
        (proto::FACTORY, &[Arg::Uint(50 * PAGE)]),
    ] {
        let words = rig.create_words(kind, args);
        rig.deaf = true;
        let lost = rig.call(root, proto::FACTORY, &words, &[]);
        assert_eq!(lost.label, i64::MIN);
        rig.check_empty();
        assert_eq!(rig.info(root), before);
        rig.tables().fuse = Some(0);
        let refused = rig.call(root, proto::FACTORY, &words, &[]);
        rig.tables().fuse = None;
        assert_eq!(refused.error(), Some(Errno::NoMem), "no gate");
        rig.check_empty();
        assert_eq!(rig.info(root), before);
    }
    let mut caps = vec![];
    let full = loop {
        match rig.create(root, proto::RM, &[]) {
            Ok(cap) => caps.push(cap),
            Err(error) => break error,
        }
    };
    assert_eq!((full, caps.len()), (Errno::NoMem, Shape::USUAL.entries - 1));
    rig.drop_cap(caps[7]);
    assert!(
        rig.create(root, proto::RM, &[]).is_ok(),
        "a place is free at once (CL-22)"
    );
}

/// MOE-FAC: order and kind of errors.
#[test]
fn factory_errors() {
    let mut rig = Rig::new();
    let root = rig.root;
    let mine = rig.factory(root, 300);
    let read_only = weak(mine, CapRights::W | CapRights::R);
    assert_eq!(
        rig.call(read_only, proto::FACTORY, &[], &[]).error(),
        Some(Errno::Perm)
    );
    assert_eq!(
        rig.call(mine, proto::FACTORY, &[], &[]).error(),
        Some(Errno::MsgTooShort)
    );
    let create = |rig: &mut Rig, kind, args: &[Arg<'_>]| rig.create(mine, kind, args).err();
    let ds = proto::DATASPACE;
    for kind in [-11, -12, 0, -14, -13, 0x4001, 0x4008, -20, 77, i64::MIN] {
        assert_eq!(create(&mut rig, kind, &[]), Some(Errno::NoDev), "{kind}");
    }
    for (kind, args, error) in [
        (ds, &[][..], Errno::Inval),
        (ds, &[Arg::Bytes(b"1\0")], Errno::Inval),
        (
            ds,
            &[Arg::Uint(1), Arg::Uint(0), Arg::Uint(0), Arg::Uint(0)],
            Errno::Inval,
        ),
        (ds, &[Arg::Uint(0)], Errno::Range),
        (ds, &[Arg::Int(-1)], Errno::Range),
        (
            ds,
            &[Arg::Uint(PAGE), Arg::Uint(1), Arg::Uint(31)],
            Errno::NoMem,
        ),
        (ds, &[Arg::Uint(1 << 46)], Errno::NoMem),
        (ds, &[Arg::Uint(300 * PAGE), Arg::Uint(1)], Errno::NoMem),
        (
            ds,
            &[Arg::Int(-(300 * PAGE as i64)), Arg::Uint(1)],
            Errno::NoMem,
        ),
        (proto::FACTORY, &[], Errno::Inval),
        (proto::FACTORY, &[Arg::Uint(0)], Errno::Inval),
        (proto::FACTORY, &[Arg::Int(-4096)], Errno::Inval),
        (proto::FACTORY, &[Arg::Bytes(b"x\0")], Errno::Inval),
        (proto::FACTORY, &[Arg::Uint(300 * PAGE)], Errno::NoMem),
    ] {
        assert_eq!(create(&mut rig, kind, args), Some(error), "{kind} {args:?}");
    }
    let words = [ds as u64, 1 | 0xffff << 16, 5];
    assert_eq!(
        rig.call(mine, proto::FACTORY, &words, &[]).error(),
        Some(Errno::MsgTooShort)
    );
    let [quota, reserved, _, committed, _] = rig.info(mine);
    assert_eq!((quota, reserved, committed), (300 * PAGE, 0, 0));
}

/// MOE-FAC-13 to -20, MOE-DS-15, -16.
#[test]
fn dataspaces_of_all_kinds() {
    let mut rig = Rig::new();
    let root = rig.root;
    let mine = rig.factory(root, 600);
    for (args, size, flags) in [
        (&[Arg::Uint(5)][..], 5, 0x107),
        (&[Arg::Uint(1 << 40), Arg::Uint(4)], 1 << 40, 0x107),
        (&[Arg::Uint(5), Arg::Uint(1)], 5, 7),
        (
            &[Arg::Uint(70 * PAGE), Arg::Uint(2), Arg::Uint(16)],
            70 * PAGE,
            7,
        ),
    ] {
        let ds = rig.create(mine, proto::DATASPACE, args).expect("memory");
        let info = rig.call(ds, proto::DATASPACE, &[2], &[]);
        assert_eq!(info.words, [size, flags]);
        let readable = weak(ds, CapRights::R);
        let info = rig.call(readable, proto::DATASPACE, &[2], &[]);
        assert_eq!(info.words, [size, flags & !2]);
        for page in [0, size.div_ceil(PAGE) - 1] {
            let got = rig.map_page(ds, page, 7);
            assert!(rig.bytes(&got).iter().all(|b| *b == 0), "{args:?}");
        }
        rig.drop_cap(ds);
        rig.run();
    }
    // All but so much: the size is what was found.
    let args = [Arg::Int(-(90 * PAGE as i64)), Arg::Uint(1)];
    let rest = rig.create(mine, proto::DATASPACE, &args).expect("memory");
    let info = rig.call(rest, proto::DATASPACE, &[2], &[]);
    assert!(info.words[0] > 0 && info.words[0] <= 510 * PAGE);
    for cap in [rest, mine] {
        rig.drop_cap(cap);
    }
    rig.check_empty();
}

/// MOE-QUO-01, -02, -05, -08, -09, -11, -13.
#[test]
fn quotas() {
    let mut rig = Rig::new();
    let root = rig.root;
    let [quota, _, present, ..] = rig.info(root);
    assert_eq!((quota, present), (1024 * PAGE, 1024 * PAGE));
    let mine = rig.factory(root, 40);
    // The child's limit and the page that its account takes.
    assert_eq!(rig.info(root)[1], 41 * PAGE);
    assert_eq!(rig.info(mine), [40 * PAGE, 0, 40 * PAGE, 0, 40 * PAGE]);
    let args = [Arg::Uint(40 * PAGE)];
    let all = rig.create(mine, proto::FACTORY, &args);
    assert_eq!(
        all.err(),
        Some(Errno::NoMem),
        "its account needs a page of it"
    );
    let ds = rig.dataspace(mine, 100 * PAGE);
    let mut touched = 0;
    while rig.map_page(ds, touched, 7).label == 0 {
        touched += 1;
    }
    let [_, reserved, _, committed, free] = rig.info(mine);
    assert!((35..40).contains(&touched), "{touched}");
    assert_eq!((reserved, committed, free), (40 * PAGE, 40 * PAGE, 0));
    assert_eq!(rig.map_page(ds, touched, 7).error(), Some(Errno::NoMem));
    let other = rig.factory(root, 40);
    let theirs = rig.dataspace(other, 30 * PAGE);
    assert_eq!(
        rig.map_page(theirs, 0, 7).label,
        0,
        "factories are independent"
    );
    rig.drop_cap(ds);
    // At once, before anything else: nobody waits or retries (CL-22).
    let again = rig.dataspace(mine, 20 * PAGE);
    for page in 0..20 {
        assert_eq!(rig.map_page(again, page, 7).label, 0, "page {page}");
    }
    let memory = rig.call(mine, proto::MEM_ALLOC, &[], &[]);
    assert_eq!(memory.error(), Some(Errno::MsgTooShort));
    let memory = rig.call(mine, proto::MEM_ALLOC, &[1], &[]);
    assert_eq!(memory.error(), Some(Errno::NoSys));
    for cap in [mine, other] {
        rig.drop_cap(cap);
    }
    rig.check_empty();
}

/// MOE-QUO-10.
#[test]
fn debug_prints_figures() {
    let mut rig = Rig::new();
    let root = rig.root;
    let mine = rig.factory(root, 77);
    assert_eq!(
        rig.call(mine, proto::DEBUG, &[], &[]).error(),
        Some(Errno::MsgTooShort)
    );
    rig.tables().lines.clear();
    let done = rig.call(weak(mine, CapRights::R), proto::DEBUG, &[1], &[]);
    assert_eq!((done.label, done.words.len()), (0, 0));
    let lines = rig.tables().lines.join("");
    assert!(lines.contains("quota 315392 reserved 0"), "{lines}");
    assert!(lines.contains("1024 frames: 1021 free"), "{lines}");
    assert!(lines.contains("2 objects"), "{lines}");
}

/// The service's own way to make factories.
#[test]
fn factories_for_the_service() {
    let mut rig = Rig::new();
    for (quota, error) in [(Some(0), Errno::Inval), (Some(1 << 63), Errno::Inval)] {
        let utcb = rig.utcb();
        assert_eq!(rig.core.create_factory(utcb, quota), Err(error));
    }
    let mut caps = vec![];
    for (quota, limit) in [(None, 1024 * PAGE), (Some(9 * PAGE), 9 * PAGE)] {
        let utcb = rig.utcb();
        let tag = rig.core.create_factory(utcb, quota).expect("memory");
        let reply = rig.take(tag);
        let cap = rig.receive(&reply).expect("a capability");
        assert_eq!(rig.info(cap)[0], limit);
        caps.push(cap);
    }
    // It makes what other factories make, and does not end with the root's objects.
    assert!(rig.create(caps[0], proto::RM, &[]).is_ok());
    let utcb = rig.utcb();
    let tag = rig.core.create_factory(utcb, None).expect("memory");
    rig.deaf = true;
    rig.take(tag);
    for cap in caps {
        rig.drop_cap(cap);
    }
    rig.check_empty();
}

/// Messages that do not fit, to every kind of object and protocol.
#[test]
fn too_much_is_too_short() {
    let mut rig = Rig::new();
    let root = rig.root;
    let ds = rig.dataspace(root, 1);
    let map = rig.map(root);
    for (cap, protocols) in [
        (
            root,
            &[proto::META, proto::FACTORY, proto::MEM_ALLOC, proto::DEBUG][..],
        ),
        (ds, &[proto::META, proto::DATASPACE]),
        (
            map,
            &[
                proto::META,
                proto::RM,
                proto::PAGE_FAULT,
                proto::IO_PAGE_FAULT,
                proto::EXCEPTION,
            ],
        ),
    ] {
        for protocol in protocols {
            let tag = l4_sys::MsgTag::plain(*protocol, 62, 1);
            let got = rig.deliver(cap.label | 3, tag, &[0; 62], &[Item::Void]);
            assert_eq!(errors(got), Some(Errno::MsgTooShort), "{protocol}");
        }
    }
}
