//! Looking for free address space.
//!
//! The trees know their gaps, so a step goes from one that is large enough to the next. Most searches take one or
//! two steps. More it takes where gaps are large enough but not aligned, or have an area in them; a search that takes more
//! than its turn allows remembers in its map how far it has come, and goes on there when it is asked for again.

use crate::engine::arena::{Ref, Store};

use super::gaps;
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

impl Search {
    /// A number that tells searches apart, not 0. Should two have the same, the map's own client misses gaps.
    fn key(&self) -> u64 {
        let rest = u64::from(self.align) << 1 | u64::from(self.through_areas);
        let mut key = 0u64;
        for word in [self.from, self.end, self.size, rest] {
            key = (key.rotate_left(23) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        }
        key | 1
    }
}

fn round_up(address: u64, align: u32) -> Option<u64> {
    let low = 1u64.checked_shl(align)?.wrapping_sub(1);
    Some(address.checked_add(low)? & !low)
}

/// The first aligned gap. `None` when there is none, or when the turn's work is done: see
/// [`Store::may_go_on`].
pub(super) fn find<S: Store>(store: &mut S, map: Ref<Map>, search: Search) -> Option<Range> {
    let it = *store.arena().get(map);
    let in_limits = (it.lowest..search.end).contains(&search.from);
    let mut at = if in_limits { search.from } else { it.lowest };
    let last = search.end.checked_sub(search.size.checked_sub(1)?)?;
    let key = search.key();
    if it.sought == key {
        at = it.come_to;
    }
    store.arena_mut().get_mut(map).sought = 0;
    loop {
        let begun = at;
        at = round_up(at, search.align)?;
        if at > last {
            return None;
        }
        let range = Range::sized(at, search.size)?;
        let arena = store.arena();
        let mut root = it.regions;
        let mut blocked = tree::touching(arena, root, range);
        if blocked.is_none() && !search.through_areas {
            root = it.areas;
            blocked = tree::touching(arena, root, range);
        }
        let Some(node) = blocked else {
            return Some(range);
        };
        if !store.may_go_on() {
            let map = store.arena_mut().get_mut(map);
            (map.sought, map.come_to) = (key, begun);
            return None;
        }
        at = gaps::behind(store.arena(), root, node, search.size)?;
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
