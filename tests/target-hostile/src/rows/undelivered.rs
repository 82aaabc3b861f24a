//! Answers that cannot be delivered: no receive buffer, one of another kind, one in a place where
//! nothing can be mapped, or a client that never receives.

use l4_sys::item::{ITEM_MAP, bdr, single_cap};
use l4_sys::ops::sigma0;
use l4_sys::{Fpage, MemRights, proto};
use l4re_rs::Cap;
use l4re_rs::cap::kind;
use test_sigma0::Context;
use test_sigma0::ask::{Reply, WINDOW, block};
use test_sigma0::context::create_client;
use test_sigma0::places::Places;
use test_sigma0::tap::Tap;

use super::is_serving;
use crate::raw::{Outcome, Raw};

/// More than there are client numbers: slots 12 to 0xfff.
const MANY: u32 = 4200;

/// All of it.
pub fn run(t: &mut Tap, c: &mut Context, places: &Places) {
    let slot: Cap<kind::Any> = c.slot();
    let beyond = Fpage::mem(1 << 47, 12, MemRights::empty());
    let tiny = Fpage::mem(WINDOW, 0, MemRights::empty());
    let ports = Fpage::io(0, 16);
    let buffers: [(u64, [u64; 3]); 5] = [
        (0, [0; 3]),
        (bdr(1, 1, 0), [single_cap(slot.idx()), 0, 0]),
        (0, [ITEM_MAP, beyond.0, 0]),
        (0, [ITEM_MAP, tiny.0, 0]),
        (bdr(2, 0, 2), [ITEM_MAP, ports.0, 0]),
    ];
    let page = places.free_block(12, 0x100_0000).unwrap_or(0);
    let requests: [(i64, [u64; 2]); 8] = [
        (proto::SIGMA0, [sigma0::RAM, block(page, 12)]),
        (proto::SIGMA0, [sigma0::ANY_RAM, block(0, 12)]),
        (proto::SIGMA0, [sigma0::IOMEM, block(places.io_page(), 12)]),
        (
            proto::SIGMA0,
            [sigma0::IOMEM_CACHED, block(places.io_page(), 12)],
        ),
        (proto::SIGMA0, [sigma0::KIP, 0]),
        (proto::PAGE_FAULT, [page | 2, 0]),
        (proto::IO_PAGE_FAULT, [Fpage::io(0x5420, 0).0, 0]),
        (proto::SIGMA0, [sigma0::RAM, block(page, 12)]),
    ];
    let cases = || (0..buffers.len()).flat_map(|b| (0..requests.len()).map(move |r| (b, r)));
    t.each(
        "HOSTILE answers that cannot be mapped: the client hears of it",
        cases(),
        true,
        |(b, r)| {
            let (label, words) = &requests[r];
            let (bdr, buffers) = &buffers[b];
            let raw = Raw {
                bdr: *bdr,
                buffers,
                ..Raw::new(*label, words)
            };
            raw.call(c.a) != Outcome::Timeout
        },
    );
    t.each(
        "HOSTILE answers that nobody waits for: the next request is served",
        cases(),
        true,
        |(_, r)| {
            let (label, words) = &requests[r];
            Raw::new(*label, words).send(c.a) != Outcome::Timeout
                && Raw::new(*label, words).hurried_call(c.a) != Outcome::Label(-1)
                && is_serving(c)
        },
    );
    c.drop_slot(slot);
}

/// Gates that nobody gets must not use up the numbers of other clients. The last test: a server that
/// loses them has none left.
pub fn numbers(t: &mut Tap, c: &mut Context) {
    let ours = c.is_sigma0_rs();
    let count = |c: &Context| c.a.statistics().map_or(0, |s| s.clients);
    let before = if ours { count(c) } else { 0 };
    let words = [proto::SIGMA0.cast_unsigned()];
    let raw = Raw::new(proto::FACTORY, &words);
    t.each(
        "HOSTILE clients made without a receive buffer",
        0..MANY,
        true,
        |_| matches!(raw.call(c.a), Outcome::Failed(_)),
    );
    for _ in 0..MANY {
        let _ = raw.send(c.a);
    }
    let slot = c.slot();
    t.equal(
        "HOSTILE clients made for nobody leave their numbers to others",
        create_client(c.a, slot),
        Reply::capability(),
    );
    let name = "HOSTILE clients made for nobody are not counted";
    if ours {
        t.equal(name, count(c), before + 1);
    } else {
        t.skip(name, "upstream's sigma0");
    }
    c.drop_slot(slot);
}
