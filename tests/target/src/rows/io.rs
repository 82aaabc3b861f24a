//! S0-REQ-03, -04, -15, S0-OWN-07: I/O memory.

use l4_sys::Errno;
use l4_sys::memdesc::MemType;
use l4_sys::ops::sigma0;

use crate::ask::{Reply, block, sigma0 as request};
use crate::context::Context;
use crate::places::Places;
use crate::tap::Tap;

/// Both kinds of I/O memory request, with the same tests.
pub fn run(t: &mut Tap, c: &mut Context, places: &Places) {
    let inval = Reply::refused(Errno::Inval);
    let no_mem = Reply::refused(Errno::NoMem);
    let io = places.io_page();
    let b = c.client();
    // Names are literals so that a row can be searched for.
    let names = [
        (
            sigma0::IOMEM,
            [
                "S0-REQ-03 uncached: a page",
                "S0-REQ-03 uncached: misaligned",
                "S0-REQ-03 uncached: below a page",
                "S0-REQ-03 uncached: RAM",
                "S0-REQ-03 uncached: RAM of the root task",
                "S0-REQ-15 uncached: a block with RAM in it",
                "S0-OWN-07 uncached: a second client",
            ],
        ),
        (
            sigma0::IOMEM_CACHED,
            [
                "S0-REQ-04 cached: a page",
                "S0-REQ-04 cached: misaligned",
                "S0-REQ-04 cached: below a page",
                "S0-REQ-04 cached: RAM",
                "S0-REQ-04 cached: RAM of the root task",
                "S0-REQ-15 cached: a block with RAM in it",
                "S0-OWN-07 cached: a second client",
            ],
        ),
    ];
    for (id, [page, misaligned, below, ram, root, straddle, second]) in names {
        t.equal(page, request(c.a, id, block(io, 12)), Reply::memory(io, 12));
        t.each(misaligned, 13..64, inval, |order| {
            request(c.a, id, block(1 << (order - 1), order))
        });
        t.each(below, 0..12, inval, |order| {
            request(c.a, id, block(io, order))
        });
        let pages = places.pages(MemType::Conventional).step_by(499).take(64);
        t.each(ram, pages, no_mem, |p| request(c.a, id, block(p, 12)));
        let pages = places.pages(MemType::Bootloader).step_by(7).take(64);
        t.each(root, pages, no_mem, |p| request(c.a, id, block(p, 12)));
        t.each(straddle, 30..64, no_mem, |order| {
            request(c.a, id, block(0, order))
        });
        t.equal(second, request(b, id, block(io, 12)), Reply::memory(io, 12));
        c.unmap(io, 12);
    }
    c.drop_slot(b);
}
