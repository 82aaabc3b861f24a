//! Which policies an allocator uses, in their order, and one type that can be any choice of them.

use core::fmt;

use super::kind::{Kind, OfKind};
use super::layers::Layers;
use super::memory::{Memory, Need};
use super::policy::{Policy, Want, pass_on};
use super::units::{FrameIx, PageOrder, Span};
use super::validate::Fault;
use super::window::Window;

/// One policy for everything, or two in an order: the first serves runs below 2 MiB, the second
/// whole 2 MiB blocks and gives the first one a block when it needs one. See [`Layers`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Policies {
    small: Kind,
    large: Kind,
}

impl Policies {
    /// The bitmap for everything.
    pub const DEFAULT: Policies = Policies::new(Kind::Bitmap, Kind::Bitmap);

    /// `small` for runs below 2 MiB and `large` for whole blocks; one policy alone if they are the
    /// same.
    pub const fn new(small: Kind, large: Kind) -> Self {
        Policies { small, large }
    }

    /// All of them: each policy alone, and each pair.
    pub fn all() -> impl Iterator<Item = Policies> {
        let with = |small: Kind| Kind::ALL.map(|large| Policies { small, large });
        Kind::ALL.into_iter().flat_map(with)
    }

    /// The policy of runs below 2 MiB.
    pub const fn small(self) -> Kind {
        self.small
    }

    /// The policy of whole blocks.
    pub const fn large(self) -> Kind {
        self.large
    }

    /// Their name: `slab`, or `slab+avl` for two.
    pub const fn name(self) -> &'static str {
        // In the order of `Kind::ALL`.
        const NAMES: [[&str; 4]; 4] = [
            ["bitmap", "bitmap+buddy", "bitmap+avl", "bitmap+slab"],
            ["buddy+bitmap", "buddy", "buddy+avl", "buddy+slab"],
            ["avl+bitmap", "avl+buddy", "avl", "avl+slab"],
            ["slab+bitmap", "slab+buddy", "slab+avl", "slab"],
        ];
        NAMES[self.small as usize][self.large as usize]
    }

    /// Whether one policy has everything.
    pub fn is_one(self) -> bool {
        self.small == self.large
    }

    /// Book-keeping memory for `window`, whatever is free.
    pub fn need(self, window: &Window) -> Need {
        if self.is_one() {
            return self.small.need(window);
        }
        self.small.need(window).and(self.large.need(window))
    }

    /// The policies with this [`name`](Self::name).
    pub fn named(name: &[u8]) -> Option<Self> {
        Policies::all().find(|policies| policies.name().as_bytes() == name)
    }
}

impl From<Kind> for Policies {
    fn from(kind: Kind) -> Self {
        Policies::new(kind, kind)
    }
}

impl fmt::Display for Policies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Policies whose choice is known at run time only.
#[derive(Debug)]
#[allow(
    clippy::large_enum_variant,
    reason = "there is no heap to put the larger one on"
)]
pub enum Chosen<'a> {
    /// One for everything.
    One(OfKind<'a>),
    /// Two in an order.
    Two(Layers<'a>),
}

impl<'a> Chosen<'a> {
    /// Policies without any free frame; `None` when `memory` is less than [`Policies::need`].
    pub fn new(policies: Policies, window: Window, memory: Memory<'a>) -> Option<Self> {
        Some(if policies.is_one() {
            Chosen::One(OfKind::new(policies.small, window, memory)?)
        } else {
            Chosen::Two(Layers::new(policies, window, memory)?)
        })
    }

    /// The short forms are those of one policy.
    #[inline(always)]
    fn short(&mut self) -> Option<&mut OfKind<'a>> {
        match self {
            Chosen::One(policy) => Some(policy),
            Chosen::Two(_) => None,
        }
    }
}

macro_rules! each {
    ($self:expr, $policy:ident => $call:expr) => {
        match $self {
            Chosen::One($policy) => $call,
            Chosen::Two($policy) => $call,
        }
    };
}

// SAFETY: every method is passed on to a policy.
unsafe impl Policy for Chosen<'_> {
    pass_on!(each);
}
