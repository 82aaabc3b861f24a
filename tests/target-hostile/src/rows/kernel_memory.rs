//! A kernel without memory: every kind of request and fault, then all again with memory.
//!
//! What can be answered without new kernel memory must be; the rest may fail, but only so that the
//! client hears of it.

use l4_sys::memdesc::MemType;
use l4_sys::ops::sigma0;
use l4_sys::{Errno, Fpage, PAGE_SIZE, Timeout, proto};
use l4re_rs::client::ipc;
use l4re_rs::client::sigma0_ext::{PROTOCOL, op};
use l4re_rs::{Cap, cap::kind};
use test_sigma0::Context;
use test_sigma0::ask::{Message, Reply, block, sigma0 as request};
use test_sigma0::context::create_client;
use test_sigma0::places::Places;
use test_sigma0::probe::{Access, Outcome, Probe};
use test_sigma0::tap::Tap;

use super::is_serving;
use crate::eat;

/// A place that is mapped already.
static TOUCHED: u64 = 1;

/// Whether a client can live with this: it got what it asked for, or was told that it cannot be
/// delivered. Timeouts (2 and 3) mean that nobody was there.
fn is_answer(reply: Reply) -> bool {
    match reply {
        Reply::Mapped { .. } | Reply::Done(_) => true,
        Reply::Failed(code) => code != 2 && code != 3,
        _ => false,
    }
}

/// All of it.
pub fn run(t: &mut Tap, c: &mut Context, places: &Places, probe: &Probe) {
    let b = c.client();
    let slot: Cap<kind::Sigma0> = c.slot();
    let low = places.free_block(24, 0x400_0000).unwrap_or(0);
    let io = places.io_page() - (16 << 20);
    let mapped: [(&str, i64, [u64; 2]); 7] = [
        ("given RAM", proto::SIGMA0, [sigma0::RAM, block(low, 12)]),
        (
            "2 MiB",
            proto::SIGMA0,
            [sigma0::RAM, block(low + (2 << 20), 21)],
        ),
        ("any RAM", proto::SIGMA0, [sigma0::ANY_RAM, block(0, 16)]),
        ("I/O memory", proto::SIGMA0, [sigma0::IOMEM, block(io, 12)]),
        (
            "cached",
            proto::SIGMA0,
            [sigma0::IOMEM_CACHED, block(io + PAGE_SIZE, 12)],
        ),
        ("page fault", proto::PAGE_FAULT, [(low + 0x5000) | 2, 0]),
        (
            "port fault",
            proto::IO_PAGE_FAULT,
            [Fpage::io(0x5430, 0).0, 0],
        ),
    ];
    let eaten = eat::all(c);
    let made = eaten.made;
    t.result(
        "HOSTILE kernel memory is used up",
        eaten.is_all(),
        format_args!("{made:?} objects"),
    );
    l4re_rs::println!("# tasks, threads, gates, interrupts: {made:?}");
    let serving = |c: &Context| Message::new(proto::META, &[0]).ask(c.a) == Reply::Done(2);
    t.each(
        "HOSTILE kernel without memory: requests are answered",
        0..mapped.len(),
        true,
        |i| {
            let (what, label, words) = &mapped[i];
            let reply = Message::new(*label, words).ask(b);
            l4re_rs::println!("# {what}: {reply:?}");
            is_answer(reply) && serving(c)
        },
    );
    // The server's own memory grows meanwhile: one run for each page.
    t.each(
        "HOSTILE kernel without memory: bookkeeping grows",
        0..2048u64,
        true,
        |i| {
            let page = low + (4 << 20) + i * PAGE_SIZE;
            let who = if i.is_multiple_of(2) { c.a } else { b };
            is_answer(request(who, sigma0::RAM, block(page, 12)))
        },
    );
    // One gate may be left over from a client that did not take it.
    let last = (0..64)
        .map(|_| create_client(c.a, slot))
        .find(|r| *r != Reply::capability());
    t.equal(
        "BUG-18 kernel without memory: no empty capability",
        last,
        Some(Reply::refused(Errno::NoMem)),
    );
    // Whether the thread gets an exception or faults for ever is the kernel's choice.
    let fault = probe.with_pager(b.idx(), Access::Write, low + (12 << 20));
    // A thread that faults for ever makes the kernel write between our lines: give it other work.
    let _ = probe.access(Access::Read, core::ptr::from_ref(&TOUCHED) as u64);
    l4re_rs::println!("# real fault: {fault:?}");
    t.equal(
        "HOSTILE kernel without memory: a real fault leaves the server alive",
        serving(c),
        true,
    );
    own_requests(t, c, places, b);
    t.equal(
        "HOSTILE kernel without memory: still serving",
        serving(c),
        true,
    );

    let again = eaten.give_back(c);
    t.equal("HOSTILE kernel memory is back", again, true);
    t.each(
        "HOSTILE with memory again: the same requests succeed",
        0..mapped.len(),
        true,
        |i| {
            let (_, label, words) = &mapped[i];
            matches!(Message::new(*label, words).ask(b), Reply::Mapped { .. })
        },
    );
    let fault = probe.with_pager(b.idx(), Access::Write, low + (12 << 20));
    t.equal(
        "HOSTILE with memory again: a real fault",
        fault,
        Outcome::Done,
    );
    t.equal(
        "HOSTILE with memory again: a further client",
        create_client(c.a, slot),
        Reply::capability(),
    );
    t.equal("HOSTILE with memory again: serving", is_serving(c), true);
    c.drop_slot(slot);
    c.drop_slot(b);
}

/// sigma0-rs's own requests: most need no kernel memory at all.
fn own_requests(t: &mut Tap, c: &Context, places: &Places, b: Cap<kind::Sigma0>) {
    const WORDS: &str = "HOSTILE kernel without memory: own requests of words";
    const GIVE: &str = "HOSTILE kernel without memory: the highest RAM, and back";
    if !c.is_sigma0_rs() {
        t.skip(WORDS, "upstream's sigma0");
        t.skip(GIVE, "upstream's sigma0");
        return;
    }
    t.result(
        WORDS,
        c.a.topology().is_ok()
            && c.a.node(0).is_ok()
            && c.a.statistics().is_ok()
            && c.a.owner_of(0x1000).is_ok(),
        format_args!("refused"),
    );
    // The highest memory: the server has not touched it before. The answer may not arrive; the
    // memory is the caller's all the same and can be given back, is zeroed and free again.
    let Some(top) = highest_block(places) else {
        return t.result(GIVE, false, format_args!("no block"));
    };
    let mine = || b.statistics().map_or(0, |s| s.mine);
    let before = mine();
    let reply = request(b, sigma0::RAM, block(top, 16));
    let got = mine();
    let words = [u64::from(op::RELEASE), block(top, 16)];
    let released = Message::new(PROTOCOL, &words).ask(b);
    // Each look ends sigma0's wait for its next turn of zeroing, so look seldom.
    let waiting = (0..20).all(|_| {
        ipc::sleep(Timeout::from_us(500_000));
        c.a.statistics().is_ok_and(|s| s.waiting > 0)
    });
    let owner = c.a.owner_of(top).map_or(u32::MAX, |o| o.owner);
    t.result(
        GIVE,
        is_answer(reply)
            && got == before + (1 << 16)
            && released == Reply::Done(0)
            && !waiting
            && owner == 0,
        format_args!(
            "{reply:?}, {before:#x}, {got:#x}, {released:?}, waiting {waiting}, owner {owner:#x}"
        ),
    );
}

/// The start of the highest 2 MiB of RAM that no carve-out touches, a few MiB below the end.
fn highest_block(places: &Places) -> Option<u64> {
    let end = places
        .descriptors()
        .filter(|d| d.kind() == MemType::Conventional)
        .map(|d| d.end())
        .max()?;
    let from = (end.checked_sub(16 << 20)?) & !((2 << 20) - 1);
    (0..64)
        .map(|i| from - i * (2 << 20))
        .find(|b| !places.touched(*b, 2 << 20, MemType::Conventional))
}
