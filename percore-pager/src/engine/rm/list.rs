//! Lists of regions and areas, and a region's name.

use l4_sys::Errno;

use crate::engine::arena::{Arena, Ref};

use super::map::Map;
use super::region::{Area, Name, Region, flag};
use super::tree::{self, Root};

/// A region or an area in an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// First address.
    pub start: u64,
    /// Last address.
    pub end: u64,
    /// Flags of [`flag`], 16 bits.
    pub flags: u16,
}

/// In order, from the first one that ends at or above `address`. One that ends at or above the
/// map's highest address is the last, as upstream's lists end there.
fn list(arena: &Arena, map: Ref<Map>, root: Root, address: u64) -> impl Iterator<Item = Root> {
    let highest = arena.get(map).highest;
    let first = tree::first_from(arena, root, address).map(Some);
    core::iter::successors(first, move |node| {
        let node = (*node)?;
        if arena.get(node).end >= highest {
            return None;
        }
        tree::next(arena, node).map(Some)
    })
}

/// The map's regions from `address` on, in order; the caller takes as many as it has room for.
pub fn regions(arena: &Arena, map: Ref<Map>, address: u64) -> impl Iterator<Item = Entry> {
    list(arena, map, arena.get(map).regions, address)
        .flatten()
        .map(|node| {
            let region = arena.get(node.cast::<Region>());
            Entry {
                start: region.link.start,
                end: region.link.end,
                flags: (region.contents.flags & flag::REGION) as u16,
            }
        })
}

/// The map's areas from `address` on, in order.
pub fn areas(arena: &Arena, map: Ref<Map>, address: u64) -> impl Iterator<Item = Entry> {
    list(arena, map, arena.get(map).areas, address)
        .flatten()
        .map(|node| {
            let area = arena.get(node.cast::<Area>());
            Entry {
                start: area.link.start,
                end: area.link.end,
                flags: (area.flags & flag::REGION) as u16,
            }
        })
}

/// Name and backing offset of the region that `address` is in.
///
/// # Errors
///
/// `NoEnt`.
pub fn info(arena: &Arena, map: Ref<Map>, address: u64) -> Result<(Name, u64), Errno> {
    let node = tree::first_from(arena, arena.get(map).regions, address)
        .filter(|node| arena.get(*node).start <= address)
        .ok_or(Errno::NoEnt)?;
    let contents = &arena.get(node.cast::<Region>()).contents;
    Ok((contents.name, contents.backing_offset))
}
