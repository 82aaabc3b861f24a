//! MOE-QUO: who pays, how much, and when it comes back.

use l4_sys::{CapRights, Errno, proto};
use l4re_rs::Cap;
use l4re_rs::cap::kind;
use l4re_rs::varg::Arg;
use test_sigma0::tap::Tap;

use super::need;
use crate::ask::{Got, Receive, ask, message};
use crate::bench::{Bench, unmap};
use crate::ops::{self, Info, info, map};

const MIB: u64 = 1 << 20;

/// Limits, charges and figures.
pub fn run(t: &mut Tap, b: &mut Bench) {
    figures(t, b);
    children(t, b);
    charges(t, b);
    exhausted(t, b);
}

fn of(f: Cap<kind::Factory>) -> Info {
    info(f).unwrap_or_default()
}

/// A factory's figures are what they were before.
fn settled(t: &mut Tap, b: &mut Bench, name: &str, f: Cap<kind::Factory>, before: Info) {
    t.result(
        name,
        b.settles(f, before),
        format_args!("before {before:x?}, now {:x?}", of(f)),
    );
}

fn figures(t: &mut Tap, b: &mut Bench) {
    let name = "MOE-QUO-09 quota, and free within it";
    let f = need!(t, name, b.factory(b.f, MIB));
    let i = of(f);
    t.result(
        name,
        i.quota == MIB && i.free <= MIB && i.available <= MIB && i.free > MIB / 2,
        format_args!("{i:x?}"),
    );
    let weak = need!(t, "MOE-QUO-09 no right needed", b.weaker(f, CapRights::R));
    t.equal("MOE-QUO-09 no right needed", info(weak), Some(i));
    let debug = ask(f, -32768, message().u64(0), Receive::MEMORY).got;
    t.result(
        "MOE-QUO-10 debug answers or is not there",
        [Got::OK, Got::err(Errno::BadProto)].contains(&debug),
        format_args!("{debug:?}"),
    );
    b.drop(weak);
    b.delete(f);
}

fn children(t: &mut Tap, b: &mut Bench) {
    let name = "MOE-QUO-01 a child's limit is taken from its parent's";
    let parent = need!(t, name, b.factory(b.f, MIB));
    let before = of(parent);
    let child = need!(t, name, b.factory(parent, MIB / 2));
    let taken = before.free.wrapping_sub(of(parent).free);
    t.result(
        name,
        (MIB / 2..MIB / 2 + 8192).contains(&taken),
        format_args!("{taken:#x} taken"),
    );
    t.equal(
        "MOE-QUO-01 two children cannot have more than it",
        b.try_create(parent, proto::FACTORY, &[Arg::Int(MIB as i64 / 2)]),
        Got::err(Errno::NoMem),
    );
    b.delete(child);
    settled(
        t,
        b,
        "MOE-QUO-01 it comes back with the child's end",
        parent,
        before,
    );
    t.equal(
        "MOE-QUO-02 the whole of the parent's limit",
        b.try_create(parent, proto::FACTORY, &[Arg::Int(MIB as i64)]),
        Got::err(Errno::NoMem),
    );
    let name = "MOE-QUO-03 a factory of less than a page makes nothing";
    let tiny = need!(t, name, b.factory(parent, 1000));
    t.each(
        name,
        [proto::DATASPACE, proto::RM],
        Got::err(Errno::NoMem),
        |p| b.try_create(tiny, p, &[Arg::Int(4096)]),
    );
    b.delete(tiny);
    let name = "MOE-QUO-13 factories are independent";
    let (a, z) = (
        need!(t, name, b.factory(parent, MIB / 4)),
        need!(t, name, b.factory(parent, MIB / 4)),
    );
    let all = need!(t, name, b.contiguous(a, -4096, 12));
    t.equal(
        name,
        (
            b.try_create(
                a,
                proto::DATASPACE,
                &[Arg::Int(MIB as i64 / 8), Arg::Uint(1)],
            ),
            b.try_create(
                z,
                proto::DATASPACE,
                &[Arg::Int(MIB as i64 / 8), Arg::Uint(1)],
            ),
        ),
        (Got::err(Errno::NoMem), Got::OK),
    );
    b.delete(all);
    b.delete(a);
    b.delete(z);
    settled(t, b, "MOE-QUO-01 nothing is left of them", parent, before);
    b.delete(parent);
}

fn charges(t: &mut Tap, b: &mut Bench) {
    let name = "MOE-QUO-05 contiguous memory is charged when it is made";
    let f = need!(t, name, b.factory(b.f, MIB));
    let before = of(f);
    let ds = need!(t, name, b.contiguous(f, 0x2_0000, 12));
    let used = before.free.wrapping_sub(of(f).free);
    t.result(
        name,
        (0x2_0000..0x2_3000).contains(&used),
        format_args!("{used:#x} charged"),
    );
    b.delete(ds);
    settled(t, b, "MOE-QUO-05 and given back at its end", f, before);

    let name = "MOE-QUO-05 on-demand memory is charged at first touch";
    let ds = need!(t, name, b.ds(f, 0x2_0000));
    let made = before.free.wrapping_sub(of(f).free);
    let spot = b.spot();
    let mapped = (0..32u64).all(|i| map(ds, i * 4096, spot + i * 4096, 6).memory().is_some());
    let used = before.free.wrapping_sub(of(f).free);
    t.result(
        name,
        mapped && made < 0x4000 && (0x2_0000..0x2_3000).contains(&used),
        format_args!("{made:#x} at creation, {used:#x} when touched"),
    );
    t.equal(
        "MOE-DS-13 cleared pages are given back",
        ops::clear(ds, 0, 0x2_0000),
        Got::OK,
    );
    let left = before.free.wrapping_sub(of(f).free);
    t.result(
        "MOE-DS-13 and their quota",
        left < 0x4000,
        format_args!("{left:#x} left"),
    );
    unmap(spot, 17);
    b.delete(ds);
    settled(t, b, "MOE-QUO-05 and all at its end", f, before);

    let name = "MOE-QUO-05 regions are charged to the map's factory";
    let rm = need!(t, name, b.region_map(f));
    let ds = need!(t, name, b.ds(b.f, 4096));
    for i in 0..64 {
        ops::attach(rm, ops::Attach::new(ds, 0x1000_0000 + i * 8192, 4096));
    }
    let used = before.free.wrapping_sub(of(f).free);
    t.result(
        name,
        used >= 64 * 64,
        format_args!("{used:#x} charged for 64 regions"),
    );
    b.delete(rm);
    b.delete(ds);
    settled(t, b, "MOE-RM-43 and given back with the map", f, before);
    b.delete(f);
}

fn exhausted(t: &mut Tap, b: &mut Bench) {
    let name = "MOE-QUO-11 out of quota, and in it again after an end";
    let f = need!(t, name, b.factory(b.f, MIB));
    let before = of(f);
    let mut kept: [Option<Cap<kind::Dataspace>>; 16] = [None; 16];
    let mut n = 0;
    let last = loop {
        match b.contiguous(f, 0x1_8000, 12) {
            Ok(ds) if n < kept.len() => {
                kept[n] = Some(ds);
                n += 1;
            }
            Ok(_) => break Got::OK,
            Err(got) => break got,
        }
    };
    let first = kept[0].take();
    if let Some(first) = first {
        b.delete(first);
    }
    let again = b.try_create(f, proto::DATASPACE, &[Arg::Int(0x1_8000), Arg::Uint(1)]);
    t.equal(
        name,
        (n >= 8, last, again),
        (true, Got::err(Errno::NoMem), Got::OK),
    );
    for ds in kept.into_iter().flatten() {
        b.delete(ds);
    }
    settled(t, b, "MOE-QUO-11 everything is back", f, before);

    // Many objects of all kinds, ended in another order.
    let name = "MOE-QUO-05 48 objects leave nothing";
    for round in 0..12u64 {
        let ds = need!(t, name, b.ds(f, 4096 * (1 + round)));
        let rm = need!(t, name, b.region_map(f));
        let sub = need!(t, name, b.factory(f, 0x4000));
        let inner = need!(t, name, b.region_map(sub));
        ops::attach(rm, ops::Attach::new(ds, 0x1000_0000, 4096));
        let spot = b.spot();
        map(ds, 0, spot, 6);
        if round % 2 == 0 {
            b.delete(sub);
            b.delete(ds);
            b.drop(rm);
            b.drop(inner);
        } else {
            b.drop(ds);
            b.drop(inner);
            b.delete(rm);
            b.delete(sub);
        }
        unmap(spot, 12);
    }
    settled(t, b, name, f, before);
    b.delete(f);
}
