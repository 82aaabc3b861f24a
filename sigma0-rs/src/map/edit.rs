//! Changing the state of a part of one run, with the merges that follow.
//!
//! The part becomes a run of its own, joined with a neighbour of equal state if it touches one; what
//! is left of the old run stays before and behind it. Inside a leaf this is one replacement: the one
//! to three old entries become one to three new ones, and the first key stays what it was, so that
//! nothing above changes but order bytes. Neighbours in another leaf are the rare case and go entry
//! by entry.

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
    pub(super) fn edit(&mut self, a: &mut Arena, p: &Path, run: Span, s: u64, e: u64, new: State) {
        let leaf = a.node(p.id(0));
        let n = leaf.count();
        let i = p.slot(0);
        let at_start = s == run.lo;
        let at_end = e == run.hi;

        // Neighbours of equal state in other leaves.
        let before = at_start && i == 0 && run.lo != 0;
        let behind = at_end && i + 1 == n && run.hi != u64::MAX;
        if before || behind {
            return self.edit_at_edge(a, p, run, s, e, new, before, behind);
        }
        self.replace(a, p, run, s, e, new);
    }

    /// [`Tree::edit`] without a look into other leaves.
    #[inline(always)]
    fn replace(&mut self, a: &mut Arena, p: &Path, run: Span, s: u64, e: u64, new: State) {
        let old = run.state;
        let leaf = a.node(p.id(0));
        let n = leaf.count();
        let i = p.slot(0);
        let mut first = i;
        let mut last = i;
        let mut lo = s;
        let mut hi = e;
        let mut left = false;
        let mut right = false;
        if s != run.lo {
            left = true;
        } else if i > 0 && leaf.state(i - 1) == new {
            first = i - 1;
            lo = leaf.key(first);
        }
        if e != run.hi {
            right = true;
        } else if i + 1 < n && leaf.state(i + 1) == new {
            last = i + 1;
            hi = if last + 1 < n {
                leaf.key(last + 1) - 1
            } else {
                let mut q = *p;
                q.move_in_leaf(last);
                self.span(a, &q).hi
            };
        }

        // The largest order bytes that go and that come.
        let leaf = a.node_mut(p.id(0));
        let mut gone = [0u8; 2];
        for j in first..=last {
            gone[0] = gone[0].max(leaf.ord(j, Pool::Plain));
            gone[1] = gone[1].max(leaf.ord(j, Pool::Kept));
        }
        let have = last - first + 1;
        let want = 1 + left as usize + right as usize;
        if want > have {
            leaf.open(first + have, want - have);
        } else if want < have {
            leaf.close(first + want, have - want);
        }
        let mut at = first;
        let mut come = [0u8; 2];
        if left {
            let ord = bytes_of(old, run.lo, s - 1);
            come = ord;
            leaf.put(
                at,
                Entry {
                    key: run.lo,
                    val: old.0,
                    ord,
                },
            );
            at += 1;
        }
        let ord = bytes_of(new, lo, hi);
        come = [come[0].max(ord[0]), come[1].max(ord[1])];
        leaf.put(
            at,
            Entry {
                key: lo,
                val: new.0,
                ord,
            },
        );
        if right {
            let ord = bytes_of(old, e + 1, run.hi);
            come = [come[0].max(ord[0]), come[1].max(ord[1])];
            leaf.put(
                at + 1,
                Entry {
                    key: e + 1,
                    val: old.0,
                    ord,
                },
            );
        }
        let count = leaf.count();
        self.runs = self
            .runs
            .wrapping_add(want as u32)
            .wrapping_sub(have as u32);
        if gone[0] != come[0] {
            self.lift(a, p, Pool::Plain, gone[0], come[0]);
        }
        if gone[1] != come[1] {
            self.lift(a, p, Pool::Kept, gone[1], come[1]);
        }
        if count < MIN && want < have {
            self.settle(a, p);
        }
    }

    /// [`Tree::edit`] where the part touches the first (`before`) or last (`behind`) address of its
    /// leaf.
    #[allow(clippy::too_many_arguments)]
    #[inline(never)]
    fn edit_at_edge(
        &mut self,
        a: &mut Arena,
        p: &Path,
        run: Span,
        s: u64,
        e: u64,
        new: State,
        before: bool,
        behind: bool,
    ) {
        let same = |q: Option<Path>| q.filter(|q| a.node(q.id(0)).state(q.slot(0)) == new);
        let prev = if before { same(self.prev(a, p)) } else { None };
        let next = if behind { same(self.next(a, p)) } else { None };
        match (prev, next) {
            // Only a border moves: no entry comes or goes.
            (Some(q), None) if e != run.hi => {
                self.set_start(a, p, e + 1);
                self.refresh(a, p);
                self.refresh(a, &q);
            }
            (None, Some(q)) if s != run.lo => {
                self.set_start(a, &q, s);
                self.refresh(a, p);
                self.refresh(a, &q);
            }
            _ => {
                self.replace(a, p, run, s, e, new);
                if next.is_some() {
                    self.join(a, run.hi.wrapping_add(1));
                }
                if prev.is_some() {
                    self.join(a, run.lo);
                }
            }
        }
    }

    /// Joins the run that starts at `border` to the run before it.
    fn join(&mut self, a: &mut Arena, border: u64) {
        let p = self.find(a, border);
        self.remove(a, &p);
        let p = self.find(a, border);
        self.refresh(a, &p);
    }
}
