//! Arithmetic of aligned power-of-two runs: cutting a span into them and counting them.

use super::units::{FrameIx, PageOrder, Span};

/// An aligned run of `1 << order` frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// First frame.
    pub start: FrameIx,
    /// Its order; `start` plus the window's skew is a multiple of its size.
    pub order: PageOrder,
}

impl Piece {
    /// The frames of the piece.
    pub fn span(self) -> Span {
        Span::at(self.start, self.order.frames())
    }
}

/// Cuts `span` into the fewest aligned pieces, in rising order of address: at most 36, plus one
/// per GiB. `skew` is [`Window::skew`](super::Window::skew).
pub fn pieces(span: Span, skew: u32) -> impl Iterator<Item = Piece> {
    let mut at = span.start.0;
    core::iter::from_fn(move || {
        if at >= span.end.0 {
            return None;
        }
        let fits = (span.end.0 - at).ilog2();
        let aligned = (at + skew).trailing_zeros();
        let order = PageOrder::new(fits.min(aligned)).unwrap_or(PageOrder::MAX);
        let piece = Piece {
            start: FrameIx(at),
            order,
        };
        at += order.frames();
        Some(piece)
    })
}

/// How many aligned runs of each order lie in a set of separate spans; for policies whose free
/// runs have any length.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RunCounts([u32; PageOrder::COUNT]);

impl RunCounts {
    /// Counts the aligned runs inside `span` in.
    pub fn add(&mut self, span: Span, skew: u32) {
        for order in PageOrder::all() {
            self.0[order.get() as usize] += inside(span, skew, order);
        }
    }

    /// Counts the aligned runs inside `span` out; it must have been counted in.
    pub fn remove(&mut self, span: Span, skew: u32) {
        for order in PageOrder::all() {
            self.0[order.get() as usize] -= inside(span, skew, order);
        }
    }

    /// The count for `order`.
    pub fn get(&self, order: PageOrder) -> u32 {
        self.0[order.get() as usize]
    }
}

/// The first start of an aligned run of `order` that is at least `from`.
pub fn align_up(from: FrameIx, skew: u32, order: PageOrder) -> FrameIx {
    let mask = order.frames() - 1;
    FrameIx(((from.0 + skew + mask) & !mask) - skew)
}

fn inside(span: Span, skew: u32, order: PageOrder) -> u32 {
    let first = (span.start.0 + skew + order.frames() - 1) >> order.get();
    let last = (span.end.0 + skew) >> order.get();
    last.saturating_sub(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_cover_the_span_and_are_aligned() {
        for skew in [0, 512, 512 * 511] {
            for (start, end) in [
                (0, 1),
                (1, 2),
                (3, 700),
                (511, 513),
                (0, 1 << 19),
                (5, 5),
                (100, 300_000),
            ] {
                let span = Span {
                    start: FrameIx(start),
                    end: FrameIx(end),
                };
                let mut at = start;
                let mut number = 0;
                for piece in pieces(span, skew) {
                    assert_eq!(piece.start.0, at);
                    assert_eq!((piece.start.0 + skew) % piece.order.frames(), 0);
                    at += piece.order.frames();
                    number += 1;
                }
                assert_eq!(at, end);
                assert!(number <= 38);
            }
        }
    }

    #[test]
    fn counts_of_a_span_agree_with_a_scan() {
        for skew in [0, 512] {
            for (start, end) in [(0, 1), (1, 4), (3, 2000), (511, 513), (511, 1600)] {
                let span = Span {
                    start: FrameIx(start),
                    end: FrameIx(end),
                };
                let mut counts = RunCounts::default();
                counts.add(span, skew);
                for order in PageOrder::all() {
                    let scan = (start..end)
                        .filter(|at| {
                            (at + skew) % order.frames() == 0 && at + order.frames() <= end
                        })
                        .count();
                    assert_eq!(counts.get(order) as usize, scan, "{span:?} {order:?}");
                }
                counts.remove(span, skew);
                assert_eq!(counts, RunCounts::default());
            }
        }
    }
}
