//! The pagers' reserve of sigma0-rs: RAM that only those get who ask for it.

use l4_sys::ops::sigma0;
use l4_sys::{Errno, PAGE_SIZE};
use l4re_rs::client::sigma0_ext::flag;

use super::ext::{Wrong, failed, same};
use super::ext_memory::{number, ram, release};
use crate::ask::{Reply, block, sigma0 as request};
use crate::context::{Context, peek, poke};
use crate::places::Places;
use crate::probe::Probe;

type Done = Result<(), Wrong>;

/// The reserve of all nodes, in bytes.
fn kept(c: &Context) -> Result<u64, Wrong> {
    let stats = c.a.statistics().map_err(failed("statistics"))?;
    Ok(stats.kept)
}

/// A node that has some reserve.
fn node_with_reserve(c: &Context) -> Result<u32, Wrong> {
    let size = c.a.topology().map_err(failed("topology"))?;
    (0..size.nodes)
        .find(|n| c.a.node(*n).is_ok_and(|node| node.kept > 0))
        .ok_or(("a node with reserve", 0, 1))
}

pub fn not_for_any(c: &mut Context, _: &Places, _: &Probe) -> Done {
    let before = kept(c)?;
    let b = c.client();
    // As an ordinary program: all but the reserve is the root task's.
    let reply = request(b, sigma0::ANY_RAM, block(0, 12));
    match reply.address() {
        Some(page) => {
            let run = c.a.owner_of(page).map_err(failed("owner"))?;
            same!("not of the reserve", run.flags & flag::IS_RESERVE, 0);
            same!("give it back", release(b, page, 12), 0);
        }
        None => {
            same!("none for everybody", number(reply), Errno::NoMem.number());
        }
    }
    let near = ram(b, node_with_reserve(c)?, 12, flag::NEAR);
    if let Ok((page, _)) = near {
        let run = c.a.owner_of(page).map_err(failed("owner"))?;
        same!("nor by node", run.flags & flag::IS_RESERVE, 0);
        same!("give it back", release(b, page, 12), 0);
    }
    c.drop_slot(b);
    same!("the reserve is as it was", kept(c)?, before);
    Ok(())
}

pub fn on_request(c: &mut Context, _: &Places, _: &Probe) -> Done {
    let before = kept(c)?;
    let b = c.client();
    let node = node_with_reserve(c)?;
    let got = ram(b, node, 21, flag::RESERVE).map_err(|e| ("reserve", e.number().into(), 0));
    let (address, from) = got?;
    same!("of the node", from, node);
    same!("2 MiB less", kept(c)?, before - (2 << 20));
    for page in (address..address + (2 << 20)).step_by(PAGE_SIZE as usize) {
        poke(page, page);
        same!("memory", peek(page), page);
    }
    same!("give it back", release(b, address, 21), 0);
    let mut again = 0;
    for _ in 0..200 {
        again = kept(c)?;
        if again == before {
            break;
        }
        l4re_rs::client::ipc::sleep(l4_sys::Timeout::from_us(1000));
    }
    same!("it is reserve again", again, before);
    c.drop_slot(b);
    Ok(())
}

pub fn by_address(c: &mut Context, _: &Places, _: &Probe) -> Done {
    let b = c.client();
    let node = node_with_reserve(c)?;
    let got = ram(b, node, 12, flag::RESERVE).map_err(|e| ("reserve", e.number().into(), 0));
    let (page, _) = got?;
    let run = c.a.owner_of(page).map_err(failed("owner"))?;
    same!("marked", run.flags & flag::IS_RESERVE, flag::IS_RESERVE);
    poke(page, 0x77);
    same!("give it back", release(b, page, 12), 0);
    let reply = request(b, sigma0::RAM, block(page, 12));
    same!(
        "a request that names it gets it",
        reply == Reply::memory(page, 12),
        true
    );
    same!("without the old contents", peek(page), 0);
    same!("give it back", release(b, page, 12), 0);
    c.drop_slot(b);
    Ok(())
}
