//! Memory on its way back: given up by its owner, not yet zeroed, not yet free.
//!
//! No frame reaches a new owner with old contents, and no request may hold the server for long. So
//! memory that is given back first belongs to a pseudo-owner; it is zeroed in pieces of
//! [`TURN_BYTES`] when nobody waits, and only then becomes free. A request that would fail for lack
//! of memory has as much zeroed first as it takes, oldest first, so nobody sees less memory than
//! there is.

use crate::map::{MapError, MapId, OwnerId, Range, Regions, Rights};

/// Bytes zeroed in one turn.
pub const TURN_BYTES: u64 = 64 << 10;
/// Most ranges that wait at once.
pub const QUEUE: usize = 32;

/// Owner of memory that waits. Clients' numbers start at 12, the kernel's fixed ones are even.
pub const OWNER: OwnerId = match OwnerId::new(1) {
    Some(o) => o,
    None => OwnerId::SIGMA0,
};

/// Zeroes a range of physical memory.
pub type Zero = fn(Range);

/// The ranges that wait, oldest first.
#[derive(Debug)]
pub struct Scrubber {
    queue: [Option<Range>; QUEUE],
    first: usize,
    count: usize,
    zero: Zero,
    zeroed: u64,
}

impl Scrubber {
    /// Nothing waits.
    #[must_use]
    pub const fn new(zero: Zero) -> Self {
        Scrubber {
            queue: [None; QUEUE],
            first: 0,
            count: 0,
            zero,
            zeroed: 0,
        }
    }

    /// Whether there is work.
    #[inline(always)]
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.count == 0
    }

    /// Whether no further range can wait.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.count == QUEUE
    }

    /// Bytes zeroed so far.
    #[must_use]
    pub fn zeroed(&self) -> u64 {
        self.zeroed
    }

    /// Takes `range`, all of it `owner`'s and mapped by nobody any more, to be zeroed and freed.
    /// The queue is not full (the caller has looked).
    ///
    /// # Errors
    /// Those of [`Regions::release`]; nothing has changed then.
    pub fn take(
        &mut self,
        maps: &mut Regions,
        range: Range,
        owner: OwnerId,
    ) -> Result<(), MapError> {
        maps.release(MapId::Ram, range, owner, Rights::RWX)?;
        if self.is_full() || maps.claim(MapId::Ram, range, OWNER, Rights::RWX).is_err() {
            // No node is left to remember it by, so it cannot wait. Rare enough to take the time.
            self.wipe(range);
            return Ok(());
        }
        self.put((self.first + self.count) % QUEUE, Some(range));
        self.count += 1;
        Ok(())
    }

    fn put(&mut self, at: usize, range: Option<Range>) {
        if let Some(place) = self.queue.get_mut(at) {
            *place = range;
        }
    }

    /// Zeroes one piece of the oldest range. `false` when there was nothing to do, or no node to
    /// record the progress with.
    pub fn turn(&mut self, maps: &mut Regions) -> bool {
        self.piece(maps, TURN_BYTES) > 0
    }

    /// Zeroes up to [`TURN_BYTES`], of as many ranges as that takes: single pages must not wait for
    /// a timer tick each.
    pub fn idle_turn(&mut self, maps: &mut Regions) {
        let mut left = TURN_BYTES;
        while left > 0 {
            match self.piece(maps, left) {
                0 => return,
                zeroed => left -= zeroed,
            }
        }
    }

    /// Zeroes up to `limit` bytes of the oldest range; how many it were.
    fn piece(&mut self, maps: &mut Regions, limit: u64) -> u64 {
        let Some(Some(range)) = self.queue.get(self.first).copied() else {
            return 0;
        };
        let end = range.end().min(range.start().saturating_add(limit - 1));
        let Some(piece) = Range::new(range.start(), end) else {
            return 0;
        };
        self.wipe(piece);
        if maps.release(MapId::Ram, piece, OWNER, Rights::RWX).is_err() {
            // Another range may do without a new node.
            self.put(self.first, None);
            self.first = (self.first + 1) % QUEUE;
            self.put((self.first + self.count - 1) % QUEUE, Some(range));
            return 0;
        }
        let rest = end
            .checked_add(1)
            .and_then(|start| Range::new(start, range.end()));
        self.put(self.first, rest);
        if rest.is_none() {
            self.first = (self.first + 1) % QUEUE;
            self.count -= 1;
        }
        end - range.start() + 1
    }

    /// Whether a part of `range` waits.
    #[must_use]
    pub fn waits_in(&self, range: Range) -> bool {
        self.queue.iter().flatten().any(|r| r.overlaps(range))
    }

    fn wipe(&mut self, range: Range) {
        (self.zero)(range);
        self.zeroed += (range.end() - range.start()).saturating_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::map::NodeSlot;
    use core::sync::atomic::{AtomicU64, Ordering};

    static WIPED: AtomicU64 = AtomicU64::new(0);

    fn count(range: Range) {
        WIPED.fetch_add(range.end() - range.start() + 1, Ordering::Relaxed);
    }

    #[test]
    fn free_only_after_zeroing_and_in_pieces() {
        let mut m = Regions::new(
            (0..64)
                .map(|_| NodeSlot::EMPTY)
                .collect::<std::vec::Vec<_>>()
                .leak(),
        )
        .expect("slots");
        let ram = Range::new(0x10_0000, 0x4f_ffff).expect("a range");
        m.add_free(MapId::Ram, ram, Rights::RWX).expect("room");
        let client = OwnerId::new(12).expect("not 0");
        let mut s = Scrubber::new(count);
        let a = m.alloc(MapId::Ram, 18, client, Rights::RWX).expect("free");
        let b = m.alloc(MapId::Ram, 12, client, Rights::RWX).expect("free");
        let other = OwnerId::new(13).expect("not 0");
        assert!(s.take(&mut m, a, other).is_err(), "not the owner");
        assert!(s.is_idle());
        s.take(&mut m, a, client).expect("the owner");
        s.take(&mut m, b, client).expect("the owner");
        assert!(s.take(&mut m, b, client).is_err(), "given back already");
        assert_eq!(m.lookup(MapId::Ram, a.start()).state.owner(), Some(OWNER));
        let before = WIPED.load(Ordering::Relaxed);
        assert!(s.turn(&mut m));
        assert_eq!(WIPED.load(Ordering::Relaxed) - before, TURN_BYTES);
        assert!(m.lookup(MapId::Ram, a.start()).state.is_free());
        assert_eq!(m.lookup(MapId::Ram, a.end()).state.owner(), Some(OWNER));
        assert!(s.waits_in(a) && s.waits_in(b));
        assert!(!s.waits_in(Range::new(a.start(), a.start() + TURN_BYTES - 1).expect("a range")));
        while s.turn(&mut m) {}
        assert!(s.is_idle() && !s.waits_in(a));
        assert_eq!(s.zeroed(), (1 << 18) + 4096);
        assert_eq!(m.totals(MapId::Ram).free, 0x40_0000);
        m.validate().expect("consistent");
    }
}
