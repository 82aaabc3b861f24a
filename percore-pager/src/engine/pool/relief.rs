//! Making memory free that is not: what waits to be unmapped, was zeroed ahead, or is kept.
//!
//! # Bounded turns
//!
//! All of it is given back before anybody is told that there is no memory, and that can be much. A server
//! that must not keep others waiting calls [`Pool::begin_turn`] before each message and each turn. From
//! then on a turn handles [`TURN_PIECES`] pieces at most to make memory free; a request that would need more fails
//! with `NoMem`, and [`Pool::is_short`] says that it is to be tried again in a later turn. Without
//! that call everything is given back within the request.

use crate::engine::ds;
use crate::engine::kernel::Kernel;
use crate::frames::Policy;

use super::Pool;

/// Pieces that a turn handles at most to make memory free. A page that is unmapped is one.
pub const TURN_PIECES: u32 = 64;
/// What other work counts for at least: a run given back to the frame allocator, a system call.
pub(in crate::engine) const PIECE: u32 = 8;

/// What a step of a search for address space counts for, some 300 instructions.
const STEP: u32 = 2;

/// What a turn may still do to make memory free.
#[derive(Clone, Copy, Debug)]
pub(super) enum Budget {
    /// Whatever it takes.
    Unbounded,
    /// So many pieces.
    Pieces(u32),
}

impl<P: Policy, K: Kernel> Pool<'_, P, K> {
    /// A turn begins, see [`TURN_PIECES`]: a message, a step of work, a turn of an end. A few stores.
    #[inline]
    pub fn begin_turn(&mut self) {
        self.budget = Budget::Pieces(TURN_PIECES);
        self.short = false;
    }

    /// Whether, since the turn began, something found too little memory although more can be made free in a later turn,
    /// or a search for address space was not done, or too much waits to be unmapped for more to be given up. What
    /// failed is to be tried again then.
    #[inline]
    pub fn is_short(&self) -> bool {
        self.short
    }

    /// Tries until there is something, or nothing more can be made free.
    pub(in crate::engine) fn relieved<T>(
        &mut self,
        mut get: impl FnMut(&mut Self) -> Option<T>,
    ) -> Option<T> {
        loop {
            let got = get(self);
            if got.is_some() || !self.relieve() {
                return got;
            }
        }
    }

    /// Makes some memory free, or comes nearer to it; `false` when nothing more can be done in this turn.
    #[cold]
    pub(in crate::engine) fn relieve(&mut self) -> bool {
        let left = match self.budget {
            Budget::Unbounded => TURN_PIECES,
            Budget::Pieces(left) if left < PIECE => {
                self.short |= self.can_be_relieved();
                return false;
            }
            Budget::Pieces(left) => left,
        };
        let Some(pieces) = self.relieve_some(left) else {
            // What is left is one piece that is larger than what this turn may do.
            self.short |= self.can_be_relieved();
            return false;
        };
        if let Budget::Pieces(left) = &mut self.budget {
            *left = left.saturating_sub(pieces.max(PIECE));
        }
        true
    }

    /// One piece of work of about `most` pieces: how many it was, `None` if there was nothing to do.
    fn relieve_some(&mut self, most: u32) -> Option<u32> {
        self.await_recycled();
        if let Some((_, pages)) = self.flush(most.into()) {
            return Some(pages.min(u64::from(TURN_PIECES)) as u32);
        }
        if self.stop_zeroing() || self.drop_ready() {
            return Some(PIECE);
        }
        ds::give_back_kept(self)
    }

    /// Makes sure that so many runs, 64 at most, can be given up without a system call. `false` when that takes more than
    /// this turn may do: a later one goes on.
    pub(in crate::engine) fn make_way(&mut self, runs: usize) -> bool {
        while !self.waiting.has_room(runs) {
            let most = match self.budget {
                Budget::Unbounded => TURN_PIECES,
                Budget::Pieces(left) => left,
            };
            let done = if most < PIECE {
                None
            } else {
                self.flush(most.into())
            };
            let Some((_, pages)) = done else {
                self.short = true;
                return false;
            };
            if let Budget::Pieces(left) = &mut self.budget {
                *left = left.saturating_sub(pages.max(PIECE.into()) as u32);
            }
        }
        true
    }

    /// Takes a step of a search from the turn's budget; `false`, and the turn is short, when it is used up.
    pub(super) fn take_step(&mut self) -> bool {
        match &mut self.budget {
            Budget::Unbounded => true,
            Budget::Pieces(left) if *left >= STEP => {
                *left -= STEP;
                true
            }
            Budget::Pieces(_) => {
                self.short = true;
                false
            }
        }
    }

    fn can_be_relieved(&self) -> bool {
        let waits = !self.waiting.is_empty() || self.recycle.frames() > 0;
        waits || self.ahead.is_some() || self.ready.frames() > 0 || self.keepers.is_some()
    }
}
