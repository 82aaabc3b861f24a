//! The tests, one file for each kind of harm, and one for l4re-rs.

mod dying;
mod flood;
mod kernel_memory;
mod recycle;
mod serving;
mod undelivered;

use l4_sys::ops::sigma0;
use test_sigma0::Context;
use test_sigma0::ask::sigma0 as request;
use test_sigma0::places::Places;
use test_sigma0::probe::Probe;
use test_sigma0::tap::Tap;

/// Runs all of them.
pub fn run(t: &mut Tap, c: &mut Context) {
    let (Some(kip), Some(probe)) = (c.kip(), Probe::new(c)) else {
        return t.result("start", false, format_args!("no KIP or no helper thread"));
    };
    let places = Places::new(kip);
    // Above all helpers, or on one CPU each of our requests would wait for their time slices.
    if let Err(e) = c.scheduler.set_priority(c.main_thread, 10) {
        return t.result("start", false, format_args!("priority: {e:?}"));
    }
    serving::run(t, c);
    undelivered::run(t, c, &places);
    dying::run(t, c);
    flood::run(t, c, &places);
    recycle::run(t, c);
    kernel_memory::run(t, c, &places, &probe);
    undelivered::numbers(t, c);
}

/// Whether the server answers: the page that it gives to everybody, where it was before.
fn is_serving(c: &Context) -> bool {
    request(c.a, sigma0::KIP, 0).address().is_some()
}

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
