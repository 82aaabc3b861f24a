//! Quota used up in the middle of every operation. Upstream's server ends at some of these
//! (BUG-01), so they come last and only where the server is ours.

use l4_sys::{Errno, proto};
use l4re_rs::Cap;
use l4re_rs::cap::kind;
use l4re_rs::client::rm::flag;
use l4re_rs::varg::Arg;
use test_sigma0::tap::Tap;

use super::need;
use crate::ask::Got;
use crate::bench::{Bench, peek, poke, unmap};
use crate::child::{Access, Outcome};
use crate::ops::{self, Attach, attach, map};

const PAGE: u64 = 4096;
const BASE: u64 = 0x1000_0000;

const NAMES: [&str; 5] = [
    "BUG-01 a fault in anonymous memory out of quota",
    "BUG-01 a private attach out of quota",
    "BUG-01 a write to a shared page out of quota",
    "BUG-01 clearing part of a shared page out of quota",
    "BUG-01 everything is back",
];

/// Regions without end, then what ends upstream's server.
pub fn run(t: &mut Tap, b: &mut Bench) {
    regions(t, b);
    objects(t, b);
    if b.ours {
        dry(t, b);
    } else {
        for name in NAMES {
            t.skip(name, "upstream's server ends there");
        }
    }
}

fn regions(t: &mut Tap, b: &mut Bench) {
    let name = "MOE-RM-02 attach until the quota is used up";
    let f = need!(t, name, b.factory(b.f, 0x1_0000));
    let m = need!(t, name, b.region_map(f));
    let ds = need!(t, name, b.ds(b.f, PAGE));
    let before = ops::info(b.f).unwrap_or_default();
    let mut n = 0;
    let last = loop {
        match attach(m, Attach::new(ds, BASE + n * 2 * PAGE, PAGE)).got {
            Got::OK if n < 10_000 => n += 1,
            got => break got,
        }
    };
    t.result(
        name,
        n >= 50 && last == Got::err(Errno::AddrNotAvail),
        format_args!("{n} regions, then {last:?}"),
    );
    // What is there still works: cut, and attach again in place of what went.
    let gone = ops::detach(m, BASE, PAGE, 2).got;
    t.equal(
        "MOE-RM-02 a detach makes room for one more",
        (gone, attach(m, Attach::new(ds, BASE, PAGE)).got),
        (Got::Label(0), Got::OK),
    );
    b.delete(m);
    b.delete(f);
    t.result(
        "MOE-RM-43 a full map's end",
        b.settles(
            b.f,
            ops::Info {
                reserved: before.reserved - 0x1_0000,
                free: before.free + 0x1_0000,
                ..before
            },
        ) || ops::info(b.f).is_some_and(|i| i.free >= before.free + 0x1_0000),
        format_args!("before {before:x?}, now {:x?}", ops::info(b.f)),
    );
    b.delete(ds);
}

fn objects(t: &mut Tap, b: &mut Bench) {
    let name = "MOE-QUO-11 objects until the quota is used up";
    let f = need!(t, name, b.factory(b.f, 0x2000));
    let mut n = 0;
    let mut kept: [Option<Cap<kind::Rm>>; 100] = [None; 100];
    let last = loop {
        match b.region_map(f) {
            Ok(cap) if n < kept.len() => {
                kept[n] = Some(cap);
                n += 1;
            }
            Ok(cap) => {
                b.delete(cap);
                break Got::OK;
            }
            Err(got) => break got,
        }
    };
    for cap in kept.into_iter().flatten() {
        b.delete(cap);
    }
    let again = b.try_create(f, proto::RM, &[]);
    // 100 is where the test stops; a server with small objects may get there.
    t.result(
        name,
        n >= 10 && (last == Got::err(Errno::NoMem) || n == 100) && again == Got::OK,
        format_args!("{n} objects, then {last:?}, again {again:?}"),
    );
    b.delete(f);
}

fn dry(t: &mut Tap, b: &mut Bench) {
    let f = need!(t, NAMES[0], b.factory(b.f, 0x2_0000));
    let before = ops::info(f).unwrap_or_default();
    let child = need!(t, NAMES[0], b.child());
    let m = need!(t, NAMES[0], b.region_map(f));
    let none = Cap::new(l4_sys::CapIdx::INVALID);
    let bare = Attach {
        object: None,
        ..Attach::new(none, BASE, 64 * PAGE)
    };
    attach(m, bare.flags(6 | flag::ANONYMOUS));
    let failed = (0..64).find(|i| {
        !matches!(
            child.through(m, Access::Write, BASE + i * PAGE),
            Outcome::Done(_)
        )
    });
    let at = failed.map(|i| child.through(m, Access::Write, BASE + i * PAGE));
    t.equal(
        NAMES[0],
        (failed.is_some_and(|i| i >= 16), at),
        (true, Some(Outcome::Exception(14))),
    );
    child.unmap(BASE, 18);
    b.delete(m);

    let ds = need!(t, NAMES[1], b.ds(b.f, 64 * PAGE));
    let spot = b.spot();
    for i in 0..64 {
        map(ds, i * PAGE, spot + i * PAGE, 6);
        poke(spot + i * PAGE, 70 + i);
    }
    let m = need!(t, NAMES[1], b.region_map(f));
    let mut kept = [None; 64];
    for place in &mut kept {
        *place = b.contiguous(f, PAGE as i64, 12).ok();
    }
    let full = b.try_create(f, proto::DATASPACE, &[Arg::Int(PAGE as i64), Arg::Uint(1)]);
    let got = attach(m, Attach::new(ds, BASE, 64 * PAGE).flags(6 | flag::PRIVATE)).got;
    let refused = [Errno::NoMem, Errno::AddrNotAvail]
        .map(Got::err)
        .contains(&got);
    t.result(
        NAMES[1],
        full == Got::err(Errno::NoMem) && (refused || got == Got::OK),
        format_args!("{full:?}, {got:?}"),
    );
    for cap in kept.into_iter().flatten() {
        b.delete(cap);
    }
    ops::detach(m, BASE, 64 * PAGE, 2);
    b.delete(m);

    // 64 pages are shared into a dataspace of an account that has no room for them; each write takes one.
    let copy = need!(t, NAMES[2], b.ds(f, 64 * PAGE));
    let shared = ops::copy_in(copy, 0, ds, 0, 64 * PAGE);
    let at = b.spot();
    let failed = (0..64u64)
        .map(|i| map(copy, i * PAGE, at + i * PAGE, 6).got)
        .position(|got| got != Got::OK);
    let got = failed.map(|i| map(copy, i as u64 * PAGE, at, 6).got);
    let last = map(ds, 63 * PAGE, spot + 63 * PAGE, 4).got;
    t.result(
        NAMES[2],
        shared != Got::OK && shared == Got::err(Errno::NoMem)
            || got == Some(Got::err(Errno::NoMem))
                && last == Got::OK
                && peek(spot + 63 * PAGE) == 133,
        format_args!("{shared:?}, at {failed:?} {got:?}"),
    );
    let cleared = failed.map(|i| ops::clear(copy, i as u64 * PAGE + 8, 8));
    t.result(
        NAMES[3],
        cleared.is_none_or(|got| got == Got::err(Errno::NoMem) || got == Got::OK),
        format_args!("{cleared:?}"),
    );
    unmap(at, 18);
    unmap(spot, 18);
    b.delete(copy);
    b.delete(ds);
    t.result(
        NAMES[4],
        b.settles(f, before),
        format_args!("before {before:x?}, now {:x?}", ops::info(f)),
    );
    child.end();
    b.delete(f);
}
