//! MOE-META and the errors of every object.

use l4_sys::{Errno, proto};
use l4re_rs::Cap;
use l4re_rs::cap::kind;
use test_sigma0::tap::Tap;

use super::need;
use crate::ask::{Got, Receive, ask, message};
use crate::bench::Bench;
use crate::ops;

/// An object of each kind with the protocol it must have and its number of interfaces.
type Object = (&'static str, Cap<kind::Any>, i64);

/// Meta requests, wrong labels and opcodes.
pub fn run(t: &mut Tap, b: &mut Bench) {
    let name = "MOE-META objects for the other tests";
    let ds = need!(t, name, b.ds(b.f, 4096));
    let rm = need!(t, name, b.region_map(b.f));
    let objects: [Object; 3] = [
        ("dataspace", ds.cast(), proto::DATASPACE),
        ("region map", rm.cast(), proto::RM),
        ("factory", b.f.cast(), proto::FACTORY),
    ];
    let meta = |cap: Cap<kind::Any>, op: u32, arg: u64| {
        ask(
            cap,
            proto::META,
            message().u32(op).u64(arg),
            Receive::MEMORY,
        )
    };
    let counts = |cap| match meta(cap, 0, 0).got {
        Got::Label(n) => n,
        _ => -1,
    };
    t.equal(
        "MOE-META-01 a dataspace has one interface",
        counts(ds.cast()),
        1,
    );
    t.equal("MOE-META-01 a region map has five", counts(rm.cast()), 5);
    let f = counts(b.f.cast());
    t.result(
        "MOE-META-01 a factory has two, or three with Debug",
        f == 2 || f == 3,
        format_args!("{f}"),
    );
    t.each(
        "MOE-META-02 every interface has a name with its length",
        objects,
        true,
        |(_, cap, _)| {
            (0..counts(cap)).all(|i| {
                let a = meta(cap, 1, i.cast_unsigned());
                a.got == Got::OK
                    && a.word(1) > 1
                    && a.tag.words() as u64 == 2 + a.word(1).div_ceil(8)
            })
        },
    );
    t.each(
        "MOE-META-02 beyond the last interface",
        objects,
        Got::err(Errno::Range),
        |(_, cap, _)| meta(cap, 1, counts(cap).cast_unsigned()).got,
    );
    t.each(
        "MOE-META-03 the own protocol is supported",
        objects,
        Got::Label(1),
        |(_, cap, p)| meta(cap, 2, p.cast_unsigned()).got,
    );
    t.each(
        "MOE-META-03 0, Meta and others are not",
        objects,
        true,
        |(_, cap, _)| {
            [0, proto::META, 0x7777]
                .iter()
                .all(|p| meta(cap, 2, p.cast_unsigned()).got == Got::OK)
        },
    );
    t.equal(
        "MOE-META-03 a region map pages",
        meta(rm.cast(), 2, proto::PAGE_FAULT.cast_unsigned()).got,
        Got::Label(1),
    );
    t.equal(
        "MOE-META-03 a region map takes exceptions",
        meta(rm.cast(), 2, proto::EXCEPTION.cast_unsigned()).got,
        Got::Label(1),
    );
    t.equal(
        "MOE-META-03 a factory speaks Mem_alloc",
        meta(b.f.cast(), 2, ops::MEM_ALLOC.cast_unsigned()).got,
        Got::Label(1),
    );
    t.each(
        "CL-24 ned knows the name of a factory's first interface",
        [b.f],
        true,
        |f| {
            let a = meta(f.cast(), 1, 0);
            let bytes: [[u8; 8]; 3] = [
                a.word(2).to_le_bytes(),
                a.word(3).to_le_bytes(),
                a.word(4).to_le_bytes(),
            ];
            bytes.as_flattened().starts_with(b"N4L4Re9Mem_allocE\0")
        },
    );
    t.each(
        "CL-39 an unknown label",
        objects,
        Got::err(Errno::BadProto),
        |(_, cap, _)| ask(cap, 0x7777, message().u64(0), Receive::MEMORY).got,
    );
    let opcodes = [
        (ds.cast(), proto::DATASPACE),
        (rm.cast(), proto::RM),
        (b.f.cast(), ops::MEM_ALLOC),
    ];
    t.each(
        "CL-39 an unknown opcode",
        opcodes,
        Got::err(Errno::NoSys),
        |(cap, label): (Cap<kind::Any>, i64)| {
            ask(cap, label, message().u32(99).u64(0), Receive::MEMORY).got
        },
    );
    t.each(
        "MOE-META no opcode at all",
        opcodes,
        Got::err(Errno::MsgTooShort),
        |(cap, label): (Cap<kind::Any>, i64)| ask(cap, label, message(), Receive::MEMORY).got,
    );
    t.each(
        "MOE-META arguments missing",
        [(ds.cast(), proto::DATASPACE), (rm.cast(), proto::RM)],
        Got::err(Errno::MsgTooShort),
        |(cap, label): (Cap<kind::Any>, i64)| {
            ask(cap, label, message().u32(1).u64(0), Receive::MEMORY).got
        },
    );
    b.drop(ds);
    b.drop(rm);
}
