//! MOE-RM-16 to -22: detach.

use l4_sys::Errno;
use l4re_rs::Cap;
use l4re_rs::cap::kind;
use l4re_rs::client::rm::flag;
use test_sigma0::tap::Tap;

use super::need;
use super::region::region_at;
use crate::ask::{Answer, Got};
use crate::bench::Bench;
use crate::ops::{Attach, attach, detach, info};

const PAGE: u64 = 4096;
const BASE: u64 = 0x1000_0000;
/// Index that attach is given here.
const INDEX: u64 = 0x4_2000;

/// Whole, head, tail, middle, several, errors.
pub fn run(t: &mut Tap, b: &mut Bench) {
    let name = "MOE-RM-16 objects for the tests";
    let ds = need!(t, name, b.ds(b.f, 16 * PAGE));
    let m = need!(t, name, b.region_map(b.f));
    parts(t, m, ds);
    errors(t, m, ds);
    private(t, b, m);
    b.delete(m);
    b.delete(ds);
}

/// Label, start, size; the index where it has a meaning.
fn brief(a: Answer) -> (Got, u64, u64, u64) {
    (a.got, a.word(0), a.word(1), a.word(2) & !0xfff)
}

fn parts(t: &mut Tap, m: Cap<kind::Rm>, ds: Cap<kind::Dataspace>) {
    let place = |start, pages: u64| attach(m, Attach::new(ds, start, pages * PAGE)).got;
    place(BASE, 8);
    t.equal(
        "MOE-RM-17 CL-20 a whole region, with its index",
        brief(detach(m, BASE, 8 * PAGE, 2)),
        (Got::Label(0), BASE, 8 * PAGE, INDEX),
    );
    place(BASE, 8);
    t.equal(
        "MOE-RM-17 overlap takes all of it",
        brief(detach(m, BASE + 3 * PAGE, 1, 2)),
        (Got::Label(0), BASE, 8 * PAGE, INDEX),
    );
    place(BASE, 8);
    let a = detach(m, BASE, 2 * PAGE, 1);
    t.equal(
        "MOE-RM-18 the head",
        (a.got, a.word(0), a.word(1), region_at(m, 0)),
        (
            Got::Label(1),
            BASE,
            2 * PAGE,
            Some((BASE + 2 * PAGE, BASE + 8 * PAGE - 1, 7)),
        ),
    );
    let a = detach(m, BASE + 7 * PAGE, PAGE, 1);
    t.equal(
        "MOE-RM-18 the tail",
        (a.got, a.word(0), a.word(1), region_at(m, 0)),
        (
            Got::Label(1),
            BASE + 7 * PAGE,
            PAGE,
            Some((BASE + 2 * PAGE, BASE + 7 * PAGE - 1, 7)),
        ),
    );
    t.equal(
        "MOE-RM-18 no index for a part",
        a.word(2) & 1 << 11,
        1 << 11,
    );
    let a = detach(m, BASE + 4 * PAGE, PAGE, 1);
    t.equal(
        "MOE-RM-19 the middle",
        (brief(a), region_at(m, 0), region_at(m, BASE + 4 * PAGE)),
        (
            (Got::Label(2), BASE + 4 * PAGE, PAGE, INDEX),
            Some((BASE + 2 * PAGE, BASE + 4 * PAGE - 1, 7)),
            Some((BASE + 5 * PAGE, BASE + 7 * PAGE - 1, 7)),
        ),
    );
    let more = detach(m, BASE, 16 * PAGE, 1);
    let last = detach(m, BASE, 16 * PAGE, 1);
    t.equal(
        "MOE-RM-20 one region a call, 4 says that there are more",
        (more.got, last.got, region_at(m, 0)),
        (Got::Label(4), Got::Label(0), None),
    );
}

fn errors(t: &mut Tap, m: Cap<kind::Rm>, ds: Cap<kind::Dataspace>) {
    attach(m, Attach::new(ds, BASE, 4 * PAGE));
    let inval = Got::err(Errno::Inval);
    t.each(
        "MOE-RM-16 unknown flags",
        [4, 8, 0x80, 0x8000_0000],
        inval,
        |f| detach(m, BASE, PAGE, f | 2).got,
    );
    t.equal("MOE-RM-16 size 0", detach(m, BASE, 0, 2).got, inval);
    t.each(
        "MOE-RM-16 a range that wraps",
        [(BASE, u64::MAX), (u64::MAX, 2)],
        true,
        |(start, size)| {
            let got = detach(m, start, size, 2).got;
            got == inval || got == Got::err(Errno::NoEnt)
        },
    );
    t.each(
        "MOE-RM-16 where no region is",
        [0, BASE - PAGE, BASE + 4 * PAGE],
        Got::err(Errno::NoEnt),
        |start| detach(m, start, PAGE, 2).got,
    );
    t.equal(
        "MOE-RM-16 nothing changed",
        region_at(m, 0),
        Some((BASE, BASE + 4 * PAGE - 1, 7)),
    );
    detach(m, BASE, 4 * PAGE, 2);
}

/// Anonymous memory goes back with the part that is cut off.
fn private(t: &mut Tap, b: &mut Bench, _m: Cap<kind::Rm>) {
    let name = "MOE-RM-22 anonymous memory that is cut off is given back";
    let f = need!(t, name, b.factory(b.f, 1 << 20));
    let m = need!(t, name, b.region_map(f));
    let child = need!(t, name, b.child());
    let bare = Attach {
        object: None,
        ..Attach::new(Cap::new(l4_sys::CapIdx::INVALID), BASE, 64 * PAGE)
    };
    let free = || info(f).map_or(0, |i| i.free);
    let start = free();
    let got = attach(m, bare.flags(6 | flag::ANONYMOUS)).got;
    let touched = (0..64).all(|i| {
        matches!(
            child.through(m, crate::child::Access::Write, BASE + i * PAGE),
            crate::child::Outcome::Done(_)
        )
    });
    let full = free();
    child.unmap(BASE, 18);
    detach(m, BASE, 32 * PAGE, 1);
    let half = free();
    detach(m, BASE + 32 * PAGE, 32 * PAGE, 1);
    let none = free();
    t.result(name, got == Got::OK && touched && start - full >= 64 * PAGE && half >= full + 31 * PAGE && none + 4 * PAGE >= start, format_args!("{got:?}, {touched}, free: {start:#x}, touched {full:#x}, half {half:#x}, none {none:#x}"));
    child.end();
    b.delete(m);
    b.delete(f);
}
