//! The three maps with their common node pool: construction, growth, and the one way to change them.
//!
//! All changes are "for every run in this range, state = (state & and) | or" ([`Regions::apply`]).
//! Only the first and the last run of a range can be cut, so a change inserts at most two
//! entries at each end; everything between keeps its borders or joins. The nodes for that are made
//! sure of first, so a change happens whole or not at all.
//!
//! Growth: when the pool runs low, one page is cut from the top of the highest free RAM run and turned
//! into nodes. Cutting may itself need nodes; [`Regions::spare`] of them are kept for that and never
//! given to anything else, so growth is always possible while there is a free page.

use super::arena::{Arena, NodeSlot};
use super::node::Pool;
use super::path::{Path, Span};
use super::tree::{MIN_HEIGHT, Tree};
use super::types::{MapError, Range, State};
use core::ptr::NonNull;

/// Which map.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MapId {
    /// Memory that clients own; also feeds the node pool. Page granular.
    Ram = 0,
    /// I/O memory, shared by everybody. Page granular.
    Io = 1,
    /// I/O ports, one address per port, 0 ..= 0xffff.
    Ports = 2,
}

/// Turns the physical address of a free RAM page into a pointer to it, or refuses the page.
pub type PageWindow = fn(u64) -> Option<NonNull<u8>>;

/// Static slots without which no maps can be made: a small tree each, and the nodes that have to be
/// at hand for a first change over several runs and for growth.
pub const MIN_SLOTS: usize = 3 * MIN_HEIGHT + 3 * (MIN_HEIGHT + 1);

const PAGE: u64 = super::arena::PAGE_BYTES as u64;
const PAGE_MIN: u8 = 13;

/// RAM, I/O memory and ports.
pub struct Regions {
    pub(super) arena: Arena,
    pub(super) trees: [Tree; 3],
    window: Option<PageWindow>,
}

impl Regions {
    /// Maps over a fixed set of nodes, everything absent. `None` with fewer than [`MIN_SLOTS`].
    pub fn new(slots: &'static mut [NodeSlot]) -> Option<Regions> {
        if slots.len() < MIN_SLOTS {
            return None;
        }
        let mut arena = Arena::new(slots);
        let trees = [
            Tree::new(&mut arena)?,
            Tree::new(&mut arena)?,
            Tree::new(&mut arena)?,
        ];
        Some(Regions {
            arena,
            trees,
            window: None,
        })
    }

    /// Lets the pool grow with free pages of the RAM map, seen through `window`.
    ///
    /// # Safety
    /// For every page that is free in the RAM map, now or later, `window` must give a pointer that is
    /// valid for reads and writes of that page, and nobody else may use the page while it is free
    /// (owners that give memory back must have lost their mappings of it before `release`).
    pub unsafe fn set_growth(&mut self, window: PageWindow) {
        self.window = Some(window);
    }

    #[inline(always)]
    pub(super) fn tree(&self, m: MapId) -> &Tree {
        &self.trees[m as usize]
    }

    /// The run that holds `addr`, with the way to it.
    #[inline(never)]
    pub(super) fn at(&self, m: MapId, addr: u64) -> (Path, Span) {
        let t = self.tree(m);
        let p = t.find(&self.arena, addr);
        let s = t.span(&self.arena, &p);
        (p, s)
    }

    /// [`Regions::at`], faster and larger.
    #[inline(always)]
    pub(super) fn at_inline(&self, m: MapId, addr: u64) -> (Path, Span) {
        let t = self.tree(m);
        let p = t.find_inline(&self.arena, addr);
        let s = t.span(&self.arena, &p);
        (p, s)
    }

    /// Nodes that only growth may use.
    fn spare(&self) -> u32 {
        if self.window.is_some() {
            self.trees[MapId::Ram as usize].worst()
        } else {
            0
        }
    }

    /// Makes sure of the nodes for `ends` (1 or 2) leaves of map `m` that may split, growing if that
    /// helps; pages in `avoid` are not taken. Paths do not hold afterwards.
    #[inline(never)]
    fn ensure(&mut self, m: MapId, ends: u32, avoid: Range) -> Result<(), MapError> {
        while self.arena.free_nodes() < ends * self.tree(m).worst() + self.spare() {
            if !self.grow(avoid) {
                return Err(MapError::NoNodes);
            }
        }
        if self.tree(m).may_grow(&self.arena) {
            Ok(())
        } else {
            Err(MapError::NoNodes)
        }
    }

    /// Turns one free RAM page into nodes: the highest that is not in `avoid`, from the pagers'
    /// reserve only if no other is left. False if there is none.
    fn grow(&mut self, avoid: Range) -> bool {
        let Some(window) = self.window else {
            return false;
        };
        let Some(page) = self
            .highest_page(Pool::Plain, avoid)
            .or_else(|| self.highest_page(Pool::Kept, avoid))
        else {
            return false;
        };
        let ram = self.tree(MapId::Ram);
        if self.arena.free_nodes() < ram.worst() || !ram.may_grow(&self.arena) {
            return false;
        }
        let Some(ptr) = window(page) else {
            return false;
        };
        let Some(range) = Range::block(page, 12) else {
            return false;
        };
        if !self.arena.reaches(ptr) {
            return false;
        }
        self.apply_ready(MapId::Ram, range, 0, 0);
        // SAFETY: the page was free, so by the contract of `set_growth` the pointer is valid and
        // nobody uses the page; now it is in no map, so nobody ever will.
        unsafe { self.arena.add_page(ptr) };
        true
    }

    /// Start of the highest whole page in `pool` outside `avoid`; never page 0, which no pointer can
    /// name.
    #[inline(never)]
    fn highest_page(&self, pool: Pool, avoid: Range) -> Option<u64> {
        let t = self.tree(MapId::Ram);
        let end = t.find(&self.arena, u64::MAX);
        let mut p = if self.arena.node(end.id(0)).ord(end.slot(0), pool) >= PAGE_MIN {
            end
        } else {
            t.seek_prev(&self.arena, &end, pool, PAGE_MIN)?
        };
        loop {
            let s = t.span(&self.arena, &p);
            // The run holds at least one aligned page, so neither line underflows.
            let mut page = (s.hi - (PAGE - 1)).wrapping_add(1) & !(PAGE - 1);
            if page > s.hi - (PAGE - 1) {
                page -= PAGE;
            }
            if page <= avoid.end() && avoid.start() <= page + (PAGE - 1) {
                page = (avoid.start() & !(PAGE - 1)).saturating_sub(PAGE);
            }
            if page != 0 && page >= s.lo {
                return Some(page);
            }
            p = t.seek_prev(&self.arena, &p, pool, PAGE_MIN)?;
        }
    }

    /// Sets every run in `range` to (state & `and`) | `or`, whole or, without nodes, not at all.
    pub(super) fn apply(
        &mut self,
        m: MapId,
        range: Range,
        and: u32,
        or: u32,
    ) -> Result<(), MapError> {
        self.ensure(m, 2, range)?;
        self.apply_ready(m, range, and, or);
        Ok(())
    }

    /// [`Regions::apply`] with the nodes at hand.
    #[inline(never)]
    fn apply_ready(&mut self, m: MapId, range: Range, and: u32, or: u32) {
        let mut at = range.start();
        loop {
            let (_, run) = self.at(m, at);
            let e = run.hi.min(range.end());
            let new = State(run.state.0 & and | or);
            if new != run.state
                && let Some(part) = Range::new(at, e)
            {
                self.change(m, part, new);
            }
            if e == range.end() {
                return;
            }
            at = e + 1;
        }
    }

    /// Sets `part`, which lies in one run of another state, to `new`, with nodes at hand.
    #[inline(never)]
    fn change(&mut self, m: MapId, part: Range, new: State) {
        loop {
            let place = self.at(m, part.start());
            if self.try_change(m, &place, part, new) {
                return;
            }
            let Regions { arena, trees, .. } = self;
            if !trees[m as usize].split(arena, part.start()) {
                debug_assert!(false, "nodes were made sure of");
                return;
            }
        }
    }

    /// Sets `part`, which lies in the run at `place`, to `new`. False, and nothing done, if the leaf
    /// may not have room.
    #[inline(never)]
    fn try_change(&mut self, m: MapId, place: &(Path, Span), part: Range, new: State) -> bool {
        let Regions { arena, trees, .. } = self;
        let t = &mut trees[m as usize];
        let room = t.has_room(arena, &place.0);
        if room {
            t.edit(arena, &place.0, &place.1, part.start(), part.end(), new);
        }
        room
    }

    /// [`Regions::try_change`], and with more nodes if the leaf has no room.
    #[inline(always)]
    pub(super) fn change_at(
        &mut self,
        m: MapId,
        place: &(Path, Span),
        part: Range,
        new: State,
    ) -> Result<(), MapError> {
        if self.try_change(m, place, part, new) {
            return Ok(());
        }
        self.change_full(m, part, new)
    }

    #[inline(never)]
    fn change_full(&mut self, m: MapId, part: Range, new: State) -> Result<(), MapError> {
        self.ensure(m, 1, part)?;
        self.change(m, part, new);
        Ok(())
    }
}
