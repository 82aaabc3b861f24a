//! Requests beyond upstream's (label [`PROTOCOL`]); `docs/sigma0-protocol.md` is their specification.
//!
//! A client finds out whether they are there by asking: upstream's sigma0 answers `BadProto`.

use l4_sys::item::Caching;
use l4_sys::{Errno, Fpage, MsgTag, UtcbRef};
use l4re_rs::msg::{Reader, Writer};

use crate::map::{MapId, OwnerId, Range, Rights};
use crate::request::Block;
use crate::server::{Answer, OWN_TASK, Sender, Sigma0, memory};

pub use l4re_rs::client::sigma0_ext::{PROTOCOL, flag, op};

/// Answers one request.
pub(crate) fn answer(s: &mut Sigma0, utcb: UtcbRef, tag: MsgTag, from: Sender) -> Answer {
    let mut r = Reader::new(utcb, tag);
    match r.u32()? {
        op::TOPOLOGY => topology(s, utcb),
        op::NODE => node(s, utcb, r.u32()?),
        op::RANGE => range(s, utcb, r.u32()?),
        op::DISTANCES => distances(s, utcb, r.u32()?),
        op::CPUS => cpus(s, utcb, r.u32()?),
        op::RAM => {
            let (node, order, flags) = (r.u32()?, r.u32()?, r.u32()?);
            ram(s, utcb, from, node, order, flags)
        }
        op::RELEASE => release(s, from, Fpage(r.u64()?)),
        op::OWNER => owner(s, utcb, r.u64()?),
        op::STATISTICS => statistics(s, utcb, from),
        _ => Err(Errno::NoSys),
    }
}

/// A node number that the machine has.
fn node_index(s: &Sigma0, node: u32) -> Result<usize, Errno> {
    let n = node as usize;
    if n < s.topology.nodes() {
        Ok(n)
    } else {
        Err(Errno::Range)
    }
}

fn topology(s: &Sigma0, utcb: UtcbRef) -> Answer {
    let t = s.topology;
    Writer::new(utcb)
        .u32(t.nodes() as u32)
        .u32(t.range_count() as u32)
        .u32(t.cpu_count() as u32)
        .u32(u32::from(t.from_firmware()))
        .finish(0)
}

fn node(s: &Sigma0, utcb: UtcbRef, node: u32) -> Answer {
    let n = node_index(s, node)?;
    let (mut free, mut kept, mut owned) = (0u64, 0u64, 0u64);
    for range in s.topology.ranges_of(n) {
        let t = s.maps.totals_in(MapId::Ram, range);
        free = free.saturating_add(t.free);
        kept = kept.saturating_add(t.kept);
        owned = owned.saturating_add(t.owned);
    }
    Writer::new(utcb)
        .u32(s.topology.domain(n))
        .u32(s.topology.cpus_of(n) as u32)
        .u64(free.saturating_add(kept).saturating_add(owned))
        .u64(free)
        .u64(kept)
        .finish(0)
}

fn range(s: &Sigma0, utcb: UtcbRef, index: u32) -> Answer {
    let (range, node) = s.topology.range(index as usize).ok_or(Errno::Range)?;
    Writer::new(utcb)
        .u64(range.start())
        .u64(range.end())
        .u32(node as u32)
        .finish(0)
}

fn distances(s: &Sigma0, utcb: UtcbRef, node: u32) -> Answer {
    let from = node_index(s, node)?;
    let mut w = Writer::new(utcb);
    for to in 0..s.topology.nodes() {
        w = w.u8(s.topology.distance(from, to));
    }
    w.finish(0)
}

fn cpus(s: &Sigma0, utcb: UtcbRef, first: u32) -> Answer {
    let mut w = Writer::new(utcb);
    let mut n = 0;
    for (apic, node) in s
        .topology
        .cpus()
        .skip(first as usize)
        .take(op::CPUS_PER_REPLY)
    {
        w = w.u32(apic).u32(node as u32);
        n += 1;
    }
    w.finish(n)
}

fn ram(s: &mut Sigma0, utcb: UtcbRef, from: Sender, node: u32, order: u32, flags: u32) -> Answer {
    let node = node_index(s, node)?;
    if !(l4_sys::PAGE_SHIFT..=63).contains(&order) || flags & !flag::ALL != 0 {
        return Err(Errno::Inval);
    }
    let reserve = flags & flag::RESERVE != 0;
    if reserve && !from.may_create() {
        return Err(Errno::Perm);
    }
    let t = s.topology;
    let take = |maps: &mut crate::map::Regions| {
        let mut err = crate::map::MapError::NotFound;
        for n in t.by_distance(node) {
            for bounds in t.ranges_of(n) {
                let got = maps.alloc_in(
                    MapId::Ram,
                    bounds,
                    order as u8,
                    from.owner,
                    Rights::RWX,
                    reserve,
                );
                match got {
                    Ok(block) => return Ok((block, n)),
                    Err(e) => err = e,
                }
            }
            if flags & flag::NEAR == 0 {
                break;
            }
        }
        Err(err)
    };
    let (block, node) = s.with_all_memory(None, take)?;
    Writer::new(utcb)
        .u32(node as u32)
        .item(memory(block.start(), order, Rights::RWX, Caching::Cached))
        .finish(0)
}

/// Takes memory back from its owner: unmapped from everybody, zeroed in idle time, then free.
fn release(s: &mut Sigma0, from: Sender, fpage: Fpage) -> Answer {
    let block = Block::from_fpage(fpage)?;
    if !owns_all(s, block.range(), from.owner) {
        return Err(Errno::NoMem);
    }
    // Under a flood of messages there is no idle time: who gives back does a turn of the work.
    if s.scrubber.is_full() {
        s.scrubber.turn(&mut s.maps);
        if s.scrubber.is_full() {
            return Err(Errno::Again);
        }
    }
    let page = Fpage::mem(block.range().start(), block.order(), l4_sys::MemRights::RWX);
    OWN_TASK.unmap_from_others(&[page]).map_err(|e| e.errno())?;
    s.scrubber
        .take(&mut s.maps, block.range(), from.owner)
        .map_err(|_| Errno::NoMem)?;
    Ok(MsgTag::plain(0, 0, 0))
}

fn owns_all(s: &Sigma0, range: Range, owner: OwnerId) -> bool {
    let mut at = range.start();
    loop {
        let run = s.maps.lookup(MapId::Ram, at);
        if run.state.owner() != Some(owner) {
            return false;
        }
        if run.range.end() >= range.end() {
            return true;
        }
        at = run.range.end() + 1;
    }
}

fn owner(s: &Sigma0, utcb: UtcbRef, address: u64) -> Answer {
    let run = s.maps.lookup(MapId::Ram, address);
    let mut flags = u32::from(run.state.rights().bits());
    if !run.state.is_absent() {
        flags |= flag::IS_RAM;
    }
    if run.state.is_reserved() {
        flags |= flag::IS_RESERVE;
    }
    let owner = run.state.owner().map_or(0, OwnerId::get);
    Writer::new(utcb)
        .u64(run.range.start())
        .u64(run.range.end())
        .u32(u32::from(owner))
        .u32(flags)
        .finish(0)
}

fn statistics(s: &Sigma0, utcb: UtcbRef, from: Sender) -> Answer {
    let t = s.maps.totals(MapId::Ram);
    let pool = s.maps.pool();
    Writer::new(utcb)
        .u64(t.free.saturating_add(t.kept).saturating_add(t.owned))
        .u64(t.free)
        .u64(t.kept)
        .u64(s.maps.owned_by(MapId::Ram, from.owner))
        .u64(s.maps.owned_by(MapId::Ram, crate::scrub::OWNER))
        .u64(u64::from(pool.pages) * l4_sys::PAGE_SIZE)
        .u64(u64::from(s.maps.run_count(MapId::Ram)))
        .u64(s.clients.count())
        .u64(s.served)
        .u64(s.refused)
        .u64(s.scrubber.zeroed())
        .finish(0)
}
