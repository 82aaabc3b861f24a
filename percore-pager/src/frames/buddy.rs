//! Binary buddies: a set of free runs for each order.
//!
//! A free run is always as large as it can be. Taking a run splits the smallest that will do,
//! lowest address first; giving merges with the buddy as long as that is free. Both take as many
//! steps as there are orders at most. The sets are 64-ary bitmaps, so nothing is written into free
//! memory and the runs of an order are taken in order of address.
//!
//! It wins when requests have many orders and live alike: splits and merges then are few. For
//! single frames it costs more than `Bitmap`, and it has no notion of a fullest block: frames that
//! stay long are spread over more blocks. 0.26 bytes a frame.

use super::bitset::BitSet;
use super::kind::Kind;
use super::memory::{Memory, Need};
use super::orders::pieces;
use super::policies::Policies;
use super::policy::Policy;
use super::units::{FrameIx, PageOrder, Span};
use super::validate::Fault;
use super::window::Window;

/// See the [module](self).
#[derive(Debug)]
pub struct Buddy<'a> {
    window: Window,
    /// Free runs by order; a run's number is its start, from a 1 GiB boundary on, over its size.
    sets: [BitSet<'a>; PageOrder::COUNT],
    counts: [u32; PageOrder::COUNT],
    /// Bit n: there is a free run of order n.
    filled: u32,
    skew: u32,
}

impl<'a> Buddy<'a> {
    const fn numbers(window: &Window, order: u32) -> u32 {
        (window.skew() + window.frames()).div_ceil(1 << order)
    }

    /// Book-keeping memory for `window`.
    pub const fn need(window: &Window) -> Need {
        let mut private = 0;
        let mut order = 0;
        while order < PageOrder::COUNT as u32 {
            private += BitSet::need(Self::numbers(window, order));
            order += 1;
        }
        Need { shared: 0, private }
    }

    /// A policy without any free frame; `None` when `memory` is less than [`Self::need`].
    pub fn new(window: Window, memory: Memory<'a>) -> Option<Self> {
        let mut private = memory.private;
        let mut enough = true;
        let sets = core::array::from_fn(|order| {
            let numbers = Self::numbers(&window, order as u32);
            let set = BitSet::new(numbers, &mut private);
            enough &= set.is_some();
            set.unwrap_or_default()
        });
        enough.then_some(Buddy {
            window,
            sets,
            counts: [0; PageOrder::COUNT],
            filled: 0,
            skew: window.skew(),
        })
    }

    fn insert(&mut self, order: u32, number: u32) {
        self.sets[order as usize].insert(number);
        self.counts[order as usize] += 1;
        self.filled |= 1 << order;
    }

    fn remove(&mut self, order: u32, number: u32) {
        self.sets[order as usize].remove(number);
        let count = &mut self.counts[order as usize];
        *count -= 1;
        if *count == 0 {
            self.filled &= !(1 << order);
        }
    }

    /// Splits the free run `number` of order `from` down to the part of order `to` at `start`
    /// (from the 1 GiB boundary), which is taken.
    fn split(&mut self, from: u32, number: u32, to: u32, start: u32) {
        self.remove(from, number);
        for order in (to..from).rev() {
            self.insert(order, start >> order ^ 1);
        }
    }

    /// The order of the free run that holds the aligned run of `order` at `start`.
    fn holder(&self, start: u32, order: u32) -> Option<u32> {
        (order..PageOrder::COUNT as u32)
            .filter(|order| self.filled >> order & 1 != 0)
            .find(|order| self.sets[*order as usize].contains(start >> order))
    }

    /// Whether any free run begins or lies inside the aligned run of `order` at `start`.
    fn touches(&self, start: u32, order: u32) -> bool {
        self.holder(start, order).is_some()
            || (0..order).any(|below| {
                let first = start >> below;
                let after = (start + (1 << order)) >> below;
                self.sets[below as usize]
                    .next_within(first, after)
                    .is_some()
            })
    }

    fn give_piece(&mut self, start: u32, order: u32) {
        let mut number = start >> order;
        let mut at = order;
        while at < PageOrder::MAX.get() && self.sets[at as usize].contains_checked(number ^ 1) {
            self.remove(at, number ^ 1);
            number >>= 1;
            at += 1;
        }
        self.insert(at, number);
    }
}

// SAFETY: runs are parts of runs that were given, and those were inside the window.
unsafe impl Policy for Buddy<'_> {
    fn policies(&self) -> Policies {
        Kind::Buddy.into()
    }

    fn window(&self) -> &Window {
        &self.window
    }

    fn take(&mut self, order: PageOrder) -> Option<FrameIx> {
        let order = order.get();
        let rest = self.filled >> order;
        if rest == 0 {
            return None;
        }
        let from = order + rest.trailing_zeros();
        let number = self.sets[from as usize].first()?;
        let start = number << from;
        self.split(from, number, order, start);
        Some(FrameIx(start - self.skew))
    }

    fn take_within(&mut self, order: PageOrder, within: Span) -> Option<FrameIx> {
        let within = within.cut(self.window.span());
        let size = order.frames();
        let order = order.get();
        let (low, high) = (within.start.0 + self.skew, within.end.0 + self.skew);
        // Runs that lie wholly inside, the smallest order first.
        let inside = (order..PageOrder::COUNT as u32).find_map(|from| {
            let first = (u64::from(low) + (1 << from) - 1) >> from;
            let number = self.sets[from as usize].next_within(first as u32, high >> from)?;
            Some((from, number, number << from))
        });
        // Else one that reaches over an end of it.
        let (from, number, start) = inside.or_else(|| {
            let first = low.next_multiple_of(size);
            let last = high.checked_sub(size)? & !(size - 1);
            [first, last].into_iter().find_map(|start| {
                if start < low || start + size > high {
                    return None;
                }
                let from = self.holder(start, order)?;
                Some((from, start >> from, start))
            })
        })?;
        self.split(from, number, order, start);
        Some(FrameIx(start - self.skew))
    }

    fn take_at(&mut self, span: Span) -> bool {
        let skew = self.skew;
        if !pieces(span, skew).all(|p| self.holder(p.start.0 + skew, p.order.get()).is_some()) {
            return false;
        }
        for piece in pieces(span, skew) {
            let (start, order) = (piece.start.0 + skew, piece.order.get());
            if let Some(from) = self.holder(start, order) {
                self.split(from, start >> from, order, start);
            }
        }
        true
    }

    fn give(&mut self, span: Span) -> bool {
        let skew = self.skew;
        if pieces(span, skew).any(|p| self.touches(p.start.0 + skew, p.order.get())) {
            return false;
        }
        pieces(span, skew).for_each(|p| self.give_piece(p.start.0 + skew, p.order.get()));
        true
    }

    fn next_free(&self, from: FrameIx) -> Option<Span> {
        if from.0 >= self.window.frames() {
            return None;
        }
        let at = from.0 + self.skew;
        let (start, order) = match self.holder(at, 0) {
            Some(order) => (at >> order << order, order),
            None => (0..PageOrder::COUNT as u32)
                .filter_map(|order| {
                    let number = self.sets[order as usize].next((at >> order) + 1)?;
                    Some((number << order, order))
                })
                .min()?,
        };
        let end = start + (1 << order) - self.skew;
        Some(Span {
            start: FrameIx(start.max(at) - self.skew),
            end: FrameIx(end),
        })
    }

    fn free_runs(&self, order: PageOrder) -> u32 {
        let order = order.get();
        self.counts[order as usize..]
            .iter()
            .enumerate()
            .map(|(above, count)| count << above)
            .sum()
    }

    fn check(&self) -> Result<(), Fault> {
        if !self.sets.iter().all(BitSet::is_consistent) {
            return Err(Fault::Summary);
        }
        for order in PageOrder::all() {
            let (set, kept) = (
                &self.sets[order.get() as usize],
                self.counts[order.get() as usize],
            );
            let mut found = 0;
            let mut at = 0;
            while let Some(number) = set.next(at) {
                found += 1;
                at = number + 1;
                let start = number << order.get();
                let frame = FrameIx(start.wrapping_sub(self.skew));
                let overlaps = (order.get() + 1..PageOrder::COUNT as u32)
                    .any(|above| self.sets[above as usize].contains(start >> above));
                let buddy = order != PageOrder::MAX && set.contains_checked(number ^ 1);
                if overlaps || buddy {
                    return Err(Fault::Frame(frame));
                }
            }
            if found != kept || (self.filled >> order.get() & 1 != 0) != (kept > 0) {
                return Err(Fault::Runs(order, kept, found));
            }
        }
        Ok(())
    }
}
