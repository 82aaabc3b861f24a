//! Reserving areas.

use l4_sys::Errno;

use crate::engine::arena::{Ref, Store};

use super::map::{self, Map};
use super::place::{self, Search};
use super::range::Range;
use super::region::flag;
use super::tree;

/// Reserves an area, which is not rounded to pages (MOE-RM-24 to -26). Without Search_addr it may
/// lie anywhere, also outside the map's limits and over regions unless it is Reserved.
///
/// # Errors
///
/// `Inval` an unknown flag, size 0, a range that wraps, Search_addr with `align` above 63;
/// `AddrNotAvail` for everything else, lack of memory included.
pub fn reserve_area<S: Store>(
    store: &mut S,
    map: Ref<Map>,
    start: u64,
    size: u64,
    flags: u32,
    align: u8,
) -> Result<Range, Errno> {
    if flags & !(flag::SEARCH_ADDR | flag::KERNEL | flag::RESERVED) != 0 {
        return Err(Errno::Inval);
    }
    let asked = Range::sized(start, size).ok_or(Errno::Inval)?;
    let search = flags & flag::SEARCH_ADDR != 0;
    if search && align > 63 {
        return Err(Errno::Inval);
    }
    let it = *store.arena().get(map);
    let range = if search {
        let search = Search {
            from: start,
            end: it.highest,
            size,
            align: u32::from(align),
            through_areas: false,
        };
        // What does not fit behind its start is not looked for from the lowest address again.
        let room = it.highest.checked_sub(start.max(it.lowest));
        room.filter(|room| *room >= size - 1)
            .and_then(|_| place::find(store, map, search))
    } else {
        let arena = store.arena();
        let blocked = tree::touching(arena, it.areas, asked).is_some()
            || flags & flag::RESERVED != 0 && tree::touching(arena, it.regions, asked).is_some();
        (!blocked).then_some(asked)
    };
    let range = range.ok_or(Errno::AddrNotAvail)?;
    map::add_area(store, map, range, flags & flag::REGION).map_err(|_| Errno::AddrNotAvail)?;
    Ok(range)
}
