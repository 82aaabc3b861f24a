//! The radix tree of groups.
//!
//! Leaves hold 64 group words, inner nodes 128 references of 4 bytes; the top node is only as large
//! as the dataspace needs. Depth 0 is one group, in the object itself; depths 1 to 4 reach 4 MiB,
//! 512 MiB, 64 GiB and 8 TiB.

use l4_sys::PAGE_SHIFT;

use crate::engine::arena::{Arena, Ref, Store};
use crate::engine::slabs::{self, NoMemory};

use super::object::Ds;
use super::word::{GROUP, GROUP_SHIFT, Group};

const LEAF_SHIFT: u32 = 6;
/// Words of a leaf.
pub(super) const LEAF_WORDS: usize = 1 << LEAF_SHIFT;
const NODE_SHIFT: u32 = 7;
const DEEPEST: u32 = 4;

/// Words of any length.
pub(super) type Node = Ref<[u64; 0]>;

/// Where a group's word is: in a leaf, or in the object itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slot {
    pub(super) node: Node,
    pub(super) index: usize,
}

impl Slot {
    fn root(ds: Ref<Ds>) -> Self {
        Slot {
            node: ds.cast(),
            index: core::mem::offset_of!(Ds, root) / 8,
        }
    }
}

/// Levels that `pages` pages need; `None` for more than 8 TiB.
pub(super) fn depth_for(pages: u64) -> Option<u8> {
    let groups = pages.div_ceil(1 << GROUP_SHIFT);
    (0..=DEEPEST)
        .find(|depth| groups <= reach(*depth))
        .map(|depth| depth as u8)
}

/// See [`Ds::root_shift`].
pub(super) fn root_shift(depth: u8) -> i8 {
    (u32::from(depth) * NODE_SHIFT) as i8 - (2 * NODE_SHIFT - LEAF_SHIFT) as i8
}

/// Groups below a node at this height.
const fn reach(depth: u32) -> u64 {
    match depth.checked_sub(1) {
        None => 1,
        Some(inner) => 1 << (LEAF_SHIFT + NODE_SHIFT * inner),
    }
}

#[inline(always)]
fn child(arena: &Arena, node: Node, index: usize) -> Option<Node> {
    Ref::from_raw(arena.half(node, index))
}

fn set_child(arena: &mut Arena, node: Node, index: usize, child: Option<Node>) {
    arena.set_half(node, index, child.map_or(0, Ref::raw));
}

/// Index of `group` in a node at height `depth`, which is at least 1.
#[inline]
fn index_at(group: u64, depth: u32) -> usize {
    if depth == 1 {
        return (group & ((1 << LEAF_SHIFT) - 1)) as usize;
    }
    let shift = LEAF_SHIFT + NODE_SHIFT * (depth - 2);
    (group >> shift & ((1 << NODE_SHIFT) - 1)) as usize
}

/// The word of `group`, which is below the dataspace's end, if its leaf is there.
#[inline(always)]
pub(super) fn find(arena: &Arena, ds: Ref<Ds>, group: u64) -> Option<Slot> {
    let it = arena.get(ds);
    if it.depth == 0 {
        return Some(Slot::root(ds));
    }
    let mut node: Node = Ref::from_raw(it.root as u32)?;
    let mut shift = i32::from(it.root_shift);
    while shift >= 0 {
        node = child(arena, node, (group >> shift) as usize % (1 << NODE_SHIFT))?;
        shift -= NODE_SHIFT as i32;
    }
    let index = group as usize % (1 << LEAF_SHIFT);
    Some(Slot { node, index })
}

/// Finds the leaf of the byte at `offset`, which is below the end, or makes it, and has the dataspace
/// remember it. `false` when there is no memory: nodes made stay.
#[cold]
#[inline(never)]
pub(super) fn seek<S: Store>(mem: &mut S, ds: Ref<Ds>, offset: u64) -> bool {
    let group = offset >> (PAGE_SHIFT + GROUP_SHIFT);
    let it = mem.arena().get(ds);
    let (root, account) = (it.root as u32, it.account);
    let mut shift = i32::from(it.root_shift);
    if it.depth == 0 {
        // The word in the object itself is the whole leaf; it lies where a reference can name it.
        const { assert!(core::mem::offset_of!(Ds, root) == 16) };
        remember(mem.arena_mut(), ds, ds.raw() + 1, group);
        return true;
    }
    let Some(mut node) = Ref::from_raw(root) else {
        return seek_making(mem, ds, group);
    };
    while shift >= 0 {
        let index = (group >> shift) as usize % (1 << NODE_SHIFT);
        node = match child(mem.arena(), node, index) {
            Some(below) => below,
            // What is made most: a leaf below a node that is there.
            None if shift < NODE_SHIFT as i32 => {
                let made = account
                    .ok_or(NoMemory)
                    .and_then(|account| slabs::take_sized::<{ LEAF_WORDS * 8 }, S>(mem, account));
                let Ok(made) = made else {
                    return false;
                };
                mem.arena_mut().clear_words(made, LEAF_WORDS);
                set_child(mem.arena_mut(), node, index, Some(made));
                made
            }
            None => return seek_making(mem, ds, group),
        };
        shift -= NODE_SHIFT as i32;
    }
    remember(mem.arena_mut(), ds, node.raw(), group);
    true
}

/// The same when more nodes than a leaf are to be made.
#[cold]
#[inline(never)]
fn seek_making<S: Store>(mem: &mut S, ds: Ref<Ds>, group: u64) -> bool {
    let slot = ensure(mem, ds, group);
    if let Ok(slot) = slot {
        remember(mem.arena_mut(), ds, slot.node.raw(), group);
    }
    slot.is_ok()
}

#[inline(always)]
fn remember(arena: &mut Arena, ds: Ref<Ds>, leaf: u32, group: u64) {
    let it = arena.get_mut(ds);
    it.leaf = leaf;
    it.leaf_number = (group >> LEAF_SHIFT) as u32;
}

/// Whether the page before or behind `page` is there, which lies at its group's border and of whose group
/// there is nothing. `None` when it takes more to find out.
#[cold]
#[inline(never)]
pub(super) fn beside(arena: &Arena, ds: Ref<Ds>, page: u64) -> Option<bool> {
    let it = arena.get(ds);
    let index = (page >> GROUP_SHIFT) as usize % LEAF_WORDS;
    let (index, n) = match page % GROUP {
        0 => (index.checked_sub(1)?, GROUP - 1),
        _ if index + 1 < LEAF_WORDS && page + 1 < it.page_count() => (index + 1, 0),
        _ => return None,
    };
    let word = arena.word_at(it.leaf, index);
    Some(match Group::from_word(word) {
        Group::Empty => false,
        Group::Run { used, .. } => used >> n & 1 != 0,
        Group::Table(table) => arena.get(table)[n as usize] != 0,
    })
}

/// The word at a slot.
#[inline(always)]
pub(super) fn load(arena: &Arena, slot: Slot) -> u64 {
    arena.word(slot.node, slot.index)
}

/// Sets the word at a slot.
#[inline(always)]
pub(super) fn store(arena: &mut Arena, slot: Slot, word: u64) {
    arena.set_word(slot.node, slot.index, word);
}

/// The same as [`find`]; makes the nodes that are not there. Nodes made stay when it fails.
pub(super) fn ensure<S: Store>(mem: &mut S, ds: Ref<Ds>, group: u64) -> Result<Slot, NoMemory> {
    let it = *mem.arena().get(ds);
    let account = it.account.ok_or(NoMemory)?;
    let mut depth = u32::from(it.depth);
    if depth == 0 {
        return Ok(Slot::root(ds));
    }
    let mut node: Node = match Ref::from_raw(it.root as u32) {
        Some(root) => root,
        None => {
            let groups = it.page_count().div_ceil(1 << GROUP_SHIFT);
            let entries = groups.div_ceil(reach(depth - 1)) as usize;
            let root = new_node(
                mem,
                account,
                if depth == 1 {
                    entries
                } else {
                    entries.div_ceil(2)
                },
            )?;
            mem.arena_mut().get_mut(ds).root = u64::from(root.raw());
            root
        }
    };
    while depth > 1 {
        let index = index_at(group, depth);
        node = match child(mem.arena(), node, index) {
            Some(next) => next,
            None => {
                let next = new_node(mem, account, 1 << LEAF_SHIFT)?;
                set_child(mem.arena_mut(), node, index, Some(next));
                next
            }
        };
        depth -= 1;
    }
    let index = index_at(group, 1);
    Ok(Slot { node, index })
}

fn new_node<S: Store>(
    mem: &mut S,
    account: Ref<crate::engine::quota::Account>,
    words: usize,
) -> Result<Node, NoMemory> {
    let node = slabs::take(mem, account, words * 8)?;
    mem.arena_mut().clear_words(node, words);
    Ok(node)
}

/// Answer of [`next_used`].
pub(super) enum Found {
    /// This one.
    Group(u64, Slot),
    /// None so far; go on here.
    GoOn(u64),
    /// There is none.
    End,
}

/// Words that going down the tree counts for.
const WALK: u32 = 8;

/// The first group at or after `from` whose word is not 0, looking at about `words` words, which is less so many
/// afterwards. Parts of the tree that are not there cost [`WALK`].
pub(super) fn next_used(arena: &Arena, ds: Ref<Ds>, mut from: u64, words: &mut u32) -> Found {
    let it = arena.get(ds);
    let end = it.page_count().div_ceil(1 << GROUP_SHIFT);
    while from < end {
        if *words == 0 {
            return Found::GoOn(from);
        }
        *words = words.saturating_sub(WALK);
        let Some(first) = find(arena, ds, from) else {
            let depth = gap(arena, ds, from).unwrap_or(1);
            from = (from | (reach(depth) - 1)) + 1;
            continue;
        };
        // The rest of this leaf; in a dataspace without a tree, the word is alone.
        let leaf = (LEAF_WORDS - first.index % LEAF_WORDS) as u64;
        let here = leaf.min(end - from);
        for n in 0..here {
            let slot = Slot {
                index: first.index + n as usize,
                ..first
            };
            if load(arena, slot) != 0 {
                return Found::Group(from + n, slot);
            }
            *words = words.saturating_sub(1);
        }
        from += here;
    }
    Found::End
}

/// Height of the subtree around `group` that is not there; `None` when its leaf is.
fn gap(arena: &Arena, ds: Ref<Ds>, group: u64) -> Option<u32> {
    let it = arena.get(ds);
    let mut depth = u32::from(it.depth);
    if depth == 0 {
        return None;
    }
    let Some(mut node) = Ref::from_raw(it.root as u32) else {
        return Some(depth);
    };
    while depth > 1 {
        match child(arena, node, index_at(group, depth)) {
            Some(next) => node = next,
            None => return Some(depth - 1),
        }
        depth -= 1;
    }
    None
}

/// Frees one node whose children are gone; the words in leaves must be 0. `false` when none is
/// left. `from` is where to look, 0 at first. `words` is less what it looked at, in the terms of [`next_used`].
pub(super) fn free_node<S: Store>(
    mem: &mut S,
    ds: Ref<Ds>,
    from: &mut u64,
    words: &mut u32,
) -> bool {
    let it = *mem.arena().get(ds);
    let depth = u32::from(it.depth);
    let Some(root) = Ref::<[u64; 0]>::from_raw(it.root as u32).filter(|_| depth > 0) else {
        return false;
    };
    let groups = it.page_count().div_ceil(1 << GROUP_SHIFT);
    let (mut node, mut at, mut parent) = (root, depth, None);
    *words = words.saturating_sub(2 * WALK);
    while at > 1 {
        // The children's indices only rise: `from` never goes back within a node.
        let first = index_at(*from, at);
        let last = if at == depth {
            groups.div_ceil(reach(at - 1)) as usize
        } else {
            1 << NODE_SHIFT
        };
        let index = (first..last).find(|i| child(mem.arena(), node, *i).is_some());
        *words = words.saturating_sub((index.unwrap_or(last) - first) as u32);
        let Some(index) = index else {
            break;
        };
        if index != first {
            let unit = reach(at - 1);
            let above = if at == depth {
                0
            } else {
                *from & !(reach(at) - 1)
            };
            *from = above + index as u64 * unit;
        }
        let Some(next) = child(mem.arena(), node, index) else {
            break;
        };
        parent = Some((node, index));
        node = next;
        at -= 1;
    }
    match parent {
        Some((above, index)) => {
            set_child(mem.arena_mut(), above, index, None);
            // An inner node was the last of its subtree only if nothing of it is left.
            *from &= !(reach(at) - 1);
        }
        None => mem.arena_mut().get_mut(ds).root = 0,
    }
    slabs::free(mem, node);
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depths() {
        let pages = |bytes: u64| bytes / 4096;
        assert_eq!(depth_for(1), Some(0));
        assert_eq!(depth_for(16), Some(0));
        assert_eq!(depth_for(17), Some(1));
        assert_eq!(depth_for(pages(4 << 20)), Some(1));
        assert_eq!(depth_for(pages(4 << 20) + 1), Some(2));
        assert_eq!(depth_for(pages(512 << 20)), Some(2));
        assert_eq!(depth_for(pages(64 << 30)), Some(3));
        assert_eq!(depth_for(pages(8 << 40)), Some(4));
        assert_eq!(depth_for(pages(8 << 40) + 1), None);
        assert_eq!(depth_for(u64::MAX >> 12), None);
    }
}
