//! The pager API on the wire: numbers and layouts that server and clients share.
//!
//! `docs/pager-api.md` is the specification; `pkg/libpercore/include/pager.h` says the same in C,
//! and a test compiles it and compares every number, size and offset. Nothing here knows the engine.
//!
//! A request is one of the structures of [`request`], from byte 0 of the message on; an answer is
//! one of [`reply`]. All begin with a [`request::Head`]: the operation and the core it is meant for.

pub mod counters;
pub mod op;
pub mod reply;
pub mod request;
mod wire;

pub use counters::Counters;
pub use op::Op;
pub use wire::{read, words_of, write};

/// Protocol number (label) of the pager API.
pub const PROTOCOL: i64 = 0x5051;
/// Version of the protocol that this crate speaks. It rises when a layout changes; new operations,
/// counters and parameters do not change it.
pub const VERSION: u32 = 1;

/// As the core in a [`request::Head`]: the core that the capability belongs to.
pub const OWN_CORE: u32 = u32::MAX;
/// As a policy or order in an answer: there is none.
pub const NONE: u32 = u32::MAX;

/// Runs in one ALLOC request.
pub const RUNS_PER_CALL: usize = 16;
/// Handles in one FREE request.
pub const HANDLES_PER_CALL: usize = 64;
/// Runs in one answer to RUNS.
pub const RUNS_PER_LIST: usize = 30;
/// Orders of runs: 0 (4 KiB) to 18 (1 GiB).
pub const ORDERS: usize = 19;

/// Policies by number.
pub mod policy {
    #![allow(missing_docs)]
    use crate::frames::{Kind, Policies};

    pub const BITMAP: u32 = 0;
    pub const BUDDY: u32 = 1;
    pub const AVL: u32 = 2;
    pub const SLAB: u32 = 3;
    /// Names of single policies by number.
    pub const NAMES: [&str; 4] = ["bitmap", "buddy", "avl", "slab"];

    /// The number of two policies in an order: `small` for runs below 2 MiB, `large` for whole
    /// blocks. Of one policy twice it is the policy alone under another number.
    #[must_use]
    pub const fn pair(small: u32, large: u32) -> u32 {
        small | (large + 1) << 8
    }

    /// What a number stands for: the policy of runs below 2 MiB and that of whole blocks. `None` if it
    /// stands for nothing.
    #[must_use]
    pub const fn parts(number: u32) -> Option<(u32, u32)> {
        let (small, second) = (number & 0xff, number >> 8);
        let large = if second == 0 { small } else { second - 1 };
        if small as usize >= NAMES.len() || large as usize >= NAMES.len() {
            return None;
        }
        Some((small, large))
    }

    /// The name of what a number stands for: `slab`, or `slab+avl`.
    #[must_use]
    pub fn name(number: u32) -> Option<&'static str> {
        let (small, large) = parts(number)?;
        let kind = |number: u32| Kind::ALL.get(number as usize).copied();
        Some(Policies::new(kind(small)?, kind(large)?).name())
    }
}

/// Flags, each for the request or answer that its group names.
pub mod flag {
    /// INFO: the capability may change the core's settings.
    pub const MAY_TUNE: u32 = 1;
    /// INFO, STATE: the factory's clients share no memory with others.
    pub const SHARES_NOTHING: u32 = 2;
    /// INFO, STATE: the right to change settings was given up.
    pub const SEALED: u32 = 4;
    /// INFO: the capability is the service, not a factory.
    pub const SERVICE: u32 = 8;

    /// POLICY: answer when the change has begun, not when it is done.
    pub const NO_WAIT: u32 = 1;

    /// ALLOC: take runs from the factory's reserve only.
    pub const FROM_RESERVE: u32 = 1;
    /// ALLOC: map nothing, answer with handles alone.
    pub const NO_MAP: u32 = 2;
    /// ALLOC with [`FROM_RESERVE`]: zero runs that were used before.
    pub const CLEAR: u32 = 4;
    /// All flags of ALLOC.
    pub const ALLOC_ALL: u32 = 7;

    /// FREE: into the factory's reserve instead of back to the pager.
    pub const TO_RESERVE: u32 = 1;

    /// OWNER: look for the object, not only for the frame's state.
    pub const SEARCH: u32 = 1;
}

/// Settings of a core, for PARAMETERS and SET, by number.
pub mod parameter {
    /// log2 of the frames that the first fault of a dataspace brings, 0 to 9.
    pub const PREFAULT: u32 = 0;
    /// log2 of the frames that a fault brings at most, and of the longest run, 0 to 9.
    pub const RUN: u32 = 1;
    /// Frames that idle turns keep zeroed, at most; 0 turns zeroing ahead off.
    pub const ZERO_AHEAD: u32 = 2;
    /// Frames in the cache in front of the policy, 0 to 255; 0 turns the cache off.
    pub const CACHE_DEPTH: u32 = 3;
    /// Frames moved between cache and policy at a time, 1 to 255.
    pub const CACHE_REFILL: u32 = 4;
    /// 2 MiB blocks in the cache, 0 to 4.
    pub const CACHE_BLOCKS: u32 = 5;
    /// Frames that requests for runs leave for single-page faults.
    pub const RESERVE: u32 = 6;
    /// How many there are.
    pub const COUNT: usize = 7;
    /// Names by number.
    pub const NAMES: [&str; COUNT] = [
        "prefault",
        "run",
        "zero-ahead",
        "cache-depth",
        "cache-refill",
        "cache-blocks",
        "reserve",
    ];
}

/// What a frame is, in the answer to OWNER.
pub mod state {
    /// Not a frame of this core.
    pub const ABSENT: u32 = 0;
    /// Nobody's.
    pub const FREE: u32 = 1;
    /// Free, and being zeroed.
    pub const ZEROING: u32 = 2;
    /// The pager's book-keeping.
    pub const BOOKKEEPING: u32 = 3;
    /// A client's, or waiting to be unmapped from one.
    pub const MEMORY: u32 = 4;
}

/// What kind of object has a frame, in the answer to OWNER.
pub mod object {
    /// Not looked for, or none (kept or waiting frames).
    pub const NONE: u32 = 0;
    /// A run that was allocated directly; the object is its handle.
    pub const RUN: u32 = 1;
    /// A dataspace.
    pub const DATASPACE: u32 = 2;
}
