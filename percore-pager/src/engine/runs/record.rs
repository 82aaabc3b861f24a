//! One record: 16 bytes.

use crate::frames::{FrameNo, PageOrder};

/// Bits of a handle that are the record's number.
const INDEX_BITS: u32 = 22;
/// Records that a handle can name.
pub(super) const MAX_RECORDS: u32 = 1 << INDEX_BITS;
/// Generations: 1 to 1023, so that no handle is 0.
const GENERATIONS: u64 = 1 << (32 - INDEX_BITS);

/// Names a run within its factory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Handle(u32);

impl Handle {
    /// What a client sent; it may name nothing.
    #[must_use]
    pub const fn from_raw(raw: u32) -> Self {
        Handle(raw)
    }

    /// The number for clients, not 0 for handles that name something.
    #[must_use]
    pub const fn raw(self) -> u32 {
        self.0
    }

    pub(super) const fn index(self) -> u32 {
        self.0 & (MAX_RECORDS - 1)
    }
}

/// What a record stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Nothing.
    Free,
    /// A run in its client's hands.
    Live,
    /// A run in its client's reserve.
    Kept,
    /// A run that nobody may use: about to be freed, or not zeroed yet.
    Busy,
}

/// A run that its client may know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// Its name.
    pub handle: Handle,
    /// First frame.
    pub start: FrameNo,
    /// Size.
    pub order: PageOrder,
    /// Whether it is in the reserve.
    pub kept: bool,
}

/// Bits of word 0: 32 first frame, 5 order, 2 state, 1 used before, 10 generation from bit 48. Word 1: number of
/// the next record of the list it is in, plus 1; 0 at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) word: u64,
    pub(super) link: u64,
}

const ORDER: u32 = 32;
const STATE: u32 = 37;
const USED: u64 = 1 << 39;
const GENERATION: u32 = 48;

impl Record {
    pub(super) fn state(self) -> State {
        match self.word >> STATE & 3 {
            0 => State::Free,
            1 => State::Live,
            2 => State::Kept,
            _ => State::Busy,
        }
    }

    pub(super) fn with_state(self, state: State) -> Self {
        let bits = match state {
            State::Free => 0,
            State::Live => 1,
            State::Kept => 2,
            State::Busy => 3,
        };
        Record {
            word: self.word & !(3 << STATE) | bits << STATE,
            ..self
        }
    }

    pub(super) fn is_used(self) -> bool {
        self.word & USED != 0
    }

    pub(super) fn with_used(self, used: bool) -> Self {
        let bit = if used { USED } else { 0 };
        Record {
            word: self.word & !USED | bit,
            ..self
        }
    }

    pub(super) fn start(self) -> FrameNo {
        FrameNo(self.word & 0xffff_ffff)
    }

    pub(super) fn order(self) -> PageOrder {
        PageOrder::new((self.word >> ORDER & 31) as u32).unwrap_or(PageOrder::FRAME)
    }

    /// The record for another run: a generation later.
    pub(super) fn renewed(self, start: FrameNo, order: PageOrder) -> Self {
        let generation = (self.word >> GENERATION) + 1;
        let generation = if generation >= GENERATIONS {
            1
        } else {
            generation
        };
        let word = start.0 & 0xffff_ffff | u64::from(order.get()) << ORDER;
        let record = Record {
            word: word | generation << GENERATION,
            link: 0,
        };
        record.with_state(State::Busy)
    }

    pub(super) fn handle(self, index: u32) -> Handle {
        let generation = (self.word >> GENERATION) as u32;
        Handle(generation << INDEX_BITS | index)
    }

    /// The run, if its client may know it.
    pub(super) fn run(self, index: u32) -> Option<Run> {
        matches!(self.state(), State::Live | State::Kept).then(|| Run {
            handle: self.handle(index),
            start: self.start(),
            order: self.order(),
            kept: self.state() == State::Kept,
        })
    }
}
