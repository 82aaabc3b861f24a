//! S0-PF-01 to -03: page faults, sent as the kernel would send them.

use l4_sys::memdesc::MemType;
use l4_sys::ops::sigma0;
use l4_sys::{Errno, PAGE_SIZE, proto};
use l4re_rs::Cap;
use l4re_rs::cap::kind;

use crate::ask::{Message, Reply, block, sigma0 as request};
use crate::context::Context;
use crate::places::Places;
use crate::tap::Tap;

/// Bits of the address word.
const WRITE: u64 = 2;
const FETCH: u64 = 4;

fn fault(to: Cap<kind::Sigma0>, address: u64, bits: u64) -> Reply {
    Message::new(proto::PAGE_FAULT, &[address & !7 | bits, 0x1234]).ask(to)
}

/// Faults on memory of all kinds.
pub fn run(t: &mut Tap, c: &mut Context, places: &Places) {
    let no_mem = Reply::refused(Errno::NoMem);
    let io = places.io_page();
    t.each(
        "S0-PF-03 I/O memory does not resolve faults",
        0..8,
        no_mem,
        |bits| fault(c.a, io, bits),
    );
    let far = [u64::MAX, 1 << 63, 1 << 52, 1 << 47, 1 << 46];
    t.each("S0-PF-01 beyond all memory", far, no_mem, |address| {
        fault(c.a, address, 0)
    });
    let b = c.client();
    let boot = || places.pages(MemType::Bootloader).step_by(5).take(50);
    t.each("S0-PF-01 memory of the root task", boot(), no_mem, |page| {
        fault(b, page, 0)
    });

    let pair = places.free_block(13, 0xc0_0000).filter(|_| c.is_root());
    let Some(page) = pair else {
        for name in [
            "S0-PF-01 read, write and fetch on free RAM",
            "S0-PF-01 any address in the page",
            "S0-PF-02 the page is the faulter's then",
            "S0-PF-01 a foreign page",
            "S0-PF-02 as if it had been asked for",
        ] {
            t.skip(name, "the root task has all RAM");
        }
        return c.drop_slot(b);
    };
    let all = Reply::memory(page, 12);
    t.each(
        "S0-PF-01 read, write and fetch on free RAM",
        [0, 1, WRITE, FETCH, WRITE | FETCH],
        all,
        |bits| fault(b, page, bits),
    );
    let places_in_page = [1u64, 7, 8, 0x800, 0xff8, 0xfff];
    t.each(
        "S0-PF-01 any address in the page",
        places_in_page,
        all,
        |offset| fault(b, page + offset, WRITE),
    );
    let taken = request(c.a, sigma0::RAM, block(page, 12));
    t.equal("S0-PF-02 the page is the faulter's then", taken, no_mem);
    t.equal("S0-PF-01 a foreign page", fault(c.a, page, 0), no_mem);
    let _ = request(b, sigma0::RAM, block(page + PAGE_SIZE, 12));
    let both = request(b, sigma0::RAM, block(page, 13));
    t.equal(
        "S0-PF-02 as if it had been asked for",
        both,
        Reply::memory(page, 13),
    );
    c.drop_slot(b);
}
