//! Where the free aligned runs of a line are, for all orders at once and without a loop.
//!
//! A word is folded once per order: bit i of `word & word >> 1`, for even i, says that a run of
//! order 1 begins there. Only every second bit still means something then, so two folded words
//! share one, and four after the next fold, and eight after the third. From there on one word
//! stands for the line. So all orders take about a hundred instructions, whatever the line holds.

use core::sync::atomic::AtomicU64;

use super::super::memory::load;
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
            Runs::of(self.line(group)).first(order)?
        } else {
            let found = *of_words(self.full_words(group)).get(order as usize - 6)?;
            (found != 0).then(|| found.trailing_zeros() * 64)?
        };
        Some(group * GROUP + unit)
    }
}

impl Runs {
    #[inline(always)]
    pub(super) fn of(line: &[AtomicU64; 8]) -> Self {
        let one = |n: usize| {
            let word = load(&line[n]);
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
        let [of3, of4, of5, of6, of7, of8] = self.rest.map(|runs| u32::from(runs != 0));
        if of6 != 0 {
            return 6 + of7 + of8;
        }
        if of3 != 0 {
            return 3 + of4 + of5;
        }
        let [a, b, c, d] = self.twos;
        u32::from(a | b | c | d != 0) + u32::from(self.fours[0] | self.fours[1] != 0)
    }

    /// A run of `order` (1..=8): its first unit in the line.
    #[inline]
    fn first(&self, order: u32) -> Option<u32> {
        let (words, lanes): (&[u64], u32) = match order {
            1 => (&self.twos, 2),
            2 => (&self.fours, 4),
            _ => (self.rest.get(order as usize - 3..order as usize - 2)?, 8),
        };
        let number = words.iter().position(|word| *word != 0)?;
        let at = words[number].trailing_zeros();
        let lane = at % lanes;
        Some((number as u32 * lanes + lane) * 64 + (at - lane))
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
            let line = words.map(AtomicU64::new);
            let runs = Runs::of(&line);
            let free = |unit: u32| words[unit as usize / 64] >> (unit % 64) & 1 != 0;
            let is_run = |start: u32, order: u32| (start..start + (1 << order)).all(free);
            let mut largest = 0;
            for order in 1..=8 {
                let some = (0..512 >> order).any(|n| is_run(n << order, order));
                let first = runs.first(order);
                assert_eq!(first.is_some(), some, "{words:x?} {order}");
                if let Some(start) = first {
                    assert!(start % (1 << order) == 0 && is_run(start, order));
                    largest = order;
                }
            }
            assert_eq!(runs.largest(), largest, "{words:x?}");
        }
    }
}
