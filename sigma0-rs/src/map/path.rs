//! Finding places in a tree: by address, by neighbour, and by size of free block.
//!
//! A [`Path`] remembers the node and slot at each level, leaf first. It holds as long as no entry is
//! inserted, removed or moved in the tree; a change of a state, key or order byte does not hurt it.

use super::arena::{Arena, NodeId};
use super::node::{CAP, Pool};
use super::orders::order_byte;
use super::tree::{MAX_HEIGHT, Tree};
use super::types::State;

/// One position in a leaf, with the way down to it. Level 0 is the leaf.
#[derive(Clone, Copy)]
pub(super) struct Path([At; MAX_HEIGHT]);

#[derive(Clone, Copy)]
struct At {
    id: NodeId,
    slot: u32,
}

/// The run at a position: first and last address and state.
#[derive(Clone, Copy)]
pub(super) struct Span {
    pub lo: u64,
    pub hi: u64,
    pub state: State,
}

impl Path {
    const NEW: Path = Path(
        [At {
            id: NodeId::FIRST,
            slot: 0,
        }; MAX_HEIGHT],
    );

    #[inline(always)]
    pub(super) fn id(&self, level: usize) -> NodeId {
        // Levels are below the height, which never exceeds MAX_HEIGHT; the leaf is a harmless answer.
        self.0[if level < MAX_HEIGHT { level } else { 0 }].id
    }

    #[inline(always)]
    pub(super) fn slot(&self, level: usize) -> usize {
        let slot = self.0[if level < MAX_HEIGHT { level } else { 0 }].slot as usize;
        // SAFETY: slots come from `find`, `first_ge` (both below CAP, see there), from counts minus
        // one, or from `in_leaf`, which cuts them off.
        unsafe { core::hint::assert_unchecked(slot < CAP) };
        slot
    }

    /// The same way, but to another slot of the leaf.
    #[inline(always)]
    pub(super) fn in_leaf(&self, slot: usize) -> Path {
        let mut q = *self;
        q.0[0].slot = slot.min(CAP - 1) as u32;
        q
    }

    #[inline(always)]
    fn set(&mut self, level: usize, id: NodeId, slot: usize) {
        if level < MAX_HEIGHT {
            self.0[level] = At {
                id,
                slot: slot as u32,
            };
        }
    }
}

impl Tree {
    /// The run that holds `addr`. There always is one.
    #[inline(never)]
    pub(super) fn find(&self, a: &Arena, addr: u64) -> Path {
        self.find_inline(a, addr)
    }

    /// [`Tree::find`] for the request that has to be fastest: some 600 bytes of code.
    #[inline(always)]
    pub(super) fn find_inline(&self, a: &Arena, addr: u64) -> Path {
        if addr == u64::MAX {
            return self.find_last(a);
        }
        let mut p = Path::NEW;
        let mut id = self.root;
        let mut l = self.height();
        loop {
            l -= 1;
            let n = a.node(id);
            let i = n.find(addr);
            p.0[l] = At { id, slot: i as u32 };
            if l == 0 {
                return p;
            }
            id = n.child(i);
        }
    }

    /// The last run.
    #[inline(never)]
    pub(super) fn find_last(&self, a: &Arena) -> Path {
        let mut p = Path::NEW;
        let top = self.height() - 1;
        p.set(top, self.root, a.node(self.root).find_last());
        self.descend(a, &mut p, top, |n| n.find_last());
        p
    }

    /// The run at `p`.
    #[inline(always)]
    pub(super) fn span(&self, a: &Arena, p: &Path) -> Span {
        let n = a.node(p.id(0));
        let i = p.slot(0);
        let hi = if i + 1 < n.count() {
            n.key(i + 1).wrapping_sub(1)
        } else {
            self.upper(a, p)
        };
        Span {
            lo: n.key(i),
            hi,
            state: n.state(i),
        }
    }

    /// Last address of the leaf at `p`.
    #[inline(never)]
    fn upper(&self, a: &Arena, p: &Path) -> u64 {
        for l in 1..self.height() {
            let n = a.node(p.id(l));
            let i = p.slot(l) + 1;
            if i < n.count() {
                return n.key(i).wrapping_sub(1);
            }
        }
        u64::MAX
    }

    /// The run behind `p`.
    #[inline(never)]
    pub(super) fn next(&self, a: &Arena, p: &Path) -> Option<Path> {
        for l in 0..self.height() {
            let i = p.slot(l) + 1;
            if i < a.node(p.id(l)).count() {
                let mut q = *p;
                q.set(l, p.id(l), i);
                self.descend(a, &mut q, l, |_| 0);
                return Some(q);
            }
        }
        None
    }

    /// The run before `p`.
    #[inline(never)]
    pub(super) fn prev(&self, a: &Arena, p: &Path) -> Option<Path> {
        for l in 0..self.height() {
            let i = p.slot(l);
            if i > 0 {
                let mut q = *p;
                q.set(l, p.id(l), i - 1);
                self.descend(a, &mut q, l, |n| n.count().saturating_sub(1));
                return Some(q);
            }
        }
        None
    }

    /// From the slot that `q` has at level `from` down to a leaf; `pick` says which slot to take.
    #[inline(always)]
    fn descend(
        &self,
        a: &Arena,
        q: &mut Path,
        from: usize,
        pick: impl Fn(&super::node::Node) -> usize,
    ) {
        for l in (0..from).rev() {
            let id = a.node(q.id(l + 1)).child(q.slot(l + 1));
            q.set(l, id, pick(a.node(id)));
        }
    }

    /// The lowest run in `pool` whose order byte is at least `min`.
    #[inline]
    pub(super) fn seek_first(&self, a: &Arena, pool: Pool, min: u8) -> Option<Path> {
        let mut p = Path::NEW;
        let mut id = self.root;
        let mut l = self.height();
        loop {
            l -= 1;
            let n = a.node(id);
            let i = n.first_ge(pool, min, 0)?;
            p.0[l] = At { id, slot: i as u32 };
            if l == 0 {
                return Some(p);
            }
            id = n.child(i);
        }
    }

    /// The next run behind `p` in `pool` whose order byte is at least `min`.
    #[inline(never)]
    pub(super) fn seek_next(&self, a: &Arena, p: &Path, pool: Pool, min: u8) -> Option<Path> {
        for l in 0..self.height() {
            let n = a.node(p.id(l));
            if let Some(i) = n.first_ge(pool, min, p.slot(l) + 1) {
                let mut q = *p;
                q.set(l, p.id(l), i);
                self.descend(a, &mut q, l, |n| n.first_ge(pool, min, 0).unwrap_or(0));
                return Some(q);
            }
        }
        None
    }

    /// The last run before `p` in `pool` whose order byte is at least `min`.
    #[inline(never)]
    pub(super) fn seek_prev(&self, a: &Arena, p: &Path, pool: Pool, min: u8) -> Option<Path> {
        for l in 0..self.height() {
            let n = a.node(p.id(l));
            if let Some(i) = (0..p.slot(l)).rev().find(|&i| n.ord(i, pool) >= min) {
                let mut q = *p;
                q.set(l, p.id(l), i);
                self.descend(a, &mut q, l, |n| {
                    (0..n.count())
                        .rev()
                        .find(|&i| n.ord(i, pool) >= min)
                        .unwrap_or(0)
                });
                return Some(q);
            }
        }
        None
    }

    /// Gives the run at `p` a new first address, here and in the inner nodes above that repeat it.
    pub(super) fn set_start(&self, a: &mut Arena, p: &Path, key: u64) {
        for l in 0..self.height() {
            a.node_mut(p.id(l)).set_key(p.slot(l), key);
            if p.slot(l) != 0 {
                return;
            }
        }
    }

    /// Computes the order bytes of the run at `p` anew.
    pub(super) fn refresh(&self, a: &mut Arena, p: &Path) {
        let s = self.span(a, p);
        let new = bytes_of(s.state, s.lo, s.hi);
        for (pool, after) in [(Pool::Plain, new[0]), (Pool::Kept, new[1])] {
            let n = a.node_mut(p.id(0));
            let before = n.ord(p.slot(0), pool);
            if before != after {
                n.set_ord(p.slot(0), pool, after);
                self.lift(a, p, pool, before, after);
            }
        }
    }

    /// Order bytes of entries in the leaf at `p` changed in `pool`; the largest of them was `before`
    /// and is `after`. Brings the inner nodes above up to date, as far as they are touched by it.
    pub(super) fn lift(&self, a: &mut Arena, p: &Path, pool: Pool, mut before: u8, mut after: u8) {
        for l in 1..self.height() {
            let have = a.node(p.id(l)).ord(p.slot(l), pool);
            let new = if after >= have {
                after
            } else if before < have {
                return;
            } else {
                // The maximum may have gone. Mostly what came is the largest now, or another entry
                // has what went.
                let child = a.node(p.id(l - 1));
                if !child.any_ge(pool, after + 1) {
                    after
                } else if child.any_ge(pool, have) {
                    return;
                } else {
                    child.max_ord(pool)
                }
            };
            if new == have {
                return;
            }
            a.node_mut(p.id(l)).set_ord(p.slot(l), pool, new);
            before = have;
            after = new;
        }
    }
}

/// Order bytes (for [`Pool::Plain`], [`Pool::Kept`]) of a run.
#[inline(always)]
pub(super) fn bytes_of(state: State, lo: u64, hi: u64) -> [u8; 2] {
    if !state.is_free() {
        return [0, 0];
    }
    let o = order_byte(lo, hi);
    if state.is_reserved() { [0, o] } else { [o, 0] }
}
