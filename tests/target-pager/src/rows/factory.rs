//! MOE-FAC: what a factory makes and refuses.

use l4_sys::{CapRights, Errno, proto};
use l4re_rs::Cap;
use l4re_rs::cap::kind;
use l4re_rs::varg::Arg;
use test_sigma0::tap::Tap;

use super::need;
use crate::ask::{Got, Receive, ask, message};
use crate::bench::{Bench, peek, poke, unmap};
use crate::ops::{self, ds_info, map};

const DS: i64 = proto::DATASPACE;
/// Flag of an on-demand dataspace in its info, beside RWX.
const ON_DEMAND: u64 = 0x100;

/// Arguments, kinds and errors.
pub fn run(t: &mut Tap, b: &mut Bench) {
    rights(t, b);
    arguments(t, b);
    others(t, b);
    errors(t, b);
    kinds(t, b);
    contiguous(t, b);
    zeroed(t, b);
}

fn rights(t: &mut Tap, b: &mut Bench) {
    let name = "MOE-FAC-01 a factory without S";
    let weak = need!(t, name, b.weaker(b.f, CapRights::RW));
    t.each(
        name,
        [DS, proto::RM, proto::FACTORY, 0x1234],
        Got::err(Errno::Perm),
        |p| b.try_create(weak, p, &[Arg::Int(4096)]),
    );
    b.drop(weak);
}

/// Flags of a dataspace made with these arguments.
fn flags_of(b: &mut Bench, args: &[Arg<'_>]) -> Result<u64, Got> {
    let ds = b.create(b.f, DS, args)?;
    let (got, _, flags) = ds_info(ds);
    b.delete(ds);
    if got == Got::OK { Ok(flags) } else { Err(got) }
}

fn arguments(t: &mut Tap, b: &mut Bench) {
    let size = Arg::Int(8192);
    let on_demand = Ok(7 | ON_DEMAND);
    t.equal(
        "MOE-FAC-02 nil ends the arguments",
        flags_of(b, &[size, Arg::Nil, Arg::Int(1)]),
        on_demand,
    );
    t.equal(
        "MOE-FAC-03 an unsigned size",
        flags_of(b, &[Arg::Uint(8192)]),
        on_demand,
    );
    t.equal("MOE-FAC-14 no flags", flags_of(b, &[size]), on_demand);
    t.equal(
        "MOE-FAC-14 continuous",
        flags_of(b, &[size, Arg::Uint(1)]),
        Ok(7),
    );
    t.equal(
        "MOE-FAC-14 pinned",
        flags_of(b, &[size, Arg::Uint(2)]),
        Ok(7),
    );
    t.equal(
        "MOE-FAC-14 unknown flags are ignored",
        flags_of(b, &[size, Arg::Uint(0xff00)]),
        on_demand,
    );
    t.equal(
        "MOE-FAC-14 flags that are no number are ignored",
        flags_of(b, &[size, Arg::Bytes(b"x\0")]),
        on_demand,
    );
    t.equal(
        "MOE-FAC-15 super pages alone are ignored",
        flags_of(b, &[size, Arg::Uint(4)]),
        on_demand,
    );
    t.equal(
        "MOE-FAC-16 alignment alone is ignored",
        flags_of(b, &[size, Arg::Uint(0), Arg::Uint(16)]),
        on_demand,
    );
    // A string argument of 1000 bytes in a message of 4 words.
    let w = message()
        .u64(DS.cast_unsigned())
        .u64(2 | 1000 << 16)
        .u64(0)
        .u64(0);
    t.equal(
        "MOE-FAC-04 an argument longer than the message",
        ask(b.f, proto::FACTORY, w, Receive::MEMORY).got,
        Got::err(Errno::MsgTooShort),
    );
    // A number of 4 bytes, followed by what looks like its upper half.
    let w = message()
        .u64(DS.cast_unsigned())
        .u64(1 | 4 << 16)
        .u64(0x1000)
        .u64(0);
    let slot: Cap<kind::Any> = b.slot();
    let got = ask(b.f, proto::FACTORY, w, Receive::cap(slot)).got;
    b.delete(slot);
    t.equal("BUG-20 an integer of 4 bytes", got, Got::err(Errno::Inval));
}

fn others(t: &mut Tap, b: &mut Bench) {
    t.equal(
        "MOE-FAC-05 a name space",
        b.try_create(b.f, proto::NAMESPACE, &[]),
        Got::OK,
    );
    t.equal(
        "MOE-FAC-06 a region map",
        b.try_create(b.f, proto::RM, &[]),
        Got::OK,
    );
    t.equal(
        "MOE-FAC-07 a factory",
        b.try_create(b.f, proto::FACTORY, &[Arg::Int(1 << 20)]),
        Got::OK,
    );
    t.equal(
        "MOE-FAC-08 a log",
        b.try_create(b.f, proto::LOG, &[Arg::Bytes(b"x\0")]),
        Got::OK,
    );
    t.equal(
        "MOE-FAC-21 a DMA space",
        b.try_create(b.f, 0x4008, &[]),
        Got::OK,
    );
    t.equal(
        "MOE-FAC-11 a scheduler of a factory that is not the root",
        b.try_create(b.f, proto::SCHEDULER, &[Arg::Int(10), Arg::Int(1)]),
        Got::err(Errno::NoDev),
    );
    let kernels = [
        proto::TASK,
        proto::THREAD,
        0,
        proto::IRQ_SENDER,
        -16,
        0x1234,
        i64::MAX,
        i64::MIN,
    ];
    t.each(
        "MOE-FAC-22 anything else",
        kernels,
        Got::err(Errno::NoDev),
        |p| b.try_create(b.f, p, &[]),
    );
}

fn errors(t: &mut Tap, b: &mut Bench) {
    let inval = Got::err(Errno::Inval);
    let quotas = [
        Arg::Bytes(b"4096\0"),
        Arg::Nil,
        Arg::Int(0),
        Arg::Int(-4096),
    ];
    t.each("MOE-FAC-07 a quota that is none", quotas, inval, |q| {
        b.try_create(b.f, proto::FACTORY, &[q])
    });
    t.equal(
        "MOE-FAC-07 a quota above the parent's",
        b.try_create(b.f, proto::FACTORY, &[Arg::Int(1 << 40)]),
        Got::err(Errno::NoMem),
    );
    t.each(
        "MOE-FAC-13 a size that is none",
        [Arg::Bytes(b"4096\0"), Arg::Nil],
        inval,
        |s| b.try_create(b.f, DS, &[s]),
    );
    t.equal(
        "MOE-FAC-13 size 0",
        b.try_create(b.f, DS, &[Arg::Int(0)]),
        Got::err(Errno::Range),
    );
    let four = [Arg::Int(4096), Arg::Int(0), Arg::Int(0), Arg::Int(0)];
    t.equal(
        "MOE-FAC-13 a fourth argument",
        b.try_create(b.f, DS, &four),
        inval,
    );
    t.each(
        "MOE-FAC-17 a negative size on demand",
        [-1, -4096, i64::MIN],
        Got::err(Errno::Range),
        |s| b.try_create(b.f, DS, &[Arg::Int(s)]),
    );
    let sizes = [1 << 32, 1 << 40, i64::MAX, i64::MAX - 4095];
    t.each(
        "MOE-FAC-14 contiguous beyond the quota",
        sizes,
        Got::err(Errno::NoMem),
        |s| b.try_create(b.f, DS, &[Arg::Int(s), Arg::Uint(1)]),
    );
    let name = "BUG-04 an alignment that is none";
    if b.ours {
        t.each(name, [64, 255, 256, 1 << 40], Got::err(Errno::NoMem), |a| {
            b.try_create(b.f, DS, &[Arg::Int(4096), Arg::Uint(1), Arg::Uint(a)])
        });
    } else {
        t.skip(name, "upstream's free list is not whole after it");
    }
}

fn kinds(t: &mut Tap, b: &mut Bench) {
    let name = "MOE-FAC-19 more than there is, on demand";
    let f = need!(t, name, b.factory(b.f, 1 << 20));
    t.equal(name, b.try_create(f, DS, &[Arg::Int(1 << 30)]), Got::OK);
    t.each(
        "MOE-DS-15 the exact size",
        [1, 4095, 4096, 4097, 1 << 24],
        true,
        |size| match b.ds(b.f, size) {
            Ok(ds) => {
                let same = ds_info(ds) == (Got::OK, size, 7 | ON_DEMAND);
                b.delete(ds);
                same
            }
            Err(_) => false,
        },
    );
    t.equal(
        "MOE-FAC-18 all but 64 KiB, contiguous",
        all_but(b, f, 0x1_0000),
        Ok(true),
    );
    b.delete(f);
}

/// Whether "all but `n` bytes" of a factory of 1 MiB is that much, in whole pages.
fn all_but(b: &mut Bench, f: Cap<kind::Factory>, n: i64) -> Result<bool, Got> {
    let ds = b.contiguous(f, -n, 12)?;
    let (_, size, _) = ds_info(ds);
    b.delete(ds);
    let most = (1 << 20) - n.cast_unsigned();
    Ok(size % 4096 == 0 && size <= most && size >= most / 2)
}

fn contiguous(t: &mut Tap, b: &mut Bench) {
    let name = "MOE-DS-06 64 KiB in one flexpage";
    let ds = need!(t, name, b.contiguous(b.f, 1 << 16, 16));
    let spot = b.spot();
    t.equal(name, map(ds, 0, spot, 6).memory(), Some((spot, 16)));
    unmap(spot, 16);
    t.equal(
        "MOE-DS-06 only as large as offset and spot agree",
        map(ds, 0, spot + 4096, 6).memory(),
        Some((spot + 4096, 12)),
    );
    unmap(spot, 16);
    b.delete(ds);
    let name = "MOE-FAC-15 contiguous super pages";
    let args = [Arg::Int(2 << 20), Arg::Uint(5)];
    let ds = need!(t, name, b.create::<kind::Dataspace>(b.f, DS, &args));
    t.equal(name, map(ds, 0, spot, 6).memory(), Some((spot, 21)));
    unmap(spot, 21);
    b.delete(ds);
}

/// Frames that had contents come back as zeroes, whatever kind they go to.
fn zeroed(t: &mut Tap, b: &mut Bench) {
    let name = "MOE-FAC-20 fresh memory reads as zero";
    let spot = b.spot();
    let mut clean = true;
    for round in 0..6 {
        let made = if round % 2 == 0 {
            b.contiguous(b.f, 1 << 18, 12)
        } else {
            b.ds(b.f, 1 << 18)
        };
        let ds = need!(t, name, made);
        for page in 0..64 {
            let at = page * 4096;
            if map(ds, at, spot + at, 6).memory().is_none() {
                b.delete(ds);
                return t.result(
                    name,
                    false,
                    format_args!("round {round}: page {page} not mapped"),
                );
            }
            for word in 0..512 {
                clean &= peek(spot + at + 8 * word) == 0;
                poke(spot + at + 8 * word, !0);
            }
        }
        unmap(spot, 18);
        b.delete(ds);
    }
    t.result(name, clean, format_args!("old contents seen"));
    let info = ops::info(b.f);
    t.result(
        "MOE-QUO-09 the info has five words",
        info.is_some(),
        format_args!("{info:?}"),
    );
}
