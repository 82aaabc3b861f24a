//! What is asked for and what is given.

use super::units::{OwnerTag, PageOrder, Run};

/// A request for a run of frames.
///
/// ```
/// use percore_pager::frames::{OwnerTag, PageOrder, Request};
/// let me = OwnerTag::new(7).expect("1..=253");
/// let request = Request::order(me, PageOrder::BLOCK).zeroed();
/// assert_eq!(request.frames, 512);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// Who will have it.
    pub owner: OwnerTag,
    /// Its length, 1..=2^18 frames (1 GiB).
    pub frames: u32,
    /// Alignment of its first frame number.
    pub align: PageOrder,
    /// Where all of it must lie; everywhere when `None`.
    pub within: Option<Run>,
    /// Take frames that are zeroed already, if there are any. See [`Grant::zeroed`].
    pub zeroed: bool,
}

impl Request {
    /// One frame for `owner`.
    pub const fn one(owner: OwnerTag) -> Self {
        Self::order(owner, PageOrder::FRAME)
    }

    /// An aligned run of `order`.
    pub const fn order(owner: OwnerTag, order: PageOrder) -> Self {
        Request {
            owner,
            frames: order.frames(),
            align: order,
            within: None,
            zeroed: false,
        }
    }

    /// A run of any length without alignment.
    pub const fn frames(owner: OwnerTag, frames: u32) -> Self {
        Request {
            owner,
            frames,
            align: PageOrder::FRAME,
            within: None,
            zeroed: false,
        }
    }

    /// The same, aligned to `align`.
    pub const fn aligned(self, align: PageOrder) -> Self {
        Request { align, ..self }
    }

    /// The same, inside `run`.
    pub const fn within(self, run: Run) -> Self {
        Request {
            within: Some(run),
            ..self
        }
    }

    /// The same, zeroed if possible.
    pub const fn zeroed(self) -> Self {
        Request {
            zeroed: true,
            ..self
        }
    }
}

/// Frames that were handed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "the run is taken until it is freed"]
pub struct Grant {
    /// The frames.
    pub run: Run,
    /// Whether they are all zero. If not, they must be zeroed before another owner sees them.
    pub zeroed: bool,
}
