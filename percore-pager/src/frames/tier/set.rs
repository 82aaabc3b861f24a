//! Eight sets of groups, numbered 1 to 8: the lists of a tier by free count, and by largest run.
//!
//! Each is a 64-ary tree as a [`BitSet`] is. The eight words that the sets have for the same 64
//! numbers lie side by side, in a row: a group that moves from one set to another is looked up
//! once, on one cache line a level.

use super::super::bitset::BitSet;
use super::super::memory::carve;

const SETS: usize = 8;

/// Levels that hold 2^18 groups, the most that a window has.
const LEVELS: usize = 3;

/// Start of levels that are not there: more than any row's number, also with an index added.
const NO_LEVEL: u32 = 1 << 31;

#[derive(Debug)]
pub(super) struct Sets<'a> {
    /// The levels one after the other. Bit n of a word of level l+1: word n of level l is not zero.
    rows: &'a mut [[u64; SETS]],
    /// Where each level starts, or `NO_LEVEL`.
    starts: [u32; LEVELS],
    depth: u32,
    /// Bit n-1: set n is not empty.
    filled: u32,
}

/// Whether there is a set with this number.
#[inline(always)]
fn is_set(number: u32) -> bool {
    number.wrapping_sub(1) < SETS as u32
}

/// Its place in a row. Numbers that are no set's have some place.
#[inline(always)]
fn place(number: u32) -> usize {
    number.wrapping_sub(1) as usize % SETS
}

impl<'a> Sets<'a> {
    /// Words for numbers below `groups`.
    pub(super) const fn need(groups: u32) -> usize {
        SETS * BitSet::need(groups)
    }

    pub(super) fn new(groups: u32, memory: &mut &'a mut [u64]) -> Option<Self> {
        let (rows, _) = carve(memory, Self::need(groups))?.as_chunks_mut();
        let mut starts = [NO_LEVEL; LEVELS];
        starts[0] = 0;
        let mut level = groups.div_ceil(64).max(1);
        let mut depth = 1;
        while level > 1 {
            *starts.get_mut(depth)? = starts[depth - 1] + level;
            level = level.div_ceil(64);
            depth += 1;
        }
        Some(Sets {
            rows,
            starts,
            depth: depth as u32,
            filled: 0,
        })
    }

    /// Moves `group` from set `from`, where it is, to set `to`. A number that is no set's stands
    /// for none.
    #[inline(always)]
    pub(super) fn relist(&mut self, group: u32, from: u32, to: u32) {
        // Written out, level after level: this is a good part of what the longest operations take.
        let (at, bit) = (group / 64, 1u64 << (group % 64));
        let Some(row) = self.rows.get_mut(at as usize) else {
            return;
        };
        let (leaves, enters) = (is_set(from), is_set(to));
        let (from, to) = (place(from), place(to));
        let emptied = leaves && {
            row[from] &= !bit;
            row[from] == 0
        };
        let filled = enters && {
            let before = row[to];
            row[to] = before | bit;
            before == 0
        };
        if emptied {
            self.emptied(at, from);
        }
        if filled {
            self.filled(at, to);
        }
    }

    /// Notes above that word `at` of the lowest level is zero now.
    #[inline(always)]
    fn emptied(&mut self, mut at: u32, set: usize) {
        if let Some(row) = self.above(0, at) {
            row[set] &= !(1 << (at % 64));
            if row[set] != 0 {
                return;
            }
            at /= 64;
            if self.depth > 2
                && let Some(row) = self.above(1, at)
            {
                row[set] &= !(1 << (at % 64));
                if row[set] != 0 {
                    return;
                }
            }
        }
        self.filled &= !(1 << set);
    }

    /// Notes above that word `at` of the lowest level is not zero any more.
    #[inline(always)]
    fn filled(&mut self, mut at: u32, set: usize) {
        if let Some(row) = self.above(0, at) {
            let before = row[set];
            row[set] = before | 1 << (at % 64);
            if before != 0 {
                return;
            }
            at /= 64;
            if self.depth > 2
                && let Some(row) = self.above(1, at)
            {
                let before = row[set];
                row[set] = before | 1 << (at % 64);
                if before != 0 {
                    return;
                }
            }
        }
        self.filled |= 1 << set;
    }

    /// The row above row `at` of `level`, if there is one.
    #[inline(always)]
    fn above(&mut self, level: usize, at: u32) -> Option<&mut [u64; SETS]> {
        // Where there is no level above, its start is beyond all rows.
        let start = self.starts[level + 1];
        self.rows.get_mut(start.wrapping_add(at / 64) as usize)
    }

    /// Puts `group` into set `number`; numbers that are no set's do nothing.
    #[inline]
    pub(super) fn insert(&mut self, number: u32, group: u32) {
        let (at, set) = (group / 64, place(number));
        if let Some(row) = self.rows.get_mut(at as usize).filter(|_| is_set(number)) {
            let before = row[set];
            row[set] = before | 1 << (group % 64);
            if before == 0 {
                self.filled(at, set);
            }
        }
    }

    /// Takes `group` out of set `number`; numbers that are no set's do nothing.
    #[inline]
    pub(super) fn remove(&mut self, number: u32, group: u32) {
        let (at, set) = (group / 64, place(number));
        if let Some(row) = self.rows.get_mut(at as usize).filter(|_| is_set(number)) {
            row[set] &= !(1 << (group % 64));
            if row[set] == 0 {
                self.emptied(at, set);
            }
        }
    }

    /// The number of the lowest set that is not empty.
    pub(super) fn lowest(&self) -> Option<u32> {
        (self.filled != 0).then(|| self.filled.trailing_zeros() + 1)
    }

    /// The first group of the lowest set that is not empty.
    pub(super) fn first(&self) -> Option<u32> {
        self.first_from(1)
    }

    /// The same, of the sets from `number` (1..=8) on.
    #[inline]
    pub(super) fn first_from(&self, number: u32) -> Option<u32> {
        let rest = self.filled >> (number - 1);
        if rest == 0 {
            return None;
        }
        let set = (number - 1 + rest.trailing_zeros()) as usize % SETS;
        // Written out, as `relist`.
        let lowest = |start: u32, at: u32| {
            let row = self.rows.get((start + at) as usize)?;
            Some(at * 64 + row[set].trailing_zeros())
        };
        let [_, second, third] = self.starts;
        let mut at = 0;
        if third != NO_LEVEL {
            at = lowest(third, at)?;
        }
        if second != NO_LEVEL {
            at = lowest(second, at)?;
        }
        lowest(0, at)
    }

    fn word(&self, set: usize, level: u32, at: u32) -> u64 {
        self.rows[(self.starts[level as usize] + at) as usize][set]
    }

    /// The smallest number of a set below word `at` of `level`, which is not zero there.
    fn descend(&self, set: usize, level: u32, at: u32) -> u32 {
        let levels = self.starts.iter().take(level as usize).rev();
        levels.fold(at, |at, start| {
            at * 64 + self.rows[(start + at) as usize][set].trailing_zeros()
        })
    }

    /// Rows of a level.
    fn width(&self, level: u32) -> u32 {
        let end = if level + 1 < self.depth {
            self.starts[level as usize + 1]
        } else {
            self.rows.len() as u32
        };
        end - self.starts[level as usize]
    }

    /// The smallest number of a set that is at least `from`.
    fn next_in(&self, set: usize, from: u32) -> Option<u32> {
        let mut at = from;
        for level in 0..self.depth {
            if at / 64 >= self.width(level) {
                return None;
            }
            let rest = self.word(set, level, at / 64) & u64::MAX << (at % 64);
            if rest != 0 {
                return Some(self.descend(set, level, at / 64 * 64 + rest.trailing_zeros()));
            }
            at = at / 64 + 1;
        }
        None
    }

    /// A group in `from..to`, of the lowest set from `number` (1..=8) on that has one.
    pub(super) fn first_within(&self, number: u32, from: u32, to: u32) -> Option<u32> {
        (number as usize - 1..SETS)
            .find_map(|set| self.next_in(set, from).filter(|group| *group < to))
    }

    /// The first group at or after `from` that is in any set.
    pub(super) fn next(&self, from: u32) -> Option<u32> {
        (0..SETS).filter_map(|set| self.next_in(set, from)).min()
    }

    pub(super) fn contains(&self, number: u32, group: u32) -> bool {
        is_set(number) && self.word(place(number), 0, group / 64) >> (group % 64) & 1 != 0
    }

    /// Whether every upper level says what the level below it holds.
    pub(super) fn is_consistent(&self) -> bool {
        (0..SETS).all(|set| {
            let levels = (1..self.depth).all(|level| {
                (0..self.width(level - 1)).all(|at| {
                    let said = self.word(set, level, at / 64) >> (at % 64) & 1 != 0;
                    said == (self.word(set, level - 1, at) != 0)
                })
            });
            let some = self.word(set, self.depth - 1, 0) != 0;
            levels && some == (self.filled >> set & 1 != 0)
        })
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::collections::BTreeMap;
    use std::vec;

    #[test]
    fn agree_with_a_plain_map_at_every_depth() {
        for groups in [1, 64, 65, 4096, 5000] {
            let mut memory = vec![u64::MAX; Sets::need(groups)];
            let mut sets = Sets::new(groups, &mut &mut memory[..]).expect("enough memory");
            let mut model = BTreeMap::new();
            let mut seed = u64::from(groups);
            for _ in 0..4000 {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let group = (seed >> 33) as u32 % groups;
                // 0 and 9 are no sets.
                let to = (seed >> 20) as u32 % 10;
                let from = model.insert(group, to).unwrap_or(0);
                sets.relist(group, from, to);
                let number = (seed >> 50) as u32 % 8 + 1;
                let lowest = model
                    .values()
                    .filter(|n| is_set(**n) && **n >= number)
                    .min();
                let first = lowest.and_then(|n| model.iter().find(|(_, m)| *m == n));
                assert_eq!(sets.first_from(number), first.map(|(group, _)| *group));
                assert!(sets.contains(to, group) == is_set(to));
                let listed = model.range(group / 2..).find(|(_, n)| is_set(**n));
                assert_eq!(sets.next(group / 2), listed.map(|(group, _)| *group));
            }
            assert!(sets.is_consistent());
        }
    }
}
