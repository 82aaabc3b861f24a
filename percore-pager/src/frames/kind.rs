//! The policies by name, and one type that can be any of them.

use super::avl::Avl;
use super::bitmap::Bitmap;
use super::buddy::Buddy;
use super::memory::{Memory, Need};
use super::policies::Policies;
use super::policy::{Policy, Want, pass_on};
use super::slab::Slab;
use super::units::{FrameIx, PageOrder, Span};
use super::validate::Fault;
use super::window::Window;

/// The name of a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Hierarchical bitmap, block-aware: the default.
    Bitmap,
    /// Binary buddies.
    Buddy,
    /// Best fit from a balanced tree, as the paper's.
    Avl,
    /// Size classes of runs, a block for each class.
    Slab,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 4] = [Kind::Bitmap, Kind::Buddy, Kind::Avl, Kind::Slab];

    /// Its name in tables and scripts.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Bitmap => "bitmap",
            Kind::Buddy => "buddy",
            Kind::Avl => "avl",
            Kind::Slab => "slab",
        }
    }

    /// Book-keeping memory it needs for `window`, whatever is free.
    pub fn need(self, window: &Window) -> Need {
        match self {
            Kind::Bitmap => Bitmap::need(window),
            Kind::Buddy => Buddy::need(window),
            Kind::Avl => Avl::need(window),
            Kind::Slab => Slab::need(window),
        }
    }
}

/// A policy whose kind is known at run time only.
#[derive(Debug)]
#[allow(
    clippy::large_enum_variant,
    reason = "there is no heap to put the larger ones on"
)]
pub enum OfKind<'a> {
    /// See [`Bitmap`].
    Bitmap(Bitmap<'a>),
    /// See [`Buddy`].
    Buddy(Buddy<'a>),
    /// See [`Avl`].
    Avl(Avl<'a>),
    /// See [`Slab`].
    Slab(Slab<'a>),
}

impl<'a> OfKind<'a> {
    /// An empty policy of `kind`; `None` when `memory` is less than [`Kind::need`].
    pub fn new(kind: Kind, window: Window, memory: Memory<'a>) -> Option<Self> {
        Some(match kind {
            Kind::Bitmap => OfKind::Bitmap(Bitmap::new(window, memory)?),
            Kind::Buddy => OfKind::Buddy(Buddy::new(window, memory)?),
            Kind::Avl => OfKind::Avl(Avl::new(window, memory)?),
            Kind::Slab => OfKind::Slab(Slab::new(window, memory)?),
        })
    }

    /// The short forms are those of the default.
    #[inline(always)]
    fn short(&mut self) -> Option<&mut Bitmap<'a>> {
        match self {
            OfKind::Bitmap(policy) => Some(policy),
            _ => None,
        }
    }
}

macro_rules! each {
    ($self:expr, $policy:ident => $call:expr) => {
        match $self {
            OfKind::Bitmap($policy) => $call,
            OfKind::Buddy($policy) => $call,
            OfKind::Avl($policy) => $call,
            OfKind::Slab($policy) => $call,
        }
    };
}

// SAFETY: every method is passed on to a policy.
unsafe impl Policy for OfKind<'_> {
    pass_on!(each);
}
