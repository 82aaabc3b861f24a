//! What clients may do: look up, claim, allocate, give back.
//!
//! Client ranges come in as [`Range`]; alignment and smallest size are the protocol's business and
//! checked before. Every refusal leaves the maps as they were.

use super::node::Pool;
use super::orders::align_up;
use super::regions::{MapId, Regions};
use super::types::{MapError, OwnerId, Range, Rights, Run, State};

impl Regions {
    /// The run that holds `addr`; an absent one if nothing is stored there.
    pub fn lookup(&self, m: MapId, addr: u64) -> Run {
        let (_, s) = self.at(m, addr);
        // A run's end is never before its start.
        Run {
            range: Range::new(s.lo, s.hi).unwrap_or(Range::ALL),
            state: s.state,
        }
    }

    /// The state of `range` if it lies in one run that is there (S0-REQ-15).
    pub fn inside(&self, m: MapId, range: Range) -> Option<State> {
        let (_, s) = self.at_inline(m, range.start());
        if range.end() <= s.hi && !s.state.is_absent() {
            Some(s.state)
        } else {
            None
        }
    }

    /// Makes `range` the property of `owner` with `rights`: it must lie in one run that is free or
    /// the owner's (S0-OWN-02 to 06). Asking again for one's own changes at most the rights.
    pub fn claim(
        &mut self,
        m: MapId,
        range: Range,
        owner: OwnerId,
        rights: Rights,
    ) -> Result<(), MapError> {
        let own = State::owned(owner, rights).0;
        self.take(m, range, owner, Rights::from_bits(0), State::RESERVED, own)
            .map(|_| ())
    }

    /// Makes `range` the property of `owner` and keeps its rights, which must include `need` (page
    /// fault, S0-PF-01 and 02). Gives the rights.
    pub fn claim_keeping(
        &mut self,
        m: MapId,
        range: Range,
        owner: OwnerId,
        need: Rights,
    ) -> Result<Rights, MapError> {
        let own = State::STORED | owner.get() as u32;
        let keep = State::RESERVED | State::RIGHTS_MASK;
        self.take(m, range, owner, need, keep, own)
            .map(State::rights)
    }

    /// Both kinds of claim: the new state is (old & `and`) | `or`.
    fn take(
        &mut self,
        m: MapId,
        range: Range,
        owner: OwnerId,
        need: Rights,
        and: u32,
        or: u32,
    ) -> Result<State, MapError> {
        let place = self.at_inline(m, range.start());
        let run = place.1;
        check(run.state, owner, need)?;
        let new = State(run.state.0 & and | or);
        if range.end() > run.hi {
            return self.take_across(m, range, run.state, and, or);
        }
        if new != run.state {
            self.change_at(m, &place, range, new)?;
        }
        Ok(new)
    }

    /// A claim over more than one run. Runs that differ only in being kept for pagers count as one:
    /// without a reserve they would be one, and each part remembers where it came from.
    #[inline(never)]
    fn take_across(
        &mut self,
        m: MapId,
        range: Range,
        first: State,
        and: u32,
        or: u32,
    ) -> Result<State, MapError> {
        let mut at = range.start();
        loop {
            let (_, run) = self.at(m, at);
            if (run.state.0 ^ first.0) & !State::RESERVED != 0 {
                return Err(if run.state.is_absent() {
                    MapError::NotFound
                } else {
                    MapError::Conflict
                });
            }
            if range.end() <= run.hi {
                break;
            }
            at = run.hi + 1;
        }
        self.apply(m, range, and, or)?;
        Ok(State(first.0 & and | or))
    }

    /// The lowest naturally aligned free block of 2^`order` addresses that is not kept for pagers
    /// becomes the property of `owner` (S0-REQ-05 and 06). Gives the block.
    pub fn alloc(
        &mut self,
        m: MapId,
        order: u8,
        owner: OwnerId,
        rights: Rights,
    ) -> Result<Range, MapError> {
        if order > 63 {
            return Err(MapError::NotFound);
        }
        let t = self.tree(m);
        let Some(p) = t.seek_first(&self.arena, Pool::Plain, order + 1) else {
            return Err(MapError::NotFound);
        };
        let run = t.span(&self.arena, &p);
        let Some(block) = Range::block(align_up(run.lo, order), order) else {
            return Err(MapError::NotFound);
        };
        self.change_at(m, &(p, run), block, State::owned(owner, rights))?;
        Ok(block)
    }

    /// As [`Regions::alloc`], but the block lies inside `bounds`, and with `from_reserve` it comes
    /// from the pagers' reserve instead of the rest.
    pub fn alloc_in(
        &mut self,
        m: MapId,
        bounds: Range,
        order: u8,
        owner: OwnerId,
        rights: Rights,
        from_reserve: bool,
    ) -> Result<Range, MapError> {
        let block = self
            .find_block(m, bounds, order, from_reserve)
            .ok_or(MapError::NotFound)?;
        let place = self.at(m, block.start());
        let new = State(place.1.state.0 & State::RESERVED | State::owned(owner, rights).0);
        self.change_at(m, &place, block, new)?;
        Ok(block)
    }

    /// The block that [`Regions::alloc_in`] would give.
    pub fn find_block(
        &self,
        m: MapId,
        bounds: Range,
        order: u8,
        from_reserve: bool,
    ) -> Option<Range> {
        if order > 63 {
            return None;
        }
        let pool = if from_reserve {
            Pool::Kept
        } else {
            Pool::Plain
        };
        let t = self.tree(m);
        let mask = (1u64 << order) - 1;
        let mut p = t.find(&self.arena, bounds.start());
        let mut s = t.span(&self.arena, &p);
        // At most three rounds: the run that the bounds start in, the next one with a block,
        // and one that shows that the block lies behind the bounds.
        loop {
            if s.state.is_free() && s.state.is_reserved() == from_reserve {
                let start = s.lo.max(bounds.start()).checked_add(mask)? & !mask;
                if start | mask <= s.hi.min(bounds.end()) {
                    return Range::block(start, order);
                }
            }
            if s.hi >= bounds.end() {
                return None;
            }
            p = t.seek_next(&self.arena, &p, pool, order + 1)?;
            s = t.span(&self.arena, &p);
            if s.lo > bounds.end() {
                return None;
            }
        }
    }

    /// Gives `range`, all of it the owner's, back: free for everybody with `rights`, or back in the
    /// pagers' reserve if it came from there. The caller has taken all mappings of it away.
    pub fn release(
        &mut self,
        m: MapId,
        range: Range,
        owner: OwnerId,
        rights: Rights,
    ) -> Result<(), MapError> {
        let mut at = range.start();
        loop {
            let place = self.at(m, at);
            let run = place.1;
            if run.state.owner() != Some(owner) {
                return Err(if run.state.is_absent() {
                    MapError::NotFound
                } else {
                    MapError::Conflict
                });
            }
            if range.end() <= run.hi {
                if at == range.start() {
                    let new = State(run.state.0 & State::RESERVED | State::free(rights).0);
                    return self.change_at(m, &place, range, new);
                }
                break;
            }
            at = run.hi + 1;
        }
        self.apply(m, range, State::RESERVED, State::free(rights).0)
    }
}

/// Whether `owner` may claim memory in this state.
#[inline(always)]
fn check(state: State, owner: OwnerId, need: Rights) -> Result<(), MapError> {
    if state.is_absent() {
        return Err(MapError::NotFound);
    }
    if !state.is_free() && state.owner() != Some(owner) {
        return Err(MapError::Conflict);
    }
    if !state.rights().contains(need) {
        return Err(MapError::Denied);
    }
    Ok(())
}
