//! Many messages that must be refused, from several clients, and many small regions: neither
//! changes what the server gives to whom.

use l4_sys::ops::sigma0;
use l4_sys::{CapRights, Errno, Fpage, PAGE_SIZE, proto};
use l4re_rs::Cap;
use l4re_rs::cap::kind;

use super::ext_memory;
use crate::ask::{Message, Reply, block, sigma0 as request};
use crate::context::Context;
use crate::places::Places;
use crate::tap::Tap;

/// Messages of the storm.
const MESSAGES: u32 = 6000;
/// Seed of the storm, printed so that a failure can be repeated.
const SEED: u64 = 0x5167_3a05_7072_6d31;
/// Pages of the checkerboard.
const PAGES: u64 = 8192;

/// A small generator of numbers (xorshift64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
}

/// A message that must be refused, and the error for it.
fn bad_message(r: &mut Random, words: &mut [u64; 63]) -> (i64, usize, Errno) {
    for w in words.iter_mut() {
        *w = r.next();
    }
    // Two words or more: what shorter ones do differs on purpose (BUG-14).
    let count = 2 + r.below(62) as usize;
    let id = [sigma0::RAM, sigma0::IOMEM, sigma0::IOMEM_CACHED][r.below(3) as usize];
    let order = 13 + r.below(51) as u32;
    let (label, error) = match r.below(8) {
        0 => {
            // Bits 0 to 7 are free, one bit above is missing.
            words[0] = !0xff & !(1 << (8 + r.below(56))) | r.below(0x100);
            (proto::SIGMA0, Errno::NoSys)
        }
        1 => {
            let unknown = [0x00, 0x10, 0x20, 0x30, 0x40, 0x50, 0xb0, 0xd0, 0xf0];
            words[0] = sigma0::MAGIC | unknown[r.below(9) as usize];
            (proto::SIGMA0, Errno::NoSys)
        }
        2 => {
            words[0] = id;
            let odd = 1 << (12 + r.below(u64::from(order) - 12));
            words[1] = block(r.next() | odd, order);
            (proto::SIGMA0, Errno::Inval)
        }
        3 => {
            words[0] = id;
            words[1] = block(r.next(), r.below(12) as u32);
            (proto::SIGMA0, Errno::Inval)
        }
        4 => {
            words[0] = sigma0::ANY_RAM;
            words[1] = block(r.next(), 48 + r.below(16) as u32);
            (proto::SIGMA0, Errno::NoMem)
        }
        5 => {
            // Far beyond all memory, but still an address that fits a flexpage.
            words[0] = r.next() | 1 << 62;
            (proto::PAGE_FAULT, Errno::NoMem)
        }
        6 => {
            words[0] = Fpage::io(0x1_0000 + r.below(1 << 20), 0).0;
            (proto::IO_PAGE_FAULT, Errno::NoMem)
        }
        _ => {
            let labels = [0, 1, 0x4000, 0x4005, -1, -3, -11, -12, -13, -14, -32768];
            (labels[r.below(11) as usize], Errno::BadProto)
        }
    };
    (label, count, error)
}

/// What the server gives next: the lowest free page.
fn next_page(c: &Context) -> Option<u64> {
    request(c.a, sigma0::ANY_RAM, block(0, 12)).address()
}

/// The storm, from three clients with different rights.
pub fn malformed(t: &mut Tap, c: &mut Context, places: &Places) {
    const ALL: &str = "S0-REQ malformed messages from several clients are refused";
    const SAME: &str = "S0-REQ malformed messages change nothing";
    const COUNTS: &str = "EXT malformed messages leave the statistics";
    let b = c.client();
    let weak = c.weaker(c.a, CapRights::R);
    let ours = c.is_sigma0_rs();
    // What earlier tests gave back may still wait: it would become free during the storm.
    let stats = |c: &Context| ext_memory::settle(c).ok().filter(|_| ours);
    let _ = stats(c);
    let before = next_page(c);
    let counted = stats(c);
    let mut random = Random(SEED);
    t.each(ALL, 0..MESSAGES, true, |n| {
        let mut words = [0; 63];
        let (label, count, error) = bad_message(&mut random, &mut words);
        let who = [c.a, b, weak][n as usize % 3];
        let reply = Message::new(label, &words[..count]).ask(who);
        let right = reply == Reply::refused(error);
        if !right {
            let [first, second, ..] = words;
            l4re_rs::println!(
                "# seed {SEED:#x}: label {label}, {count} words {first:#x} \
                {second:#x}: got {reply:?}, want {error:?}"
            );
        }
        right
    });
    match (counted, stats(c)) {
        (Some(x), Some(y)) => {
            let parts = |s: l4re_rs::client::sigma0_ext::Statistics| {
                [
                    s.ram,
                    s.free,
                    s.kept,
                    s.mine,
                    s.waiting,
                    s.bookkeeping,
                    s.runs,
                    s.clients,
                ]
            };
            t.equal(COUNTS, parts(y), parts(x));
        }
        _ => t.skip(COUNTS, "upstream's sigma0"),
    }
    // Low pages are taken in order only, so the next one is the nearest that is RAM at all.
    let after = next_page(c);
    match before {
        Some(page) if c.is_root() => t.equal(SAME, after, places.free_block(12, page + PAGE_SIZE)),
        _ => t.equal(SAME, after, None),
    }
    c.drop_slot(b);
    c.drop_slot(weak);
}

/// A checkerboard of two owners: one region for each page.
pub fn checkerboard(t: &mut Tap, c: &mut Context, places: &Places) {
    const TAKE: &str = "S0-BOOT-11 bookkeeping grows while it serves";
    const KEEP: &str = "S0-OWN-02 each of many pages has its owner";
    const WHOLE: &str = "S0-OWN-04 no block of many owners";
    let board = places.free_block(25, 0x400_0000).filter(|_| c.is_root());
    let Some(board) = board else {
        return [TAKE, KEEP, WHOLE]
            .into_iter()
            .for_each(|n| t.skip(n, "the root task has all RAM"));
    };
    let b = c.client();
    let a = c.a;
    let owner = |i: u64| if i.is_multiple_of(2) { a } else { b };
    let ask = |who: Cap<kind::Sigma0>, i: u64| {
        request(who, sigma0::RAM, block(board + i * PAGE_SIZE, 12))
    };
    t.each(TAKE, 0..PAGES, true, |i| {
        ask(owner(i), i) == Reply::memory(board + i * PAGE_SIZE, 12)
    });
    let no_mem = Reply::refused(Errno::NoMem);
    t.each(KEEP, (0..PAGES).step_by(37), true, |i| {
        ask(owner(i), i).address().is_some() && ask(owner(i + 1), i) == no_mem
    });
    t.each(WHOLE, 13..26, no_mem, |order| {
        request(a, sigma0::RAM, block(board, order))
    });
    c.drop_slot(b);
}
