//! What a fault and a request to page in need (MOE-RM-33 to -39).

use l4_sys::{Errno, PAGE_SIZE};

use crate::engine::arena::{Arena, Ref};

use super::map::Map;
use super::range::Range;
use super::region::{Backing, Region, flag};
use super::tree::{self, Link};

/// A page-fault message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The address, its low bits included.
    pub address: u64,
    /// A write.
    pub write: bool,
    /// An instruction fetch.
    pub fetch: bool,
}

impl Fault {
    /// From the message's first word: bit 1 is write, bit 2 is fetch.
    #[inline]
    pub const fn from_word(word: u64) -> Self {
        Fault {
            address: word,
            write: word & 2 != 0,
            fetch: word & 4 != 0,
        }
    }
}

/// What is to be mapped: a flexpage around `page` that lies in `window`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hit {
    /// The object.
    pub backing: Backing,
    /// Byte offset in the object of what belongs at `page`; may be beyond its end.
    pub offset: u64,
    /// The page's address in the client: the send base.
    pub page: u64,
    /// Addresses that the flexpage may cover.
    pub window: Range,
    /// Rights to map with: R, W and X of [`flag`].
    pub rights: u32,
    /// Cache mode bits of [`flag::CACHING`].
    pub caching: u32,
}

/// Decides a page fault. A negative answer makes the kernel raise an exception in the thread.
///
/// # Errors
///
/// `NoMem` no region, or nothing behind it; `Access` a write or fetch that the region does not
/// allow; `NoDev` a Kernel or Reserved region. In this order.
#[inline]
pub fn fault(arena: &mut Arena, map: Ref<Map>, fault: Fault) -> Result<Hit, Errno> {
    let region = find(arena, map, fault.address).ok_or(Errno::NoMem)?;
    let flags = region.contents.flags;
    if fault.write && flags & flag::W == 0 || fault.fetch && flags & flag::X == 0 {
        return Err(Errno::Access);
    }
    if flags & (flag::KERNEL | flag::RESERVED) != 0 {
        return Err(Errno::NoDev);
    }
    let rights = if fault.write {
        flag::RIGHTS
    } else {
        flag::RIGHTS & !flag::W
    };
    let window = region.link.range();
    hit(region, fault.address, window, flags & rights).ok_or(Errno::NoMem)
}

/// What the short way of a fault needs of a region.
#[derive(Clone, Copy, Debug)]
pub(in crate::engine) struct Quick {
    /// The object.
    pub(in crate::engine) backing: Option<Backing>,
    /// Byte offset in it.
    pub(in crate::engine) offset: u64,
    /// Rights to map with.
    pub(in crate::engine) rights: u32,
}

/// The same as [`fault`] where nothing is special, by reading only, but that the region is remembered.
#[inline(always)]
pub(in crate::engine) fn quick(arena: &mut Arena, map: Ref<Map>, word: u64) -> Option<Quick> {
    let node = match arena.get(map).recent {
        Some(node) if inside(arena.get(node), word) => node,
        _ => seek(arena, map, word)?,
    };
    let region: &Region = arena.get(node.cast());
    let flags = region.contents.flags;
    // Bit 1 of the word is a write, as bit 1 of the rights is W; bit 2 is a fetch, and X is bit 0.
    let needed = (word as u32 & flag::W) | (word as u32 >> 2 & flag::X);
    if needed & !flags | flags & (flag::KERNEL | flag::RESERVED | flag::CACHING) != 0 {
        return None;
    }
    let within = (word & !(PAGE_SIZE - 1)) - region.link.start;
    Some(Quick {
        backing: region.contents.backing,
        offset: within.checked_add(region.contents.offset)?,
        rights: flags & (flag::R | flag::X | needed & flag::W),
    })
}

#[inline(always)]
fn inside(link: &Link, address: u64) -> bool {
    address.wrapping_sub(link.start) <= link.end - link.start
}

#[inline(never)]
fn seek(arena: &mut Arena, map: Ref<Map>, address: u64) -> Option<Ref<Link>> {
    find(arena, map, address)?;
    arena.get(map).recent
}

/// Decides a request to map `first`, and what may follow it up to `last` (inclusive).
///
/// # Errors
///
/// `Inval` not page-aligned, `NoEnt` no region at `first`, `NoDev` a Kernel or Reserved region,
/// `Access` more rights than the region has, `AddrNotAvail` nothing behind it. In this order.
pub fn page_in(
    arena: &mut Arena,
    map: Ref<Map>,
    first: u64,
    last: u64,
    rights: u16,
) -> Result<Hit, Errno> {
    let page = PAGE_SIZE - 1;
    if first & page != 0 || last & page != page {
        return Err(Errno::Inval);
    }
    let region = find(arena, map, first).ok_or(Errno::NoEnt)?;
    let (flags, rights) = (region.contents.flags, u32::from(rights));
    if flags & (flag::KERNEL | flag::RESERVED) != 0 {
        return Err(Errno::NoDev);
    }
    if flags & rights != rights {
        return Err(Errno::Access);
    }
    // A last address below the first leaves the page itself.
    let end = last.min(region.link.end).max(first | page);
    let window = Range::new(first, end).ok_or(Errno::Inval)?;
    hit(region, first, window, rights & flag::RIGHTS).ok_or(Errno::AddrNotAvail)
}

/// The region that `address` is in. The last one found is looked at first.
#[inline]
fn find(arena: &mut Arena, map: Ref<Map>, address: u64) -> Option<&Region> {
    let it = arena.get(map);
    if let Some(recent) = it.recent {
        let link = arena.get(recent);
        if link.start <= address && address <= link.end {
            return Some(arena.get(recent.cast()));
        }
    }
    let node = tree::first_from(arena, it.regions, address)?;
    if arena.get(node).start > address {
        return None;
    }
    arena.get_mut(map).set_recent(node);
    Some(arena.get(node.cast()))
}

#[inline]
fn hit(region: &Region, address: u64, window: Range, rights: u32) -> Option<Hit> {
    let page = address & !(PAGE_SIZE - 1);
    let offset = (page - region.link.start).wrapping_add(region.contents.offset);
    Some(Hit {
        backing: region.contents.backing?,
        // An offset that wraps is beyond the end of every object.
        offset: if offset < region.contents.offset {
            u64::MAX
        } else {
            offset
        },
        page,
        window,
        rights,
        caching: region.contents.flags & flag::CACHING,
    })
}
