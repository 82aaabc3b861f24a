//! Reading whole maps: iteration, sums, and the check that the fast state is true.

use super::arena::NodeId;
use super::node::{CAP, Entry, MIN, Pool};
use super::path::{Path, bytes_of};
use super::regions::{MapId, Regions};
use super::tree::{MIN_HEIGHT, summary};
use super::types::{OwnerId, Range, Run};

/// Sizes in addresses (bytes; ports in the port map), as sums of the runs. The sum of all
/// 2^64 addresses saturates at 2^64 - 1.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Totals {
    /// Free for everybody.
    pub free: u64,
    /// Free, kept for pagers.
    pub kept: u64,
    /// Owned by anybody.
    pub owned: u64,
    /// Part of `owned` that came from the pagers' reserve.
    pub owned_kept: u64,
    /// Stored runs.
    pub runs: u32,
}

/// The node pool in figures.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PoolFigures {
    /// Nodes, used or not.
    pub total: u32,
    /// Unused nodes.
    pub free: u32,
    /// Pages taken from the RAM map so far.
    pub pages: u32,
}

/// Runs in address order, absent ones left out. See [`Regions::runs`].
pub struct Runs<'a> {
    maps: &'a Regions,
    map: MapId,
    next: Option<Path>,
}

impl Iterator for Runs<'_> {
    type Item = Run;

    fn next(&mut self) -> Option<Run> {
        loop {
            let p = self.next?;
            let t = self.maps.tree(self.map);
            let s = t.span(&self.maps.arena, &p);
            self.next = t.next(&self.maps.arena, &p);
            if !s.state.is_absent() {
                return Some(Run {
                    range: Range::new(s.lo, s.hi)?,
                    state: s.state,
                });
            }
        }
    }
}

/// The first invariant found broken, for tests and debug dumps.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Broken {
    /// Runs do not cover the addresses in order without a gap.
    Order,
    /// Neighbours have the same state.
    Unmerged,
    /// An inner entry does not name the first address below it.
    Separator,
    /// An order byte is wrong.
    OrderByte,
    /// A node is too empty or over-full.
    Fill,
    /// A leaf at the wrong depth, or a tree too flat.
    Depth,
    /// The count of runs or nodes is wrong.
    Count,
    /// An unused slot is not clean.
    Slots,
}

impl Regions {
    /// All stored runs in address order.
    pub fn runs(&self, m: MapId) -> Runs<'_> {
        let next = Some(self.tree(m).find(&self.arena, 0));
        Runs {
            maps: self,
            map: m,
            next,
        }
    }

    /// Sums over all runs; takes time with their number.
    pub fn totals(&self, m: MapId) -> Totals {
        self.totals_in(m, Range::ALL)
    }

    /// Sums over the parts of runs that lie in `range`.
    pub fn totals_in(&self, m: MapId, range: Range) -> Totals {
        let mut t = Totals::default();
        let mut at = range.start();
        loop {
            let run = self.lookup(m, at);
            let end = run.range.end().min(range.end());
            let n = (end - at).saturating_add(1);
            if !run.state.is_absent() {
                t.runs += 1;
                let kept = run.state.is_reserved();
                if run.state.is_free() {
                    let sum = if kept { &mut t.kept } else { &mut t.free };
                    *sum = sum.saturating_add(n);
                } else {
                    t.owned = t.owned.saturating_add(n);
                    if kept {
                        t.owned_kept = t.owned_kept.saturating_add(n);
                    }
                }
            }
            if end == range.end() {
                return t;
            }
            at = end + 1;
        }
    }

    /// How much `owner` has, in addresses.
    pub fn owned_by(&self, m: MapId, owner: OwnerId) -> u64 {
        self.runs(m)
            .filter(|r| r.state.owner() == Some(owner))
            .fold(0, |sum, r| {
                (r.range.end() - r.range.start())
                    .saturating_add(1)
                    .saturating_add(sum)
            })
    }

    /// Order of the largest aligned free block, kept for pagers or not. At once.
    pub fn largest_order(&self, m: MapId, kept: bool) -> Option<u8> {
        let root = self.arena.node(self.tree(m).root);
        root.max_ord(if kept { Pool::Kept } else { Pool::Plain })
            .checked_sub(1)
    }

    /// The node pool.
    pub fn pool(&self) -> PoolFigures {
        PoolFigures {
            total: self.arena.total_nodes(),
            free: self.arena.free_nodes(),
            pages: self.arena.pages(),
        }
    }

    /// Number of runs in a map, absent ones included.
    pub fn run_count(&self, m: MapId) -> u32 {
        self.tree(m).runs
    }

    /// Recomputes everything that is stored redundantly and compares. For tests; walks all maps.
    pub fn validate(&self) -> Result<(), Broken> {
        let mut nodes = 0;
        for m in [MapId::Ram, MapId::Io, MapId::Ports] {
            let t = self.tree(m);
            if t.height() < MIN_HEIGHT {
                return Err(Broken::Depth);
            }
            let mut seen = Seen { runs: 0, nodes: 0 };
            self.check_node(t.root, t.height() - 1, 0, None, &mut seen, m)?;
            if (seen.runs, seen.nodes) != (t.runs, t.nodes) {
                return Err(Broken::Count);
            }
            nodes += seen.nodes;
        }
        if nodes + self.arena.free_nodes() != self.arena.total_nodes() {
            return Err(Broken::Count);
        }
        Ok(())
    }

    /// Checks the subtree at `id`; `end` is the first key behind it, `None` at the far end.
    fn check_node(
        &self,
        id: NodeId,
        level: usize,
        start: u64,
        end: Option<u64>,
        seen: &mut Seen,
        m: MapId,
    ) -> Result<(), Broken> {
        let n = self.arena.node(id);
        seen.nodes += 1;
        let count = n.count();
        if n.is_leaf() != (level == 0) {
            return Err(Broken::Depth);
        }
        let t = self.tree(m);
        let sole = end.is_none() && start == 0;
        if count == 0 || count > CAP || (count < MIN && !sole) {
            return Err(Broken::Fill);
        }
        if (count..CAP).any(|i| n.entry(i) != Entry::UNUSED) {
            return Err(Broken::Slots);
        }
        if n.key(0) != start {
            return Err(Broken::Separator);
        }
        for i in 0..count {
            let behind = if i + 1 < count {
                Some(n.key(i + 1))
            } else {
                end
            };
            if behind.is_some_and(|b| b <= n.key(i)) {
                return Err(Broken::Order);
            }
            if level > 0 {
                let child = n.child(i);
                self.check_node(child, level - 1, n.key(i), behind, seen, m)?;
                if summary(self.arena.node(child), child) != n.entry(i) {
                    return Err(Broken::OrderByte);
                }
                continue;
            }
            seen.runs += 1;
            let hi = behind.map_or(u64::MAX, |b| b - 1);
            if [n.ord(i, Pool::Plain), n.ord(i, Pool::Kept)] != bytes_of(n.state(i), n.key(i), hi) {
                return Err(Broken::OrderByte);
            }
            if behind.is_some() {
                let p = t.find(&self.arena, n.key(i));
                let q = t.next(&self.arena, &p).ok_or(Broken::Order)?;
                if t.span(&self.arena, &q).state == n.state(i) {
                    return Err(Broken::Unmerged);
                }
            }
        }
        Ok(())
    }
}

struct Seen {
    runs: u32,
    nodes: u32,
}
