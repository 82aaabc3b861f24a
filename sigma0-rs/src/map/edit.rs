//! Changing the state of a part of one run, with the merges that follow.
//!
//! The part becomes a run of its own, joined with a neighbour of equal state if it touches one; what
//! is left of the old run stays before and behind it. Inside a leaf no first key of the leaf changes,
//! so nothing above is touched but order bytes. Three shapes, commonest first: the run is cut into
//! two or three, a border between two runs moves, a run disappears into its neighbours.

use super::arena::Arena;
use super::node::{CAP, Entry, MIN, Pool};
use super::path::{Path, Span, bytes_of};
use super::tree::Tree;
use super::types::State;

impl Tree {
    /// Whether the leaf at `p` has room for every outcome of [`Tree::edit`].
    #[inline(always)]
    pub(super) fn has_room(&self, a: &Arena, p: &Path) -> bool {
        a.node(p.id(0)).count() + 2 <= CAP
    }

    /// Sets `s ..= e`, a part of the run `run` at `p`, to `new`, which differs from the old state.
    /// The leaf must have room ([`Tree::has_room`]). `p` does not hold afterwards.
    #[inline(always)]
    pub(super) fn edit(&mut self, a: &mut Arena, p: &Path, run: &Span, s: u64, e: u64, new: State) {
        let leaf = a.node(p.id(0));
        let i = p.slot(0);
        let at_start = s == run.lo;
        let at_end = e == run.hi;
        let at_edge =
            (at_start && i == 0 && s != 0) || (at_end && i + 1 == leaf.count() && e != u64::MAX);
        if at_edge && self.edit_at_edge(a, p, run, s, e, new) {
            return;
        }
        let leaf = a.node(p.id(0));
        let join_prev = at_start && i > 0 && leaf.state(i - 1) == new;
        let join_next = at_end && i + 1 < leaf.count() && leaf.state(i + 1) == new;
        if join_prev || join_next {
            if at_start && at_end {
                return self.merge(a, p, new);
            }
            // One neighbour joins and a rest stays: only the border between them moves.
            let (at, to) = if join_prev { (i, e + 1) } else { (i + 1, s) };
            return self.move_border(a, p, at, to, run);
        }
        self.cut(a, p, run, s, e, new);
    }

    /// [`Tree::edit`] without neighbours of equal state: the run falls into one to three.
    #[inline(always)]
    fn cut(&mut self, a: &mut Arena, p: &Path, run: &Span, s: u64, e: u64, new: State) {
        let leaf = a.node_mut(p.id(0));
        let mut at = p.slot(0);
        let old = run.state;
        let gone = leaf.ords(at);
        let mut come = bytes_of(new, s, e);
        let part = Entry {
            key: s,
            val: new.0,
            ord: come,
        };
        if e != run.hi {
            let ord = bytes_of(old, e + 1, run.hi);
            come = max(come, ord);
            let rest = Entry {
                key: e + 1,
                val: old.0,
                ord,
            };
            if s != run.lo {
                leaf.open(at + 1, 2);
                self.runs += 2;
                leaf.put(at + 2, rest);
            } else {
                leaf.open(at + 1, 1);
                self.runs += 1;
                leaf.put(at + 1, rest);
            }
        } else if s != run.lo {
            leaf.open(at + 1, 1);
            self.runs += 1;
        }
        if s != run.lo {
            let ord = bytes_of(old, run.lo, s - 1);
            come = max(come, ord);
            leaf.set_ords(at, ord);
            at += 1;
        }
        leaf.put(at, part);
        self.lift_both(a, p, gone, come);
    }

    /// The whole run at `p` becomes `new` and joins one or both neighbours in its leaf.
    #[inline(never)]
    fn merge(&mut self, a: &mut Arena, p: &Path, new: State) {
        let i = p.slot(0);
        let leaf = a.node(p.id(0));
        let n = leaf.count();
        let mut first = i;
        let mut last = i;
        if i > 0 && leaf.state(i - 1) == new {
            first = i - 1;
        }
        if i + 1 < n && leaf.state(i + 1) == new {
            last = i + 1;
        }
        let hi = self.span(a, &p.in_leaf(last)).hi;
        let leaf = a.node_mut(p.id(0));
        let mut gone = [0u8; 2];
        for j in first..=last {
            gone = max(gone, leaf.ords(j));
        }
        let lo = leaf.key(first);
        let ord = bytes_of(new, lo, hi);
        leaf.put(
            first,
            Entry {
                key: lo,
                val: new.0,
                ord,
            },
        );
        for _ in first..last {
            leaf.remove(first + 1);
            self.runs -= 1;
        }
        let count = leaf.count();
        self.lift_both(a, p, gone, ord);
        if count < MIN {
            self.settle(a, p);
        }
    }

    /// Moves the border between the entries `at - 1` and `at` of the leaf at `p`, one of which is
    /// the run `run` as it was, to the address `to`.
    #[inline(always)]
    fn move_border(&mut self, a: &mut Arena, p: &Path, at: usize, to: u64, run: &Span) {
        let leaf = a.node_mut(p.id(0));
        let gone = max(leaf.ords(at - 1), leaf.ords(at));
        leaf.set_key(at, to);
        // One end of the pair is an end of `run`, which spares a look at the next leaf.
        let hi = if at == p.slot(0) {
            run.hi
        } else {
            self.span(a, &p.in_leaf(at)).hi
        };
        let leaf = a.node_mut(p.id(0));
        let below = bytes_of(leaf.state(at - 1), leaf.key(at - 1), to - 1);
        let above = bytes_of(leaf.state(at), to, hi);
        leaf.set_ords(at - 1, below);
        leaf.set_ords(at, above);
        self.lift_both(a, p, gone, max(below, above));
    }

    /// [`Tree::lift`] for both pools, with the usual answer "nothing to do" found here.
    #[inline(always)]
    fn lift_both(&self, a: &mut Arena, p: &Path, gone: [u8; 2], come: [u8; 2]) {
        let have = a.node(p.id(1)).ords(p.slot(1));
        for pool in [Pool::Plain, Pool::Kept] {
            let k = pool as usize;
            let same = have[k] == come[k]
                || (have[k] > come[k]
                    && (have[k] > gone[k] || a.node(p.id(0)).any_ge(pool, have[k])));
            if !same {
                self.lift(a, p, pool, gone[k], come[k]);
            }
        }
    }

    /// [`Tree::edit`] where the part touches the first or last address of its leaf, so that it may have
    /// to join a run in another leaf. False, and nothing done, if it joins none anywhere.
    #[inline(never)]
    fn edit_at_edge(
        &mut self,
        a: &mut Arena,
        p: &Path,
        run: &Span,
        s: u64,
        e: u64,
        new: State,
    ) -> bool {
        let same = |q: Option<Path>| q.filter(|q| a.node(q.id(0)).state(q.slot(0)) == new);
        let prev = if s == run.lo {
            same(self.prev(a, p))
        } else {
            None
        };
        let next = if e == run.hi {
            same(self.next(a, p))
        } else {
            None
        };
        match (&prev, &next) {
            (None, None) => return false,
            // One neighbour joins and a rest stays: only the border moves.
            (Some(q), None) if e != run.hi => {
                self.set_start(a, p, e + 1);
                self.refresh(a, p);
                self.refresh(a, q);
            }
            (None, Some(q)) if s != run.lo => {
                self.set_start(a, q, s);
                self.refresh(a, p);
                self.refresh(a, q);
            }
            // The whole run joins one or two others.
            _ => {
                a.node_mut(p.id(0)).set_val(p.slot(0), new.0);
                self.refresh(a, p);
                if next.is_some() {
                    self.join(a, run.hi.wrapping_add(1));
                }
                if prev.is_some() {
                    self.join(a, run.lo);
                }
            }
        }
        true
    }

    /// Joins the run that starts at `border` to the run before it.
    #[inline(never)]
    fn join(&mut self, a: &mut Arena, border: u64) {
        let p = self.find(a, border);
        self.remove(a, &p);
        let p = self.find(a, border);
        self.refresh(a, &p);
    }
}

#[inline(always)]
fn max(a: [u8; 2], b: [u8; 2]) -> [u8; 2] {
    [a[0].max(b[0]), a[1].max(b[1])]
}
