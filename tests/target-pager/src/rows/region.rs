//! MOE-RM: attach.

use l4_sys::{CapRights, Errno};
use l4re_rs::Cap;
use l4re_rs::cap::kind;
use l4re_rs::client::rm::{flag, op};
use test_sigma0::tap::Tap;

use super::need;
use crate::ask::Got;
use crate::bench::{Bench, OWN_TASK};
use crate::ops::{Attach, attach, detach, rm_one};

const PAGE: u64 = 4096;
/// Where most regions of the tests are.
const BASE: u64 = 0x1000_0000;

/// First region at or above an address: start, last byte, flags.
pub fn region_at(map: Cap<kind::Rm>, address: u64) -> Option<(u64, u64, u64)> {
    let a = rm_one(map, op::GET_REGIONS, address);
    matches!(a.got, Got::Label(1..)).then(|| (a.word(0), a.word(1), a.word(2) & 0xffff))
}

/// Placement, rights and errors.
pub fn run(t: &mut Tap, b: &mut Bench) {
    let name = "MOE-RM objects for the tests";
    let ds = need!(t, name, b.ds(b.f, 16 * PAGE));
    let m = need!(t, name, b.region_map(b.f));
    errors(t, b, m, ds);
    foreign(t, b, m, ds);
    placement(t, m, ds);
    rights(t, b, m, ds);
    lists(t, m, ds);
    b.delete(m);
    b.delete(ds);
}

fn errors(t: &mut Tap, b: &mut Bench, m: Cap<kind::Rm>, ds: Cap<kind::Dataspace>) {
    let inval = Got::err(Errno::Inval);
    let a = Attach::new(ds, BASE, PAGE);
    let with = |flags| attach(m, a.flags(flags)).got;
    t.each(
        "MOE-RM-02 unknown flags",
        [0x8, 0x200, 0x4000, 0x20_0000, 0x8000_0000],
        inval,
        |f| with(7 | f),
    );
    t.equal(
        "MOE-RM-02 an unknown flag comes before the object",
        attach(m, a.flags(0x8).nothing()).got,
        inval,
    );
    t.equal("MOE-RM-06 the pager flag", with(7 | flag::PAGER), inval);
    t.equal(
        "MOE-RM-02 size 0",
        attach(m, Attach { size: 0, ..a }).got,
        inval,
    );
    let aligns = [0, 11, 64, 255];
    t.each(
        "MOE-RM-02 a searched place with a wrong alignment",
        aligns,
        inval,
        |align| {
            attach(
                m,
                Attach {
                    align,
                    ..a.flags(7 | flag::SEARCH_ADDR)
                },
            )
            .got
        },
    );
    let wraps = [
        (u64::MAX - PAGE, 2 * PAGE),
        (BASE, u64::MAX),
        (1 << 63, 1 << 63),
        (u64::MAX, 1),
    ];
    t.each(
        "MOE-RM-02 a range that wraps",
        wraps,
        true,
        |(start, size)| {
            let got = attach(m, Attach { start, size, ..a }).got;
            got == inval || got == Got::err(Errno::AddrNotAvail)
        },
    );
    t.each(
        "MOE-RM-01 outside the limits",
        [1 << 47, 1 << 50, 1 << 62],
        Got::err(Errno::AddrNotAvail),
        |start| attach(m, Attach { start, ..a }).got,
    );
    t.equal(
        "MOE-RM-01 page 0 is guarded",
        attach(m, Attach { start: 0, ..a }).got,
        Got::err(Errno::AddrNotAvail),
    );
    t.equal(
        "MOE-RM-01 a search does not give it",
        attach(
            m,
            Attach {
                start: 0,
                ..a.flags(7 | flag::SEARCH_ADDR)
            },
        )
        .word(0)
            >= PAGE,
        true,
    );
    let found = region_at(m, 0).map_or(0, |r| r.0);
    detach(m, found, PAGE, 2);
    t.equal(
        "MOE-RM refused attaches left nothing",
        region_at(m, 0),
        None,
    );
    let _ = b;
}

fn foreign(t: &mut Tap, b: &mut Bench, m: Cap<kind::Rm>, ds: Cap<kind::Dataspace>) {
    let a = Attach::new(ds, BASE, PAGE);
    let noent = Got::err(Errno::NoEnt);
    t.equal("MOE-RM-05 no object", attach(m, a.nothing()).got, noent);
    let others: [Cap<kind::Dataspace>; 3] = [OWN_TASK.cast(), b.f.cast(), m.cast()];
    t.each(
        "MOE-RM-05 CL-15 an object that is none of the server's dataspaces",
        others,
        noent,
        |cap| {
            attach(
                m,
                Attach {
                    object: Some((cap, CapRights::RWS)),
                    ..a
                },
            )
            .got
        },
    );
    let bare = [flag::RESERVED, flag::KERNEL, flag::ANONYMOUS];
    t.each("MOE-RM-04 no object needed", bare, Got::OK, |f| {
        let got = attach(m, a.nothing().flags(6 | f)).got;
        detach(m, BASE, PAGE, 2);
        got
    });
}

fn placement(t: &mut Tap, m: Cap<kind::Rm>, ds: Cap<kind::Dataspace>) {
    let taken = Got::err(Errno::AddrNotAvail);
    let a = Attach::new(ds, BASE, PAGE);
    let odd = attach(
        m,
        Attach {
            start: BASE + 0x234,
            size: 100,
            ..a
        },
    );
    t.equal(
        "MOE-RM-03 start down, size up",
        (odd.got, odd.word(0), region_at(m, 0)),
        (Got::OK, BASE, Some((BASE, BASE + 0xfff, 7))),
    );
    t.each(
        "MOE-RM-10 a taken place",
        [(BASE, 1), (BASE - PAGE, 3 * PAGE), (BASE + 0xfff, 1)],
        taken,
        |(start, size)| attach(m, Attach { start, size, ..a }).got,
    );
    t.each(
        "MOE-RM-10 the places beside it",
        [BASE - PAGE, BASE + PAGE],
        Got::OK,
        |start| attach(m, Attach { start, ..a }).got,
    );
    let search = a.flags(7 | flag::SEARCH_ADDR);
    let found = attach(
        m,
        Attach {
            start: BASE - PAGE,
            ..search
        },
    );
    t.equal(
        "MOE-RM-12 the first gap at or above",
        (found.got, found.word(0)),
        (Got::OK, BASE + 2 * PAGE),
    );
    let found = attach(
        m,
        Attach {
            start: BASE,
            align: 20,
            ..search
        },
    );
    t.equal(
        "MOE-RM-12 aligned up",
        (found.got, found.word(0)),
        (Got::OK, BASE + (1 << 20)),
    );
    let found = attach(
        m,
        Attach {
            start: BASE,
            size: 1 << 20,
            ..search
        },
    );
    t.equal(
        "MOE-RM-12 a gap that is too small is passed",
        (found.got, found.word(0)),
        (Got::OK, BASE + (1 << 20) + PAGE),
    );
    t.equal(
        "MOE-RM-12 more than the address space",
        attach(
            m,
            Attach {
                start: BASE,
                size: 1 << 60,
                ..search
            },
        )
        .got,
        taken,
    );
    t.equal(
        "MOE-RM-13 larger than the dataspace",
        attach(
            m,
            Attach {
                start: 0x2000_0000,
                size: 1 << 24,
                ..a
            },
        )
        .got,
        Got::OK,
    );
    while let Some((start, end, _)) = region_at(m, 0) {
        let size = end - start + 1;
        if detach(m, start, size, 2).got == Got::err(Errno::NoEnt) {
            break;
        }
    }
    t.equal(
        "MOE-RM-17 all regions can be detached",
        region_at(m, 0),
        None,
    );
}

fn rights(t: &mut Tap, b: &mut Bench, m: Cap<kind::Rm>, ds: Cap<kind::Dataspace>) {
    let name = "MOE-RM-07 W without W on the capability";
    let weak = need!(t, name, b.weaker(ds, CapRights::R));
    let a = Attach::new(weak, BASE, PAGE);
    let a = Attach {
        object: Some((weak, CapRights::R)),
        ..a
    };
    t.equal(name, attach(m, a.flags(6)).got, Got::err(Errno::Perm));
    t.equal(
        "MOE-RM-07 R alone is enough to read",
        attach(m, a.flags(4)).got,
        Got::OK,
    );
    detach(m, BASE, PAGE, 2);
    t.equal(
        "MOE-RM-07 W is always there for a private copy",
        attach(m, a.flags(6 | flag::PRIVATE)).got,
        Got::OK,
    );
    detach(m, BASE, PAGE, 2);
    let beyond = Attach {
        size: 17 * PAGE,
        ..Attach::new(ds, BASE, PAGE)
    };
    t.equal(
        "MOE-RM-08 a private copy of more than there is",
        attach(m, beyond.flags(6 | flag::PRIVATE)).got,
        Got::err(Errno::Inval),
    );
    b.drop(weak);
}

fn lists(t: &mut Tap, m: Cap<kind::Rm>, ds: Cap<kind::Dataspace>) {
    for i in 0..30 {
        attach(m, Attach::new(ds, BASE + i * 2 * PAGE, PAGE).flags(4));
    }
    let a = rm_one(m, op::GET_REGIONS, 0);
    let first = (0..20).all(|i| {
        a.word(3 * i) == BASE + i as u64 * 2 * PAGE
            && a.word(3 * i + 1) == a.word(3 * i) + 0xfff
            && a.word(3 * i + 2) & 0xffff == 4
    });
    // A record's last word is half used, so the 21st may end beyond the words.
    t.result(
        "MOE-RM-28 CL-16 a list of at most 21, ascending",
        matches!(a.got, Got::Label(20..=21)) && first,
        format_args!("{:?}, {first}", a.got),
    );
    let rest = rm_one(m, op::GET_REGIONS, BASE + 25 * 2 * PAGE + 0xfff);
    t.equal(
        "MOE-RM-28 from an address on",
        (rest.got, rest.word(0)),
        (Got::Label(5), BASE + 25 * 2 * PAGE),
    );
    t.equal(
        "MOE-RM-28 none behind the last",
        rm_one(m, op::GET_REGIONS, BASE + 0x10_0000).got,
        Got::OK,
    );
    let info = rm_one(m, op::GET_INFO, BASE + 8);
    let known = info.got == Got::OK
        && info.word(0) == 5
        && info.word(1).to_le_bytes().starts_with(b"name\0");
    t.result(
        "MOE-RM-30 the region's name, or ENOSYS",
        known || info.got == Got::err(Errno::NoSys),
        format_args!("{:?} {:x}", info.got, info.word(1)),
    );
    t.result(
        "MOE-RM-30 where no region is",
        [Got::err(Errno::NoEnt), Got::err(Errno::NoSys)]
            .contains(&rm_one(m, op::GET_INFO, 0x5000).got),
        format_args!("another answer"),
    );
    t.equal(
        "MOE-RM-23 find is refused",
        crate::ask::ask(
            m,
            l4_sys::proto::RM,
            crate::ask::message().u32(op::FIND).u64(BASE).u64(PAGE),
            crate::ask::Receive::MEMORY,
        )
        .got,
        Got::err(Errno::Perm),
    );
}
