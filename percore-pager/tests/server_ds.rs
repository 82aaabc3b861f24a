//! Whole messages to dataspaces (MOE-DS), foreign sources included.

#[path = "engine_support/machine.rs"]
mod machine;
mod server_support;

use l4_sys::{Errno, proto};
use l4re_rs::varg::Arg;
use machine::PAGE;
use server_support::requests::{copy, ds, fill, peek, weak};
use server_support::{Item, Outcome, Rig, Shape};

#[test]
fn map_rows() {
    let mut rig = Rig::new();
    let root = rig.root;
    let object = rig.dataspace(root, 5 * PAGE + 7);
    // MOE-DS-02: rights before the range, and EPERM.
    assert_eq!(
        ds(&mut rig, weak(object), &[0, 1 << 60, 0, 2]),
        Some(Errno::Perm)
    );
    assert_eq!(
        ds(&mut rig, object, &[0, 6 * PAGE, 0, 7]),
        Some(Errno::Range)
    );
    let lines = rig.tables().lines.join("");
    assert!(lines.contains("offset 0x6000"), "{lines}");
    // MOE-DS-31: padding can be mapped. -04: offset and spot are rounded down.
    let last = rig.call(
        object,
        proto::DATASPACE,
        &[0, 5 * PAGE + 9, 0x7_7123, 7],
        &[],
    );
    let (base, _, order, rights) = last.memory();
    assert!(order >= 12);
    assert_eq!((base, rights), (0x7_7000, 7));
    assert_eq!((last.label, last.words.len()), (0, 0));
    // -03: flags 0 maps nothing usable; -08: reading makes a page; -10: cache modes.
    let nothing = rig.call(object, proto::DATASPACE, &[0, 0, 0, 0], &[]);
    assert_eq!(nothing.memory().3, 0);
    let read = rig.call(weak(object), proto::DATASPACE, &[0, 0, 0, 5], &[]);
    assert_eq!(read.memory().3, 5);
    for (mode, bits) in [(0x10, 0x50), (0x20, 0x10), (0, 0), (0x30, 0)] {
        let got = rig.call(object, proto::DATASPACE, &[0, 0, 0, 4 | mode], &[]);
        assert_eq!(got.items[0].0 & 0x70, bits);
    }
    // Flags that do not fit ask for nothing known.
    let odd = rig.call(object, proto::DATASPACE, &[0, 0, 0, 1 << 40 | 4], &[]);
    assert_eq!(odd.memory().3, 4);
    // -28, and what is too short.
    let info = rig.call(object, proto::DATASPACE, &[5], &[]);
    assert_eq!((info.label, info.words.len()), (0, 2));
    for words in [&[][..], &[0, 1, 2], &[1, 2], &[3, 1, 2, 3], &[4, 1]] {
        assert_eq!(ds(&mut rig, object, words), Some(Errno::MsgTooShort));
    }
    assert_eq!(ds(&mut rig, object, &[6]), Some(Errno::NoSys));
    rig.drop_cap(object);
    rig.check_empty();
}

/// MOE-DS-06: contiguous memory in the largest pages that fit.
#[test]
fn contiguous_memory_is_mapped_large() {
    let mut rig = Rig::new();
    let root = rig.root;
    let args = [Arg::Uint(64 * PAGE), Arg::Uint(1), Arg::Uint(18)];
    let object = rig.create(root, proto::DATASPACE, &args).expect("memory");
    let got = rig.call(object, proto::DATASPACE, &[0, 3 * PAGE, 0x100_3000, 7], &[]);
    assert_eq!((got.memory().0, got.memory().2), (0x100_3000, 18));
    let got = rig.call(object, proto::DATASPACE, &[0, 3 * PAGE, 0x100_5000, 7], &[]);
    assert_eq!(got.memory().2, 13);
    rig.drop_cap(object);
    rig.check_empty();
}

/// MOE-DS-11 to -14, -25 to -27, in several turns.
#[test]
fn clear_and_allocate() {
    let mut rig = Rig::new();
    let root = rig.root;
    let small = rig.factory(root, 60);
    let object = rig.dataspace(root, 300 * PAGE - 5);
    let end = 300 * PAGE - 5;
    assert_eq!(ds(&mut rig, weak(object), &[1, 0, 1]), Some(Errno::Access));
    assert_eq!(
        ds(&mut rig, object, &[1, 300 * PAGE, 0]),
        Some(Errno::Range)
    );
    for (offset, size) in [(end, 0), (0, end + 1), (1 << 63, 1 << 63), (5, u64::MAX)] {
        assert_eq!(ds(&mut rig, object, &[4, offset, size]), Some(Errno::Range));
    }
    let Outcome::Parked(ticket) = rig.send(object, proto::DATASPACE, &[4, 0, end], &[]) else {
        panic!("it takes turns")
    };
    // Others are served in between.
    assert!(rig.turn() && rig.answers.is_empty());
    assert!(rig.create(root, proto::RM, &[]).is_ok());
    rig.run();
    assert_eq!(rig.answers[&ticket.0].label, 0);
    let used = rig.info(root)[3];
    assert!(used >= 300 * PAGE);
    fill(&mut rig, object, 9, 0x55);
    fill(&mut rig, object, 10, 0x66);
    let half = PAGE / 2;
    assert_eq!(
        ds(&mut rig, object, &[1, 9 * PAGE + half, 200 * PAGE]),
        None
    );
    let page = peek(&mut rig, object, 9);
    assert!(page[..half as usize].iter().all(|b| *b == 0x55));
    assert!(page[half as usize..].iter().all(|b| *b == 0));
    assert!(
        rig.info(root)[3] <= used - 195 * PAGE,
        "whole pages are given back"
    );
    assert!(peek(&mut rig, object, 10).iter().all(|b| *b == 0));
    assert_eq!(
        ds(&mut rig, object, &[1, 0, u64::MAX]),
        None,
        "it is cut off"
    );
    assert_eq!(ds(&mut rig, object, &[1, 7, 0]), None);
    // Allocate up to the quota: what is done so far stays.
    let poor = rig.dataspace(small, 200 * PAGE);
    assert_eq!(ds(&mut rig, poor, &[4, 0, 200 * PAGE]), Some(Errno::NoMem));
    assert!(rig.info(small)[3] >= 50 * PAGE);
    // Contiguous: in place.
    let block = rig.contiguous(root, 40 * PAGE);
    assert_eq!(ds(&mut rig, block, &[4, u64::MAX, u64::MAX]), None);
    fill(&mut rig, block, 38, 0x77);
    assert_eq!(ds(&mut rig, block, &[1, 0, 39 * PAGE - 1]), None);
    let page = peek(&mut rig, block, 38);
    assert_eq!((page[4094], page[4095]), (0, 0x77));
}

/// MOE-DS-17 to -23, between dataspaces of this thread.
#[test]
fn copies() {
    let mut rig = Rig::new();
    let root = rig.root;
    let from = rig.dataspace(root, 100 * PAGE);
    let to = rig.dataspace(root, 100 * PAGE);
    let map = rig.map(root);
    let source = Item::Gate(from);
    // The destination's right first, then the source.
    assert_eq!(
        copy(&mut rig, weak(to), Item::Void, [0; 3]),
        Some(Errno::Access)
    );
    let stale = Item::Raw(0x3c, from.label + 16 * 40);
    for bad in [Item::Void, Item::Gate(map), stale, Item::Raw(0x18, 0)] {
        assert_eq!(
            copy(&mut rig, to, bad, [0; 3]),
            Some(Errno::Inval),
            "{bad:?}"
        );
    }
    let missing = rig.call(to, proto::DATASPACE, &[3, 0, 0, 0], &[]);
    assert_eq!(missing.error(), Some(Errno::MsgTooShort));
    for page in 0..90 {
        fill(&mut rig, from, page, page as u8 + 1);
    }
    let before = rig.info(root)[3];
    // The source needs no rights (MOE-DS-19); whole pages are shared (CL-36).
    let all = [0, 0, u64::MAX];
    assert_eq!(copy(&mut rig, to, Item::Gate(weak(from)), all), None);
    assert!(rig.info(root)[3] < before + 20 * PAGE);
    for page in [0, 17, 89, 95] {
        let expected = if page < 90 { page as u8 + 1 } else { 0 };
        assert!(peek(&mut rig, to, page).iter().all(|b| *b == expected));
    }
    fill(&mut rig, to, 17, 0xaa);
    assert!(peek(&mut rig, from, 17).iter().all(|b| *b == 18));
    // Other offsets inside pages: real copies. Beyond the ends: nothing.
    assert_eq!(copy(&mut rig, to, source, [10, 5 * PAGE, 3 * PAGE]), None);
    let page = peek(&mut rig, to, 0);
    assert_eq!((page[9], page[10], page[4095]), (1, 6, 6));
    assert_eq!(copy(&mut rig, to, source, [1 << 60, 0, 5]), None);
    assert_eq!(copy(&mut rig, to, source, [0, 1 << 60, 5]), None);
    // Onto itself.
    assert_eq!(copy(&mut rig, from, source, all), None);
    assert_eq!(copy(&mut rig, from, source, [PAGE, 0, 50 * PAGE]), None);
    assert!(peek(&mut rig, from, 50).iter().all(|b| *b == 50));
    for cap in [from, to, map] {
        rig.drop_cap(cap);
    }
    rig.check_empty();
}

/// Long sequential use: from some MiB on each 2 MiB come as one flexpage, zeroed in turns before the answer, whether memory was
/// zeroed ahead or not. A touch elsewhere ends it.
#[test]
fn long_sequential_use_brings_whole_blocks() {
    let mut rig = Rig::shaped(Shape {
        frames: 16384,
        ..Shape::USUAL
    });
    let root = rig.root;
    let ds = rig.dataspace(root, 16 << 20);
    let (mut page, mut orders) = (0, vec![]);
    while page < 3584 {
        let reply = rig.map_page(ds, page, 7);
        let (base, _, order, _) = reply.memory();
        if order == 21 {
            assert_eq!(base / PAGE % 512, 0);
            orders.push(page);
        }
        let bytes = rig.bytes(&reply);
        assert!(bytes.iter().all(|byte| *byte == 0));
        page = (page >> (order - 12) << (order - 12)) + (1 << (order - 12));
    }
    // The first 4 MiB are what shows that the use is sequential, and the rest is six blocks less one for that.
    let whole: Vec<u64> = orders.into_iter().filter(|page| *page >= 1536).collect();
    assert_eq!(whole, [1536, 2048, 2560, 3072]);
    let parked = rig.core.counters().parked;
    assert!(parked >= 4, "{parked}");
    // The last block is not touched in order.
    let reply = rig.map_page(ds, 4000, 7);
    assert!(reply.memory().2 <= 16);
    assert_eq!(rig.core.counters().parked, parked);
}
