//! Requests that are tried in all kinds of shortage, and whose objects end in the middle of them.

#![allow(dead_code)] // Each test program uses a part of it.

use l4_sys::{Errno, proto};
use l4re_rs::msg::Writer;
use l4re_rs::varg::Arg;
use percore_pager::engine::rm::flag;

use crate::machine::PAGE;
use crate::server_support::{Cap, Item, Manner, Reply, Rig};

pub const RWX: u32 = 7;

/// Capability, protocol, words and item of a request.
pub type Request = (Cap, i64, Vec<u64>, Vec<Item>);

/// What a client sees of its objects, and its factory's figures.
pub type Picture = (Vec<Reply>, [u64; 5]);

/// A request.
pub struct Case {
    pub name: &'static str,
    /// What a client has before.
    pub prepare: fn(&mut Rig, Cap) -> Vec<Cap>,
    /// The request itself.
    pub request: fn(&mut Rig, &[Cap]) -> Request,
    /// What a client is told in a shortage.
    pub error: Errno,
    /// Whether what was done so far stays, as upstream's.
    pub partly: bool,
}

pub fn attach(rig: &mut Rig, (start, pages, flags): (u64, u64, u32)) -> Vec<u64> {
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
pub fn touched(rig: &mut Rig, factory: Cap) -> Cap {
    let ds = rig.dataspace(factory, 100 * PAGE);
    for page in [0, 33, 70] {
        assert_eq!(rig.map_page(ds, page, 7).label, 0);
    }
    ds
}

pub fn object(rig: &mut Rig, factory: Cap, kind: i64, args: &[Arg<'_>]) -> Request {
    (
        factory,
        proto::FACTORY,
        rig.create_words(kind, args),
        vec![],
    )
}

/// A dataspace to copy from and one to copy to.
fn two_sets(rig: &mut Rig, factory: Cap) -> Vec<Cap> {
    vec![touched(rig, factory), rig.dataspace(factory, 90 * PAGE)]
}

/// Copies all of the first into the second, from byte `offset` of that on.
fn copy_between(caps: &[Cap], offset: u64) -> Request {
    let words = vec![3, offset, 0, u64::MAX];
    (caps[1], proto::DATASPACE, words, vec![Item::Gate(caps[0])])
}

/// A region map and a dataspace of which so many pages are attached.
fn attached(rig: &mut Rig, factory: Cap, bytes: u64, pages: u64) -> Vec<Cap> {
    let caps = vec![rig.map(factory), rig.dataspace(factory, bytes)];
    let words = attach(rig, (0x10_0000, pages, RWX));
    let got = rig.call(caps[0], proto::RM, &words, &[Item::Gate(caps[1])]);
    assert_eq!(got.label, 0);
    caps
}

pub const CASES: &[Case] = &[
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
        prepare: two_sets,
        request: |_, caps| copy_between(caps, 0),
        error: Errno::NoMem,
        partly: true,
    },
    Case {
        name: "copy in, unaligned",
        prepare: two_sets,
        request: |_, caps| copy_between(caps, 100),
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
        prepare: |rig, factory| attached(rig, factory, 9 * PAGE, 9),
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
        prepare: |rig, factory| attached(rig, factory, 1 << 30, 1 << 17),
        request: |_, caps| (caps[0], proto::PAGE_FAULT, vec![0x1010_0002, 0], vec![]),
        error: Errno::NoMem,
        partly: true,
    },
    Case {
        name: "page in",
        prepare: |rig, factory| attached(rig, factory, 1 << 30, 1 << 17),
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
pub fn picture(rig: &mut Rig, factory: Cap, caps: &[Cap]) -> Picture {
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
pub fn perform(rig: &mut Rig, case: &Case, caps: &mut Vec<Cap>) -> Reply {
    let (cap, protocol, words, items) = (case.request)(rig, caps);
    let reply = rig.call(cap, protocol, &words, &items);
    if protocol == proto::FACTORY && reply.label == 0 {
        let made = rig.receive(&reply).expect("a capability");
        caps.push(made);
    }
    reply
}
