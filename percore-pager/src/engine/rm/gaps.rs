//! The gaps between the ranges of a tree.
//!
//! Each node has the size of the gap in front of it and the largest of its subtree, in pages and rounded up, so
//! that both fit a word. A gap of so many bytes has at least so many pages; whether it really has room is for who looks
//! at it to find out.

use l4_sys::{PAGE_SHIFT, PAGE_SIZE};

use crate::engine::arena::{Arena, Ref};

use super::tree::{Link, Root, next};

/// Pages of `bytes` bytes, or the largest number.
pub(super) fn pages(bytes: u64) -> u32 {
    let pages = (bytes >> PAGE_SHIFT) + u64::from(bytes & (PAGE_SIZE - 1) != 0);
    u32::try_from(pages).unwrap_or(u32::MAX)
}

/// The gap in front of `start` and behind `before`, or behind the address 0.
pub(super) fn between(arena: &Arena, before: Root, start: u64) -> u32 {
    match before {
        Some(before) => pages(
            start
                .saturating_sub(arena.get(before).end)
                .saturating_sub(1),
        ),
        None => pages(start),
    }
}

/// Says anew what is free in front of `node`, which follows `before`; [`lift`] is still to be called.
pub(super) fn set_front(arena: &mut Arena, node: Root, before: Root) {
    if let Some(node) = node {
        let front = between(arena, before, arena.get(node).start);
        arena.get_mut(node).front = front;
    }
}

/// The largest gap in the subtree of a node.
pub(super) fn most(arena: &Arena, link: &Link) -> u32 {
    let below = |child: Root| child.map_or(0, |child| arena.get(child).room);
    link.front.max(below(link.left)).max(below(link.right))
}

/// Puts the largest gaps right from `from` upwards.
pub(super) fn lift(arena: &mut Arena, from: Root) {
    let mut at = from;
    while let Some(node) = at {
        let link = arena.get(node);
        let (room, parent) = (most(arena, link), link.parent);
        if link.room == room {
            return;
        }
        arena.get_mut(node).room = room;
        at = parent;
    }
}

/// A node of the tree has begun or ended elsewhere since its gaps were known, between the same neighbours.
pub(super) fn moved(arena: &mut Arena, node: Ref<Link>) {
    let (before, behind) = (before(arena, node), next(arena, node));
    set_front(arena, Some(node), before);
    lift(arena, Some(node));
    set_front(arena, behind, Some(node));
    lift(arena, behind);
}

/// The node before in order.
pub(super) fn before(arena: &Arena, node: Ref<Link>) -> Root {
    let link = arena.get(node);
    if let Some(left) = link.left {
        return Some(last(arena, left));
    }
    let mut child = node;
    let mut parent = link.parent;
    while let Some(above) = parent {
        if arena.get(above).right == Some(child) {
            return parent;
        }
        child = above;
        parent = arena.get(above).parent;
    }
    None
}

fn last(arena: &Arena, root: Ref<Link>) -> Ref<Link> {
    let mut at = root;
    while let Some(right) = arena.get(at).right {
        at = right;
    }
    at
}

/// The first address behind `node` where a gap of `size` bytes may begin: in front of another node or behind the
/// last one. `None` at the end of all addresses. Takes as many steps as the tree is high.
pub(super) fn behind(arena: &Arena, root: Root, node: Ref<Link>, size: u64) -> Option<u64> {
    let wide = |link: &Link, need: u32| link.front >= need;
    let need = pages(size);
    let has = |root: Root| root.filter(|root| arena.get(*root).room >= need);
    // Upwards, until there is such a gap in what follows.
    let mut from = node;
    let mut found = has(arena.get(node).right);
    while found.is_none() {
        let Some(above) = arena.get(from).parent else {
            let end = arena.get(last(arena, root?)).end;
            return end.checked_add(1);
        };
        let link = arena.get(above);
        if link.left == Some(from) {
            if wide(link, need) {
                return in_front(arena, above);
            }
            found = has(link.right);
        }
        from = above;
    }
    // Downwards to the first one.
    let mut at = found?;
    loop {
        let link = arena.get(at);
        if let Some(left) = has(link.left) {
            at = left;
        } else if wide(link, need) {
            return in_front(arena, at);
        } else {
            at = link.right?;
        }
    }
}

/// Where the gap in front of a node begins.
fn in_front(arena: &Arena, node: Ref<Link>) -> Option<u64> {
    match before(arena, node) {
        Some(before) => arena.get(before).end.checked_add(1),
        None => Some(0),
    }
}
