//! The shape of a tree: nodes split, merge and share, and the height follows.
//!
//! Invariants between calls:
//! - the leaves list runs in address order; the first starts at 0, each next one at the byte behind
//!   the last, neighbours differ in state;
//! - the key of an inner entry is the first key below it, its order bytes are the maxima below it;
//! - every node but the root and sole children has at least `MIN` entries;
//! - the height never falls below [`MIN_HEIGHT`], so that a request costs the same with ten runs and
//!   with ten thousand. That costs two nearly empty nodes per small tree, 1 KiB each.
//!
//! Nothing here fails half-way: [`Tree::split`] asks for its nodes first, everything else only frees.

use super::arena::{Arena, NodeId};
use super::node::{CAP, Entry, MERGE_MAX, MIN, Node, Pool};
use super::path::Path;

/// Height of a tree with few runs.
pub(super) const MIN_HEIGHT: usize = 3;
/// Height that no tree exceeds; more than 1.3 million runs fit at the worst, 10 million in random use.
/// A change that would need more is refused for want of nodes.
pub(super) const MAX_HEIGHT: usize = 5;

/// One tree over the addresses 0 ..= 2^64 - 1.
pub(super) struct Tree {
    pub(super) root: NodeId,
    height: usize,
    /// Runs, absent ones included.
    pub(super) runs: u32,
    /// Nodes in use.
    pub(super) nodes: u32,
}

impl Tree {
    /// One absent run over everything. `None` if fewer than [`MIN_HEIGHT`] nodes are free.
    pub(super) fn new(a: &mut Arena) -> Option<Tree> {
        if (a.free_nodes() as usize) < MIN_HEIGHT {
            return None;
        }
        let mut id = a.alloc(true)?;
        a.node_mut(id).insert(
            0,
            Entry {
                key: 0,
                val: 0,
                ord: [0; 2],
            },
        );
        for _ in 1..MIN_HEIGHT {
            let up = a.alloc(false)?;
            a.node_mut(up).insert(
                0,
                Entry {
                    key: 0,
                    val: id.to_val(),
                    ord: [0; 2],
                },
            );
            id = up;
        }
        Some(Tree {
            root: id,
            height: MIN_HEIGHT,
            runs: 1,
            nodes: MIN_HEIGHT as u32,
        })
    }

    /// Nodes that one change may need: a split on each level and a new root.
    pub(super) fn worst(&self) -> u32 {
        self.height() as u32 + 1
    }

    /// Levels, the leaves included.
    #[inline(always)]
    pub(super) fn height(&self) -> usize {
        // SAFETY: the field is private to this file, starts as MIN_HEIGHT and is changed only in
        // `grow_root` (below MAX_HEIGHT) and `settle` (above MIN_HEIGHT).
        unsafe { core::hint::assert_unchecked(self.height >= MIN_HEIGHT) };
        // SAFETY: as above.
        unsafe { core::hint::assert_unchecked(self.height <= MAX_HEIGHT) };
        self.height
    }

    /// Whether two more splits of the root's children are possible at all.
    pub(super) fn may_grow(&self, a: &Arena) -> bool {
        self.height() < MAX_HEIGHT || a.node(self.root).count() + 2 <= CAP
    }

    /// Splits the highest full node above and including the leaf that holds `addr`; repeat until
    /// the leaf has room for two more runs. The caller has made sure of [`Tree::worst`] free nodes
    /// for the whole repetition. False if there was none after all, and nothing has changed.
    #[inline(never)]
    pub(super) fn split(&mut self, a: &mut Arena, addr: u64) -> bool {
        let p = self.find(a, addr);
        let mut l = 0;
        while l + 1 < self.height() && a.node(p.id(l + 1)).count() == CAP {
            l += 1;
        }
        let id = p.id(l);
        if l + 1 == self.height {
            return self.grow_root(a, id);
        }
        let up = p.id(l + 1);
        let at = p.slot(l + 1);
        let Some(new) = a.alloc(l == 0) else {
            return false;
        };
        self.nodes += 1;
        let Some((left, right)) = a.pair_mut(id, new) else {
            return false;
        };
        let keep = left.count() / 2;
        Node::share(left, right, keep);
        let upper = summary(right, new);
        let lower = summary(left, id);
        let parent = a.node_mut(up);
        parent.put(at, lower);
        parent.insert(at + 1, upper)
    }

    /// Puts a new root above the full root `id`.
    fn grow_root(&mut self, a: &mut Arena, id: NodeId) -> bool {
        if self.height == MAX_HEIGHT {
            return false;
        }
        let Some(new) = a.alloc(false) else {
            return false;
        };
        let e = summary(a.node(id), id);
        a.node_mut(new).insert(0, e);
        self.root = new;
        self.height += 1;
        self.nodes += 1;
        true
    }

    /// Removes the entry at `p`; the run before it (there must be one) grows over its addresses,
    /// and the caller refreshes that run.
    #[inline(never)]
    pub(super) fn remove(&mut self, a: &mut Arena, p: &Path) {
        let leaf = a.node_mut(p.id(0));
        let i = p.slot(0);
        let gone = leaf.entry(i);
        leaf.remove(i);
        let first = leaf.key(0);
        self.runs -= 1;
        if i == 0 {
            self.set_start(a, p, first);
        }
        for pool in [Pool::Plain, Pool::Kept] {
            let before = gone.ord[pool as usize];
            if before != 0 {
                self.lift(a, p, pool, before, 0);
            }
        }
        self.settle(a, p);
    }

    /// Merges or shares nodes on `p` that have become too empty, from the leaf up.
    #[inline(never)]
    pub(super) fn settle(&mut self, a: &mut Arena, p: &Path) {
        let mut l = 0;
        while l + 1 < self.height() && a.node(p.id(l)).count() < MIN {
            let up = p.id(l + 1);
            let n = a.node(up).count();
            if n < 2 {
                break;
            }
            // The neighbour on the right, or for the last child the one on the left.
            let at = if p.slot(l + 1) + 1 < n {
                p.slot(l + 1)
            } else {
                n - 2
            };
            let left_id = a.node(up).child(at);
            let right_id = a.node(up).child(at + 1);
            let Some((left, right)) = a.pair_mut(left_id, right_id) else {
                return;
            };
            let sum = left.count() + right.count();
            let keep = if sum <= MERGE_MAX { sum } else { sum / 2 };
            Node::share(left, right, keep);
            let lower = summary(left, left_id);
            let upper = summary(right, right_id);
            a.node_mut(up).put(at, lower);
            if keep == sum {
                a.node_mut(up).remove(at + 1);
                a.free(right_id);
                self.nodes -= 1;
            } else {
                a.node_mut(up).put(at + 1, upper);
            }
            l += 1;
        }
        while self.height > MIN_HEIGHT && a.node(self.root).count() == 1 {
            let old = self.root;
            self.root = a.node(old).child(0);
            self.height -= 1;
            self.nodes -= 1;
            a.free(old);
        }
    }
}

/// The entry that stands for `n` in its parent.
#[inline(never)]
pub(super) fn summary(n: &Node, id: NodeId) -> Entry {
    Entry {
        key: n.key(0),
        val: id.to_val(),
        ord: [n.max_ord(Pool::Plain), n.max_ord(Pool::Kept)],
    }
}
