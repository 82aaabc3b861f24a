//! The policies by name, and one type that can be any of them.

use super::avl::Avl;
use super::bitmap::Bitmap;
use super::buddy::Buddy;
use super::memory::{Memory, Need};
use super::policies::Policies;
use super::policy::{Policy, Want};
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

    // The short forms are for the default; a branch among more than two is no short form.

    #[inline(always)]
    fn try_take_one(&mut self) -> Option<FrameIx> {
        match self {
            OfKind::Bitmap(policy) => policy.try_take_one(),
            _ => None,
        }
    }

    #[inline(always)]
    fn try_take_four(&mut self) -> Option<FrameIx> {
        match self {
            OfKind::Bitmap(policy) => policy.try_take_four(),
            _ => None,
        }
    }

    #[inline(always)]
    fn try_give_one(&mut self, frame: FrameIx) -> bool {
        match self {
            OfKind::Bitmap(policy) => policy.try_give_one(frame),
            _ => false,
        }
    }

    #[inline(always)]
    fn try_take_block(&mut self) -> Option<FrameIx> {
        match self {
            OfKind::Bitmap(policy) => policy.try_take_block(),
            _ => None,
        }
    }

    #[inline(always)]
    fn try_give_block(&mut self, start: FrameIx) -> bool {
        match self {
            OfKind::Bitmap(policy) => policy.try_give_block(start),
            _ => false,
        }
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
