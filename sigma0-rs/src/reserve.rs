//! The pagers' reserve: RAM of each node that requests for any RAM do not get.

use crate::cmdline::{Amount, Share};
use crate::map::{MapError, MapId, Regions};
use crate::topology::Topology;

/// What became of a share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Bytes asked for, over all nodes named.
    pub asked: u64,
    /// Bytes kept; less when there is not so much free RAM.
    pub kept: u64,
}

/// Keeps a share of free RAM, from the top of the node's ranges down, in whole superpages where
/// the amount allows.
///
/// # Errors
/// `NotFound` no such node, `NoNodes` the maps have no node left to remember it by.
pub fn apply(maps: &mut Regions, topology: &Topology, share: Share) -> Result<Kept, MapError> {
    let mut sum = Kept { asked: 0, kept: 0 };
    match share.node {
        Some(n) if usize::from(n) < topology.nodes() => {
            keep(maps, topology, usize::from(n), share.amount, &mut sum)?;
        }
        Some(_) => return Err(MapError::NotFound),
        None => {
            for n in 0..topology.nodes() {
                keep(maps, topology, n, share.amount, &mut sum)?;
            }
        }
    }
    Ok(sum)
}

fn keep(
    maps: &mut Regions,
    topology: &Topology,
    node: usize,
    amount: Amount,
    sum: &mut Kept,
) -> Result<(), MapError> {
    let asked = match amount {
        Amount::Bytes(b) => b,
        Amount::Percent(p) => {
            let free = topology
                .ranges_of(node)
                .map(|r| maps.totals_in(MapId::Ram, r).free)
                .fold(0u64, u64::saturating_add);
            free / 100 * u64::from(p)
        }
    };
    let unit = if asked >= SUPERPAGE {
        SUPERPAGE
    } else {
        l4_sys::PAGE_SIZE
    };
    let asked = asked
        .checked_next_multiple_of(unit)
        .unwrap_or(u64::MAX / unit * unit);
    sum.asked = sum.asked.saturating_add(asked);
    let mut left = asked;
    // The highest ranges first: low memory is what old devices need. Ranges are few, so finding
    // the next lower one by looking at all of them is cheap.
    let mut below = None;
    while left > 0 {
        let next = topology
            .ranges_of(node)
            .filter(|r| below.is_none_or(|b| r.start() < b))
            .max_by_key(|r| r.start());
        let Some(range) = next else { break };
        below = Some(range.start());
        let kept = maps.keep_bytes(MapId::Ram, range, left)?;
        sum.kept = sum.kept.saturating_add(kept);
        left -= kept;
    }
    Ok(())
}

const SUPERPAGE: u64 = 1 << l4_sys::SUPERPAGE_SHIFT;
