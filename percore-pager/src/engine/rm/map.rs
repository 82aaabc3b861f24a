//! Making, emptying and checking maps.

use l4_sys::{Errno, PAGE_SIZE};

use crate::engine::arena::{Arena, Pod, Ref, Store};
use crate::engine::quota::Account;
use crate::engine::slabs;

use super::range::Range;
use super::region::{Area, Backing, Region, flag};
use super::tree::{self, Link, Root};

/// A region map: 64 bytes of its account's memory, and the nodes of its trees.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Map {
    pub(super) account: Option<Ref<Account>>,
    pub(super) regions: Root,
    pub(super) areas: Root,
    pub(super) jumps: Root,
    /// The lowest and the highest address where a region may lie.
    pub(super) lowest: u64,
    pub(super) highest: u64,
    /// The region that the last fault was in.
    pub(super) recent: Root,
    nodes: u32,
    /// A search that is not done, by its key, or 0; and how far it has come (`place.rs`).
    pub(super) sought: u64,
    pub(super) come_to: u64,
}

// SAFETY: numbers and optional references; every pattern is valid.
unsafe impl Pod for Map {}

/// What [`validate`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Truth {
    /// Regions.
    pub regions: u32,
    /// Areas, fixed ones included.
    pub areas: u32,
    /// Rescue jumps.
    pub jumps: u32,
}

impl Map {
    /// The account that pays for it.
    pub fn account(&self) -> Option<Ref<Account>> {
        self.account
    }
}

/// Puts `node` into memory of the map's account.
pub(super) fn put<T: Pod, S: Store>(
    store: &mut S,
    map: Ref<Map>,
    node: T,
) -> Result<Ref<T>, Errno> {
    let account = store.arena().get(map).account.ok_or(Errno::NoMem)?;
    let at = slabs::put(store, account, node).map_err(|_| Errno::NoMem)?;
    store.arena_mut().get_mut(map).nodes += 1;
    Ok(at)
}

/// Frees a node that is in no tree any more.
pub(super) fn drop_node<T, S: Store>(store: &mut S, map: Ref<Map>, node: Ref<T>) {
    store.arena_mut().note_change();
    let it = store.arena_mut().get_mut(map);
    it.nodes -= 1;
    it.recent = None;
    // There is a new gap.
    it.sought = 0;
    slabs::free(store, node);
}

/// A new map for regions inside `limits`: its areas are `reserved`, the ranges that the kernel
/// keeps, and a guard over page 0, none of which a client can free.
///
/// # Errors
///
/// `NoMem`; nothing is left behind.
pub fn create<S: Store>(
    store: &mut S,
    account: Ref<Account>,
    limits: Range,
    reserved: impl IntoIterator<Item = Range>,
) -> Result<Ref<Map>, Errno> {
    let empty = Map {
        account: Some(account),
        regions: None,
        areas: None,
        jumps: None,
        lowest: limits.start(),
        highest: limits.end(),
        recent: None,
        nodes: 0,
        sought: 0,
        come_to: 0,
    };
    let map = slabs::put(store, account, empty).map_err(|_| Errno::NoMem)?;
    let kept = reserved
        .into_iter()
        .map(|range| (range, flag::RESERVED | flag::FIXED));
    let guard = Range::sized(0, PAGE_SIZE).map(|range| (range, flag::FIXED));
    for (range, flags) in kept.chain(guard) {
        let taken = tree::touching(store.arena(), store.arena().get(map).areas, range).is_some();
        if !taken && add_area(store, map, range, flags).is_err() {
            // Only these few areas are in it.
            while !clear_some(store, map, u32::MAX, |_| ()) {}
            free_map(store, map);
            return Err(Errno::NoMem);
        }
    }
    Ok(map)
}

/// Puts an area that touches no other into the map.
pub(super) fn add_area<S: Store>(
    store: &mut S,
    map: Ref<Map>,
    range: Range,
    flags: u32,
) -> Result<(), Errno> {
    let area = Area {
        link: Link::new(range),
        flags,
        unused: 0,
    };
    let node = put(store, map, area)?.cast::<Link>();
    let arena = store.arena_mut();
    let root = tree::insert(arena, arena.get(map).areas, node);
    arena.get_mut(map).areas = root;
    Ok(())
}

/// Takes up to `most` nodes out of a map that nobody uses any more; tells `drop_ref` each object that
/// has a reference less. `true` when the map is empty: then [`free_map`] it.
pub fn clear_some<S: Store>(
    store: &mut S,
    map: Ref<Map>,
    most: u32,
    mut drop_ref: impl FnMut(Backing),
) -> bool {
    for _ in 0..most {
        let arena = store.arena_mut();
        let Map {
            mut regions,
            mut areas,
            mut jumps,
            ..
        } = *arena.get(map);
        let node = if let Some(node) = tree::take_leaf(arena, &mut regions) {
            if let Some(backing) = arena.get(node.cast::<Region>()).contents.backing {
                drop_ref(backing);
            }
            node
        } else if let Some(node) = tree::take_leaf(arena, &mut areas) {
            node
        } else if let Some(node) = tree::take_leaf(arena, &mut jumps) {
            node
        } else {
            return true;
        };
        let it = arena.get_mut(map);
        (it.regions, it.areas, it.jumps) = (regions, areas, jumps);
        drop_node(store, map, node);
    }
    false
}

/// Frees a map that is empty.
pub fn free_map<S: Store>(store: &mut S, map: Ref<Map>) {
    debug_assert!(
        store.arena().get(map).nodes == 0,
        "a map is freed with nodes in it"
    );
    store.arena_mut().note_change();
    slabs::free(store, map);
}

/// Recomputes the map's redundant state; `None` when something is wrong. Takes time in proportion
/// to the map.
pub fn validate(arena: &Arena, map: Ref<Map>) -> Option<Truth> {
    let it = arena.get(map);
    let truth = Truth {
        regions: tree::check(arena, it.regions)?,
        areas: tree::check(arena, it.areas)?,
        jumps: tree::check(arena, it.jumps)?,
    };
    let recent = it.recent.is_none_or(|node| {
        tree::first_from(arena, it.regions, arena.get(node).start) == Some(node)
    });
    (truth.regions + truth.areas + truth.jumps == it.nodes && recent).then_some(truth)
}
