//! Clients that are killed anywhere between sending a request and receiving its answer.

use core::sync::atomic::{AtomicU64, Ordering};

use l4_sys::item::{ITEM_MAP, bdr};
use l4_sys::ops::sigma0;
use l4_sys::{Fpage, MemRights, Timeout, proto};
use l4re_rs::Cap;
use l4re_rs::cap::kind;
use l4re_rs::client::ipc;
use test_sigma0::Context;
use test_sigma0::ask::{WINDOW, WINDOW_ORDER};
use test_sigma0::tap::Tap;

use super::{Random, is_serving};
use crate::helper;
use crate::raw::Raw;

/// Clients that die.
const VICTIMS: u32 = 40;

/// The server's gate, for the victims.
static GATE: AtomicU64 = AtomicU64::new(0);
/// Requests that the victims began.
static BEGUN: AtomicU64 = AtomicU64::new(0);

/// Asks for one thing after the other, for ever.
extern "C" fn victim() -> ! {
    let gate: Cap<kind::Sigma0> = Cap::new(l4_sys::CapIdx::from_raw(GATE.load(Ordering::Relaxed)));
    let window = Fpage::mem(WINDOW, WINDOW_ORDER, MemRights::empty());
    let buffers = [ITEM_MAP, window.0];
    loop {
        for (label, words) in [
            (proto::SIGMA0, [sigma0::KIP, 0]),
            (proto::META, [0, 0]),
            (proto::PAGE_FAULT, [1 << 62, 0]),
            (proto::SIGMA0, [0, 0]),
        ] {
            BEGUN.fetch_add(1, Ordering::Relaxed);
            let raw = Raw {
                bdr: bdr(0, 2, 2),
                buffers: &buffers,
                ..Raw::new(label, &words)
            };
            let _ = raw.call(gate);
        }
    }
}

/// All of it.
pub fn run(t: &mut Tap, c: &mut Context) {
    GATE.store(c.a.idx().raw(), Ordering::Relaxed);
    let thread = c.slot();
    let cpus = helper::cpus(c);
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let free = |c: &Context| c.a.statistics().ok().map(|s| (s.free, s.mine, s.clients));
    let before = free(c);
    t.each(
        "HOSTILE clients killed in a request: the server serves the next",
        0..VICTIMS,
        true,
        |n| {
            let Some(victim) = helper::start(c, thread, 0, n % cpus, victim) else {
                return false;
            };
            // On one CPU the victim runs only while we sleep.
            ipc::sleep(Timeout::from_us(100 + random.below(3000)));
            victim.kill() && is_serving(c)
        },
    );
    let begun = BEGUN.load(Ordering::Relaxed);
    t.result(
        "HOSTILE the killed clients were at work",
        begun > u64::from(VICTIMS),
        format_args!("{begun} requests"),
    );
    t.equal("HOSTILE killed clients change nothing", free(c), before);
    c.drop_slot(thread);
}
