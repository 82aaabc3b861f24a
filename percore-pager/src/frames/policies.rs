//! Which policies an allocator uses, in their order, and one type that can be any choice of them.

use core::fmt;

use super::kind::{Kind, OfKind};
use super::layers::Layers;
use super::memory::{Memory, Need};
use super::policy::{Policy, Want};
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
    fn one(&mut self) -> Option<&mut OfKind<'a>> {
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
    fn policies(&self) -> Policies {
        each!(self, policy => policy.policies())
    }

    fn window(&self) -> &Window {
        each!(self, policy => policy.window())
    }

    #[inline]
    fn take(&mut self, order: PageOrder) -> Option<FrameIx> {
        each!(self, policy => policy.take(order))
    }

    fn take_within(&mut self, order: PageOrder, within: Span) -> Option<FrameIx> {
        each!(self, policy => policy.take_within(order, within))
    }

    fn take_at(&mut self, span: Span) -> bool {
        each!(self, policy => policy.take_at(span))
    }

    fn give(&mut self, span: Span) -> bool {
        each!(self, policy => policy.give(span))
    }

    #[inline]
    fn give_order(&mut self, start: FrameIx, order: PageOrder) -> bool {
        each!(self, policy => policy.give_order(start, order))
    }

    fn take_one(&mut self) -> Option<FrameIx> {
        each!(self, policy => policy.take_one())
    }

    fn give_one(&mut self, frame: FrameIx) -> bool {
        each!(self, policy => policy.give_one(frame))
    }

    #[inline(always)]
    fn try_take_one(&mut self) -> Option<FrameIx> {
        self.one()?.try_take_one()
    }

    #[inline(always)]
    fn try_take_four(&mut self) -> Option<FrameIx> {
        self.one()?.try_take_four()
    }

    #[inline(always)]
    fn try_give_one(&mut self, frame: FrameIx) -> bool {
        self.one().is_some_and(|policy| policy.try_give_one(frame))
    }

    #[inline(always)]
    fn try_take_block(&mut self) -> Option<FrameIx> {
        self.one()?.try_take_block()
    }

    #[inline(always)]
    fn try_give_block(&mut self, start: FrameIx) -> bool {
        self.one()
            .is_some_and(|policy| policy.try_give_block(start))
    }

    fn take_run(&mut self, want: &Want) -> Option<FrameIx> {
        each!(self, policy => policy.take_run(want))
    }

    fn next_free(&self, from: FrameIx) -> Option<Span> {
        each!(self, policy => policy.next_free(from))
    }

    fn free_runs(&self, order: PageOrder) -> u32 {
        each!(self, policy => policy.free_runs(order))
    }

    fn settle(&mut self) -> bool {
        each!(self, policy => policy.settle())
    }

    fn check(&self) -> Result<(), Fault> {
        each!(self, policy => policy.check())
    }
}
