//! Messages that no good client sends: random words and items, numbers at the limits.
//!
//! A request that is refused changes nothing; whatever is answered, the server goes on, and in the
//! end everything that was made by accident can be taken back.

use l4_sys::item::SendItem;
use l4_sys::{CapIdx, CapRights, Fpage, FpageType, MemRights, MsgTag, UtcbRef, proto};
use l4re_rs::Cap;
use l4re_rs::cap::kind;
use test_sigma0::tap::Tap;

use super::need;
use crate::ask::{Got, Receive, ask_tag};
use crate::bench::{Bench, OWN_TASK, peek, poke, unmap};
use crate::ops::{self, Attach, attach, ds_info, map};
use crate::random::Random;

const ROUNDS: u64 = 4000;
const PAGE: u64 = 4096;

/// Numbers that break sums.
const LIMITS: [u64; 14] = [
    0,
    1,
    7,
    0xfff,
    0x1000,
    0x1001,
    1 << 31,
    1 << 32,
    1 << 47,
    1 << 63,
    u64::MAX - 0xfff,
    u64::MAX - 1,
    u64::MAX,
    i64::MAX as u64,
];

/// The storm, with a victim that must see nothing of it.
pub fn run(t: &mut Tap, b: &mut Bench) {
    let name = "HOSTILE objects for the storm";
    let whole = ops::info(b.f).unwrap_or_default();
    let f = need!(t, name, b.factory(b.f, 4 << 20));
    let before = ops::info(f).unwrap_or_default();
    let victim = need!(t, name, b.ds(b.f, 16 * PAGE));
    let spot = b.spot();
    for i in 0..16 {
        map(victim, i * PAGE, spot + i * PAGE, 6);
        poke(spot + i * PAGE, 0x600d + i);
    }
    let lost = storm(b, f);
    t.result(
        "HOSTILE 4000 random messages are all answered",
        lost == 0,
        format_args!("{lost} not"),
    );
    // The storm's mappings were taken away with the whole window.
    let fine = (0..16u64).all(|i| {
        map(victim, i * PAGE, spot + i * PAGE, 4).memory().is_some()
            && peek(spot + i * PAGE) == 0x600d + i
    });
    t.equal(
        "HOSTILE another client's memory is as it was",
        (fine, ds_info(victim).1),
        (true, 16 * PAGE),
    );
    t.result(
        "HOSTILE the quota is back after the storm",
        b.settles(f, before),
        format_args!("before {before:x?}, now {:x?}", ops::info(f)),
    );
    b.delete(f);
    unmap(spot, 16);
    b.delete(victim);
    t.result(
        "HOSTILE and the whole quota with its factory",
        b.settles(b.f, whole),
        format_args!("before {whole:x?}, now {:x?}", ops::info(b.f)),
    );
    limits(t, b);
}

/// Sends random messages to a dataspace, a region map and the factory; returns how many were not
/// answered in time. Objects are replaced when the storm ended them.
fn storm(b: &mut Bench, f: Cap<kind::Factory>) -> u64 {
    let mut r = Random::new(0xbad_c1e47);
    let made: Cap<kind::Any> = b.slot();
    let (Ok(ds), Ok(rm)) = (b.ds(f, 64 * PAGE), b.region_map(f)) else {
        return ROUNDS;
    };
    let mut lost = 0;
    for _ in 0..ROUNDS {
        let to: Cap<kind::Any> = r.pick(&[ds.cast(), rm.cast(), f.cast()]);
        let any = i64::from(r.word() as i16);
        let label = r.pick(&[
            proto::DATASPACE,
            proto::DATASPACE,
            proto::RM,
            proto::RM,
            proto::FACTORY,
            proto::META,
            ops::MEM_ALLOC,
            proto::PAGE_FAULT,
            -8,
            0,
            0x5050,
            any,
        ]);
        let tag = random_message(&mut r, ds, label);
        let a = ask_tag(to, tag, Receive::cap(made));
        // An exception message is not answered by upstream; none is sent. A timeout is a dead
        // server; other kernel errors are the message's own fault.
        if matches!(a.got, Got::Failed(2 | 3)) {
            lost += 1;
            if lost > 3 {
                break;
            }
        }
        let _ = OWN_TASK.delete(made);
        unmap(0, 40);
    }
    b.drop(made);
    b.delete(ds);
    b.delete(rm);
    lost
}

/// Words and items of any kind; every second time with a plausible opcode.
fn random_message(r: &mut Random, ds: Cap<kind::Dataspace>, label: i64) -> MsgTag {
    let u = UtcbRef::current();
    let (words, items) = (r.below(12) as usize, r.below(4) as usize);
    for i in 0..words {
        let any = match r.below(4) {
            0 => r.word(),
            1 => r.pick(&LIMITS),
            2 => r.below(64) * 0x800,
            _ => r.pick(&[
                1 | 8 << 16,
                0x81 | 8 << 16,
                2 | 5 << 16,
                3 | 8 << 16,
                2 | 0xffff << 16,
                0x4005,
                0x4000,
            ]),
        };
        u.set_mr(i, any);
    }
    if r.below(2) == 0 {
        u.set_mr(0, r.below(12) | r.word() << 32);
    }
    for i in 0..items {
        let fpage = match r.below(4) {
            0 => ds.fpage(CapRights::R),
            1 => Fpage::obj(
                CapIdx::from_slot(r.below(64)),
                r.below(3) as u32,
                CapRights::R,
            ),
            2 => Fpage::mem(crate::ask::WINDOW, 12, MemRights::R),
            _ => Fpage::generic(r.below(64) << 12, FpageType::Io, r.below(8) as u32, 0),
        };
        let item = SendItem::plain(fpage);
        u.set_mr(words + 2 * i, item.control);
        u.set_mr(words + 2 * i + 1, item.fpage.0);
    }
    // A label that the kernel keeps for exceptions would stop our thread for ever on upstream's.
    let label = if label == proto::EXCEPTION { 1 } else { label };
    MsgTag::plain(label, words, items)
}

/// Every pair of limits as range of every operation: answered, and without effect on contents.
fn limits(t: &mut Tap, b: &mut Bench) {
    let name = "HOSTILE objects for the limits";
    let ds = need!(t, name, b.ds(b.f, 4 * PAGE));
    let m = need!(t, name, b.region_map(b.f));
    let spot = b.spot();
    let answered = |got: Got| !matches!(got, Got::Failed(2 | 3));
    let pairs = || {
        LIMITS
            .iter()
            .flat_map(|a| LIMITS.iter().map(move |z| (*a, *z)))
    };
    t.each("HOSTILE map at all limits", pairs(), true, |(o, s)| {
        let got = map(ds, o, s, 4).got;
        unmap(0, 42);
        answered(got) && (got == Got::OK) == (o < 4 * PAGE)
    });
    map(ds, 0, spot, 6);
    poke(spot, 1);
    // Upstream's allocate of the dataspace touches only what is inside.
    t.each("HOSTILE allocate at all limits", pairs(), true, |(o, s)| {
        let inside = o < 4 * PAGE && s <= 4 * PAGE - o;
        (ops::allocate(ds, o, s) == Got::OK) == inside
    });
    t.each("HOSTILE copy_in at all limits", pairs(), true, |(o, s)| {
        answered(ops::copy_in(ds, o.max(PAGE), ds, s.max(PAGE), u64::MAX))
    });
    t.each("HOSTILE attach at all limits", pairs(), true, |(o, s)| {
        let a = attach(
            m,
            Attach {
                offset: s,
                ..Attach::new(ds, o, s)
            },
        );
        let end = o.wrapping_add(s);
        if a.got == Got::OK {
            ops::detach(m, o, s.max(1), 2);
        }
        answered(a.got) && (a.got != Got::OK || end > o)
    });
    t.each("HOSTILE detach at all limits", pairs(), true, |(o, s)| {
        answered(ops::detach(m, o, s, 1).got)
    });
    t.each(
        "HOSTILE reserve_area at all limits",
        pairs(),
        true,
        |(o, s)| {
            let a = ops::reserve(m, o, s, 0, 12);
            if a.got == Got::OK {
                ops::rm_one(m, 4, o);
            }
            answered(a.got)
        },
    );
    t.each("HOSTILE page_in at all limits", pairs(), true, |(o, s)| {
        answered(ops::page_in(m, o, s, 7).got)
    });
    map(ds, 0, spot, 4);
    t.equal("HOSTILE contents after all that", peek(spot), 1);
    t.each("HOSTILE clear at all limits", pairs(), true, |(o, s)| {
        answered(ops::clear(ds, o, s))
    });
    unmap(spot, 14);
    b.delete(m);
    b.delete(ds);
}
