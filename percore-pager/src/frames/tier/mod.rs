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
//! * `changes` and `sizes` sum to the number of free aligned runs, see `account`.
//!
//! # Why a hot word
//!
//! Single units are taken from one word of 64 until it is used up: lowest address first, and its
//! group is filled before the next is begun. The hot group is in no bucket, so taking from it
//! needs no move between buckets, and giving moves only when the count passes a multiple of 64.
//! That keeps the common paths, those of `try_take_one` and `try_give_one`, below 20 instructions;
//! everything else is done by the complete forms of the same operations. There is no cost that grows with the
//! number of free or taken units: the rare paths look at one line and at one 64-ary set.

mod account;
mod inout;
mod place;
mod runs;
mod set;

use core::num::NonZeroU64;
use core::sync::atomic::{AtomicU16, AtomicU64, Ordering::Relaxed};

pub(super) use place::Wrong;

use super::memory::{Need, as_u16, carve, load, read_line, store};

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

/// Orders 0 to 9, rounded up to a power of two so that an index needs no check but a mask.
const CHANGES: usize = 16;

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
    /// Exactly a line for each head.
    lines: &'a [[AtomicU64; LINE as usize]],
    /// Atomics, read and written plainly, so that `hot_head` can be a reference to one of them.
    heads: &'a [AtomicU16],
    /// Number of the hot word, or `NO_WORD`, and of its first unit.
    hot: u32,
    hot_unit: u32,
    /// The hot word, and its group's head; dummies when there is none.
    hot_line: &'a AtomicU64,
    hot_head: &'a AtomicU16,
    changes: [u32; CHANGES],
    sizes: [u32; CHANGES],
    inside: u32,
    buckets: set::Sets<'a>,
    classes: set::Sets<'a>,
}

/// What `hot_line` and `hot_head` refer to while no word is hot. Never written: no unit is free
/// in it.
static NO_LINE: AtomicU64 = AtomicU64::new(0);
static NO_HEAD: AtomicU16 = AtomicU16::new(BIAS);

impl<'a> Tier<'a> {
    /// Memory for `groups` groups. The lines are the shared part.
    pub(super) const fn need(groups: u32) -> Need {
        Need {
            shared: groups as usize * LINE as usize,
            private: groups.div_ceil(4) as usize + 2 * set::Sets::need(groups),
        }
    }

    /// A tier with all groups out. `lines` may hold anything.
    pub(super) fn new(
        groups: u32,
        lines: &'a [AtomicU64],
        private: &mut &'a mut [u64],
    ) -> Option<Self> {
        let lines = lines.as_chunks().0.get(..groups as usize)?;
        let words = carve(private, groups.div_ceil(4) as usize)?;
        let heads = &as_u16(words)[..groups as usize];
        heads
            .iter()
            .for_each(|head| head.store(OUT | BIAS, Relaxed));
        Some(Tier {
            lines,
            heads,
            hot: NO_WORD,
            hot_unit: 0,
            hot_line: &NO_LINE,
            hot_head: &NO_HEAD,
            changes: [0; CHANGES],
            sizes: [0; CHANGES],
            inside: 0,
            buckets: set::Sets::new(groups, private)?,
            classes: set::Sets::new(groups, private)?,
        })
    }

    pub(super) fn groups(&self) -> u32 {
        self.heads.len() as u32
    }

    #[inline]
    fn head(&self, group: u32) -> u16 {
        self.heads[group as usize].load(Relaxed)
    }

    #[inline]
    fn set_head(&mut self, group: u32, head: u16) {
        self.heads[group as usize].store(head, Relaxed);
    }

    #[inline]
    pub(super) fn is_out(&self, group: u32) -> bool {
        self.head(group) & OUT != 0
    }

    /// The same for a group that may not be there.
    #[inline(always)]
    pub(super) fn is_out_checked(&self, group: u32) -> bool {
        self.heads
            .get(group as usize)
            .is_some_and(|head| head.load(Relaxed) & OUT != 0)
    }

    /// Free units of a group, 0 when it is out.
    #[inline]
    pub(super) fn free_in(&self, group: u32) -> u32 {
        u32::from((self.head(group) & COUNT) - BIAS)
    }

    /// Order of the largest free aligned run of a group.
    pub(super) fn largest_in(&self, group: u32) -> Option<u32> {
        let head = self.head(group);
        (head & COUNT != BIAS).then_some(largest(head))
    }

    /// The line of a group.
    #[inline(always)]
    fn line(&self, group: u32) -> &'a [AtomicU64; LINE as usize] {
        &self.lines[group as usize]
    }

    /// What the line of a group that is in holds.
    #[inline(always)]
    fn bits(&self, group: u32) -> [u64; LINE as usize] {
        // SAFETY: the allocator has the block (or, in the upper tier, the memory is its own).
        unsafe { read_line(self.line(group)) }
    }

    #[inline]
    fn word(&self, index: u32) -> u64 {
        load(&self.lines.as_flattened()[index as usize])
    }

    #[inline]
    fn set_word(&self, index: u32, value: u64) {
        store(&self.lines.as_flattened()[index as usize], value);
    }

    /// Takes one unit of the hot word, if it has any and that leaves the group in its class.
    /// `None`, and nothing is changed, when it is not as simple as that.
    #[inline(always)]
    pub(super) fn try_take_one(&mut self) -> Option<u32> {
        let word = NonZeroU64::new(load(self.hot_line))?;
        let bit = word.trailing_zeros();
        let word = word.get();
        if word >> (bit ^ 1) & 1 != 0 {
            return self.try_take_one_of_run(word, bit);
        }
        store(self.hot_line, word & (word - 1));
        self.hot_head
            .store(self.hot_head.load(Relaxed) - 1, Relaxed);
        self.changes[0] = self.changes[0].wrapping_sub(1);
        Some(self.hot_unit + bit)
    }

    /// The same when the buddy of the lowest free bit is free too.
    #[inline(never)]
    fn try_take_one_of_run(&mut self, word: u64, bit: u32) -> Option<u32> {
        let head = self.hot_head.load(Relaxed);
        let reach = account::reach_of_lowest(word, bit)?;
        if reach >= largest(head) {
            return None;
        }
        store(self.hot_line, word & (word - 1));
        self.hot_head.store(head - 1, Relaxed);
        self.account(0, reach, -1);
        Some(self.hot_unit + bit)
    }

    /// Takes the first four units of the hot word's free ones, if they are an aligned run and that leaves
    /// the group in its class. `None`, and nothing is changed, when it is not as simple as that.
    #[inline(always)]
    pub(super) fn try_take_four(&mut self) -> Option<u32> {
        let word = NonZeroU64::new(load(self.hot_line))?;
        let bit = word.trailing_zeros();
        let word = word.get();
        if bit % 4 != 0 || word >> bit & 0xf != 0xf {
            return None;
        }
        let reach = account::reach_of_lowest(word, bit)?;
        let head = self.hot_head.load(Relaxed);
        if reach >= largest(head) {
            return None;
        }
        store(self.hot_line, word ^ 0xf << bit);
        // The hot group is in no bucket, whatever its count.
        self.hot_head.store(head - 4, Relaxed);
        self.account(2, reach, -1);
        Some(self.hot_unit + bit)
    }

    /// Takes one unit from the groups that are in, the fullest first.
    pub(super) fn take_one(&mut self) -> Option<u32> {
        let mut word = load(self.hot_line);
        if word == 0 {
            self.heat_next()?;
            word = load(self.hot_line);
        }
        let bit = word.trailing_zeros();
        store(self.hot_line, word & (word - 1));
        self.hot_head
            .store(self.hot_head.load(Relaxed) - 1, Relaxed);
        if word >> (bit ^ 1) & 1 == 0 {
            self.account(0, 0, -1);
        } else {
            self.took_from_run(self.hot, word, bit);
        }
        Some(self.hot * 64 + bit)
    }

    /// Finds the next hot word: in the hot group while it has free units, else in the fullest.
    fn heat_next(&mut self) -> Option<()> {
        let hot = self.hot / LINE;
        let group = if self.hot != NO_WORD && self.free_in(hot) > 0 {
            hot
        } else {
            let group = self.buckets.first()?;
            self.cool();
            self.buckets.remove(bucket(self.head(group)), group);
            group
        };
        let word = self.bits(group).iter().position(|word| *word != 0)?;
        self.heat(group * LINE + word as u32);
        Some(())
    }

    /// Makes `word` the hot word. Its group must be in no bucket.
    fn heat(&mut self, word: u32) {
        self.hot = word;
        self.hot_unit = word * 64;
        self.hot_line = &self.lines.as_flattened()[word as usize];
        self.hot_head = &self.heads[(word / LINE) as usize];
    }

    /// Leaves no word hot; what was the hot group enters its bucket.
    fn cool(&mut self) {
        if self.hot != NO_WORD {
            let group = self.hot / LINE;
            self.forget_hot();
            self.buckets.insert(bucket(self.head(group)), group);
        }
    }

    fn forget_hot(&mut self) {
        self.hot = NO_WORD;
        self.hot_line = &NO_LINE;
        self.hot_head = &NO_HEAD;
    }

    /// Gives one unit back, if that leaves its group in its bucket and its class. `false`, and
    /// nothing is changed, when it is not as simple as that.
    #[inline(always)]
    pub(super) fn try_give_one(&mut self, unit: u32) -> bool {
        let Some(head) = self.heads.get((unit / GROUP) as usize) else {
            return false;
        };
        // SAFETY: there is a line of LINE = GROUP / 64 words for each head (`new` sees to it,
        // and neither slice is ever replaced), and the unit's group has a head.
        let line = unsafe {
            self.lines
                .as_flattened()
                .get_unchecked((unit / 64) as usize)
        };
        let word = load(line);
        let more = head.load(Relaxed).wrapping_add(1);
        if more & 63 == 0 {
            return false;
        }
        // The unit itself and its buddy.
        if word >> (unit & 62) & 3 != 0 {
            return self.try_give_one_to_run(unit);
        }
        store(line, word | 1 << (unit & 63));
        head.store(more, Relaxed);
        self.changes[0] = self.changes[0].wrapping_add(1);
        true
    }

    /// The same when the buddy, or by mistake the unit, is free.
    #[inline(never)]
    fn try_give_one_to_run(&mut self, unit: u32) -> bool {
        let (head, line) = (
            &self.heads[(unit / GROUP) as usize],
            &self.lines.as_flattened()[(unit / 64) as usize],
        );
        let bit = unit % 64;
        let word = load(line);
        let more = head.load(Relaxed) + 1;
        let after = word | 1 << bit;
        let Some(reach) = account::reach_in_word(after, bit) else {
            return false;
        };
        if after == word || reach > largest(more) {
            return false;
        }
        store(line, after);
        head.store(more, Relaxed);
        self.account(0, reach, 1);
        true
    }

    /// Gives one unit back.
    pub(super) fn give_one(&mut self, unit: u32) -> Given {
        let (word, bit, group) = (unit / 64, unit % 64, unit / GROUP);
        if self.is_out(group) {
            return Given::Out;
        }
        let bits = self.word(word);
        if bits >> bit & 1 != 0 {
            return Given::Twice;
        }
        if self.free_in(group) == 0 {
            // Nothing is fuller than this: go on here if the hot group has nothing left.
            if self.hot_is_full() {
                self.heat(word);
            }
        }
        let after = bits | 1 << bit;
        self.set_word(word, after);
        let reach = match account::reach_in_word(after, bit) {
            Some(reach) => reach,
            None => self.reach(unit, 0),
        };
        self.account(0, reach, 1);
        self.grew(group, 1, reach)
    }

    /// Records the order of a group's largest free run and moves the group between classes;
    /// 0 and 9 are no classes.
    #[inline(never)]
    fn reclass(&mut self, group: u32, before: u32, after: u32) {
        if before != after {
            self.classes.relist(group, before, after);
            self.set_head(group, self.head(group) & !MAX | (after as u16) << MAX_SHIFT);
        }
    }

    /// Whether there is no hot group with a free unit.
    fn hot_is_full(&self) -> bool {
        self.hot == NO_WORD || self.free_in(self.hot / LINE) == 0
    }
}

/// Bucket of a head's count: 0 (none) for full groups, else 1 + (count - 1) / 64.
#[inline]
fn bucket(head: u16) -> u32 {
    u32::from(head & COUNT) >> 6
}

/// The order of the largest free run that a head tells.
#[inline(always)]
fn largest(head: u16) -> u32 {
    u32::from((head & MAX) >> MAX_SHIFT)
}
