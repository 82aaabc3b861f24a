//! Counts of free aligned runs by order, kept by two additions for each operation.
//!
//! Let `n(k)` be the number of free aligned runs of order k. Taking one unit whose largest free
//! aligned run had order m makes `n(0)` to `n(m)` one less and changes nothing else. So it is
//! enough to count down `changes[m]`, and `n(k)` is what all groups could have, plus the sum of
//! `changes[k..]`. Taking a run of order o out of a free one of order m is the same for the
//! orders o to m; below o, `n(k)` falls by `2^(o-k)`, that is by `2^(o-k) - 1` more, which is
//! told by `sizes[o]`, the runs of order o given less those taken. All sums are modulo 2^32: the
//! terms have no bounds, but what they sum to has.

use super::runs::Runs;
use super::{CHANGES, GROUP_ORDER, Given, LINE, Tier, bucket, largest};

/// The bits of a word at which an aligned run of order 0..=6 can start.
const STARTS: [u64; 7] = [
    u64::MAX,
    0x5555_5555_5555_5555,
    0x1111_1111_1111_1111,
    0x0101_0101_0101_0101,
    0x0001_0001_0001_0001,
    0x0000_0001_0000_0001,
    1,
];

/// `1 << order` ones, for orders 0..=6.
pub(super) fn ones(order: u32) -> u64 {
    u64::MAX >> (64 - (1 << order))
}

/// The bits of a word at which an aligned run of `order` (0..=6) can start.
#[inline(always)]
pub(super) fn starts_in(order: u32) -> u64 {
    STARTS[order as usize % STARTS.len()]
}

/// The starts of free aligned runs of `order` (0..=6) in a word of free bits.
pub(super) fn starts(mut word: u64, order: u32) -> u64 {
    for step in 0..order {
        word &= word >> (1 << step);
    }
    word & STARTS[order as usize]
}

/// Order of the free aligned run that begins with the lowest free bit of a word; `None` when the
/// word is all free, so that the run may be longer.
#[inline(always)]
pub(super) fn reach_of_lowest(word: u64, bit: u32) -> Option<u32> {
    let taken = !(word >> bit);
    if taken == 0 {
        return None;
    }
    Some(
        (bit | 64)
            .trailing_zeros()
            .min(taken.trailing_zeros().ilog2()),
    )
}

/// Order of the largest free aligned run around a free bit of a word; `None` when the word is all
/// free.
///
/// An aligned run around the bit is free when no taken bit is in it, and that is when neither
/// nearest taken bit is. The order up to which two positions share a run is the highest bit in
/// which they differ.
#[inline(always)]
pub(super) fn reach_in_word(word: u64, bit: u32) -> Option<u32> {
    let taken = !word;
    if taken == 0 {
        return None;
    }
    // Where there is no taken bit on a side, these are 64 and so differ in a high bit.
    let above = bit + (taken >> bit).trailing_zeros();
    let below = bit.wrapping_sub((taken << (63 - bit)).leading_zeros());
    Some((bit ^ above).min(bit ^ below).ilog2())
}

/// Order of the largest free aligned run of a line around its word `word`, which is all free, as
/// the words in `full` are (a bit each): they are to the line what bits are to a word.
#[inline(always)]
pub(super) fn reach_of_word(full: u64, word: u32) -> u32 {
    // Beyond the line nothing is free, so there is a taken bit.
    6 + reach_in_word(full, word).unwrap_or(0)
}

impl Tier<'_> {
    /// Number of free aligned runs of `order` (0..=8), when `whole` groups are free in the tier
    /// above.
    pub(in super::super) fn runs(&self, order: u32, whole: u32) -> u32 {
        let all = (whole + self.inside) << (GROUP_ORDER - order);
        let changes = &self.changes[order as usize..];
        let larger = (order + 1..=GROUP_ORDER).map(|size| {
            let each = (1 << (size - order)) - 1;
            self.sizes[size as usize].wrapping_mul(each)
        });
        let terms = changes.iter().copied().chain(larger);
        terms.fold(all, u32::wrapping_add)
    }

    /// Notes that a run of order `order` was taken (`by` -1) from, or given (+1) to make, a
    /// free run of order `reach`.
    #[inline]
    pub(super) fn account(&mut self, order: u32, reach: u32, by: i32) {
        let add = |count: &mut u32| *count = count.wrapping_add_signed(by);
        add(&mut self.changes[reach as usize % CHANGES]);
        add(&mut self.sizes[order as usize % CHANGES]);
    }

    /// Order of the largest free aligned run around the run of `order` at `unit`. Looks at the
    /// units around that run only, so it is the same before and after the run's bits change.
    pub(super) fn reach(&self, unit: u32, order: u32) -> u32 {
        if order < 6 {
            let mask = ones(order) << (unit % 64);
            if let Some(reach) = reach_in_word(self.word(unit / 64) | mask, unit % 64) {
                return reach;
            }
        }
        let own = ones(order.saturating_sub(6)) << (unit / 64 % LINE);
        let full = self.full_words(unit / super::GROUP) | own;
        reach_of_word(full, unit / 64 % LINE)
    }

    /// Bit n: word n of the group's line is all free.
    pub(super) fn full_words(&self, group: u32) -> u64 {
        let line = self.bits(group);
        let full = |n: usize| u64::from(line[n] == u64::MAX) << n;
        (full(0) | full(1) | full(2) | full(3)) | (full(4) | full(5) | full(6) | full(7))
    }

    /// The rest of `take_one`, when the buddy of the unit is free too: the word was `before`. The
    /// lowest free bit was taken, so the run around it begins with it.
    pub(super) fn took_from_run(&mut self, word: u32, before: u64, bit: u32) {
        let group = word / LINE;
        let most = largest(self.head(group));
        let (reach, left) = match reach_of_lowest(before, bit) {
            Some(reach) if reach < most => (reach, most),
            Some(reach) => (reach, self.left(group, 0, most)),
            None => {
                let (full, word) = (self.full_words(group), word % LINE);
                let reach = reach_of_word(full | 1 << word, word);
                let more = reach < most || Runs::any_of_words(full, most);
                (reach, most - u32::from(!more))
            }
        };
        self.account(0, reach, -1);
        self.reclass(group, most, left);
    }

    /// Order of the largest free run of a group that has lost a run of `order` out of one of its
    /// largest, of order `largest`.
    #[inline]
    pub(super) fn left(&self, group: u32, order: u32, largest: u32) -> u32 {
        if order < largest {
            // The other half of the broken run is free still.
            let more = if largest < 6 {
                Runs::of(self.bits(group)).any(largest)
            } else {
                Runs::any_of_words(self.full_words(group), largest)
            };
            return largest - u32::from(!more);
        }
        if order >= 6 {
            let full = self.full_words(group);
            if full != 0 {
                return Runs::largest_of_words(full);
            }
        }
        Runs::of(self.bits(group)).largest()
    }

    /// Follows up that the free run of order `reach` was made in `group` by giving `by` units.
    #[inline]
    pub(super) fn grew(&mut self, group: u32, by: i16, reach: u32) -> Given {
        let head = self.head(group);
        let most = largest(head);
        if reach == GROUP_ORDER {
            self.classes.remove(most, group);
            self.close(group);
            return Given::Whole;
        }
        self.rehead(group, head, by, most.max(reach));
        Given::Done
    }

    /// Records a group's free count, `by` more than `head` says, and the order of its largest
    /// free run, and moves it between buckets and classes.
    #[inline(never)]
    pub(super) fn rehead(&mut self, group: u32, head: u16, by: i16, most: u32) {
        let after = head.wrapping_add_signed(by) & !super::MAX | (most as u16) << super::MAX_SHIFT;
        self.set_head(group, after);
        if largest(head) != most {
            self.classes.relist(group, largest(head), most);
        }
        let (from, to) = (bucket(head), bucket(after));
        if from == to {
            return;
        }
        if self.hot / LINE != group {
            self.buckets.relist(group, from, to);
        } else if self.buckets.lowest().is_some_and(|lowest| lowest < to) {
            // The hot group has been emptied so far that another is fuller now.
            self.cool();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reach_in_a_word_agrees_with_a_search() {
        let mut seed = 9u64;
        for round in 0..2000 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let rare = seed | seed.rotate_left(17) | seed.rotate_left(31);
            let word = if round % 2 == 0 {
                seed
            } else {
                rare | rare.rotate_left(5)
            };
            for bit in (0..64).filter(|bit| word >> bit & 1 != 0) {
                let search = (0..=6)
                    .rev()
                    .find(|order| {
                        let mask = ones(*order) << (bit & !((1 << order) - 1));
                        word & mask == mask
                    })
                    .filter(|order| *order < 6);
                assert_eq!(reach_in_word(word, bit), search, "{word:#x} {bit}");
                if bit == word.trailing_zeros() {
                    assert_eq!(reach_of_lowest(word, bit), search, "{word:#x} {bit}");
                }
            }
        }
        assert_eq!(reach_in_word(u64::MAX, 3), None);
    }

    #[test]
    fn starts_of_runs_in_a_word() {
        assert_eq!(starts(0b1111_0110, 0), 0b1111_0110);
        assert_eq!(starts(0b1111_0110, 1), 0b0101_0000);
        assert_eq!(starts(0b1111_0110, 2), 0b0001_0000);
        assert_eq!(starts(u64::MAX, 6), 1);
        assert_eq!(starts(u64::MAX - 1, 6), 0);
        assert_eq!((ones(0), ones(3), ones(6)), (1, 0xff, u64::MAX));
    }
}
