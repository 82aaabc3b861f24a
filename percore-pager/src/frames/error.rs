//! What can go wrong, each with the party at fault.

use super::units::{FrameNo, OwnerTag};

/// Why an allocation was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AllocError {
    /// No free run of this size, alignment and place.
    NoMemory,
    /// The request makes no sense: no frames, more than 1 GiB, alignment above 1 GiB.
    BadRequest,
    /// Allocation at an address: a frame of it is taken or not there.
    NotFree,
}

/// Why a free was refused. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FreeError {
    /// The frame is free already.
    DoubleFree(FrameNo),
    /// The frame does not belong to this allocator.
    Foreign(FrameNo),
    /// Somebody else has the frame, or the allocator itself (it is being zeroed).
    NotOwner(FrameNo, Option<OwnerTag>),
}

/// Why a region could not be added or removed. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegionError {
    /// The run is not inside the allocator's window.
    OutsideWindow,
    /// Adding: this frame is there already.
    Overlap(FrameNo),
    /// Removing: there is no such frame.
    Absent(FrameNo),
    /// Removing: this frame is not free.
    Busy(FrameNo),
}

/// Why an allocator or a policy could not be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetupError {
    /// Less book-keeping memory was given than [`Need`](super::Need) said.
    TooLittleMemory,
}

/// Why a change of policy was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SwitchError {
    /// A change is under way.
    Busy,
    /// The policy asked for is the one in use.
    Same,
    /// Less memory was given than [`Policies::need`](super::Policies::need) said.
    TooLittleMemory,
}
