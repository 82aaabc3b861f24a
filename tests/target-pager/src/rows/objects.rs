//! MOE-OBJ: how objects begin and end.

use l4_sys::{CapRights, proto};
use l4re_rs::varg::Arg;
use test_sigma0::tap::Tap;

use super::need;
use crate::ask::{Got, Receive, ask, message};
use crate::bench::Bench;
use crate::ops::{self, ds_info};

/// Ends by deletion, by the last capability, by the factory's end.
pub fn run(t: &mut Tap, b: &mut Bench) {
    deletion(t, b);
    references(t, b);
    recursive(t, b);
    lost_answer(t, b);
}

/// A call to an object that is gone: the slot is empty, or the kernel says so.
fn gone(got: Got) -> bool {
    matches!(got, Got::Failed(_))
}

fn deletion(t: &mut Tap, b: &mut Bench) {
    let name = "MOE-OBJ-07 deletion ends it for all holders";
    let ds = need!(t, name, b.ds(b.f, 4096));
    let copy = need!(t, name, b.weaker(ds, CapRights::RWS));
    let before = ds_info(copy).0;
    b.delete(ds);
    t.equal(name, (before, gone(ds_info(copy).0)), (Got::OK, true));
    b.drop(copy);
    let name = "CL-03 a copy without D deletes nothing";
    let ds = need!(t, name, b.ds(b.f, 4096));
    let copy = need!(t, name, b.weaker(ds, CapRights::RWS));
    b.delete(copy);
    t.equal(name, ds_info(ds).0, Got::OK);
    b.delete(ds);
    t.equal(
        "CL-03 the factory cannot be deleted by the test",
        {
            let copy = need!(t, name, b.weaker(b.f, CapRights::RWSD));
            b.delete(copy);
            ops::info(b.f).is_some()
        },
        true,
    );
}

fn references(t: &mut Tap, b: &mut Bench) {
    let name = "MOE-OBJ-06 the last capability's end gives the quota back";
    let f = need!(t, name, b.factory(b.f, 1 << 20));
    let before = ops::info(f).unwrap_or_default();
    let ds = need!(t, name, b.contiguous(f, 0x1_0000, 12));
    let copy = need!(t, name, b.weaker(ds, CapRights::R));
    b.drop(ds);
    let held = ops::info(f).unwrap_or_default().free < before.free;
    let alive = ds_info(copy).0;
    b.drop(copy);
    t.equal(
        name,
        (alive, held, b.settles(f, before)),
        (Got::OK, true, true),
    );
    let name = "CL-22 a deletion is done before the delete returns";
    let ds = need!(t, name, b.contiguous(f, 0x8_0000, 12));
    b.delete(ds);
    let at_once = b.try_create(f, proto::DATASPACE, &[Arg::Int(0x8_0000), Arg::Uint(1)]);
    t.equal(name, at_once, Got::OK);
    b.delete(f);
}

fn recursive(t: &mut Tap, b: &mut Bench) {
    let name = "MOE-OBJ-11 a factory takes all that it made along";
    let before = ops::info(b.f).unwrap_or_default();
    let f = need!(t, name, b.factory(b.f, 1 << 20));
    let sub = need!(t, name, b.factory(f, 1 << 18));
    let ds = need!(t, name, b.ds(sub, 4096));
    let rm = need!(t, name, b.region_map(f));
    let alive = (ds_info(ds).0, ops::rm_one(rm, 5, 0).got);
    b.delete(f);
    // The end is worked off in turns.
    let settled = b.settles(b.f, before);
    t.equal(
        name,
        (
            alive,
            gone(ds_info(ds).0),
            gone(ops::rm_one(rm, 5, 0).got),
            ops::info(sub),
        ),
        ((Got::OK, Got::OK), true, true, None),
    );
    t.result(
        "MOE-OBJ-11 and its quota",
        settled,
        format_args!("before {before:x?}, now {:x?}", ops::info(b.f)),
    );
    b.drop(sub);
    b.drop(ds);
    b.drop(rm);
}

/// A client that takes no capability gets none, and nothing leaks.
fn lost_answer(t: &mut Tap, b: &mut Bench) {
    let name = "BUG-23 an object whose capability nobody took goes away";
    let f = need!(t, name, b.factory(b.f, 1 << 20));
    let before = ops::info(f).unwrap_or_default();
    for _ in 0..8 {
        let w = message()
            .u64(proto::DATASPACE.cast_unsigned())
            .varg(Arg::Int(0x1_0000))
            .varg(Arg::Uint(1));
        let _ = ask(f, proto::FACTORY, w, Receive::MEMORY);
    }
    t.result(
        name,
        b.settles(f, before),
        format_args!("before {before:x?}, now {:x?}", ops::info(f)),
    );
    b.delete(f);
}
