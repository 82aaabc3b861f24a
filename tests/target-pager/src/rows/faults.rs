//! MOE-RM-33 to -42: a region map as a thread's pager and exception handler, and page_in.

use l4_sys::{CapRights, Errno, Timeout};
use l4re_rs::Cap;
use l4re_rs::cap::kind;
use l4re_rs::client::ipc;
use l4re_rs::client::rm::{flag, op};
use test_sigma0::tap::Tap;

use super::need;
use crate::ask::{Got, WINDOW};
use crate::bench::{Bench, peek, poke, unmap};
use crate::child::{Access, Child, Outcome, VALUE};
use crate::ops::{Attach, add_jump, attach, detach, map, page_in, rm_one};

const PAGE: u64 = 4096;
const BASE: u64 = 0x1000_0000;
/// The exception of a page fault that was refused.
const REFUSED: Outcome = Outcome::Exception(14);

/// All that needs a thread.
pub fn run(t: &mut Tap, b: &mut Bench) {
    let name = "MOE-RM-35 objects for the tests";
    let ds = need!(t, name, b.ds(b.f, 16 * PAGE));
    let m = need!(t, name, b.region_map(b.f));
    let child = need!(t, name, b.child());
    kinds(t, b, m, ds, &child);
    refused(t, m, ds, &child);
    private(t, b, m, ds, &child);
    paging_in(t, b, m, ds);
    life(t, b, m, &child);
    rescue(t, m, &child);
    child.end();
    b.delete(m);
    b.delete(ds);
}

fn done(o: Outcome) -> bool {
    matches!(o, Outcome::Done(_))
}

fn kinds(t: &mut Tap, b: &mut Bench, m: Cap<kind::Rm>, ds: Cap<kind::Dataspace>, child: &Child) {
    let spot = b.spot();
    map(ds, 3 * PAGE, spot, 6);
    poke(spot + 16, 0x1234);
    // A return instruction for fetches.
    poke(spot + 24, 0xc3);
    let a = Attach {
        offset: 2 * PAGE,
        ..Attach::new(ds, BASE, 4 * PAGE)
    };
    attach(m, a);
    let read = child.through(m, Access::Read, BASE + PAGE + 16);
    t.equal(
        "MOE-RM-35 a read fault brings the page at its offset",
        read,
        Outcome::Done(0x1234),
    );
    t.equal(
        "MOE-RM-36 a write fault after it",
        done(child.through(m, Access::Write, BASE + PAGE + 8)),
        true,
    );
    t.equal(
        "MOE-RM-35 the write is in the dataspace",
        peek(spot + 8),
        VALUE,
    );
    t.equal(
        "MOE-RM-35 a fetch fault",
        done(child.through(m, Access::Fetch, BASE + PAGE + 24)),
        true,
    );
    t.equal(
        "MOE-RM-35 an untouched page reads as zero",
        child.through(m, Access::Read, BASE + 3 * PAGE),
        Outcome::Done(0),
    );
    t.each(
        "MOE-RM-35 each byte of a page may fault",
        [0, 8, 0x7f8, 0xff8],
        Outcome::Done(0),
        |at| {
            child.unmap(BASE, 14);
            child.through(m, Access::Read, BASE + 2 * PAGE + at)
        },
    );
    child.unmap(BASE, 16);
    detach(m, BASE, 4 * PAGE, 2);
    unmap(spot, 12);
    // Sequential faults over a whole dataspace, by any thread order, hit each its own page.
    attach(m, Attach::new(ds, BASE, 16 * PAGE));
    for i in 0..16 {
        map(ds, i * PAGE, spot + i * PAGE, 6);
        poke(spot + i * PAGE, 100 + i);
    }
    t.each(
        "MOE-RM-38 every page is the right one",
        (0..16u64).rev(),
        true,
        |i| child.through(m, Access::Read, BASE + i * PAGE) == Outcome::Done(100 + i),
    );
    child.unmap(BASE, 16);
    unmap(spot, 16);
    detach(m, BASE, 16 * PAGE, 2);
}

fn refused(t: &mut Tap, m: Cap<kind::Rm>, ds: Cap<kind::Dataspace>, child: &Child) {
    t.equal(
        "MOE-RM-35 CL-14 no region: an exception",
        child.through(m, Access::Read, BASE),
        REFUSED,
    );
    attach(m, Attach::new(ds, BASE, PAGE).flags(4));
    t.equal(
        "MOE-RM-35 read in a region R",
        done(child.through(m, Access::Read, BASE)),
        true,
    );
    t.equal(
        "MOE-RM-35 write in a region R",
        child.through(m, Access::Write, BASE),
        REFUSED,
    );
    t.equal(
        "MOE-RM-35 fetch in a region R",
        child.through(m, Access::Fetch, BASE),
        REFUSED,
    );
    detach(m, BASE, PAGE, 2);
    child.unmap(BASE, 12);
    for (name, f) in [
        ("MOE-RM-35 a Reserved region", flag::RESERVED),
        ("MOE-RM-35 a Kernel region", flag::KERNEL),
    ] {
        attach(m, Attach::new(ds, BASE, PAGE).nothing().flags(6 | f));
        t.equal(name, child.through(m, Access::Read, BASE), REFUSED);
        detach(m, BASE, PAGE, 2);
    }
    attach(
        m,
        Attach {
            offset: 15 * PAGE,
            ..Attach::new(ds, BASE, 4 * PAGE)
        },
    );
    t.equal(
        "MOE-RM-13 inside the dataspace",
        done(child.through(m, Access::Write, BASE)),
        true,
    );
    t.equal(
        "MOE-RM-13 behind its end",
        child.through(m, Access::Read, BASE + PAGE),
        REFUSED,
    );
    detach(m, BASE, 4 * PAGE, 2);
    child.unmap(BASE, 14);
    t.equal(
        "MOE-RM-41 a port fault",
        child.through(m, Access::Port, 0x80),
        Outcome::Exception(13),
    );
}

fn private(t: &mut Tap, b: &mut Bench, m: Cap<kind::Rm>, ds: Cap<kind::Dataspace>, child: &Child) {
    let spot = b.spot();
    map(ds, 0, spot, 6);
    poke(spot, 11);
    poke(spot + 8, 12);
    attach(m, Attach::new(ds, BASE, 2 * PAGE).flags(6 | flag::PRIVATE));
    t.equal(
        "MOE-RM-08 a private copy has the contents",
        child.through(m, Access::Read, BASE),
        Outcome::Done(11),
    );
    map(ds, 0, spot, 6);
    poke(spot, 21);
    t.equal(
        "MOE-RM-08 not later changes",
        child.through(m, Access::Read, BASE),
        Outcome::Done(11),
    );
    let wrote = done(child.through(m, Access::Write, BASE + 8));
    map(ds, 0, spot, 6);
    t.equal(
        "MOE-RM-08 and its own changes are its own",
        (wrote, peek(spot + 8)),
        (true, 12),
    );
    child.unmap(BASE, 13);
    detach(m, BASE, 2 * PAGE, 2);
    attach(
        m,
        Attach::new(ds, BASE, 32 * PAGE)
            .nothing()
            .flags(6 | flag::ANONYMOUS),
    );
    t.each(
        "MOE-RM-09 anonymous memory reads as zero",
        0..32u64,
        Outcome::Done(0),
        |i| child.through(m, Access::Read, BASE + i * PAGE + 8 * i),
    );
    t.each("MOE-RM-09 and can be written", 0..32u64, true, |i| {
        done(child.through(m, Access::Write, BASE + i * PAGE))
    });
    t.each(
        "MOE-RM-09 and keeps what was written",
        0..32u64,
        Outcome::Done(VALUE),
        |i| child.through(m, Access::Read, BASE + i * PAGE),
    );
    child.unmap(BASE, 17);
    detach(m, BASE, 32 * PAGE, 2);
    unmap(spot, 12);
}

fn paging_in(t: &mut Tap, b: &mut Bench, m: Cap<kind::Rm>, ds: Cap<kind::Dataspace>) {
    let spot = b.spot();
    // A page of the window takes what is paged in: only the low bits of the send base count.
    let at = spot % (1 << 42);
    let _ = WINDOW;
    attach(m, Attach::new(ds, at + BASE, 4 * PAGE).flags(6));
    let a = page_in(m, at + BASE, at + BASE + PAGE - 1, 4);
    let aligned = page_in(m, at + BASE, at + BASE + PAGE, 4).got;
    t.equal(
        "MOE-RM-33 a last byte in the middle of a page",
        (a.got == Got::err(Errno::Inval)) != (aligned == Got::err(Errno::Inval)),
        true,
    );
    let last = if a.got == Got::OK { PAGE - 1 } else { 0 };
    let a = page_in(m, at + BASE, at + BASE + last, 4);
    t.equal(
        "MOE-RM-33 CL-17 one page",
        (a.got, a.word(0), a.memory().map(|m| m.1)),
        (Got::OK, 0, Some(12)),
    );
    unmap(BASE + at, 14);
    t.equal(
        "MOE-RM-33 a first byte in the middle of a page",
        page_in(m, at + BASE + 8, at + BASE + last, 4).got,
        Got::err(Errno::Inval),
    );
    t.equal(
        "MOE-RM-33 no region",
        page_in(m, 0x5000, 0x5000 + last, 4).got,
        Got::err(Errno::NoEnt),
    );
    t.equal(
        "MOE-RM-33 more rights than the region has",
        page_in(m, at + BASE, at + BASE + last, 7).got,
        Got::err(Errno::Access),
    );
    detach(m, at + BASE, 4 * PAGE, 2);
    attach(
        m,
        Attach::new(ds, at + BASE, PAGE)
            .nothing()
            .flags(6 | flag::RESERVED),
    );
    t.equal(
        "MOE-RM-33 a Reserved region",
        page_in(m, at + BASE, at + BASE + last, 4).got,
        Got::err(Errno::NoDev),
    );
    detach(m, at + BASE, PAGE, 2);
    attach(
        m,
        Attach {
            offset: 16 * PAGE,
            ..Attach::new(ds, at + BASE, PAGE)
        },
    );
    t.equal(
        "MOE-RM-33 behind the dataspace's end",
        page_in(m, at + BASE, at + BASE + last, 4).got,
        Got::err(Errno::AddrNotAvail),
    );
    detach(m, at + BASE, PAGE, 2);
}

fn life(t: &mut Tap, b: &mut Bench, m: Cap<kind::Rm>, child: &Child) {
    let name = "MOE-RM-14 MOE-OBJ-10 a region keeps a dataspace that all clients dropped";
    let ds = need!(t, name, b.ds(b.f, PAGE));
    attach(m, Attach::new(ds, BASE, PAGE));
    b.drop(ds);
    t.equal(name, done(child.through(m, Access::Write, BASE)), true);
    child.unmap(BASE, 12);
    detach(m, BASE, PAGE, 2);
    let name = "MOE-RM-14 not one that is deleted";
    let ds = need!(t, name, b.ds(b.f, PAGE));
    attach(m, Attach::new(ds, BASE, PAGE));
    let before = done(child.through(m, Access::Write, BASE));
    b.delete(ds);
    // At the latest when the server has had time for it: see MOE-DS-30.
    let refused = (0..50).any(|_| {
        let now = child.through(m, Access::Read, BASE) == REFUSED;
        if !now {
            ipc::sleep(Timeout::from_us(20_000));
        }
        now
    });
    t.equal(name, (before, refused), (true, true));
    detach(m, BASE, PAGE, 2);
    let weak = CapRights::R;
    let name = "MOE-RM-36 a region of a capability without W";
    let ds = need!(t, name, b.ds(b.f, PAGE));
    let less = need!(t, name, b.weaker(ds, weak));
    attach(
        m,
        Attach {
            object: Some((less, weak)),
            ..Attach::new(ds, BASE, PAGE).flags(4)
        },
    );
    t.equal(name, child.through(m, Access::Write, BASE), REFUSED);
    detach(m, BASE, PAGE, 2);
    child.unmap(BASE, 12);
    b.drop(less);
    b.delete(ds);
}

fn rescue(t: &mut Tap, m: Cap<kind::Rm>, child: &Child) {
    let (start, end) = child.code();
    let inval = Got::err(Errno::Inval);
    t.each(
        "MOE-RM-31 an empty range",
        [(end, start), (start, start)],
        inval,
        |(a, z)| add_jump(m, a, z, 0),
    );
    t.equal(
        "MOE-RM-32 no jump there",
        rm_one(m, op::REMOVE_RESCUE_JUMP, start).got,
        Got::err(Errno::NoEnt),
    );
    t.equal(
        "MOE-RM-42 without a jump the thread stays stopped",
        child.rescued(m, Access::Read, BASE),
        Outcome::Lost(5),
    );
    t.equal(
        "MOE-RM-31 CL-17 a jump",
        add_jump(m, start, end, end),
        Got::OK,
    );
    t.equal(
        "MOE-RM-31 another one over it",
        add_jump(m, start + 1, end + 1, 0),
        Got::err(Errno::Exist),
    );
    // The end of the code is an exception, too, and out of the range.
    t.equal(
        "MOE-RM-42 with it the thread goes on there",
        done(child.rescued(m, Access::Read, BASE)),
        true,
    );
    t.equal(
        "MOE-RM-32 remove it",
        rm_one(m, op::REMOVE_RESCUE_JUMP, start + 8).got,
        Got::OK,
    );
    t.equal(
        "MOE-RM-42 and it is gone",
        child.rescued(m, Access::Read, BASE),
        Outcome::Lost(5),
    );
}
