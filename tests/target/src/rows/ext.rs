//! sigma0-rs's own protocol, as `docs/sigma0-protocol.md` says it: topology, memory by node, giving
//! memory back. Upstream's sigma0 has none of it; all tests but the first are skipped there.

use l4_sys::{Errno, PAGE_SIZE};
use l4re_rs::client::sigma0_ext::{PROTOCOL, op};

use super::{ext_memory, ext_reserve};
use crate::ask::{Message, Reply};
use crate::context::Context;
use crate::places::Places;
use crate::probe::Probe;
use crate::tap::Tap;

/// What was wrong: which value, what it was, and what it should be.
pub type Wrong = (&'static str, u64, u64);
/// One test.
pub type Check = fn(&mut Context, &Places, &Probe) -> Result<(), Wrong>;

/// Returns from a test when two numbers differ.
macro_rules! same {
    ($what:literal, $got:expr, $want:expr) => {
        let (got, want) = ($got as u64, $want as u64);
        if got != want {
            return Err(($what, got, want));
        }
    };
}
pub(super) use same;

/// Runs the tests, or says why not.
pub fn run(t: &mut Tap, c: &mut Context, places: &Places, probe: Option<&Probe>) {
    let plain = Message::new(PROTOCOL, &[0]).ask(c.a);
    let ours = c.is_sigma0_rs();
    let want = if ours {
        Reply::Words(2)
    } else {
        Reply::refused(Errno::BadProto)
    };
    t.equal("EXT whether it is there can be asked", plain, want);
    let free = [
        ("EXT topology: counts", counts as Check),
        ("EXT node: sums", nodes),
        ("EXT range: ordered, disjoint, of known nodes", ranges),
        ("EXT distances: a row for each node", distances),
        ("EXT CPUs: all of them, ours too", cpus),
        ("EXT malformed: short", short),
        ("EXT malformed: unknown operation", unknown),
        ("EXT malformed: no such node or range", out_of_range),
        (
            "EXT owner: of our image, the KIP, I/O memory",
            ext_memory::owners,
        ),
        ("EXT statistics: what they count", ext_memory::statistics),
        ("EXT RAM: wrong order, flags or node", ext_memory::bad_ram),
        ("EXT RAM: reserve needs S", ext_memory::reserve_right),
        (
            "EXT release: malformed or not the caller's",
            ext_memory::bad_release,
        ),
    ];
    let with_ram = [
        (
            "EXT RAM: from the node asked for",
            ext_memory::ram_of_node as Check,
        ),
        (
            "EXT release: taken from us at once",
            ext_memory::release_unmaps,
        ),
        (
            "EXT release: the next owner finds zeros",
            ext_memory::release_zeroes,
        ),
        (
            "EXT release: partly foreign changes nothing",
            ext_memory::release_partly,
        ),
        (
            "EXT release: many at once, nothing is lost",
            ext_memory::release_many,
        ),
        ("EXT owner: a client's page", ext_memory::owner_of_page),
    ];
    let with_reserve = [
        (
            "EXT reserve: any RAM never touches it",
            ext_reserve::not_for_any as Check,
        ),
        ("EXT reserve: given on request", ext_reserve::on_request),
        (
            "EXT reserve: by address, and back again",
            ext_reserve::by_address,
        ),
    ];
    let reserve = ours && c.a.statistics().is_ok_and(|s| s.kept > 0);
    for (name, check) in free.into_iter().chain(with_ram).chain(with_reserve) {
        let needs_ram = with_ram.iter().any(|(n, _)| *n == name);
        let needs_reserve = with_reserve.iter().any(|(n, _)| *n == name);
        match probe {
            _ if !ours => t.skip(name, "upstream's sigma0"),
            None => t.result(name, false, format_args!("no helper thread")),
            Some(_) if needs_ram && !c.is_root() => t.skip(name, "the root task has all RAM"),
            Some(_) if needs_reserve && !reserve => t.skip(name, "sigma0 was given no --reserve"),
            Some(probe) => match check(c, places, probe) {
                Ok(()) => t.result(name, true, format_args!("")),
                Err((what, got, want)) => {
                    t.result(
                        name,
                        false,
                        format_args!("{what}: {got:#x}, want {want:#x}"),
                    );
                }
            },
        }
    }
}

/// An error of the typed client as a number for [`Wrong`].
pub(super) fn failed(what: &'static str) -> impl Fn(l4re_rs::Error) -> Wrong {
    move |e| (what, u64::from(e.errno().number()), 0)
}

fn counts(c: &mut Context, _: &Places, _: &Probe) -> Result<(), Wrong> {
    let size = c.a.topology().map_err(failed("topology"))?;
    same!("at least one node", size.nodes >= 1, true);
    same!("not more than 64", size.nodes <= 64, true);
    if !size.from_firmware {
        same!("nodes without tables", size.nodes, 1);
    }
    Ok(())
}

fn nodes(c: &mut Context, _: &Places, _: &Probe) -> Result<(), Wrong> {
    let size = c.a.topology().map_err(failed("topology"))?;
    let stats = c.a.statistics().map_err(failed("statistics"))?;
    let (mut cpus, mut ram, mut free) = (0, 0, 0);
    for n in 0..size.nodes {
        let node = c.a.node(n).map_err(failed("node"))?;
        same!(
            "free and kept are part of RAM",
            node.free + node.kept <= node.ram,
            true
        );
        same!("whole pages", node.ram % PAGE_SIZE, 0);
        cpus += node.cpus;
        ram += node.ram;
        free += node.free;
    }
    same!("CPUs of all nodes", cpus, size.cpus);
    same!("RAM of all nodes", ram, stats.ram);
    same!("free RAM of all nodes", free, stats.free);
    Ok(())
}

fn ranges(c: &mut Context, _: &Places, _: &Probe) -> Result<(), Wrong> {
    let size = c.a.topology().map_err(failed("topology"))?;
    let mut end: Option<u64> = None;
    for i in 0..size.ranges {
        let (first, last, node) = c.a.node_range(i).map_err(failed("range"))?;
        same!("first before last", first <= last, true);
        same!("known node", node < size.nodes, true);
        same!("behind the one before", end.is_none_or(|e| e < first), true);
        end = Some(last);
    }
    Ok(())
}

fn distances(c: &mut Context, _: &Places, _: &Probe) -> Result<(), Wrong> {
    let size = c.a.topology().map_err(failed("topology"))?;
    for n in 0..size.nodes {
        let mut row = [0u8; 64];
        let got = c.a.distances(n, &mut row).map_err(failed("distances"))?;
        same!(
            "entries, padded to words",
            got,
            size.nodes.next_multiple_of(8)
        );
        for (to, d) in row.iter().enumerate().take(size.nodes as usize) {
            same!("10 is near and nothing is nearer", *d >= 10, true);
            same!("only a node itself is at 10", *d == 10, to == n as usize);
        }
    }
    Ok(())
}

fn cpus(c: &mut Context, _: &Places, _: &Probe) -> Result<(), Wrong> {
    let size = c.a.topology().map_err(failed("topology"))?;
    let own = l4_sys::cpu::apic_id();
    let (mut seen, mut found) = (0, size.cpus == 0);
    loop {
        let mut some = [(0, 0); op::CPUS_PER_REPLY];
        let n = c.a.node_cpus(seen, &mut some).map_err(failed("CPUs"))?;
        if n == 0 {
            break;
        }
        for (apic, node) in &some[..n] {
            same!("known node", *node < size.nodes, true);
            found |= *apic == own;
        }
        seen += n as u32;
        same!("not more than there are", seen <= size.cpus, true);
    }
    same!("all of them", seen, size.cpus);
    same!("the one that runs this", found, true);
    Ok(())
}

fn ask(c: &Context, words: &[u64]) -> u64 {
    match Message::new(PROTOCOL, words).ask(c.a) {
        Reply::Refused(label) => label.unsigned_abs(),
        _ => 0,
    }
}

fn short(c: &mut Context, _: &Places, _: &Probe) -> Result<(), Wrong> {
    let short = Errno::MsgTooShort.number();
    same!("no words", ask(c, &[]), short);
    // These have an argument behind the first word; node and range have it inside.
    for op in [op::RAM, op::RELEASE, op::OWNER] {
        same!("no argument", ask(c, &[u64::from(op)]), short);
    }
    Ok(())
}

fn unknown(c: &mut Context, _: &Places, _: &Probe) -> Result<(), Wrong> {
    for op in [op::STATISTICS + 1, 0xff, 0x8000_0000, u32::MAX] {
        same!(
            "unknown",
            ask(c, &[u64::from(op), 0, 0]),
            Errno::NoSys.number()
        );
    }
    Ok(())
}

fn out_of_range(c: &mut Context, _: &Places, _: &Probe) -> Result<(), Wrong> {
    let size = c.a.topology().map_err(failed("topology"))?;
    let request = |op: u32, arg: u32| ask(c, &[u64::from(op) | u64::from(arg) << 32]);
    let range = Errno::Range.number();
    for beyond in [size.nodes, 64, u32::MAX] {
        same!("node", request(op::NODE, beyond), range);
        same!("distances", request(op::DISTANCES, beyond), range);
    }
    for beyond in [size.ranges, u32::MAX] {
        same!("range", request(op::RANGE, beyond), range);
    }
    Ok(())
}
