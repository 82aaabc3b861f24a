//! Operations of a trace. Numbers are raw; the rig brings them into range, so that every
//! sequence of bytes or shrunk values is a valid trace.

use arbitrary::Arbitrary;

/// One step.
#[derive(Clone, Copy, Debug, Arbitrary)]
pub enum Op {
    /// A single frame.
    AllocOne { tag: u8 },
    /// An aligned run.
    AllocOrder { order: u8, tag: u8 },
    /// A run of any length.
    Alloc {
        frames: u16,
        align: u8,
        tag: u8,
        zeroed: bool,
    },
    /// The same inside a range.
    AllocWithin {
        frames: u8,
        align: u8,
        start: u32,
        length: u16,
        tag: u8,
    },
    /// Frames at a place.
    AllocAt { start: u32, frames: u16, tag: u8 },
    /// Frees an allocation.
    Free { which: u16 },
    /// Frees part of an allocation.
    FreePart { which: u16, skip: u16, frames: u16 },
    /// Frees whatever is said, rightly or wrongly.
    FreeRaw { start: u32, frames: u16, tag: u8 },
    /// Adds frames.
    Add { start: u32, frames: u16 },
    /// Removes frames.
    Remove { start: u32, frames: u16 },
    /// Takes a run out to be zeroed.
    BeginZeroing { size: u8 },
    /// Hands a run in.
    EndZeroing { which: u8 },
    /// Hands a run back dirty.
    AbandonZeroing { which: u8 },
    /// Makes a zeroed run dirty.
    DropZeroed,
    /// Begins a change of policy.
    Switch { kind: u8 },
    /// Steps of a change.
    Step { count: u8 },
    /// Gives a change up.
    AbandonSwitch,
    /// Takes all runs of an order until there is no memory.
    Exhaust { order: u8, tag: u8 },
    /// Frees every second allocation.
    FreeHalf,
}

/// Where the traces run.
#[derive(Clone, Copy, Debug, Arbitrary)]
pub struct Setting {
    /// The policy in use at first.
    pub kind: u8,
    /// Depth of the cache, 0 to 15.
    pub depth: u8,
    /// Where the window lies: at 0, at the top of the address space, below a 1 GiB boundary, in
    /// the middle.
    pub place: u8,
    /// Blocks of the window, 1 to 8.
    pub blocks: u8,
    /// Frames that are there at first: none, one, all, all but every 7th, all but the blocks' ends.
    pub regions: u8,
}
