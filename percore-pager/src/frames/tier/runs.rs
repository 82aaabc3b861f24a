//! Where the free aligned runs of a line are, for all orders at once and without a loop.
//!
//! A word is folded once per order: bit i of `word & word >> 1`, for even i, says that a run of
//! order 1 begins there. Only every second bit still means something then, so two folded words
//! share one, and four after the next fold, and eight after the third. From there on one word
//! stands for the line. So all orders take about a hundred instructions, whatever the line holds.

use super::account::{ones, starts_in};
use super::{GROUP, Tier};

/// The runs of a line of 512 units, by order.
pub(super) struct Runs {
    /// Bit 2i + l of word n: a run of order 1 at unit 2i of word 2n + l.
    twos: [u64; 4],
    /// Bit 4i + l of word n: a run of order 2 at unit 4i of word 4n + l.
    fours: [u64; 2],
    /// Orders 3 to 8. Bit 8i + l: a run at unit 8i of word l.
    rest: [u64; 6],
}

/// Runs of the orders 6 to 8, by their first word, of a bit for each full word: those are to the
/// line what bits are to a word.
#[inline(always)]
fn of_words(full: u64) -> [u64; 3] {
    let of7 = full & full >> 1 & 0x55;
    [full, of7, of7 & of7 >> 2 & 0x11]
}

impl Tier<'_> {
    /// A free run of `order` (1..=8) in a group: its first unit.
    pub(super) fn first_run(&self, group: u32, order: u32) -> Option<u32> {
        let unit = if order < 6 {
            Runs::of(self.bits(group)).first(order)?
        } else {
            Runs::first_of_words(self.full_words(group), order)? * 64
        };
        Some(group * GROUP + unit)
    }
}

impl Runs {
    #[inline(always)]
    pub(super) fn of(line: [u64; 8]) -> Self {
        let one = |n: usize| {
            let word = line[n];
            word & word >> 1 & 0x5555_5555_5555_5555
        };
        let two = |n: usize| one(2 * n) | one(2 * n + 1) << 1;
        let twos = [two(0), two(1), two(2), two(3)];
        let half = |word: u64| word & word >> 2 & 0x3333_3333_3333_3333;
        let four = |n: usize| half(twos[2 * n]) | half(twos[2 * n + 1]) << 2;
        let fours = [four(0), four(1)];
        let half = |word: u64| word & word >> 4 & 0x0f0f_0f0f_0f0f_0f0f;
        let of3 = half(fours[0]) | half(fours[1]) << 4;
        let of4 = of3 & of3 >> 8 & 0x00ff_00ff_00ff_00ff;
        let of5 = of4 & of4 >> 16 & 0x0000_00ff_0000_00ff;
        let of6 = of5 & of5 >> 32 & 0xff;
        let [_, of7, of8] = of_words(of6);
        Runs {
            twos,
            fours,
            rest: [of3, of4, of5, of6, of7, of8],
        }
    }

    /// Order of the largest, 0 when there is none of order 1.
    #[inline]
    pub(super) fn largest(&self) -> u32 {
        // Where there is a run of an order, there is one of each lower order.
        let [of3, of4, of5, of6, ..] = self.rest.map(|runs| u32::from(runs != 0));
        if of6 != 0 {
            return Self::largest_of_words(self.full());
        }
        if of3 != 0 {
            return 3 + of4 + of5;
        }
        let [a, b, c, d] = self.twos;
        u32::from(a | b | c | d != 0) + u32::from(self.fours[0] | self.fours[1] != 0)
    }

    /// Whether there is a run of `order` (1..=8).
    #[inline]
    pub(super) fn any(&self, order: u32) -> bool {
        if let Some(runs) = self.rest.get(order.wrapping_sub(3) as usize) {
            return *runs != 0;
        }
        let [a, b, c, d] = self.twos;
        if order == 2 {
            self.fours[0] | self.fours[1] != 0
        } else {
            a | b | c | d != 0
        }
    }

    /// Bit n: word n is all free.
    #[inline]
    pub(super) fn full(&self) -> u64 {
        self.rest[3]
    }

    /// Order of the largest run, of which some are all free: `full` has a bit for each of those.
    #[inline]
    pub(super) fn largest_of_words(full: u64) -> u32 {
        let [_, of7, of8] = of_words(full);
        6 + u32::from(of7 != 0) + u32::from(of8 != 0)
    }

    /// Whether there is a run of `order` (6..=8), of a line whose free words are `full`.
    #[inline]
    pub(super) fn any_of_words(full: u64, order: u32) -> bool {
        full != 0 && Self::largest_of_words(full) >= order
    }

    /// The first word of a run of `order` (6..=8) in such a line.
    #[inline]
    pub(super) fn first_of_words(full: u64, order: u32) -> Option<u32> {
        let found = *of_words(full).get(order as usize - 6)?;
        (found != 0).then(|| found.trailing_zeros())
    }

    /// Order of the largest run when the one of `size` (1..=5) around `unit`, which is of the
    /// largest, is gone; 0 when there is none of order 1.
    #[inline(always)]
    pub(super) fn largest_but(&self, size: u32, unit: u32) -> u32 {
        let (word, bit) = (unit / 64, ((unit % 64) >> size) << size);
        let gone = ones(size) << bit;
        let own = |order: u32, lane: u32| (gone & starts_in(order)) << lane;
        // Runs of orders above `size` there are none.
        for order in [5, 4, 3] {
            if self.rest[order as usize - 3] & !own(order, word) != 0 {
                return order;
            }
        }
        let mut fours = self.fours;
        fours[word as usize / 4 % 2] &= !own(2, word % 4);
        if fours[0] | fours[1] != 0 {
            return 2;
        }
        let mut twos = self.twos;
        twos[word as usize / 2 % 4] &= !own(1, word % 2);
        u32::from(twos[0] | twos[1] | twos[2] | twos[3] != 0)
    }

    /// Whether there are several runs of `order` (1..=8), if there is one.
    #[inline(always)]
    pub(super) fn several(&self, order: u32) -> bool {
        let more = |word: u64| word & word.wrapping_sub(1);
        if let Some(runs) = self.rest.get(order.wrapping_sub(3) as usize) {
            return more(*runs) != 0;
        }
        // Words of which two have the same bit set have several runs too.
        if order == 2 {
            let [a, b] = self.fours;
            return more(a | b) | a & b != 0;
        }
        let [a, b, c, d] = self.twos;
        more(a | b | c | d) | a & b | c & d | (a | b) & (c | d) != 0
    }

    /// A run of `order` (1..=8): its first unit in the line.
    #[inline]
    pub(super) fn first(&self, order: u32) -> Option<u32> {
        if let Some(runs) = self.rest.get(order.wrapping_sub(3) as usize) {
            let at = runs.trailing_zeros();
            // The word's number is in the low bits, and moves to where words are counted.
            return (*runs != 0).then_some(at % 8 * 64 + (at & !7));
        }
        if order == 2 {
            let [low, high] = self.fours;
            let second = u32::from(low == 0);
            let runs = if low == 0 { high } else { low };
            let at = runs.trailing_zeros();
            return (runs != 0).then_some((second * 4 + at % 4) * 64 + (at & !3));
        }
        let number = self.twos.iter().position(|word| *word != 0)?;
        let at = self.twos[number].trailing_zeros();
        Some((number as u32 * 2 + at % 2) * 64 + (at & !1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_agree_with_a_search() {
        let mut seed = 5u64;
        let mut random = || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            seed ^ seed >> 29
        };
        for round in 0..4000u32 {
            // From nearly empty to nearly full lines, and full words beside others.
            let words: [u64; 8] = core::array::from_fn(|_| match random() >> 40 & 7 {
                0 => 0,
                1 | 2 => u64::MAX,
                3 => random() | random() | random() | random() << 3,
                4 => random() & random() & random(),
                5 => u64::MAX << (random() >> 58),
                _ => random(),
            });
            let words = if round % 9 == 0 { [words[0]; 8] } else { words };
            let runs = Runs::of(words);
            let free = |unit: u32| words[unit as usize / 64] >> (unit % 64) & 1 != 0;
            let is_run = |start: u32, order: u32| (start..start + (1 << order)).all(free);
            let mut largest = 0;
            for order in 1..=8 {
                let some = (0..512 >> order).any(|n| is_run(n << order, order));
                let first = runs.first(order);
                assert_eq!(first.is_some(), some, "{words:x?} {order}");
                if let Some(start) = first {
                    assert!(start % (1 << order) == 0 && is_run(start, order));
                    let others =
                        (0..512 >> order).any(|n| n != start >> order && is_run(n << order, order));
                    assert_eq!(runs.several(order), others, "{words:x?} {order}");
                    assert!(
                        runs.any(order) && (order < 6 || Runs::any_of_words(runs.full(), order))
                    );
                    largest = order;
                }
            }
            assert_eq!(runs.largest(), largest, "{words:x?}");
            if let Some(start) = (1..=5)
                .contains(&largest)
                .then(|| runs.first(largest))
                .flatten()
            {
                let gone = start..start + (1 << largest);
                let left = (1..=largest).rev().find(|order| {
                    let runs = (0..512 >> order).map(|n| n << order);
                    runs.filter(|at| !gone.contains(at))
                        .any(|at| is_run(at, *order))
                });
                assert_eq!(
                    runs.largest_but(largest, start),
                    left.unwrap_or(0),
                    "{words:x?}"
                );
            }
        }
    }
}
