//! Building the maps from the kernel's memory descriptors (S0-MAP-04 to 14), and the pagers' reserve.

use super::regions::{MapId, Regions};
use super::types::{MapError, OwnerId, Range, Rights, State};

impl Regions {
    /// Makes `range` free with `rights`, together with the whole of every stored run it overlaps,
    /// whoever owns it (S0-MAP-10 and 11).
    pub fn add_free(&mut self, m: MapId, range: Range, rights: Rights) -> Result<(), MapError> {
        let (_, first) = self.at(m, range.start());
        let (_, last) = self.at(m, range.end());
        let lo = if first.state.is_absent() {
            range.start()
        } else {
            first.lo
        };
        let hi = if last.state.is_absent() {
            range.end()
        } else {
            last.hi
        };
        let whole = Range::new(lo, hi).ok_or(MapError::NotFound)?;
        self.apply(m, whole, 0, State::free(rights).0)
    }

    /// Sets `range` to `state`, whatever was there.
    pub fn set(&mut self, m: MapId, range: Range, state: State) -> Result<(), MapError> {
        self.apply(m, range, 0, state.0)
    }

    /// Reserves `range` for `owner` with `rights` (S0-MAP-13): free and absent parts become the
    /// owner's. Parts of the owner's own runs that stick out of the range on the left or right keep
    /// their rights inside it too; runs that it covers get the new ones. A range reserved for
    /// [`OwnerId::SIGMA0`] leaves the map (S0-MAP-12).
    ///
    /// [`MapError::Conflict`] if another owner has a part of it: the caller stops then.
    pub fn reserve_for(
        &mut self,
        m: MapId,
        range: Range,
        owner: OwnerId,
        rights: Rights,
    ) -> Result<(), MapError> {
        let mut at = range.start();
        loop {
            let (_, run) = self.at(m, at);
            if run.state.owner().is_some_and(|o| o != owner) {
                return Err(MapError::Conflict);
            }
            if run.hi >= range.end() {
                break;
            }
            at = run.hi + 1;
        }
        if owner == OwnerId::SIGMA0 {
            return self.apply(m, range, 0, State::ABSENT.0);
        }
        let new = State::owned(owner, rights).0;
        let (_, first) = self.at(m, range.start());
        let (_, last) = self.at(m, range.end());
        // Nothing is left when one own run covers the range; an exact match changes, though.
        let mut lo = range.start();
        let mut hi = range.end();
        if first.state.owner().is_some() && first.lo < range.start() {
            if first.hi >= range.end() {
                return Ok(());
            }
            lo = first.hi + 1;
        }
        if last.state.owner().is_some() && last.hi > range.end() {
            if last.lo <= lo {
                return Ok(());
            }
            hi = last.lo - 1;
        }
        match Range::new(lo, hi) {
            Some(rest) => self.apply(m, rest, 0, new),
            None => Ok(()),
        }
    }

    /// Puts the free memory in `range` into the pagers' reserve, or takes it out again.
    pub fn set_kept(&mut self, m: MapId, range: Range, kept: bool) -> Result<(), MapError> {
        let mut at = range.start();
        loop {
            let (_, run) = self.at(m, at);
            let hi = run.hi.min(range.end());
            if run.state.is_free() && run.state.is_reserved() != kept {
                let part = Range::new(at, hi).ok_or(MapError::NotFound)?;
                let or = if kept { State::RESERVED } else { 0 };
                self.apply(m, part, !State::RESERVED, or)?;
            }
            if hi == range.end() {
                return Ok(());
            }
            at = hi + 1;
        }
    }

    /// Keeps up to `bytes` of the free memory in `range` for pagers, from the top down. Gives how
    /// much it was; less than asked for when there is not more.
    pub fn keep_bytes(&mut self, m: MapId, range: Range, bytes: u64) -> Result<u64, MapError> {
        let mut left = bytes;
        let mut end = range.end();
        while left > 0 {
            let (_, run) = self.at(m, end);
            let lo = run.lo.max(range.start());
            if run.state.is_free() && !run.state.is_reserved() {
                // A run of all 2^64 addresses does not fit a count; one less is no loss.
                let size = (end - lo).saturating_add(1);
                let take = size.min(left);
                let part = Range::new(end - (take - 1), end).ok_or(MapError::NotFound)?;
                self.apply(m, part, !0, State::RESERVED)?;
                left -= take;
            }
            if lo == range.start() {
                break;
            }
            end = lo - 1;
        }
        Ok(bytes - left)
    }
}
