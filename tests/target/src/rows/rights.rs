//! Which accesses a mapping allows, and faults that the kernel itself sends to sigma0.

use l4_sys::memdesc::{MemDesc, MemType};
use l4_sys::ops::sigma0;
use l4_sys::{Errno, Fpage, MemRights, PAGE_SIZE, proto};

use crate::ask::{Message, Reply, WINDOW, block, sigma0 as request};
use crate::context::{Context, peek, poke};
use crate::places::Places;
use crate::probe::{Access, Outcome, Probe};
use crate::tap::Tap;

/// Outcomes of read, write and fetch.
type Three = [Outcome; 3];
const READ_FAULT: Outcome = Outcome::Fault(0);
const WRITE_FAULT: Outcome = Outcome::Fault(2);
const FETCH_FAULT: Outcome = Outcome::Fault(4);
const DONE: Outcome = Outcome::Done;

fn three(probe: &Probe, data: u64, code: u64) -> Three {
    [
        probe.access(Access::Read, data),
        probe.access(Access::Write, data),
        probe.access(Access::Fetch, code),
    ]
}

/// Address of a `ret` instruction in a mapped page, so that it can be called.
fn ret_in(page: u64) -> Option<u64> {
    (0..PAGE_SIZE / 8)
        .map(|i| (i * 8, peek(page + i * 8)))
        .find_map(|(at, word)| {
            let byte = word.to_le_bytes().iter().position(|b| *b == 0xc3)?;
            Some(WINDOW + page + at + byte as u64)
        })
}

/// All of it.
pub fn run(t: &mut Tap, c: &mut Context, places: &Places, probe: &Probe) {
    // What nobody mapped must fault, or the other results mean nothing.
    let nowhere = WINDOW + (1 << 41);
    let [read, _, fetch] = three(probe, nowhere, nowhere);
    t.equal(
        "probe: nothing is mapped at first",
        [read, fetch],
        [READ_FAULT, FETCH_FAULT],
    );

    if let Some(kip) = request(c.a, sigma0::KIP, 0).address() {
        let code = ret_in(kip).unwrap_or(nowhere);
        let got = three(probe, WINDOW + kip, code);
        t.equal(
            "S0-REQ-07 KIP: read and fetch, no write",
            got,
            [DONE, WRITE_FAULT, DONE],
        );
    }
    let io = places.io_page();
    for (name, id) in [
        (
            "S0-REQ-03 uncached: read and write, no fetch",
            sigma0::IOMEM,
        ),
        (
            "S0-REQ-04 cached: read and write, no fetch",
            sigma0::IOMEM_CACHED,
        ),
    ] {
        let _ = request(c.a, id, block(io, 12));
        let at = WINDOW + io;
        t.equal(name, three(probe, at, at), [DONE, DONE, FETCH_FAULT]);
        c.unmap(io, 12);
    }
    if c.is_root() {
        own_memory(t, c, places, probe);
        boot_memory(t, c, places, probe);
        real_faults(t, c, places, probe);
    } else {
        for name in ALL_OF_ROOT {
            t.skip(name, "the root task has all RAM");
        }
    }
    ports(t, c, probe);
}

const GIVEN: &str = "S0-REQ-02 all rights";
const ANY: &str = "S0-REQ-05 all rights";
const BY_FAULT: &str = "S0-PF-01 all rights, not only the one asked for";
const WEAK_FAULT: &str = "S0-MAP-06 boot loader memory has the image's rights";
const LACKING: &str = "S0-PF-01 a right is missing";
const UPGRADE: &str = "S0-OWN-06 given RAM upgrades the rights";
const UPGRADED: &str = "S0-OWN-06 faults find the new rights";
const IDENTITY: &str = "CL-09 RAM lands at its physical address";
const REAL: &str = "S0-PF-02 a real fault";
const REAL_FOREIGN: &str = "S0-PF-01 a real fault on a foreign page becomes an exception";
const REAL_IO: &str = "S0-PF-03 a real fault on I/O memory becomes an exception";
const ALL_OF_ROOT: [&str; 11] = [
    GIVEN,
    ANY,
    BY_FAULT,
    WEAK_FAULT,
    LACKING,
    UPGRADE,
    UPGRADED,
    IDENTITY,
    REAL,
    REAL_FOREIGN,
    REAL_IO,
];

/// The exception that the kernel makes of a page fault which the pager refuses.
const PAGE_FAULT_TRAP: Outcome = Outcome::Exception(14);

fn own_memory(t: &mut Tap, c: &Context, places: &Places, probe: &Probe) {
    let all = [DONE; 3];
    let at = places.free_block(14, 0xe0_0000).unwrap_or(0);
    let mut check = |name, reply: Reply| {
        let Some(page) = reply.address() else {
            return t.result(name, false, format_args!("got {reply:?}"));
        };
        poke(page, 0xc3);
        let here = WINDOW + page;
        t.equal(name, three(probe, here, here), all);
    };
    check(GIVEN, request(c.a, sigma0::RAM, block(at, 12)));
    check(ANY, request(c.a, sigma0::ANY_RAM, block(0, 12)));
    let words = [at + PAGE_SIZE, 0];
    check(BY_FAULT, Message::new(proto::PAGE_FAULT, &words).ask(c.a));

    // The whole address space as window: the page appears at its physical address.
    let page = at + 2 * PAGE_SIZE;
    let words = [sigma0::RAM, block(page, 12)];
    let message = Message {
        window: Fpage::whole_space(),
        ..Message::new(proto::SIGMA0, &words)
    };
    let before = probe.access(Access::Read, page);
    let reply = message.ask(c.a);
    let after = probe.access(Access::Write, page);
    t.result(
        IDENTITY,
        before == READ_FAULT && reply == Reply::memory(page, 12) && after == DONE,
        format_args!("before {before:?}, {reply:?}, after {after:?}"),
    );
}

/// Rights of a boot loader descriptor, from its sub-type.
fn rights_of(d: MemDesc) -> MemRights {
    MemRights::from_bits_truncate(d.sub_type())
}

fn boot_memory(t: &mut Tap, c: &Context, places: &Places, probe: &Probe) {
    let code = places.descriptors().find(|d| {
        d.kind() == MemType::Bootloader
            && rights_of(*d) == MemRights::RX
            && d.end() - d.start() >= 2 * PAGE_SIZE
    });
    let Some(code) = code else {
        for name in [WEAK_FAULT, LACKING, UPGRADE, UPGRADED] {
            t.skip(name, "no boot loader memory without write permission");
        }
        return;
    };
    let page = code.start().next_multiple_of(PAGE_SIZE);
    let fault = |bits: u64| Message::new(proto::PAGE_FAULT, &[page | bits, 0]).ask(c.a);
    let first = fault(0);
    let here = WINDOW + page;
    let ret = ret_in(page).unwrap_or(here);
    let got = three(probe, here, ret);
    t.result(
        WEAK_FAULT,
        first == Reply::memory(page, 12) && got == [DONE, WRITE_FAULT, DONE],
        format_args!("{first:?}, {got:?}"),
    );
    t.equal(LACKING, fault(2), Reply::refused(Errno::NoMem));
    let reply = request(c.a, sigma0::RAM, block(page, 12));
    let write = probe.access(Access::Write, here);
    t.result(
        UPGRADE,
        reply == Reply::memory(page, 12) && write == DONE,
        format_args!("{reply:?}, {write:?}"),
    );
    t.equal(UPGRADED, fault(2), Reply::memory(page, 12));
}

fn real_faults(t: &mut Tap, c: &mut Context, places: &Places, probe: &Probe) {
    let b = c.client();
    let page = places.free_block(13, 0xf0_0000).unwrap_or(0);
    let touched = probe.with_pager(b.idx(), Access::Write, page + 0x123 * 8);
    let taken = request(c.a, sigma0::RAM, block(page, 12));
    t.result(
        REAL,
        touched == DONE && taken == Reply::refused(Errno::NoMem),
        format_args!("{touched:?}, {taken:?}"),
    );
    let foreign = page + PAGE_SIZE;
    let _ = request(c.a, sigma0::RAM, block(foreign, 12));
    t.equal(
        REAL_FOREIGN,
        probe.with_pager(b.idx(), Access::Read, foreign),
        PAGE_FAULT_TRAP,
    );
    t.equal(
        REAL_IO,
        probe.with_pager(b.idx(), Access::Read, places.io_page()),
        PAGE_FAULT_TRAP,
    );
    c.drop_slot(b);
}

/// Ports: only what was asked for can be used. (Whether the kernel turns a refused port into a
/// fault message or an exception is its own configuration; this one is an exception.)
fn ports(t: &mut Tap, c: &Context, probe: &Probe) {
    let ask = |port: u64| Message::new(proto::IO_PAGE_FAULT, &[Fpage::io(port, 0).0, 0]).ask(c.a);
    let asked = ask(0x5410);
    let usable = probe.access(Access::Port, 0x5410);
    t.result(
        "S0-PF-04 a port that was asked for can be used",
        asked == Reply::ports(0) && usable == DONE,
        format_args!("{asked:?}, {usable:?}"),
    );
    let other = probe.access(Access::Port, 0x5411);
    t.result(
        "S0-PF-04 its neighbour cannot",
        other != DONE,
        format_args!("{other:?}"),
    );
}
