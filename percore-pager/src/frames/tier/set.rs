//! Eight sets of groups, numbered 1 to 8, and which of them are not empty.

use super::super::bitset::BitSet;

#[derive(Debug)]
pub(super) struct Sets<'a> {
    sets: [BitSet<'a>; 8],
    /// Bit n-1: set n is not empty.
    filled: u32,
}

impl<'a> Sets<'a> {
    pub(super) fn new(groups: u32, memory: &mut &'a mut [u64]) -> Option<Self> {
        let mut set = || BitSet::new(groups, memory);
        let sets = [
            set()?,
            set()?,
            set()?,
            set()?,
            set()?,
            set()?,
            set()?,
            set()?,
        ];
        Some(Sets { sets, filled: 0 })
    }

    /// Puts `group` into set `number`; numbers that are no set's do nothing.
    pub(super) fn insert(&mut self, number: u32, group: u32) {
        if let Some(set) = self.sets.get_mut(number.wrapping_sub(1) as usize) {
            set.insert(group);
            self.filled |= 1 << (number - 1);
        }
    }

    /// Takes `group` out of set `number`; numbers that are no set's do nothing.
    pub(super) fn remove(&mut self, number: u32, group: u32) {
        if let Some(set) = self.sets.get_mut(number.wrapping_sub(1) as usize) {
            set.remove(group);
            if set.is_empty() {
                self.filled &= !(1 << (number - 1));
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
    pub(super) fn first_from(&self, number: u32) -> Option<u32> {
        let rest = self.filled >> (number - 1);
        if rest == 0 {
            return None;
        }
        self.sets
            .get((number - 1 + rest.trailing_zeros()) as usize)?
            .first()
    }

    /// A group in `from..to`, of the lowest set from `number` (1..=8) on that has one.
    pub(super) fn first_within(&self, number: u32, from: u32, to: u32) -> Option<u32> {
        self.sets[number as usize - 1..]
            .iter()
            .find_map(|set| set.next_within(from, to))
    }

    /// The first group at or after `from` that is in any set.
    pub(super) fn next(&self, from: u32) -> Option<u32> {
        self.sets.iter().filter_map(|set| set.next(from)).min()
    }

    pub(super) fn contains(&self, number: u32, group: u32) -> bool {
        self.sets
            .get(number.wrapping_sub(1) as usize)
            .is_some_and(|set| set.contains(group))
    }

    pub(super) fn is_consistent(&self) -> bool {
        self.sets.iter().all(BitSet::is_consistent)
            && (0..8).all(|n| (self.filled >> n & 1 == 0) == self.sets[n].is_empty())
    }
}
