//! Looking for free address space.

use crate::engine::arena::Arena;

use super::map::Map;
use super::range::Range;
use super::tree;

/// Where to look, and for what.
#[derive(Clone, Copy, Debug)]
pub(super) struct Search {
    /// Where to begin; at the lowest address when this is below it or not below `end`.
    pub(super) from: u64,
    /// The last address that may be used.
    pub(super) end: u64,
    /// Bytes, at least 1.
    pub(super) size: u64,
    /// log2 of the alignment, 0..=63.
    pub(super) align: u32,
    /// Whether areas may lie in the way.
    pub(super) through_areas: bool,
}

fn round_up(address: u64, align: u32) -> Option<u64> {
    let low = 1u64.checked_shl(align)?.wrapping_sub(1);
    Some(address.checked_add(low)? & !low)
}

/// The first aligned gap. Takes one step for each range that is in the way.
pub(super) fn find(arena: &Arena, map: &Map, search: Search) -> Option<Range> {
    let in_limits = (map.lowest..search.end).contains(&search.from);
    let mut at = if in_limits { search.from } else { map.lowest };
    let last = search.end.checked_sub(search.size.checked_sub(1)?)?;
    loop {
        at = round_up(at, search.align)?;
        if at > last {
            return None;
        }
        let range = Range::sized(at, search.size)?;
        let mut blocked = tree::touching(arena, map.regions, range);
        if blocked.is_none() && !search.through_areas {
            blocked = tree::touching(arena, map.areas, range);
        }
        match blocked {
            None => return Some(range),
            Some(node) => at = arena.get(node).end.checked_add(1)?,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_does_not_wrap() {
        assert_eq!(round_up(1, 12), Some(0x1000));
        assert_eq!(round_up(0x1000, 12), Some(0x1000));
        assert_eq!(round_up(7, 0), Some(7));
        assert_eq!(round_up(u64::MAX, 1), None);
        assert_eq!(round_up(0, 63), Some(0));
        assert_eq!(round_up(1, 64), None);
    }
}
