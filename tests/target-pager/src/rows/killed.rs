//! Clients that die in the middle of every operation.
//!
//! A task sends one kind of request as fast as it can and is deleted at a random moment: while its
//! message waits, while the server works for it, before the answer. Afterwards the server answers
//! others, and everything that was charged for the dead is back.

use l4_sys::{CapRights, Timeout, proto};
use l4re_rs::Cap;
use l4re_rs::cap::kind;
use l4re_rs::client::ipc;
use test_sigma0::tap::Tap;

use super::need;
use crate::ask::Got;
use crate::bench::Bench;
use crate::ops::{self, Attach, attach};
use crate::random::Random;

const PAGE: u64 = 4096;
/// Deaths of each kind.
const DEATHS: u64 = 6;

/// A request that a client repeats until it dies.
struct Kind {
    name: &'static str,
    to: Cap<kind::Any>,
    label: i64,
    words: [u64; 14],
    used: usize,
    items: usize,
}

impl Kind {
    fn new<K>(name: &'static str, to: Cap<K>, label: i64, words: &[u64], items: usize) -> Kind {
        let mut all = [0; 14];
        all[..words.len()].copy_from_slice(words);
        Kind {
            name,
            to: to.cast(),
            label,
            words: all,
            used: words.len(),
            items,
        }
    }
}

/// Deaths in each operation.
pub fn run(t: &mut Tap, b: &mut Bench) {
    let name = "KILLED objects for the tests";
    let whole = ops::info(b.f).unwrap_or_default();
    let f = need!(t, name, b.factory(b.f, 8 << 20));
    let ds = need!(t, name, b.ds(f, 64 * PAGE));
    let solid = need!(t, name, b.contiguous(f, 256 * PAGE as i64, 12));
    let m = need!(t, name, b.region_map(f));
    attach(m, Attach::new(ds, 0x1000_0000, 64 * PAGE));
    let int = 0x81 | 8 << 16;
    // The child has the target in slot 0x22; its own capability for the target is the item.
    let item = [
        l4_sys::item::ITEM_MAP,
        Cap::<kind::Any>::new(l4_sys::CapIdx::from_slot(0x22))
            .fpage(CapRights::R)
            .0,
    ];
    let attach_words = [0, 0x2000_0000, PAGE, 6 | 0x2000, 0, 12, 0, 1, 0, 0];
    let kinds = [
        Kind::new(
            "KILLED while mapping",
            ds,
            proto::DATASPACE,
            &[0, 0, 0, 6],
            0,
        ),
        Kind::new(
            "KILLED while clearing 256 KiB",
            ds,
            proto::DATASPACE,
            &[1, 0, 64 * PAGE],
            0,
        ),
        Kind::new(
            "KILLED while clearing 1 MiB of contiguous memory",
            solid,
            proto::DATASPACE,
            &[1, 0, 256 * PAGE],
            0,
        ),
        Kind::new(
            "KILLED while allocating",
            ds,
            proto::DATASPACE,
            &[4, 0, 64 * PAGE],
            0,
        ),
        Kind::new(
            "KILLED while copying within a dataspace",
            ds,
            proto::DATASPACE,
            &[3, 0, 0x100, 32 * PAGE, item[0], item[1]],
            1,
        ),
        Kind::new("KILLED while attaching", m, proto::RM, &attach_words, 0),
        Kind::new(
            "KILLED while paging in",
            m,
            proto::RM,
            &[10, 0x1000_0000, 0x1000_0fff, 6],
            0,
        ),
        Kind::new(
            "KILLED while faulting",
            m,
            proto::PAGE_FAULT,
            &[0x1000_3002, 0],
            0,
        ),
        Kind::new(
            "KILLED while making dataspaces",
            f,
            proto::FACTORY,
            &[0x4000, int, 0x8000],
            0,
        ),
        Kind::new(
            "KILLED while making contiguous memory",
            f,
            proto::FACTORY,
            &[0x4000, int, 0x4_0000, int, 1],
            0,
        ),
        Kind::new(
            "KILLED while making region maps",
            f,
            proto::FACTORY,
            &[0x4005],
            0,
        ),
        Kind::new(
            "KILLED while making factories",
            f,
            proto::FACTORY,
            &[proto::FACTORY.cast_unsigned(), int, 0x8000],
            0,
        ),
    ];
    for kind in &kinds {
        one(t, b, f, kind);
    }
    b.delete(m);
    b.delete(ds);
    b.delete(solid);
    b.delete(f);
    t.result(
        "KILLED nothing is left of the dead",
        b.settles(b.f, whole),
        format_args!("before {whole:x?}, now {:x?}", ops::info(b.f)),
    );
}

fn one(t: &mut Tap, b: &mut Bench, f: Cap<kind::Factory>, kind: &Kind) {
    let mut r = Random::new(kind.used as u64 * 7 + kind.label.cast_unsigned());
    let mut sent = 0;
    for _ in 0..DEATHS {
        let Ok(child) = b.child() else {
            return t.result(kind.name, false, format_args!("no child"));
        };
        let running = child.flood(kind.to, kind.label, &kind.words[..kind.used], kind.items);
        ipc::sleep(Timeout::from_us(300 + r.below(2000)));
        sent += child.sent();
        child.end();
        if !running || ops::info(f).is_none() {
            return t.result(kind.name, false, format_args!("running {running}"));
        }
    }
    // The server is there, and does the same for us.
    let alive = b.try_create(b.f, proto::RM, &[]);
    t.result(
        kind.name,
        sent > 0 && alive == Got::OK,
        format_args!("{sent} messages, then {alive:?}"),
    );
}
