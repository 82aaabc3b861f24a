//! Figures of one core at a moment.

use percore_pager::api::{Counters, reply};

/// See the [module](self).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// What answered.
    pub info: reply::Info,
    /// Its frames.
    pub memory: reply::Memory,
    /// Its free runs.
    pub orders: reply::Orders,
    /// What it has done.
    pub counters: Counters,
}

/// What a core did between two samples, or since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// Page faults and map requests.
    pub faults: u64,
    /// Other messages.
    pub others: u64,
    /// Pieces of memory given to clients.
    pub pieces: u64,
    /// Of these, zeroed ahead.
    pub pieces_zeroed: u64,
    /// Frames zeroed while a client waited.
    pub zeroed_now: u64,
    /// Unmap system calls.
    pub unmap_calls: u64,
    /// Flexpages in them.
    pub unmapped: u64,
    /// Runs allocated directly.
    pub runs_taken: u64,
    /// Runs freed, into a reserve or back.
    pub runs_given: u64,
}

impl Work {
    /// From `before`, which is zero for all of it, to `now`.
    #[must_use]
    pub fn between(before: &Counters, now: &Counters) -> Work {
        let since = |counter: fn(&Counters) -> u64| counter(now).wrapping_sub(counter(before));
        Work {
            faults: since(|c| c.faults + c.maps),
            others: since(|c| c.others),
            pieces: since(|c| c.pieces),
            pieces_zeroed: since(|c| c.pieces_zeroed),
            zeroed_now: since(|c| c.zeroed_now),
            unmap_calls: since(|c| c.unmap_calls),
            unmapped: since(|c| c.unmapped),
            runs_taken: since(|c| c.runs_taken),
            runs_given: since(|c| c.runs_given + c.runs_recycled),
        }
    }
}
