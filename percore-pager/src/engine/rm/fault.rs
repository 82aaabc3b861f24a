//! What a fault and a request to page in need (MOE-RM-33 to -39).

use l4_sys::{Errno, PAGE_SIZE};

use crate::engine::arena::{Arena, Ref};

use super::map::Map;
use super::range::Range;
use super::region::{Backing, Region, flag};
use super::tree;

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

/// A region as the short way of a fault knows it.
#[derive(Clone, Copy, Debug)]
pub(in crate::engine) struct Plain {
    pub(in crate::engine) start: u64,
    /// One less than its bytes.
    pub(in crate::engine) length: u64,
    pub(in crate::engine) backing: Backing,
    /// Byte offset of `start` in the object. The region's last byte has one, too.
    pub(in crate::engine) offset: u64,
    /// Bits of [`flag`].
    pub(in crate::engine) flags: u32,
}

/// The region of a fault, if it has an object and nothing is special about it.
pub(in crate::engine) fn plain(arena: &mut Arena, map: Ref<Map>, address: u64) -> Option<Plain> {
    let Region { link, contents } = find(arena, map, address)?;
    let length = link.end - link.start;
    let special = contents.flags & (flag::KERNEL | flag::RESERVED | flag::CACHING) != 0;
    if special || contents.offset.checked_add(length).is_none() {
        return None;
    }
    Some(Plain {
        start: link.start,
        length,
        backing: contents.backing?,
        offset: contents.offset,
        flags: contents.flags,
    })
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
    arena.get_mut(map).recent = Some(node);
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
