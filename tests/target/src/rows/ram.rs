//! S0-REQ-02, -05, -06: RAM by address and RAM of any address.

use l4_sys::memdesc::MemType;
use l4_sys::ops::sigma0;
use l4_sys::{Errno, Fpage, FpageType, PAGE_SHIFT, PAGE_SIZE};

use crate::ask::{Reply, block, sigma0 as request};
use crate::context::{Context, peek, poke};
use crate::places::Places;
use crate::tap::Tap;

const NO_RAM: &str = "the root task has all RAM";

/// Where the first blocks come from. Runs before other tests have taken RAM.
pub fn placement(t: &mut Tap, c: &mut Context, places: &Places) {
    if !c.is_root() {
        t.equal(
            "S0-REQ-05 any RAM: none left",
            request(c.a, sigma0::ANY_RAM, block(0, 12)),
            Reply::refused(Errno::NoMem),
        );
        for name in [
            "S0-REQ-06 the lowest page first",
            "S0-REQ-06 then the next",
            "S0-REQ-06 a larger block at its alignment",
            "S0-REQ-05 only the order counts",
        ] {
            t.skip(name, NO_RAM);
        }
        return;
    }
    let expected = |order, from| match places.free_block(order, from) {
        Some(b) => Reply::memory(b, order),
        None => Reply::refused(Errno::NoMem),
    };
    let first = request(c.a, sigma0::ANY_RAM, block(0, 12));
    t.equal("S0-REQ-06 the lowest page first", first, expected(12, 0));
    let from = first.address().unwrap_or(0) + PAGE_SIZE;
    let next = request(c.a, sigma0::ANY_RAM, block(0, 12));
    t.equal("S0-REQ-06 then the next", next, expected(12, from));
    let from = next.address().unwrap_or(0) + PAGE_SIZE;
    let large = request(c.a, sigma0::ANY_RAM, block(0, 16));
    t.equal(
        "S0-REQ-06 a larger block at its alignment",
        large,
        expected(16, from),
    );
    let odd = Fpage(block(0xdead_b000, 12) | 0xf);
    t.equal(
        "S0-REQ-05 only the order counts",
        request(c.a, sigma0::ANY_RAM, odd.0),
        expected(12, from),
    );
}

/// Good and bad requests.
pub fn run(t: &mut Tap, c: &mut Context, places: &Places) {
    let inval = Reply::refused(Errno::Inval);
    let no_mem = Reply::refused(Errno::NoMem);
    t.each("S0-REQ-05 any RAM: below a page", 0..12, inval, |order| {
        request(c.a, sigma0::ANY_RAM, block(0, order))
    });
    t.each(
        "S0-REQ-05 any RAM: more than there is",
        48..64,
        no_mem,
        |order| request(c.a, sigma0::ANY_RAM, block(0, order)),
    );
    t.each("S0-REQ-02 misaligned", 13..64, inval, |order| {
        request(c.a, sigma0::RAM, block(1 << (order - 1), order))
    });
    t.each("S0-REQ-02 below a page", 0..12, inval, |order| {
        request(c.a, sigma0::RAM, block(0x20_0000, order))
    });
    t.each(
        "S0-REQ-02 overflowing or too large",
        40..64,
        no_mem,
        |order| request(c.a, sigma0::RAM, block(0, order)),
    );
    let top = [
        (u64::MAX, 12),
        (1 << 63, 63),
        (1 << 63, 13),
        (1 << 52, 12),
        (3 << 62, 62),
    ];
    t.each(
        "S0-REQ-02 beyond all memory",
        top,
        no_mem,
        |(address, order)| request(c.a, sigma0::RAM, block(address, order)),
    );
    t.equal(
        "S0-REQ-02 no RAM there",
        request(c.a, sigma0::RAM, block(places.io_page(), 12)),
        no_mem,
    );

    let Some(page) = free_pair(c, places) else {
        for name in [
            "S0-REQ-02 a page",
            "S0-REQ-02 memory can be written and read",
            "S0-REQ-02 larger blocks",
            "S0-REQ-02 type and rights bits are ignored",
            "S0-REQ-02 misaligned, although free",
            "S0-REQ-02 order 21 in one mapping",
        ] {
            t.skip(name, NO_RAM);
        }
        return;
    };
    t.equal(
        "S0-REQ-02 a page",
        request(c.a, sigma0::RAM, block(page, 12)),
        Reply::memory(page, 12),
    );
    poke(page, 0x1234_5678_9abc_def0);
    poke(page + PAGE_SIZE - 8, !page);
    t.equal(
        "S0-REQ-02 memory can be written and read",
        (peek(page), peek(page + PAGE_SIZE - 8)),
        (0x1234_5678_9abc_def0, !page),
    );
    t.each("S0-REQ-02 larger blocks", 13..20, true, |order| {
        // Each at a place of its own: half of an own block is refused (S0-OWN-04).
        let from = 0x200_0000 + (u64::from(order) << 20);
        let free = places.free_block(order, from);
        free.is_some_and(|b| request(c.a, sigma0::RAM, block(b, order)) == Reply::memory(b, order))
    });
    let shapes = (0..4u64).flat_map(|kind| (0..16u64).map(move |rights| kind << 4 | rights));
    t.each(
        "S0-REQ-02 type and rights bits are ignored",
        shapes,
        Reply::memory(page, 12),
        |low| request(c.a, sigma0::RAM, (block(page, 12) & !0x3f) | low),
    );
    t.equal(
        "S0-REQ-02 misaligned, although free",
        request(c.a, sigma0::RAM, block(page + PAGE_SIZE, 13)),
        inval,
    );
    match places.free_block(21, 0x100_0000) {
        Some(b) => {
            let got = request(c.a, sigma0::RAM, block(b, 21));
            t.equal(
                "S0-REQ-02 order 21 in one mapping",
                got,
                Reply::memory(b, 21),
            );
            for offset in [0, 0x1f_f000] {
                poke(b + offset, b + offset);
            }
        }
        None => t.skip("S0-REQ-02 order 21 in one mapping", "no free 2 MiB"),
    }
}

/// First of two free, aligned pages for tests, well above the first megabyte. `None` when all RAM
/// is somebody else's.
pub fn free_pair(c: &Context, places: &Places) -> Option<u64> {
    if c.is_root() {
        places.free_block(13, 0x80_0000)
    } else {
        None
    }
}

/// Takes all RAM: every block lies in RAM that nobody else has, no two overlap, and together they
/// are all that the kernel described but for what the server keeps.
pub fn everything(t: &mut Tap, c: &mut Context, places: &Places) {
    const WHERE: &str = "S0-REQ-05 all RAM: every block is aligned RAM";
    const ONCE: &str = "S0-REQ-05 all RAM: no page comes twice";
    const SUM: &str = "S0-MAP-04 all RAM is given out";
    if !c.is_root() {
        return [WHERE, ONCE, SUM]
            .into_iter()
            .for_each(|name| t.skip(name, NO_RAM));
    }
    // Every page gets a mark when it arrives; a page that has it already came twice.
    let mark = |page: u64| page ^ 0x5a5a_0000_c3c3_0000;
    let free = |c: &Context| {
        let stats = c.a.statistics().ok().filter(|_| c.is_sigma0_rs());
        stats.map(|s| (s.free + s.waiting, s.bookkeeping))
    };
    let before = free(c);
    let (mut bytes, mut outside, mut twice) = (0u64, None, None);
    for order in (PAGE_SHIFT..=30).rev() {
        while let Reply::Mapped {
            kind: FpageType::Memory,
            order: got,
            base,
        } = request(c.a, sigma0::ANY_RAM, block(0, order))
        {
            let size = 1u64 << got;
            if got != order
                || !base.is_multiple_of(size)
                || places.touched(base, size, MemType::Conventional)
            {
                outside = Some((base, got));
            }
            for page in (base..base + size).step_by(PAGE_SIZE as usize) {
                if peek(page) == mark(page) {
                    twice = Some(page);
                }
                poke(page, mark(page));
            }
            bytes += size;
        }
    }
    t.result(WHERE, outside.is_none(), format_args!("{outside:x?}"));
    t.result(ONCE, twice.is_none(), format_args!("{twice:x?}"));
    match (before, free(c)) {
        // The server says exactly how much there was; nothing may be left or come from nowhere.
        (Some((had, kept)), Some((has, keeps))) => {
            t.equal(SUM, (bytes + (keeps - kept), has), (had, 0));
        }
        // Earlier tests took some, and the server keeps pages for its own bookkeeping.
        _ => {
            let all = places.free_bytes();
            let spare = TAKEN_BEFORE;
            t.result(
                SUM,
                bytes <= all && bytes + spare >= all && bytes > 0,
                format_args!("got {bytes:#x} of {all:#x}"),
            );
        }
    }
}

/// More than all tests before took: the checkerboard's 32 MiB, single blocks of at most 2 MiB, and
/// the server's own pages.
const TAKEN_BEFORE: u64 = 40 << 20;
