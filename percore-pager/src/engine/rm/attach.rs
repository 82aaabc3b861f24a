//! Attaching, and freeing areas.

use l4_sys::{Errno, PAGE_SHIFT, PAGE_SIZE};

use crate::engine::arena::{Ref, Store};

use super::map::{self, Map};
use super::place::{self, Search};
use super::range::Range;
use super::region::{Area, Contents, Region, flag};
use super::tree::{self, Link};

/// Flags of an attach request: only known bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttachFlags(u32);

impl AttachFlags {
    const KNOWN: u32 = flag::SEARCH_ADDR
        | flag::IN_AREA
        | flag::EAGER_MAP
        | flag::NO_EAGER_MAP
        | flag::RIGHTS
        | flag::KERNEL
        | flag::PAGER
        | flag::RESERVED
        | flag::PRIVATE
        | flag::ANONYMOUS
        | flag::CACHING;

    /// The first check of a request (MOE-RM-02).
    ///
    /// # Errors
    ///
    /// `Inval` unknown bits.
    pub const fn new(raw: u32) -> Result<Self, Errno> {
        if raw & !Self::KNOWN == 0 {
            Ok(AttachFlags(raw))
        } else {
            Err(Errno::Inval)
        }
    }

    /// Whether any of `bits` is set.
    pub const fn has(self, bits: u32) -> bool {
        self.0 & bits != 0
    }

    /// Whether the request names an object (MOE-RM-04).
    pub const fn wants_object(self) -> bool {
        !self.has(flag::RESERVED | flag::KERNEL | flag::ANONYMOUS)
    }

    /// Whether the region gets memory of its own (MOE-RM-08, -09).
    pub const fn wants_own_memory(self) -> bool {
        self.has(flag::PRIVATE | flag::ANONYMOUS)
    }

    /// The flags that the region keeps.
    pub const fn region(self) -> u32 {
        self.0 & flag::REGION
    }
}

/// Where something is to be attached: the request's numbers, checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    range: Range,
    flags: AttachFlags,
    align: u32,
}

impl Place {
    /// The checks of a request that come after those of its object: rounds the start down and the
    /// size up to pages. `align` counts only with Search_addr.
    ///
    /// # Errors
    ///
    /// `Inval` size 0, Search_addr with `align` not 12..=63, a range that wraps.
    pub const fn new(start: u64, size: u64, flags: AttachFlags, align: u8) -> Result<Self, Errno> {
        let align = align as u32;
        let page = PAGE_SIZE - 1;
        if size == 0
            || flags.has(flag::SEARCH_ADDR) && (align < PAGE_SHIFT || align > 63)
            || size > u64::MAX - page
        {
            return Err(Errno::Inval);
        }
        match Range::sized(start & !page, (size + page) & !page) {
            Some(range) => Ok(Place {
                range,
                flags,
                align,
            }),
            None => Err(Errno::Inval),
        }
    }

    /// Bytes, whole pages.
    pub const fn size(self) -> u64 {
        self.range.size()
    }
}

/// Attaches what `contents` says; where it lies is the result. The caller has counted the
/// reference to the object and drops it again when this fails.
///
/// # Errors
///
/// `AddrNotAvail` for every kind of failure, lack of memory included (MOE-RM-02), and a search that takes more turns
/// (see [`Store::may_go_on`]).
pub fn attach<S: Store>(
    store: &mut S,
    map: Ref<Map>,
    at: Place,
    contents: Contents,
) -> Result<Range, Errno> {
    let range = find_place(store, map, at).ok_or(Errno::AddrNotAvail)?;
    let region = Region {
        link: Link::new(range),
        contents: Contents {
            flags: at.flags.region(),
            ..contents
        },
    };
    let node = map::put(store, map, region).map_err(|_| Errno::AddrNotAvail)?;
    let arena = store.arena_mut();
    let root = tree::insert(arena, arena.get(map).regions, node.cast());
    arena.get_mut(map).regions = root;
    Ok(range)
}

/// The free range that the request means (MOE-RM-10 to -12).
fn find_place<S: Store>(store: &mut S, map: Ref<Map>, at: Place) -> Option<Range> {
    let arena = store.arena();
    let it = *arena.get(map);
    let in_area = at.flags.has(flag::IN_AREA);
    let area = tree::touching(arena, it.areas, at.range);
    let mut end = it.highest;
    if in_area {
        let area = arena.get(area?.cast::<Area>());
        if area.flags & flag::RESERVED != 0 {
            return None;
        }
        end = area.link.end;
    }
    let range = if at.flags.has(flag::SEARCH_ADDR) {
        let search = Search {
            from: at.range.start(),
            end,
            size: at.range.size(),
            align: at.align,
            through_areas: in_area,
        };
        place::find(store, map, search)?
    } else {
        if !in_area && area.is_some() {
            return None;
        }
        at.range
    };
    let fits = range.start() >= it.lowest && range.end() <= end;
    let free = tree::touching(store.arena(), it.regions, range).is_none();
    (fits && free).then_some(range)
}

/// Frees the area that `address` is in. Regions in it stay.
///
/// # Errors
///
/// `NoEnt` when there is none that clients can free.
pub fn free_area<S: Store>(store: &mut S, map: Ref<Map>, address: u64) -> Result<(), Errno> {
    let arena = store.arena_mut();
    let root = arena.get(map).areas;
    let node = tree::first_from(arena, root, address)
        .filter(|node| arena.get(*node).start <= address)
        .filter(|node| arena.get(node.cast::<Area>()).flags & flag::FIXED == 0)
        .ok_or(Errno::NoEnt)?;
    let root = tree::remove(arena, root, node);
    arena.get_mut(map).areas = root;
    map::drop_node(store, map, node);
    Ok(())
}
