//! Groups that come in from the tier above, whole, and go out to it again.

use super::super::memory::{load, store};
use super::{BIAS, GROUP, GROUP_ORDER, LINE, MAX_SHIFT, OUT, Tier, bucket};

impl Tier<'_> {
    /// Brings a group in, all but the first run of `order` (0..=8) free, which is taken: the group
    /// was one free unit of the tier above. Returns the run's first unit.
    pub(in super::super) fn open_taking(&mut self, group: u32, order: u32) -> u32 {
        let taken = 1u32 << order;
        let line = self.line(group);
        line.iter().for_each(|word| store(word, u64::MAX));
        let [first, second, third, fourth, ..] = line;
        store(first, if order < 6 { u64::MAX << taken } else { 0 });
        if order > 6 {
            store(second, 0);
        }
        if order > 7 {
            store(third, 0);
            store(fourth, 0);
        }
        // The largest run that is left is the other half.
        let head = BIAS + (GROUP - taken) as u16;
        self.set_head(group, head | 8 << MAX_SHIFT);
        self.classes.insert(8, group);
        self.inside += 1;
        self.account(order, GROUP_ORDER, -1);
        if order == 0 && load(self.hot_line) == 0 && self.hot_is_full() {
            self.heat(group * LINE);
        } else {
            self.buckets.insert(bucket(head), group);
        }
        group * GROUP
    }

    /// Brings a group in with all its units free, to take one of them at once.
    pub(in super::super) fn open(&mut self, group: u32) {
        for word in group * LINE..group * LINE + LINE {
            self.set_word(word, u64::MAX);
        }
        let head = BIAS + GROUP as u16;
        self.set_head(group, head | (GROUP_ORDER as u16) << MAX_SHIFT);
        self.inside += 1;
        self.buckets.insert(bucket(head), group);
    }

    /// Brings a group in with none of its units free: it was a taken unit of the tier above.
    pub(in super::super) fn split(&mut self, group: u32) {
        for word in group * LINE..group * LINE + LINE {
            self.set_word(word, 0);
        }
        self.set_head(group, BIAS);
        self.inside += 1;
        self.account(GROUP_ORDER, GROUP_ORDER, -1);
    }

    /// Takes out a group none of whose units is free, to give it to the tier above as a whole.
    /// `false` if some are.
    pub(in super::super) fn absorb(&mut self, group: u32) -> bool {
        if self.free_in(group) != 0 {
            return false;
        }
        self.account(GROUP_ORDER, GROUP_ORDER, 1);
        self.close(group);
        true
    }

    /// Makes a group out that is in no bucket but the one of its count.
    pub(super) fn close(&mut self, group: u32) {
        if self.hot / LINE == group {
            self.forget_hot();
        } else {
            self.buckets.remove(bucket(self.head(group)), group);
        }
        self.set_head(group, OUT | BIAS);
        self.inside -= 1;
    }
}
