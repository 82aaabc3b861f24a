//! Rescue jumps: where a program goes on when one of its instructions faults for good.

use l4_sys::Errno;

use crate::engine::arena::{Arena, Ref, Store};

use super::map::{self, Map};
use super::range::Range;
use super::region::Jump;
use super::tree::{self, Link, Root};

/// Registers `target` for the instructions from `begin` up to `end`, exclusive.
///
/// # Errors
///
/// `Inval` an empty range, `Exist` it overlaps another, `NoMem`.
pub fn add_jump<S: Store>(
    store: &mut S,
    map: Ref<Map>,
    begin: u64,
    end: u64,
    target: u64,
) -> Result<(), Errno> {
    let last = end.checked_sub(1).ok_or(Errno::Inval)?;
    let range = Range::new(begin, last).ok_or(Errno::Inval)?;
    let arena = store.arena();
    if tree::touching(arena, arena.get(map).jumps, range).is_some() {
        return Err(Errno::Exist);
    }
    let jump = Jump {
        link: Link::new(range),
        target,
    };
    let node = map::put(store, map, jump)?;
    let arena = store.arena_mut();
    let root = tree::insert(arena, arena.get(map).jumps, node.cast());
    arena.get_mut(map).jumps = root;
    Ok(())
}

/// Removes the jump whose range `pc` is in.
///
/// # Errors
///
/// `NoEnt`.
pub fn remove_jump<S: Store>(store: &mut S, map: Ref<Map>, pc: u64) -> Result<(), Errno> {
    let arena = store.arena_mut();
    let node = find(arena, map, pc).ok_or(Errno::NoEnt)?;
    let root = tree::remove(arena, arena.get(map).jumps, node);
    arena.get_mut(map).jumps = root;
    map::drop_node(store, map, node);
    Ok(())
}

/// Where a thread goes on that cannot go on at `pc`. A target of 0 counts as none, as upstream's.
pub fn jump_for(arena: &Arena, map: Ref<Map>, pc: u64) -> Option<u64> {
    let node = find(arena, map, pc)?;
    Some(arena.get(node.cast::<Jump>()).target).filter(|target| *target != 0)
}

fn find(arena: &Arena, map: Ref<Map>, pc: u64) -> Root {
    let root = arena.get(map).jumps;
    tree::first_from(arena, root, pc).filter(|node| arena.get(*node).start <= pc)
}
