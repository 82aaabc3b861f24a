//! MOE-DS: map, clear, info, allocate.

use l4_sys::{CapRights, Errno, Timeout};
use l4re_rs::Cap;
use l4re_rs::cap::kind;
use l4re_rs::client::ipc;
use test_sigma0::tap::Tap;

use super::need;
use crate::ask::{Got, Receive, ask, message};
use crate::bench::{Bench, peek, poke, unmap};
use crate::child::{Access, Child, Outcome};
use crate::ops::{allocate, clear, ds_info, map};

const PAGE: u64 = 4096;
const R: u64 = 4;
const RW: u64 = 6;
const RWX: u64 = 7;
/// Where the child sees memory of our window.
const AT: u64 = 0x4000_0000;

/// Map, clear, info and allocate on both kinds.
pub fn run(t: &mut Tap, b: &mut Bench) {
    let name = "MOE-DS objects for the tests";
    let ds = need!(t, name, b.ds(b.f, 16 * PAGE));
    let solid = need!(t, name, b.contiguous(b.f, 16 * PAGE as i64, 12));
    let child = need!(t, name, b.child());
    mapping(t, b, ds);
    rights(t, b, ds, &child);
    clearing(t, b, ds, solid, &child);
    allocation(t, b, ds, solid);
    padding(t, b);
    ends(t, b, &child);
    child.end();
    b.delete(ds);
    b.delete(solid);
}

fn mapping(t: &mut Tap, b: &mut Bench, ds: Cap<kind::Dataspace>) {
    let spot = b.spot();
    let a = map(ds, 3 * PAGE, spot + 3 * PAGE, RW);
    t.equal(
        "MOE-DS-01 label 0, no words, one item",
        (a.got, a.tag.words(), a.tag.items()),
        (Got::OK, 0, 1),
    );
    t.result(
        "MOE-DS-01 send base is the spot",
        a.memory().is_some_and(|(base, order)| {
            base >> order == (spot + 3 * PAGE) >> order && order >= 12
        }),
        format_args!("{:x?}", a.memory()),
    );
    unmap(spot, 16);
    let a = map(ds, 0x1234, spot + 0x5678, RW);
    t.result(
        "MOE-DS-04 offset and spot are rounded down",
        a.memory()
            .is_some_and(|(base, order)| base >> order == (spot + 0x5000) >> order),
        format_args!("{:x?}", a.memory()),
    );
    t.equal(
        "MOE-DS-08 an untouched page reads as zero",
        peek(spot + 0x5000),
        0,
    );
    unmap(spot, 16);
    t.each(
        "MOE-DS-01 an offset beyond the end",
        [16 * PAGE, 17 * PAGE, 1 << 40, u64::MAX, u64::MAX - PAGE + 1],
        Got::err(Errno::Range),
        |o| map(ds, o, spot, R).got,
    );
    t.equal(
        "MOE-DS-03 flags 0 are accepted",
        map(ds, 0, spot, 0).got,
        Got::OK,
    );
    t.each(
        "MOE-DS-10 any cache mode may be asked for",
        [0x10, 0x20, 0x30],
        Got::OK,
        |mode| map(ds, 0, spot, RW | mode).got,
    );
    unmap(spot, 16);
    t.each(
        "MOE-DS-07 a flexpage never leaves the dataspace",
        0..16u64,
        true,
        |i| {
            let a = map(ds, i * PAGE, spot + i * PAGE, RW).memory();
            unmap(spot, 16);
            // The send base names the page; the flexpage begins where its order says.
            a.is_some_and(|(base, order)| {
                let start = base >> order << order;
                start >= spot && start + (1 << order) <= spot + 16 * PAGE
            })
        },
    );
    // Contents stay with the offset, wherever they are mapped.
    for i in 0..16u64 {
        map(ds, i * PAGE, spot + i * PAGE, RW);
        poke(spot + i * PAGE, 0xa000 + i);
    }
    unmap(spot, 16);
    let other = b.spot();
    t.each(
        "MOE-DS-05 the same page at another spot",
        0..16u64,
        true,
        |i| {
            let place = other + (15 - i) * PAGE;
            map(ds, i * PAGE, place, R).memory().is_some() && peek(place) == 0xa000 + i
        },
    );
    unmap(other, 16);
    let short = |w| ask(ds, l4_sys::proto::DATASPACE, w, Receive::MEMORY).got;
    t.equal(
        "MOE-DS-01 arguments missing",
        short(message().u32(0).u64(0).u64(0)),
        Got::err(Errno::MsgTooShort),
    );
    t.equal("MOE-DS-28 map_info", short(message().u32(5)), Got::OK);
}

fn rights(t: &mut Tap, b: &mut Bench, ds: Cap<kind::Dataspace>, child: &Child) {
    let name = "MOE-DS-02 without W on the capability";
    let weak = need!(t, name, b.weaker(ds, CapRights::R));
    let spot = b.spot();
    t.each(name, [RW, RWX, 2], Got::err(Errno::Perm), |flags| {
        map(weak, 0, spot, flags).got
    });
    t.equal(
        "MOE-DS-01 rights are looked at before the offset",
        map(weak, 1 << 40, spot, RW).got,
        Got::err(Errno::Perm),
    );
    t.equal(
        "MOE-DS-29 reading needs R alone",
        map(weak, 0, spot, R).got,
        Got::OK,
    );
    t.equal(
        "MOE-DS-15 info without W",
        ds_info(weak),
        (Got::OK, 16 * PAGE, 0x105),
    );
    t.equal(
        "MOE-DS-11 clear without W",
        clear(weak, 0, PAGE),
        Got::err(Errno::Access),
    );
    t.equal(
        "MOE-DS-29 allocate needs R alone",
        allocate(weak, 0, PAGE),
        Got::OK,
    );
    let seen = |flags: u64, access| {
        unmap(spot, 16);
        map(ds, 0, spot, flags);
        let _ = child.map(spot, 12, AT);
        child.access(access, AT + 2048)
    };
    let done = |o: Outcome| matches!(o, Outcome::Done(_));
    t.equal(
        "MOE-DS-02 mapped R: read",
        done(seen(R, Access::Read)),
        true,
    );
    t.equal(
        "MOE-DS-02 mapped R: write",
        seen(R, Access::Write),
        Outcome::Fault(2),
    );
    t.equal(
        "MOE-DS-02 mapped RW: write",
        done(seen(RW, Access::Write)),
        true,
    );
    t.equal(
        "MOE-DS-02 mapped RW: fetch",
        seen(RW, Access::Fetch),
        Outcome::Fault(4),
    );
    map(ds, 0, spot, RW);
    // A return instruction, and what follows it does not matter.
    poke(spot + 2048, 0xc3);
    t.equal(
        "MOE-DS-02 mapped RWX: fetch",
        done(seen(RWX, Access::Fetch)),
        true,
    );
    t.equal(
        "MOE-DS-03 mapped with flags 0: read",
        seen(0, Access::Read),
        Outcome::Fault(0),
    );
    unmap(spot, 16);
    b.drop(weak);
}

fn clearing(
    t: &mut Tap,
    b: &mut Bench,
    ds: Cap<kind::Dataspace>,
    solid: Cap<kind::Dataspace>,
    child: &Child,
) {
    let spot = b.spot();
    for (kind, ds) in [("on demand", ds), ("contiguous", solid)] {
        let fill = |from: u64, to: u64| {
            (from..to).for_each(|i| {
                map(ds, i * PAGE, spot + i * PAGE, RW);
                for word in 0..512 {
                    poke(spot + i * PAGE + 8 * word, 0xdead);
                }
            })
        };
        let value = |at: u64| match map(ds, at / PAGE * PAGE, spot + at / PAGE * PAGE, R).memory() {
            Some(_) => peek(spot + at),
            None => 0xbad,
        };
        fill(0, 16);
        let range = (0x1100, 0x2e00);
        let got = clear(ds, range.0, range.1);
        let inside = (0..16 * 512).map(|i| i * 8).all(|at| {
            let cleared = at >= range.0 && at < range.0 + range.1;
            value(at) == if cleared { 0 } else { 0xdead }
        });
        // Names of the two kinds must differ.
        match kind {
            "on demand" => t.equal(
                "MOE-DS-11 clear to the byte, on demand",
                (got, inside),
                (Got::OK, true),
            ),
            _ => t.equal(
                "MOE-DS-14 clear to the byte, contiguous",
                (got, inside),
                (Got::OK, true),
            ),
        }
        fill(0, 16);
        let got = (
            clear(ds, 0, 0),
            clear(ds, 15 * PAGE, 1 << 50),
            clear(ds, PAGE, u64::MAX),
        );
        let rest = value(0) == 0xdead && (1..16).all(|i| value(i * PAGE) == 0);
        match kind {
            "on demand" => t.equal(
                "MOE-DS-12 clear is clipped, on demand",
                (got, rest),
                ((Got::OK, Got::OK, Got::OK), true),
            ),
            _ => t.equal(
                "MOE-DS-12 clear is clipped, contiguous",
                (got, rest),
                ((Got::OK, Got::OK, Got::OK), true),
            ),
        }
        unmap(spot, 16);
    }
    t.each(
        "MOE-DS-11 clear beyond the end",
        [16 * PAGE, 16 * PAGE + 1, 1 << 40, u64::MAX],
        Got::err(Errno::Range),
        |o| clear(ds, o, 1),
    );
    map(ds, 0, spot, RW);
    let given = child.map(spot, 12, AT);
    clear(ds, 0, PAGE);
    t.equal(
        "MOE-DS-13 a cleared page is unmapped",
        (given, child.access(Access::Read, AT)),
        (true, Outcome::Fault(0)),
    );
    unmap(spot, 16);
}

fn allocation(t: &mut Tap, b: &mut Bench, ds: Cap<kind::Dataspace>, solid: Cap<kind::Dataspace>) {
    let range = Got::err(Errno::Range);
    t.equal(
        "MOE-DS-25 allocate all",
        allocate(ds, 0, 16 * PAGE),
        Got::OK,
    );
    t.equal(
        "MOE-DS-26 allocate nothing inside",
        allocate(ds, PAGE, 0),
        Got::OK,
    );
    let beyond = [
        (16 * PAGE, 0),
        (16 * PAGE, 1),
        (0, 16 * PAGE + 1),
        (15 * PAGE, PAGE + 1),
        (u64::MAX, 1),
        (PAGE, u64::MAX),
        (1 << 63, 1 << 63),
    ];
    t.each(
        "MOE-DS-25 allocate beyond the exact size",
        beyond,
        range,
        |(o, s)| allocate(ds, o, s),
    );
    t.each(
        "MOE-DS-27 allocate of other kinds takes any range",
        [(0, PAGE), (1 << 40, 1 << 40)],
        Got::OK,
        |(o, s)| allocate(solid, o, s),
    );
    let name = "MOE-DS-25 allocate out of quota";
    let f = need!(t, name, b.factory(b.f, 1 << 18));
    let big = need!(t, name, b.ds(f, 1 << 22));
    t.equal(name, allocate(big, 0, 1 << 22), Got::err(Errno::NoMem));
    let spot = b.spot();
    t.equal(
        "MOE-DS-25 the pages done so far stay",
        map(big, 0, spot, RW).got,
        Got::OK,
    );
    t.equal(
        "MOE-DS-01 map out of quota",
        map(big, 0x3f_f000, spot + 0x3f_f000, RW).got,
        Got::err(Errno::NoMem),
    );
    unmap(spot, 22);
    b.delete(big);
    b.delete(f);
}

fn padding(t: &mut Tap, b: &mut Bench) {
    let name = "MOE-DS-31 bytes behind the exact size can be used";
    let ds = need!(t, name, b.ds(b.f, 100));
    let spot = b.spot();
    let mapped = map(ds, 0, spot, RW).memory().is_some();
    if mapped {
        poke(spot + 4088, 77);
    }
    t.equal(name, (mapped, clear(ds, 4080, 8)), (true, Got::OK));
    map(ds, 4000, spot, R);
    t.equal("MOE-DS-31 and keep their contents", peek(spot + 4088), 77);
    unmap(spot, 12);
    b.delete(ds);
}

/// After the end of a dataspace nobody has its pages.
fn ends(t: &mut Tap, b: &mut Bench, child: &Child) {
    let spot = b.spot();
    for (name, solid) in [
        ("MOE-DS-30 an on-demand dataspace's end unmaps", false),
        ("MOE-DS-30 a contiguous dataspace's end unmaps", true),
    ] {
        let made = if solid {
            b.contiguous(b.f, 1 << 16, 12)
        } else {
            b.ds(b.f, 1 << 16)
        };
        let ds = need!(t, name, made);
        map(ds, 0, spot, RW);
        let given = child.map(spot, 12, AT);
        let before = child.access(Access::Write, AT);
        b.delete(ds);
        // At the latest when the server has had time for it: nobody gets the frames before.
        let gone = (0..50).any(|_| {
            let now = child.access(Access::Read, AT);
            if now != Outcome::Fault(0) {
                ipc::sleep(Timeout::from_us(20_000));
            }
            now == Outcome::Fault(0)
        });
        let before = matches!(before, Outcome::Done(_));
        t.equal(name, (given, before, gone), (true, true, true));
        unmap(spot, 16);
    }
}
