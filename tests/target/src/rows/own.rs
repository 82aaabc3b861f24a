//! S0-OWN: whose RAM is whose.

use l4_sys::memdesc::MemType;
use l4_sys::ops::sigma0;
use l4_sys::{CapRights, Errno, PAGE_SIZE};

use crate::ask::{Reply, block, sigma0 as request};
use crate::context::{Context, peek, poke};
use crate::places::Places;
use crate::tap::Tap;

/// Ownership between two clients of ours, or between us and the root task.
pub fn run(t: &mut Tap, c: &mut Context, places: &Places) {
    let no_mem = Reply::refused(Errno::NoMem);
    let b = c.client();
    let foreign = "S0-OWN-02 memory of the root task is refused";
    if c.is_root() {
        // The root task's own image and modules are Bootloader memory.
        let pages = places.pages(MemType::Bootloader).step_by(7).take(64);
        t.each(foreign, pages, no_mem, |page| {
            request(b, sigma0::RAM, block(page, 12))
        });
    } else {
        let boot = places.pages(MemType::Bootloader).step_by(7).take(64);
        let free = places.pages(MemType::Conventional).step_by(997).take(64);
        t.each(foreign, boot.chain(free), no_mem, |page| {
            request(c.a, sigma0::RAM, block(page, 12))
        });
    }

    let pair = places.free_block(14, 0xa0_0000).filter(|_| c.is_root());
    let Some(page) = pair else {
        for name in [
            "S0-OWN-02 a page that A has is refused to B",
            "S0-OWN-03 A asks again",
            "S0-OWN-01 a weaker copy of A's capability is A",
            "S0-OWN-04 half own, half free",
            "S0-OWN-04 half foreign, half free",
            "S0-OWN-05 own neighbours are one",
            "S0-OWN-02 B has what was free",
            "S0-OWN-04 own and foreign halves",
            "S0-OWN-09 contents stay",
            "S0-OWN-08 a dead client keeps its memory",
        ] {
            t.skip(name, "the root task has all RAM");
        }
        return c.drop_slot(b);
    };
    let next = page + PAGE_SIZE;
    let given = request(c.a, sigma0::RAM, block(page, 12));
    poke(page, 0xa5a5);
    let refused = request(b, sigma0::RAM, block(page, 12));
    t.equal(
        "S0-OWN-02 a page that A has is refused to B",
        refused,
        no_mem,
    );
    t.equal(
        "S0-OWN-03 A asks again",
        request(c.a, sigma0::RAM, block(page, 12)),
        given,
    );
    t.equal("S0-OWN-09 contents stay", peek(page), 0xa5a5);
    let copy = c.weaker(c.a, CapRights::R);
    let reply = request(copy, sigma0::RAM, block(page, 12));
    t.equal(
        "S0-OWN-01 a weaker copy of A's capability is A",
        reply,
        given,
    );
    c.drop_slot(copy);
    t.equal(
        "S0-OWN-04 half own, half free",
        request(c.a, sigma0::RAM, block(page, 13)),
        no_mem,
    );
    t.equal(
        "S0-OWN-04 half foreign, half free",
        request(b, sigma0::RAM, block(page, 13)),
        no_mem,
    );
    let _ = request(c.a, sigma0::RAM, block(next, 12));
    let both = request(c.a, sigma0::RAM, block(page, 13));
    t.equal(
        "S0-OWN-05 own neighbours are one",
        both,
        Reply::memory(page, 13),
    );
    let third = page + 2 * PAGE_SIZE;
    let reply = request(b, sigma0::RAM, block(third, 12));
    t.equal(
        "S0-OWN-02 B has what was free",
        reply,
        Reply::memory(third, 12),
    );
    let _ = request(c.a, sigma0::RAM, block(third + PAGE_SIZE, 12));
    t.each(
        "S0-OWN-04 own and foreign halves",
        [c.a, b],
        no_mem,
        |who| request(who, sigma0::RAM, block(page, 14)),
    );
    c.drop_slot(b);
    let later = c.client();
    let reply = request(later, sigma0::RAM, block(third, 12));
    t.equal("S0-OWN-08 a dead client keeps its memory", reply, no_mem);
    c.drop_slot(later);
}
