//! The part of sigma0-rs's own protocol that gives and takes memory.

use l4_sys::memdesc::MemType;
use l4_sys::ops::sigma0;
use l4_sys::{CapRights, Errno, Fpage, MemRights, PAGE_SIZE};
use l4re_rs::client::sigma0_ext::{PROTOCOL, Statistics, flag, op};
use l4re_rs::{Cap, cap::kind};

use super::ext::{Wrong, failed, same};
use crate::ask::{Message, Reply, WINDOW, WINDOW_ORDER, block, sigma0 as request};
use crate::context::{Context, peek, poke};
use crate::places::Places;
use crate::probe::{Access, Outcome, Probe};

/// Owner number of the root task.
const ROOT: u64 = 4;
/// Owner number of memory that waits to be zeroed.
const WAITING: u64 = 1;
/// First owner number of a client that asked to become one.
const FIRST_CLIENT: u64 = 12;

type Done = Result<(), Wrong>;

pub(super) fn number(reply: Reply) -> u64 {
    match reply {
        Reply::Refused(label) => label.unsigned_abs(),
        _ => 0,
    }
}

/// Asks for RAM of a node and takes it into the window.
pub(super) fn ram(
    who: Cap<kind::Sigma0>,
    node: u32,
    order: u32,
    flags: u32,
) -> Result<(u64, u32), Errno> {
    let window = Fpage::mem(WINDOW, WINDOW_ORDER, MemRights::empty());
    // SAFETY: in the window there are no Rust objects.
    let (page, node) =
        unsafe { who.node_ram(node, order, flags, window) }.map_err(|e| e.errno())?;
    Ok((page.address(), node))
}

pub(super) fn release(who: Cap<kind::Sigma0>, address: u64, order: u32) -> u64 {
    let words = [u64::from(op::RELEASE), block(address, order)];
    number(Message::new(PROTOCOL, &words).ask(who))
}

/// Any page of RAM for `who`, not for the tests' main client.
fn any_page(who: Cap<kind::Sigma0>) -> Result<u64, Wrong> {
    let reply = request(who, sigma0::ANY_RAM, block(0, 12));
    reply.address().ok_or(("any RAM", number(reply), 0))
}

pub fn owners(c: &mut Context, places: &Places, _: &Probe) -> Done {
    let io = c.a.owner_of(places.io_page()).map_err(failed("owner"))?;
    same!("I/O memory is not RAM", io.flags & flag::IS_RAM, 0);
    let boot = places.pages(MemType::Bootloader).next().unwrap_or(0);
    let boot_owner = c.a.owner_of(boot).map_err(failed("owner"))?;
    same!(
        "boot loader memory is the root task's",
        boot_owner.owner,
        ROOT
    );
    same!("and RAM", boot_owner.flags & flag::IS_RAM, flag::IS_RAM);
    for address in [0, 0x1000, boot, 1 << 40, u64::MAX] {
        let run = c.a.owner_of(address).map_err(failed("owner"))?;
        same!(
            "the run has the address",
            run.start <= address && address <= run.end,
            true
        );
    }
    Ok(())
}

pub fn statistics(c: &mut Context, _: &Places, _: &Probe) -> Done {
    let a = c.a.statistics().map_err(failed("statistics"))?;
    let refused = number(Message::new(0x4000, &[]).ask(c.a));
    same!("refused", refused, Errno::BadProto.number());
    let b = c.a.statistics().map_err(failed("statistics"))?;
    same!("one was refused", b.refused, a.refused + 1);
    same!("one was served", b.served, a.served + 1);
    same!(
        "free and mine are part of RAM",
        b.free + b.kept + b.mine <= b.ram,
        true
    );
    same!("clients", b.clients >= c.made, true);
    same!("something is mapped", b.runs > 0, true);
    Ok(())
}

pub fn bad_ram(c: &mut Context, _: &Places, _: &Probe) -> Done {
    let size = c.a.topology().map_err(failed("topology"))?;
    let error = |node, order, flags| ram(c.a, node, order, flags).err().map_or(0, Errno::number);
    let (inval, range) = (Errno::Inval.number(), Errno::Range.number());
    for order in [0, 1, 11, 64, 65, 1000, u32::MAX] {
        same!("order", error(0, order, 0), inval);
    }
    for flags in [4, 8, 0x10, 0x8000_0000, u32::MAX] {
        same!("flags", error(0, 12, flags), inval);
    }
    for node in [size.nodes, 64, u32::MAX] {
        same!("node", error(node, 12, 0), range);
    }
    for order in [50, 63] {
        same!(
            "more than there is",
            error(0, order, flag::NEAR),
            Errno::NoMem.number()
        );
    }
    Ok(())
}

pub fn reserve_right(c: &mut Context, _: &Places, _: &Probe) -> Done {
    let weak = c.weaker(c.a, CapRights::RW);
    let refused = ram(weak, 0, 12, flag::RESERVE)
        .err()
        .map_or(0, Errno::number);
    c.drop_slot(weak);
    same!("without S", refused, Errno::Perm.number());
    Ok(())
}

pub fn bad_release(c: &mut Context, places: &Places, _: &Probe) -> Done {
    let (inval, no_mem) = (Errno::Inval.number(), Errno::NoMem.number());
    for order in 13..64 {
        same!("misaligned", release(c.a, 1 << (order - 1), order), inval);
    }
    for order in 0..12 {
        same!("below a page", release(c.a, 0x20_0000, order), inval);
    }
    let b = c.client();
    let boot = places.pages(MemType::Bootloader).next().unwrap_or(0);
    let foreign = release(b, boot, 12);
    let io = release(b, places.io_page(), 12);
    let whole = release(b, 0, 63);
    c.drop_slot(b);
    same!("the root task's", foreign, no_mem);
    same!("no RAM", io, no_mem);
    same!("everything", whole, no_mem);
    Ok(())
}

pub fn ram_of_node(c: &mut Context, _: &Places, _: &Probe) -> Done {
    let size = c.a.topology().map_err(failed("topology"))?;
    let b = c.client();
    for node in 0..size.nodes {
        let free = c.a.node(node).map_err(failed("node"))?.free;
        match ram(b, node, 12, 0) {
            Ok((address, from)) => {
                same!("node of the answer", from, node);
                let inside = (0..size.ranges).any(|i| {
                    c.a.node_range(i)
                        .is_ok_and(|(s, e, n)| n == node && s <= address && address <= e)
                });
                same!(
                    "address is in a range of the node",
                    inside || size.ranges == 0,
                    true
                );
                poke(address, address);
                same!("memory", peek(address), address);
                let now = c.a.node(node).map_err(failed("node"))?.free;
                same!("the node has a page less", now, free - PAGE_SIZE);
                same!("give it back", release(b, address, 12), 0);
            }
            Err(e) => {
                same!(
                    "a node without memory says so",
                    e.number(),
                    Errno::NoMem.number()
                );
                same!("and has none", free, 0);
                let near = ram(b, node, 12, flag::NEAR).map_err(|e| ("near", e.number().into(), 0));
                let (address, from) = near?;
                same!("another node helps", from != node, true);
                same!("give it back", release(b, address, 12), 0);
            }
        }
    }
    c.drop_slot(b);
    Ok(())
}

pub fn owner_of_page(c: &mut Context, _: &Places, _: &Probe) -> Done {
    let b = c.client();
    let page = any_page(b)?;
    let owned = c.a.owner_of(page).map_err(failed("owner"))?;
    // Slots and owner numbers are one; the root task made all clients.
    same!(
        "owner is the number of the client",
        owned.owner,
        FIRST_CLIENT + c.made - 1
    );
    same!("rights", owned.flags & 7, 7);
    same!("give it back", release(b, page, 12), 0);
    c.drop_slot(b);
    Ok(())
}

pub fn release_unmaps(c: &mut Context, _: &Places, probe: &Probe) -> Done {
    let b = c.client();
    let page = any_page(b)?;
    let before = probe.access(Access::Write, WINDOW + page);
    same!("mapped before", before == Outcome::Done, true);
    same!("release", release(b, page, 12), 0);
    let after = probe.access(Access::Read, WINDOW + page);
    same!("not mapped after", after == Outcome::Fault(0), true);
    let owner = c.a.owner_of(page).map_err(failed("owner"))?.owner;
    same!("nobody's", u64::from(owner) <= WAITING, true);
    same!("twice", release(b, page, 12), Errno::NoMem.number());
    c.drop_slot(b);
    Ok(())
}

pub fn release_zeroes(c: &mut Context, _: &Places, _: &Probe) -> Done {
    let (b, d) = (c.client(), c.client());
    let reply = request(b, sigma0::ANY_RAM, block(0, 15));
    let run = reply.address().ok_or(("any RAM", number(reply), 0))?;
    for at in (run..run + (1 << 15)).step_by(8) {
        poke(at, !at);
    }
    same!("release", release(b, run, 15), 0);
    // The lowest block: the same one again, unless a lower one has become free meanwhile.
    let again = request(d, sigma0::RAM, block(run, 15));
    same!(
        "another client gets it",
        again == Reply::memory(run, 15),
        true
    );
    for at in (run..run + (1 << 15)).step_by(8) {
        same!("zero", peek(at), 0);
    }
    same!("give it back", release(d, run, 15), 0);
    c.drop_slot(b);
    c.drop_slot(d);
    Ok(())
}

pub fn release_partly(c: &mut Context, places: &Places, _: &Probe) -> Done {
    let (b, d) = (c.client(), c.client());
    let pair = places.free_block(13, 0x180_0000).unwrap_or(0);
    let own = request(b, sigma0::RAM, block(pair, 12));
    let other = request(d, sigma0::RAM, block(pair + PAGE_SIZE, 12));
    same!("own half", own == Reply::memory(pair, 12), true);
    same!(
        "foreign half",
        other == Reply::memory(pair + PAGE_SIZE, 12),
        true
    );
    poke(pair, 77);
    for who in [b, d] {
        same!("both halves", release(who, pair, 13), Errno::NoMem.number());
    }
    same!("still mapped, with its contents", peek(pair), 77);
    let reply = request(d, sigma0::RAM, block(pair, 12));
    same!(
        "still the first one's",
        number(reply),
        Errno::NoMem.number()
    );
    same!("give it back", release(b, pair, 12), 0);
    same!("give it back", release(d, pair + PAGE_SIZE, 12), 0);
    c.drop_slot(b);
    c.drop_slot(d);
    Ok(())
}

/// Waits until all memory that was given back is free again.
pub(super) fn settle(c: &Context) -> Result<Statistics, Wrong> {
    for _ in 0..1000 {
        let stats = c.a.statistics().map_err(failed("statistics"))?;
        if stats.waiting == 0 {
            return Ok(stats);
        }
        l4re_rs::client::ipc::sleep(l4_sys::Timeout::from_us(1000));
    }
    Err(("memory waits for ever", 1, 0))
}

/// Single pages, every other one of a stretch, so that none can be joined: more than may wait.
pub fn release_many(c: &mut Context, places: &Places, _: &Probe) -> Done {
    const PAGES: u64 = 48;
    let before = settle(c)?;
    let b = c.client();
    let start = places.free_block(21, 0x200_0000).unwrap_or(0);
    for i in 0..PAGES {
        let page = start + 2 * i * PAGE_SIZE;
        let reply = request(b, sigma0::RAM, block(page, 12));
        same!("a page", reply == Reply::memory(page, 12), true);
        poke(page, page);
    }
    let mut refused = 0;
    for i in 0..PAGES {
        let page = start + 2 * i * PAGE_SIZE;
        while let e @ 1.. = release(b, page, 12) {
            same!("only for now", e, Errno::Again.number());
            refused += 1;
            same!("not for ever", refused < 100_000, true);
            l4re_rs::client::ipc::sleep(l4_sys::Timeout::from_us(5000));
        }
    }
    let after = settle(c)?;
    // Bookkeeping pages that the many runs needed stay with the server.
    let taken = after.bookkeeping.saturating_sub(before.bookkeeping);
    same!("free memory", after.free + taken, before.free);
    same!("all RAM", after.ram + taken, before.ram);
    let large = request(b, sigma0::RAM, block(start, 21));
    same!(
        "the stretch is whole again",
        large == Reply::memory(start, 21),
        true
    );
    same!("give it back", release(b, start, 21), 0);
    c.drop_slot(b);
    Ok(())
}
