//! MOE-OBJ: how objects begin and end.

use l4_sys::item::SendItem;
use l4_sys::{CapRights, Fpage, MemRights, Timeout, proto};
use l4re_rs::Cap;
use l4re_rs::cap::kind;
use l4re_rs::client::{dataspace, ipc};
use l4re_rs::varg::Arg;
use test_sigma0::tap::Tap;

use super::need;
use crate::ask::{Got, Receive, WINDOW, ask, message};
use crate::bench::{Bench, peek, poke, unmap};
use crate::ops::{self, ds_info};

/// Ends by deletion, by the last capability, by the factory's end.
pub fn run(t: &mut Tap, b: &mut Bench) {
    deletion(t, b);
    references(t, b);
    recursive(t, b);
    lost_answer(t, b);
    uninvited(t, b);
    lingering(t, b);
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

/// Memory and ports with a message: the server has windows for capabilities only. The kernel matches items with
/// windows by their place, finds that the kinds differ, and hands over an item that brings nothing.
fn uninvited(t: &mut Tap, b: &mut Bench) {
    let name = "MOE-OBJ-01 memory with a message brings nothing";
    let ds = need!(t, name, b.ds(b.f, 4096));
    let spot = b.spot();
    let shown = ops::map(ds, 0, spot, 6).memory().is_some();
    poke(spot, 0x0b1);
    let memory = Fpage::mem(WINDOW + spot, 12, MemRights::RW);
    let ports = Fpage::io(0x80, 0);
    let capability = b.own.fpage(CapRights::R);
    // A question, which nobody needs an item for, and a copy, whose source it is in place of a capability.
    let rows = [
        (name, memory, false),
        (
            "MOE-OBJ-01 ports with a message bring nothing",
            ports,
            false,
        ),
        ("MOE-OBJ-01 memory is no source of a copy", memory, true),
        ("MOE-OBJ-01 ports are no source of a copy", ports, true),
        (
            "MOE-OBJ-01 a third capability is too much",
            capability,
            false,
        ),
    ];
    for (name, item, copy) in rows {
        let w = if copy {
            let w = message().u32(dataspace::op::COPY_IN);
            w.u64(0).u64(0).u64(4096).item(SendItem::plain(item))
        } else {
            message()
                .u32(dataspace::op::INFO)
                .item(SendItem::plain(item))
        };
        let third = item == capability;
        let w = if third {
            w.item(SendItem::plain(item)).item(SendItem::plain(item))
        } else {
            w
        };
        let got = ask(ds, proto::DATASPACE, w, Receive::MEMORY).got;
        let fine = match got {
            // Not 2 or 3, which are timeouts: a server that does not answer.
            Got::Failed(code) => third && !matches!(code, 2 | 3),
            Got::Refused(_) => copy,
            got => got == Got::OK && !copy && !third,
        };
        let (info, size, _) = ds_info(ds);
        let after = (info, size, shown && peek(spot) == 0x0b1);
        t.result(
            name,
            fine && after == (Got::OK, 4096, true),
            format_args!("{got:?}, then {after:?}"),
        );
    }
    unmap(spot, 12);
    b.delete(ds);
}

/// How many interrupts a kernel factory has room for; it is as it was afterwards.
fn room(b: &mut Bench, small: Cap<kind::Factory>) -> usize {
    let mut made = [None; 64];
    let mut count = 0;
    for place in &mut made {
        let irq: Cap<kind::Irq> = b.slot();
        if small.create_irq(irq).is_err() {
            b.drop(irq);
            break;
        }
        *place = Some(irq);
        count += 1;
    }
    for irq in made.into_iter().flatten() {
        b.delete(irq);
    }
    count
}

/// A capability that comes with a message which has no use for it: upstream's server keeps it until the next one
/// comes, ours drops it with the answer. Whoever keeps it keeps its object, and the memory of that.
fn lingering(t: &mut Tap, b: &mut Bench) {
    let name = "MOE-OBJ-12 a kernel factory of our own";
    let quota = [Arg::Int(4096)];
    let small = need!(t, name, b.create(b.kernel, proto::FACTORY, &quota));
    let ds = need!(t, name, b.ds(b.f, 4096));
    let rm = need!(t, name, b.region_map(b.f));
    let before = room(b, small);
    t.result(
        name,
        (2..64).contains(&before),
        format_args!("{before} interrupts"),
    );
    let to: [(&str, Cap<kind::Any>, i64, u32); 4] = [
        (
            "MOE-OBJ-12 a capability with a question is dropped",
            ds.cast(),
            proto::DATASPACE,
            dataspace::op::INFO,
        ),
        (
            "MOE-OBJ-12 a capability with an unknown request is dropped",
            ds.cast(),
            proto::DATASPACE,
            99,
        ),
        (
            "MOE-OBJ-12 a capability with an unknown protocol is dropped",
            rm.cast(),
            0x1234,
            0,
        ),
        (
            "MOE-OBJ-12 a capability for a factory's figures is dropped",
            b.f.cast(),
            ops::MEM_ALLOC,
            0,
        ),
    ];
    for (name, to, protocol, op) in to {
        let irq: Cap<kind::Irq> = b.slot();
        let made = small.create_irq(irq);
        let item = SendItem::plain(irq.fpage(CapRights::RWS));
        let w = message().u32(op).item(item);
        let got = ask(to, protocol, w, Receive::MEMORY).got;
        b.drop(irq);
        let least = if b.ours { before } else { before - 1 };
        // The kernel takes objects apart a while after their end.
        let now = (0..20).find_map(|_| {
            let now = room(b, small);
            if now < least {
                ipc::sleep(Timeout::from_us(10_000));
            }
            (now >= least).then_some(now)
        });
        t.result(
            name,
            made.is_ok() && !matches!(got, Got::Failed(_)) && now.is_some(),
            format_args!("{made:?}, {got:?}, room for {now:?} of {before}"),
        );
    }
    b.delete(rm);
    b.delete(ds);
    b.delete(small);
}
