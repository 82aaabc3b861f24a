//! Units in groups of 512, with a bit each: the machinery of the block-aware policies.
//!
//! A tier is used twice: frames in blocks of 2 MiB, and blocks in groups of 1 GiB. For the units
//! of a group there is one 64-byte line of bits (1 is free). A group is
//!
//! * *out*: nothing in it is accounted for here. Either all of it is one unit of the tier above,
//!   free or taken there, or it is not there at all. Its line holds stale bits.
//! * *in*: its line is true. It is never all free: the give that makes it so turns it out.
//!
//! # Invariants
//!
//! * A group that is in, has a free unit and is not the hot group is listed in the bucket of its
//!   free count (64 counts a bucket); others are in no bucket. So "the fullest group first" is
//!   the lowest bucket that is not empty.
//! * A group that is in and whose largest free aligned run has an order of 1..=8 is listed in
//!   that class; others are in no class. So a run of any order is found without a search.
//! * `changes` sums to the number of free aligned runs, see `account`.
//!
//! # Why a hot word
//!
//! Single units are taken from one word of 64 until it is used up: lowest address first, and its
//! group is filled before the next is begun. The hot group is in no bucket, so taking from it
//! needs no move between buckets, and giving moves only when the count passes a multiple of 64.
//! That keeps the common paths at about 20 instructions. There is no cost that grows with the
//! number of free or taken units: the rare paths look at one line and at one 64-ary set.

mod account;
mod place;
mod set;

use core::sync::atomic::AtomicU64;

pub(super) use place::Wrong;

use super::bitset::BitSet;
use super::memory::{Need, as_u16, carve, load, store};

/// Units in a group.
pub(super) const GROUP: u32 = 512;
/// log2 of [`GROUP`].
pub(super) const GROUP_ORDER: u32 = 9;
/// Words of a group's line.
const LINE: u32 = 8;

/// The low bits of a head: free units plus 63, so that the bucket is the count shifted right by
/// 6, and a count passes a bucket's border upwards when its low 6 bits become zero.
const COUNT: u16 = 0x3ff;
const BIAS: u16 = 63;
/// The next four bits: the order of the largest free run; 0 when there is none.
const MAX_SHIFT: u32 = 10;
const MAX: u16 = 0xf << MAX_SHIFT;
/// The group is out. Its count is 0 then, so that a give takes the path that looks.
const OUT: u16 = 1 << 15;

const NO_WORD: u32 = u32::MAX;

/// What a give did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(super) enum Given {
    /// The unit is free now.
    Done,
    /// Its group is out: it must be split first.
    Out,
    /// It was free already; nothing was changed.
    Twice,
    /// Its whole group is free now and has gone out: the tier above has to get it.
    Whole,
}

#[derive(Debug)]
pub(super) struct Tier<'a> {
    lines: &'a [AtomicU64],
    heads: &'a mut [u16],
    buckets: set::Sets<'a>,
    classes: set::Sets<'a>,
    changes: [i64; GROUP_ORDER as usize + 1],
    inside: u32,
    hot: u32,
}

impl<'a> Tier<'a> {
    /// Memory for `groups` groups. The lines are the shared part.
    pub(super) const fn need(groups: u32) -> Need {
        Need {
            shared: groups as usize * LINE as usize,
            private: groups.div_ceil(4) as usize + 16 * BitSet::need(groups),
        }
    }

    /// A tier with all groups out. `lines` may hold anything.
    pub(super) fn new(
        groups: u32,
        lines: &'a [AtomicU64],
        private: &mut &'a mut [u64],
    ) -> Option<Self> {
        let lines = lines.get(..groups as usize * LINE as usize)?;
        let heads = &mut as_u16(carve(private, groups.div_ceil(4) as usize)?)[..groups as usize];
        heads.fill(OUT | BIAS);
        Some(Tier {
            lines,
            heads,
            buckets: set::Sets::new(groups, private)?,
            classes: set::Sets::new(groups, private)?,
            changes: [0; GROUP_ORDER as usize + 1],
            inside: 0,
            hot: NO_WORD,
        })
    }

    pub(super) fn groups(&self) -> u32 {
        self.heads.len() as u32
    }

    #[inline]
    pub(super) fn is_out(&self, group: u32) -> bool {
        self.heads[group as usize] & OUT != 0
    }

    /// Free units of a group, 0 when it is out.
    #[inline]
    pub(super) fn free_in(&self, group: u32) -> u32 {
        u32::from((self.heads[group as usize] & COUNT) - BIAS)
    }

    /// Order of the largest free aligned run of a group.
    pub(super) fn largest_in(&self, group: u32) -> Option<u32> {
        let head = self.heads[group as usize];
        (head & COUNT != BIAS).then_some(u32::from((head & MAX) >> MAX_SHIFT))
    }

    #[inline]
    fn word(&self, index: u32) -> u64 {
        load(&self.lines[index as usize])
    }

    #[inline]
    fn set_word(&self, index: u32, value: u64) {
        store(&self.lines[index as usize], value);
    }

    /// Takes one unit from the groups that are in, the fullest first.
    #[inline]
    pub(super) fn take_one(&mut self) -> Option<u32> {
        let Some(line) = self.lines.get(self.hot as usize) else {
            return self.take_one_elsewhere();
        };
        let word = load(line);
        if word == 0 {
            return self.take_one_elsewhere();
        }
        let bit = word.trailing_zeros();
        store(line, word & (word - 1));
        self.heads[(self.hot / LINE) as usize] -= 1;
        if word >> (bit ^ 1) & 1 == 0 {
            self.changes[0] -= 1;
        } else {
            self.took_from_run(self.hot, word, bit);
        }
        Some(self.hot * 64 + bit)
    }

    /// `take_one` when the hot word is used up.
    #[cold]
    #[inline(never)]
    fn take_one_elsewhere(&mut self) -> Option<u32> {
        let hot = self.hot / LINE;
        let group = if self.hot != NO_WORD && self.free_in(hot) > 0 {
            hot
        } else {
            let group = self.buckets.first()?;
            self.heat(group * LINE);
            group
        };
        let first = (group * LINE..).find(|word| self.word(*word) != 0)?;
        self.hot = first;
        self.take_one()
    }

    /// Makes `word` the hot word; its group leaves the buckets, the former hot group enters them.
    fn heat(&mut self, word: u32) {
        self.cool();
        self.hot = word;
        let group = word / LINE;
        self.buckets
            .remove(bucket(self.heads[group as usize]), group);
    }

    /// Leaves no word hot.
    fn cool(&mut self) {
        if self.hot != NO_WORD {
            let group = self.hot / LINE;
            self.hot = NO_WORD;
            self.buckets
                .insert(bucket(self.heads[group as usize]), group);
        }
    }

    /// Gives one unit back.
    #[inline]
    pub(super) fn give_one(&mut self, unit: u32) -> Given {
        let word = unit / 64;
        let bit = unit % 64;
        let line = &self.lines[word as usize];
        let before = load(line);
        let head = &mut self.heads[(unit / GROUP) as usize];
        let more = *head + 1;
        if before >> bit & 1 != 0 || more & 63 == 0 {
            return self.give_one_at_border(unit);
        }
        *head = more;
        store(line, before | 1 << bit);
        if before >> (bit ^ 1) & 1 == 0 {
            self.changes[0] += 1;
            return Given::Done;
        }
        self.gave_to_run(unit)
    }

    /// `give_one` when the group is out, was full, changes its bucket, or the unit is free.
    #[cold]
    #[inline(never)]
    fn give_one_at_border(&mut self, unit: u32) -> Given {
        let (word, bit, group) = (unit / 64, unit % 64, unit / GROUP);
        if self.is_out(group) {
            return Given::Out;
        }
        if self.word(word) >> bit & 1 != 0 {
            return Given::Twice;
        }
        let full = self.free_in(group) == 0;
        if full {
            // Nothing is fuller than this: go on here if the hot group has nothing left.
            let exhausted = self.hot == NO_WORD || self.free_in(self.hot / LINE) == 0;
            if exhausted {
                self.hot = word;
            }
        }
        self.set_word(word, self.word(word) | 1 << bit);
        self.recount(group, 1);
        if self.word(word) >> (bit ^ 1) & 1 == 0 {
            self.changes[0] += 1;
            return Given::Done;
        }
        self.gave_to_run(unit)
    }

    /// Changes a group's free count and moves it between buckets.
    fn recount(&mut self, group: u32, by: i16) {
        let head = &mut self.heads[group as usize];
        let before = bucket(*head);
        *head = head.wrapping_add_signed(by);
        let after = bucket(*head);
        if before != after && self.hot / LINE != group {
            self.buckets.remove(before, group);
            self.buckets.insert(after, group);
        }
    }

    /// Records the order of a group's largest free run and moves the group between classes;
    /// 0 and 9 are no classes.
    fn reclass(&mut self, group: u32, before: u32, after: u32) {
        if before != after {
            self.classes.remove(before, group);
            self.classes.insert(after, group);
            let head = &mut self.heads[group as usize];
            *head = *head & !MAX | (after as u16) << MAX_SHIFT;
        }
    }

    /// Brings a group in with all its units free: it was one free unit of the tier above.
    /// The caller takes some of it at once.
    pub(super) fn open(&mut self, group: u32) {
        for word in group * LINE..group * LINE + LINE {
            self.set_word(word, u64::MAX);
        }
        self.heads[group as usize] = (BIAS + GROUP as u16) | (GROUP_ORDER as u16) << MAX_SHIFT;
        self.inside += 1;
        self.buckets.insert(bucket(BIAS + GROUP as u16), group);
    }

    /// Brings a group in with none of its units free: it was a taken unit of the tier above.
    pub(super) fn split(&mut self, group: u32) {
        for word in group * LINE..group * LINE + LINE {
            self.set_word(word, 0);
        }
        self.heads[group as usize] = BIAS;
        self.inside += 1;
        self.account(GROUP_ORDER, GROUP_ORDER, -1);
    }

    /// Takes out a group none of whose units is free, to give it to the tier above as a whole.
    /// `false` if some are.
    pub(super) fn absorb(&mut self, group: u32) -> bool {
        if self.free_in(group) != 0 {
            return false;
        }
        self.account(GROUP_ORDER, GROUP_ORDER, 1);
        self.close(group);
        true
    }

    /// Makes a group out that is in no bucket but the one of its count.
    fn close(&mut self, group: u32) {
        if self.hot / LINE == group {
            self.hot = NO_WORD;
        } else {
            self.buckets
                .remove(bucket(self.heads[group as usize]), group);
        }
        self.heads[group as usize] = OUT | BIAS;
        self.inside -= 1;
    }
}

/// Bucket of a head's count: 0 (none) for full groups, else 1 + (count - 1) / 64.
#[inline]
fn bucket(head: u16) -> u32 {
    u32::from(head & COUNT) >> 6
}
