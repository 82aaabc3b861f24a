//! Balanced trees of disjoint ranges: AVL, with references instead of pointers.
//!
//! A node begins with a [`Link`]; the tree knows nothing of what follows it. Roots are values that
//! the caller keeps. Nodes carry their height and their parent, so that nothing is recursive and
//! a change stops at the first node whose height stays.
//!
//! A node also knows how much is free in front of it, and the most that is free in front of any node of its subtree
//! (`gaps.rs`), so that free space is found without looking at each range.
//!
//! Invariants, checked by [`check`]: ranges rise from left to right and are disjoint; the heights of
//! two siblings differ by at most 1; parents, heights and gaps are right.

use crate::engine::arena::{Arena, Pod, Ref};

use super::gaps;
use super::range::Range;

/// The part of a node that the tree uses; the node's first field.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(super) struct Link {
    pub(super) start: u64,
    /// Inclusive.
    pub(super) end: u64,
    pub(super) left: Root,
    pub(super) right: Root,
    pub(super) parent: Root,
    height: u32,
    /// Pages that are free between the range before and this one, those that are free in part included.
    pub(super) front: u32,
    /// The largest `front` in the subtree.
    pub(super) room: u32,
}

// SAFETY: numbers and optional references; every pattern is valid.
unsafe impl Pod for Link {}

/// A tree, or a subtree.
pub(super) type Root = Option<Ref<Link>>;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Left,
    Right,
}

impl Side {
    fn other(self) -> Side {
        match self {
            Side::Left => Side::Right,
            Side::Right => Side::Left,
        }
    }
}

impl Link {
    pub(super) const fn new(range: Range) -> Self {
        Link {
            start: range.start(),
            end: range.end(),
            left: None,
            right: None,
            parent: None,
            height: 1,
            front: 0,
            room: 0,
        }
    }

    /// Its range.
    #[inline]
    pub(super) fn range(&self) -> Range {
        // A node's start is never above its end; were it, the range is its start alone.
        Range::new(self.start, self.end.max(self.start)).unwrap_or(FIRST)
    }

    fn child(&self, side: Side) -> Root {
        match side {
            Side::Left => self.left,
            Side::Right => self.right,
        }
    }

    fn set_child(&mut self, side: Side, child: Root) {
        match side {
            Side::Left => self.left = child,
            Side::Right => self.right = child,
        }
    }
}

const FIRST: Range = match Range::new(0, 0) {
    Some(range) => range,
    None => unreachable!(),
};

/// The lowest range that ends at or above `address`.
#[inline]
pub(super) fn first_from(arena: &Arena, root: Root, address: u64) -> Root {
    let mut best = None;
    let mut at = root;
    while let Some(node) = at {
        let link = arena.get(node);
        if link.end < address {
            at = link.right;
        } else {
            best = at;
            if link.start <= address {
                break;
            }
            at = link.left;
        }
    }
    best
}

/// The lowest range that has an address in common with `range`.
pub(super) fn touching(arena: &Arena, root: Root, range: Range) -> Root {
    first_from(arena, root, range.start()).filter(|n| arena.get(*n).start <= range.end())
}

/// Puts in a node that touches no range of the tree; gives the new root.
pub(super) fn insert(arena: &mut Arena, root: Root, node: Ref<Link>) -> Root {
    let start = arena.get(node).start;
    let mut parent = None;
    let (mut before, mut behind) = (None, None);
    let mut side = Side::Left;
    let mut at = root;
    while let Some(above) = at {
        let link = arena.get(above);
        parent = at;
        if start < link.start {
            (side, behind) = (Side::Left, at);
        } else {
            (side, before) = (Side::Right, at);
        }
        at = link.child(side);
    }
    let front = gaps::between(arena, before, start);
    let link = arena.get_mut(node);
    link.left = None;
    link.right = None;
    link.height = 1;
    link.parent = parent;
    (link.front, link.room) = (front, front);
    let Some(above) = parent else {
        return Some(node);
    };
    arena.get_mut(above).set_child(side, Some(node));
    gaps::set_front(arena, behind, Some(node));
    let root = rebalance(arena, root, parent);
    gaps::lift(arena, behind);
    root
}

/// Takes out a node of the tree; gives the new root.
pub(super) fn remove(arena: &mut Arena, root: Root, node: Ref<Link>) -> Root {
    let old = *arena.get(node);
    let behind = next(arena, node);
    let before = gaps::before(arena, node);
    gaps::set_front(arena, behind, before);
    let root = take_out(arena, root, node, old);
    gaps::lift(arena, behind);
    root
}

fn take_out(arena: &mut Arena, root: Root, node: Ref<Link>, old: Link) -> Root {
    let (Some(left), Some(right)) = (old.left, old.right) else {
        let child = old.left.or(old.right);
        let root = replace(arena, root, node, child);
        return rebalance(arena, root, old.parent);
    };
    // The next node in order takes its place.
    let mut heir = right;
    while let Some(lower) = arena.get(heir).left {
        heir = lower;
    }
    let mut from = heir;
    if heir != right {
        let Link {
            parent,
            right: rest,
            ..
        } = *arena.get(heir);
        from = parent.unwrap_or(right);
        arena.get_mut(from).left = rest;
        adopt(arena, rest, Some(from));
        arena.get_mut(heir).right = Some(right);
        adopt(arena, Some(right), Some(heir));
    }
    let link = arena.get_mut(heir);
    link.left = Some(left);
    // As those above know it, so that the change is seen.
    (link.height, link.room) = (old.height, old.room);
    adopt(arena, Some(left), Some(heir));
    let root = replace(arena, root, node, Some(heir));
    rebalance(arena, root, Some(from))
}

/// Takes out some node without keeping the balance: for trees that are being taken down.
pub(super) fn take_leaf(arena: &mut Arena, root: &mut Root) -> Root {
    let mut at = (*root)?;
    while let Some(below) = arena.get(at).left.or(arena.get(at).right) {
        at = below;
    }
    *root = replace(arena, *root, at, None);
    Some(at)
}

fn adopt(arena: &mut Arena, child: Root, parent: Root) {
    if let Some(child) = child {
        arena.get_mut(child).parent = parent;
    }
}

/// Hangs `by` where `node` is.
fn replace(arena: &mut Arena, root: Root, node: Ref<Link>, by: Root) -> Root {
    let parent = arena.get(node).parent;
    adopt(arena, by, parent);
    let Some(above) = parent else { return by };
    let link = arena.get_mut(above);
    let side = if link.left == Some(node) {
        Side::Left
    } else {
        Side::Right
    };
    link.set_child(side, by);
    root
}

fn height(arena: &Arena, at: Root) -> u32 {
    at.map_or(0, |node| arena.get(node).height)
}

fn measure(arena: &mut Arena, node: Ref<Link>) {
    let link = arena.get(node);
    let height = 1 + height(arena, link.left).max(height(arena, link.right));
    let room = gaps::most(arena, link);
    let link = arena.get_mut(node);
    (link.height, link.room) = (height, room);
}

/// Moves the child on the other side of `node` above it, so that `node` goes down to `side`.
fn rotate(arena: &mut Arena, root: Root, node: Ref<Link>, side: Side) -> (Root, Ref<Link>) {
    let Some(up) = arena.get(node).child(side.other()) else {
        return (root, node);
    };
    let middle = arena.get(up).child(side);
    let root = replace(arena, root, node, Some(up));
    arena.get_mut(node).set_child(side.other(), middle);
    adopt(arena, middle, Some(node));
    arena.get_mut(up).set_child(side, Some(node));
    adopt(arena, Some(node), Some(up));
    measure(arena, node);
    measure(arena, up);
    (root, up)
}

/// Puts heights, gaps and balance right from `from` upwards.
fn rebalance(arena: &mut Arena, mut root: Root, from: Root) -> Root {
    let mut at = from;
    while let Some(node) = at {
        let Link {
            left,
            right,
            height: before,
            room,
            ..
        } = *arena.get(node);
        let (l, r) = (height(arena, left), height(arena, right));
        let mut top = node;
        if l > r + 1 || r > l + 1 {
            let (tall, side) = if l > r {
                (left, Side::Left)
            } else {
                (right, Side::Right)
            };
            if let Some(tall) = tall {
                let link = arena.get(tall);
                let inner = height(arena, link.child(side.other()));
                if inner > height(arena, link.child(side)) {
                    (root, _) = rotate(arena, root, tall, side);
                }
            }
            (root, top) = rotate(arena, root, node, side.other());
        } else {
            measure(arena, node);
        }
        let link = arena.get(top);
        if (link.height, link.room) == (before, room) {
            return root;
        }
        at = link.parent;
    }
    root
}

/// Recomputes everything; the number of nodes, or `None` when an invariant is broken.
pub(super) fn check(arena: &Arena, root: Root) -> Option<u32> {
    if root.is_some_and(|r| arena.get(r).parent.is_some()) {
        return None;
    }
    let mut count = 0;
    let mut below: Option<u64> = None;
    let mut at = root;
    while let Some(left) = at.and_then(|n| arena.get(n).left) {
        at = Some(left);
    }
    while let Some(node) = at {
        let link = arena.get(node);
        let (l, r) = (height(arena, link.left), height(arena, link.right));
        let children = [link.left, link.right];
        let mut known = children.iter().flatten();
        let sound = known.all(|c| arena.get(*c).parent == at)
            && link.height == 1 + l.max(r)
            && l.abs_diff(r) <= 1
            && link.start <= link.end
            && below.is_none_or(|end| end < link.start)
            && link.front == gaps::pages(link.start - below.map_or(0, |end| end + 1))
            && link.room == gaps::most(arena, link);
        if !sound {
            return None;
        }
        count += 1;
        below = Some(link.end);
        at = next(arena, node);
    }
    Some(count)
}

/// The next node in order.
pub(super) fn next(arena: &Arena, node: Ref<Link>) -> Root {
    let link = arena.get(node);
    if let Some(mut at) = link.right {
        while let Some(left) = arena.get(at).left {
            at = left;
        }
        return Some(at);
    }
    let mut child = node;
    let mut parent = link.parent;
    while let Some(above) = parent {
        if arena.get(above).left == Some(child) {
            return parent;
        }
        child = above;
        parent = arena.get(above).parent;
    }
    None
}
