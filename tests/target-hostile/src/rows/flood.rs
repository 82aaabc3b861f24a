//! Garbage from several threads on several CPUs, while an honest client goes on.

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use l4_sys::item::SendItem;
use l4_sys::ops::sigma0;
use l4_sys::{Fpage, PAGE_SIZE, Timeout, proto};
use l4re_rs::Cap;
use l4re_rs::cap::kind;
use l4re_rs::client::ipc;
use test_sigma0::Context;
use test_sigma0::ask::{Reply, block, sigma0 as request};
use test_sigma0::places::Places;
use test_sigma0::tap::Tap;

use super::Random;
use crate::helper;
use crate::raw::Raw;

/// Requests of the honest client.
const ROUNDS: u64 = 3000;

static GATE: AtomicU64 = AtomicU64::new(0);
static SENT: AtomicU64 = AtomicU64::new(0);
static NUMBER: AtomicU64 = AtomicU64::new(1);
static STOP: AtomicBool = AtomicBool::new(false);

/// Sends messages that no server may act on: with and without an answer, with items that nobody
/// takes.
extern "C" fn flooder() -> ! {
    let gate: Cap<kind::Sigma0> = Cap::new(l4_sys::CapIdx::from_raw(GATE.load(Ordering::Relaxed)));
    let mut random = Random(0x5167_3a05 * NUMBER.fetch_add(1, Ordering::Relaxed));
    while !STOP.load(Ordering::Relaxed) {
        let mut words = [0; 40];
        words.fill_with(|| random.next());
        let label = match random.below(6) {
            0 => {
                // One bit of the magic is missing.
                words[0] = !(1 << (8 + random.below(56)));
                proto::SIGMA0
            }
            1 => {
                words[0] |= 1 << 62;
                proto::PAGE_FAULT
            }
            2 => {
                words[0] = Fpage::io(0x1_0000 + random.below(1 << 20), 3).0;
                proto::IO_PAGE_FAULT
            }
            3 => {
                words[0] = 9 + random.below(1 << 20);
                0x5050
            }
            4 => {
                words[0] = random.next() >> 8;
                proto::FACTORY
            }
            _ => 0x4000 + random.below(64) as i64,
        };
        let items = [SendItem::plain(Fpage(random.next())); 3];
        let count = 1 + random.below(40) as usize;
        let raw = Raw {
            items: items.get(..random.below(4) as usize).unwrap_or(&[]),
            ..Raw::new(label, words.get(..count).unwrap_or(&[]))
        };
        let _ = match random.below(3) {
            0 => raw.call(gate),
            1 => raw.send(gate),
            _ => raw.hurried_call(gate),
        };
        SENT.fetch_add(1, Ordering::Relaxed);
    }
    l4re_rs::panic::stop()
}

/// All of it.
pub fn run(t: &mut Tap, c: &mut Context, places: &Places) {
    GATE.store(c.a.idx().raw(), Ordering::Relaxed);
    let cpus = helper::cpus(c);
    let threads = [c.slot(), c.slot()];
    let helpers = [
        helper::start(c, threads[0], 0, 1 % cpus, flooder),
        helper::start(c, threads[1], 1, 2 % cpus, flooder),
    ];
    let [Some(first), Some(second)] = helpers else {
        return t.result("HOSTILE flood", false, format_args!("no helper threads"));
    };
    let b = c.client();
    let base = places.free_block(24, 0x200_0000).unwrap_or(0);
    let no_mem = Reply::refused(l4_sys::Errno::NoMem);
    let honest = |i: u64| {
        if i.is_multiple_of(64) {
            ipc::sleep(Timeout::from_us(500));
        }
        let page = base + i % 4096 * PAGE_SIZE;
        let (owner, other) = if i.is_multiple_of(2) {
            (b, c.a)
        } else {
            (c.a, b)
        };
        request(owner, sigma0::RAM, block(page, 12)) == Reply::memory(page, 12)
            && request(other, sigma0::RAM, block(page, 12)) == no_mem
    };
    let wrong = (0..ROUNDS).find(|i| !honest(*i));
    STOP.store(true, Ordering::Relaxed);
    // The kernel reports their bad items on the log: no result is printed while they run.
    first.kill();
    second.kill();
    let sent = SENT.load(Ordering::Relaxed);
    t.equal(
        "HOSTILE flood: the honest client gets what it asks for",
        wrong,
        None,
    );
    t.result(
        "HOSTILE flood: there was one",
        sent > 1000,
        format_args!("{sent} messages"),
    );
    l4re_rs::println!("# flood: {sent} messages during {ROUNDS} honest rounds");
    c.drop_slot(b);
    threads.into_iter().for_each(|s| c.drop_slot(s));
}
