//! A set of small numbers as a tree of 64-bit words: membership, smallest element and next
//! element in a number of steps that depends on the capacity alone.
//!
//! Level 0 has a bit per number; a bit of level n+1 says whether a word of level n is not zero.
//! The top level is one word. Five levels hold 2^30 numbers, more than any window has frames.

use super::memory::carve;

const LEVELS: usize = 5;

/// Set of numbers below a capacity fixed when it was made.
#[derive(Debug, Default)]
pub struct BitSet<'a> {
    words: &'a mut [u64],
    /// Where each level starts in `words`.
    starts: [u32; LEVELS],
    depth: u32,
}

impl<'a> BitSet<'a> {
    /// Words needed for numbers below `capacity` (at most 2^30).
    pub const fn need(capacity: u32) -> usize {
        let mut words = capacity.div_ceil(64);
        let mut all = if words == 0 { 1 } else { words };
        while words > 1 {
            words = words.div_ceil(64);
            all += words;
        }
        all as usize
    }

    /// An empty set on memory cut from the front of `memory`; `None` when there is too little.
    pub fn new(capacity: u32, memory: &mut &'a mut [u64]) -> Option<Self> {
        let words = carve(memory, Self::need(capacity))?;
        let mut starts = [0; LEVELS];
        let mut level = capacity.div_ceil(64).max(1);
        let mut depth = 1;
        while level > 1 {
            starts[depth] = starts[depth - 1] + level;
            level = level.div_ceil(64);
            depth += 1;
        }
        Some(BitSet {
            words,
            starts,
            depth: depth as u32,
        })
    }

    #[inline]
    fn word(&self, level: u32, index: u32) -> u64 {
        self.words[(self.starts[level as usize] + index) as usize]
    }

    /// Whether nothing is in it.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.word(self.depth - 1, 0) == 0
    }

    /// Whether `number` is in it.
    #[inline]
    pub fn contains(&self, number: u32) -> bool {
        self.words[(number / 64) as usize] >> (number % 64) & 1 != 0
    }

    /// Whether `number`, which may be above the capacity, is in it.
    #[inline]
    pub fn contains_checked(&self, number: u32) -> bool {
        // A number above the capacity may hit an upper level's word: the level's end is a bound.
        number / 64 < self.leaves() && self.contains(number)
    }

    #[inline]
    fn leaves(&self) -> u32 {
        if self.depth > 1 { self.starts[1] } else { 1 }
    }

    /// Puts `number` in; it may be there already.
    #[inline]
    pub fn insert(&mut self, number: u32) {
        let word = &mut self.words[(number / 64) as usize];
        let before = *word;
        *word = before | 1 << (number % 64);
        if before == 0 {
            self.insert_above(number / 64);
        }
    }

    /// Notes in the levels above that leaf `at` is no longer zero.
    #[inline(never)]
    fn insert_above(&mut self, mut at: u32) {
        for start in self.starts.iter().take(self.depth as usize).skip(1) {
            let word = &mut self.words[(start + at / 64) as usize];
            let before = *word;
            *word = before | 1 << (at % 64);
            if before != 0 {
                return;
            }
            at /= 64;
        }
    }

    /// Takes `number` out; it may be out already.
    #[inline]
    pub fn remove(&mut self, number: u32) {
        let word = &mut self.words[(number / 64) as usize];
        *word &= !(1 << (number % 64));
        if *word == 0 {
            self.remove_above(number / 64);
        }
    }

    /// Notes in the levels above that leaf `at` is zero.
    #[inline(never)]
    fn remove_above(&mut self, mut at: u32) {
        for start in self.starts.iter().take(self.depth as usize).skip(1) {
            let word = &mut self.words[(start + at / 64) as usize];
            *word &= !(1 << (at % 64));
            if *word != 0 {
                return;
            }
            at /= 64;
        }
    }

    /// The smallest number in it.
    #[inline]
    pub fn first(&self) -> Option<u32> {
        if self.is_empty() {
            None
        } else {
            Some(self.descend(self.depth, 0))
        }
    }

    /// The smallest number below word `index` of level `level`, which must not be zero there.
    #[inline]
    fn descend(&self, level: u32, index: u32) -> u32 {
        let mut at = index;
        for below in (0..level).rev() {
            at = at * 64 + self.word(below, at).trailing_zeros();
        }
        at
    }

    /// The smallest number in it that is at least `from`.
    pub fn next(&self, from: u32) -> Option<u32> {
        let mut at = from;
        for level in 0..self.depth {
            // Past the level's last word there is nothing; `starts` of the next level ends this one.
            let end = if level + 1 < self.depth {
                self.starts[level as usize + 1]
            } else {
                self.words.len() as u32
            };
            if self.starts[level as usize] + at / 64 >= end {
                return None;
            }
            let rest = self.word(level, at / 64) & (u64::MAX << (at % 64));
            if rest != 0 {
                return Some(self.descend(level, at / 64 * 64 + rest.trailing_zeros()));
            }
            at = at / 64 + 1;
        }
        None
    }

    /// The smallest number in it that is in `from..to`.
    #[inline]
    pub fn next_within(&self, from: u32, to: u32) -> Option<u32> {
        self.next(from).filter(|number| *number < to)
    }

    /// Whether every upper level says what the level below it holds.
    pub fn is_consistent(&self) -> bool {
        (1..self.depth).all(|level| {
            let below = self.starts[level as usize - 1]..self.starts[level as usize];
            below.clone().all(|word| {
                let index = word - below.start;
                let said = self.word(level, index / 64) >> (index % 64) & 1 != 0;
                said == (self.words[word as usize] != 0)
            })
        })
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::collections::BTreeSet;
    use std::vec;

    #[test]
    fn agrees_with_a_plain_set_at_every_depth() {
        for capacity in [1, 63, 64, 65, 4096, 4097, 300_000] {
            let mut memory = vec![u64::MAX; BitSet::need(capacity)];
            let mut rest = &mut memory[..];
            let mut set = BitSet::new(capacity, &mut rest).expect("enough memory");
            let mut model = BTreeSet::new();
            let mut seed = u64::from(capacity) * 2 + 1;
            for _ in 0..4000 {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let number = (seed >> 33) as u32 % capacity;
                if seed >> 63 == 0 {
                    set.insert(number);
                    model.insert(number);
                } else {
                    set.remove(number);
                    model.remove(&number);
                }
                assert_eq!(set.contains(number), model.contains(&number));
                assert_eq!(set.first(), model.first().copied());
                let from = (seed >> 40) as u32 % (capacity + 64);
                assert_eq!(
                    set.next(from),
                    model.range(from..).next().copied(),
                    "from {from}"
                );
                assert_eq!(set.is_empty(), model.is_empty());
            }
            assert!(set.is_consistent());
        }
    }

    #[test]
    fn too_little_memory_is_no_set() {
        let mut memory = [0; 2];
        assert!(BitSet::new(65, &mut &mut memory[..]).is_none());
    }
}
