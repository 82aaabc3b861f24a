//! MOE-RM-24 to -29: areas; and attach into them.

use l4_sys::Errno;
use l4re_rs::Cap;
use l4re_rs::cap::kind;
use l4re_rs::client::rm::{flag, op};
use test_sigma0::tap::Tap;

use super::need;
use crate::ask::{Answer, Got};
use crate::bench::Bench;
use crate::ops::{Attach, attach, detach, reserve, rm_one};

const PAGE: u64 = 4096;
const BASE: u64 = 0x1000_0000;
const AREA: u64 = 0x10_0000;

/// Reserve, use, list, free.
pub fn run(t: &mut Tap, b: &mut Bench) {
    let name = "MOE-RM-24 objects for the tests";
    let ds = need!(t, name, b.ds(b.f, 16 * PAGE));
    let m = need!(t, name, b.region_map(b.f));
    errors(t, m);
    in_area(t, m, ds);
    free(t, m);
    b.delete(m);
    b.delete(ds);
}

fn place(a: Answer) -> (Got, u64) {
    (a.got, a.word(0))
}

fn errors(t: &mut Tap, m: Cap<kind::Rm>) {
    let inval = Got::err(Errno::Inval);
    t.each(
        "MOE-RM-24 other flags",
        [1, 7, flag::PRIVATE, flag::IN_AREA, 0x8000_0000],
        inval,
        |f| reserve(m, BASE, PAGE, f, 12).got,
    );
    t.equal("MOE-RM-24 size 0", reserve(m, BASE, 0, 0, 12).got, inval);
    t.equal(
        "MOE-RM-24 a range that wraps",
        reserve(m, BASE, u64::MAX, 0, 12).got,
        inval,
    );
    t.equal(
        "MOE-RM-24 a searched place with alignment 64",
        reserve(m, BASE, PAGE, flag::SEARCH_ADDR, 64).got,
        inval,
    );
    t.equal(
        "MOE-RM-27 no area there",
        rm_one(m, op::FREE_AREA, BASE).got,
        Got::err(Errno::NoEnt),
    );
}

fn in_area(t: &mut Tap, m: Cap<kind::Rm>, ds: Cap<kind::Dataspace>) {
    let taken = Got::err(Errno::AddrNotAvail);
    t.equal(
        "MOE-RM-26 a fixed place",
        place(reserve(m, BASE, AREA, 0, 12)),
        (Got::OK, BASE),
    );
    t.equal(
        "MOE-RM-26 an overlap with another area",
        reserve(m, BASE + PAGE, AREA, 0, 12).got,
        taken,
    );
    t.equal(
        "MOE-RM-26 a searched place",
        place(reserve(m, BASE, AREA, flag::SEARCH_ADDR, 12)),
        (Got::OK, BASE + AREA),
    );
    t.equal(
        "MOE-RM-25 any size, any alignment",
        place(reserve(m, BASE + 5 * AREA + 3, 10, 0, 0)),
        (Got::OK, BASE + 5 * AREA + 3),
    );
    let list = rm_one(m, op::GET_AREAS, BASE);
    t.equal(
        "MOE-RM-29 the list of areas",
        (
            // The kernel's part of the space may be an area, too.
            matches!(list.got, Got::Label(3..=4)),
            list.word(0),
            list.word(1),
            list.word(3),
            list.word(6),
            list.word(7),
        ),
        (
            true,
            BASE,
            BASE + AREA - 1,
            BASE + AREA,
            BASE + 5 * AREA + 3,
            BASE + 5 * AREA + 12,
        ),
    );
    let a = Attach::new(ds, BASE, PAGE);
    t.equal(
        "MOE-RM-10 a fixed attach keeps out of areas",
        attach(m, a).got,
        taken,
    );
    let found = attach(m, a.flags(7 | flag::SEARCH_ADDR));
    t.equal(
        "MOE-RM-12 a search passes areas",
        place(found),
        (Got::OK, BASE + 2 * AREA),
    );
    t.equal(
        "MOE-RM-11 a fixed attach in the area",
        place(attach(m, a.flags(7 | flag::IN_AREA))),
        (Got::OK, BASE),
    );
    t.equal(
        "MOE-RM-11 a search in the area",
        place(attach(m, a.flags(7 | flag::IN_AREA | flag::SEARCH_ADDR))),
        (Got::OK, BASE + PAGE),
    );
    t.equal(
        "MOE-RM-11 the area's end is the end",
        attach(
            m,
            Attach {
                size: AREA,
                ..a.flags(7 | flag::IN_AREA | flag::SEARCH_ADDR)
            },
        )
        .got,
        taken,
    );
    t.equal(
        "MOE-RM-11 in an area where none is",
        attach(
            m,
            Attach {
                start: BASE + 4 * AREA,
                ..a.flags(7 | flag::IN_AREA)
            },
        )
        .got,
        taken,
    );
    t.equal(
        "MOE-RM-26 a reserved area over a region",
        reserve(m, BASE + 2 * AREA, PAGE, flag::RESERVED, 12).got,
        taken,
    );
    t.equal(
        "MOE-RM-26 another area over a region",
        reserve(m, BASE + 2 * AREA, PAGE, 0, 12).got,
        Got::OK,
    );
    t.equal(
        "MOE-RM-26 a reserved area",
        reserve(m, BASE + 8 * AREA, AREA, flag::RESERVED, 12).got,
        Got::OK,
    );
    t.equal(
        "MOE-RM-11 nothing goes into a reserved area",
        attach(
            m,
            Attach {
                start: BASE + 8 * AREA,
                ..a.flags(7 | flag::IN_AREA)
            },
        )
        .got,
        taken,
    );
}

fn free(t: &mut Tap, m: Cap<kind::Rm>) {
    t.equal(
        "MOE-RM-27 by any address inside",
        rm_one(m, op::FREE_AREA, BASE + 5 * PAGE).got,
        Got::OK,
    );
    t.equal(
        "MOE-RM-27 once",
        rm_one(m, op::FREE_AREA, BASE).got,
        Got::err(Errno::NoEnt),
    );
    t.equal(
        "MOE-RM-27 regions in it stay",
        detach(m, BASE, PAGE, 2).got,
        Got::OK,
    );
    t.equal(
        "BUG-10 the null guard is no area to free",
        rm_one(m, op::FREE_AREA, 0).got,
        Got::err(Errno::NoEnt),
    );
}
