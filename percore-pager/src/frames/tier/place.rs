//! Runs of any order and place inside the groups of a tier.

use core::sync::atomic::AtomicU64;

use super::super::memory::{load, store};
use super::account::{ones, reach_in_word, reach_of_word, starts};
use super::runs::Runs;
use super::{GROUP, GROUP_ORDER, Given, LINE, Tier, bucket, largest};

impl<'a> Tier<'a> {
    /// Takes an aligned run of `order` (0..=8) from the groups that are in: of the fullest group
    /// for single units, else of one whose largest run is the smallest that will do.
    #[inline(always)]
    pub(in super::super) fn take(&mut self, order: u32) -> Option<u32> {
        if order == 0 {
            return self.take_one();
        }
        let group = self.classes.first_from(order)?;
        self.take_in(group, order)
    }

    /// Takes an aligned run of `order` (1..=8) from a group whose largest will do.
    #[inline(never)]
    fn take_in(&mut self, group: u32, order: u32) -> Option<u32> {
        let head = self.head(group);
        let most = largest(head);
        let line = self.bits(group);
        // One look at the line finds the run and, in most cases, what is the largest without it.
        let (place, reach, left) = if order < 6 {
            let runs = Runs::of(line);
            let place = runs.first(order)?;
            let reach = if order == most {
                most
            } else {
                let (word, bit) = (place / 64, place % 64);
                reach_in_word(line[word as usize % line.len()], bit)
                    .unwrap_or_else(|| reach_of_word(runs.full(), word))
            };
            let left = if reach < most {
                most
            } else if order == most {
                runs.largest_but(order, place)
            } else if runs.several(most) {
                most
            } else {
                // The other half of the broken run is free still.
                most - 1
            };
            (place, reach, Some(left))
        } else {
            let full = self.full_words(group);
            let word = Runs::first_of_words(full, order)?;
            let rest = full & !(ones(order - 6) << word);
            let left = (rest != 0).then(|| Runs::largest_of_words(rest));
            let reach = if order == most {
                most
            } else {
                reach_of_word(full, word)
            };
            (word * 64, reach, left)
        };
        let unit = group * GROUP + place;
        self.fill(unit, order, false);
        self.account(order, reach, -1);
        let left = left.unwrap_or_else(|| Runs::of(self.bits(group)).largest());
        self.rehead(group, head, -(1 << order), left);
        Some(unit)
    }

    /// Finds, without taking it, a run of `order` (0..=8) in the groups that are in and lie
    /// wholly in `from..to` (units).
    pub(in super::super) fn find_within(&self, order: u32, from: u32, to: u32) -> Option<u32> {
        let (first, last) = (from.div_ceil(GROUP), to / GROUP);
        if first >= last {
            return None;
        }
        let group = if order == 0 {
            let hot = self.hot / LINE;
            if (first..last).contains(&hot) && self.free_in(hot) > 0 {
                hot
            } else {
                self.buckets.first_within(1, first, last)?
            }
        } else {
            self.classes.first_within(order, first, last)?
        };
        self.find(group, order, 0, GROUP)
    }

    /// Finds a run of `order` (0..=8) in one group, between two offsets in units.
    pub(in super::super) fn find(&self, group: u32, order: u32, from: u32, to: u32) -> Option<u32> {
        if order > 0 && from == 0 && to == GROUP {
            return self.first_run(group, order);
        }
        let line = group * LINE;
        if order < 6 {
            return (from / 64..to.div_ceil(64)).find_map(|word| {
                let mut bits = self.word(line + word);
                if word * 64 < from {
                    bits &= u64::MAX << (from % 64);
                }
                if to < word * 64 + 64 {
                    bits &= !(u64::MAX << (to % 64));
                }
                let found = starts(bits, order);
                (found != 0).then(|| group * GROUP + word * 64 + found.trailing_zeros())
            });
        }
        let step = 1u32 << order;
        (from.next_multiple_of(step)..to)
            .step_by(step as usize)
            .find(|start| start + step <= to && self.is_free(group * GROUP + start, order))
            .map(|start| group * GROUP + start)
    }

    /// Whether all of the aligned run of `order` (0..=8) at `unit` is free; its group is in.
    pub(in super::super) fn is_free(&self, unit: u32, order: u32) -> bool {
        if order < 6 {
            let mask = ones(order) << (unit % 64);
            return self.word(unit / 64) & mask == mask;
        }
        (unit / 64..(unit + (1 << order)) / 64).all(|word| self.word(word) == u64::MAX)
    }

    /// The words of the aligned run of `order` (6..=8) at `unit`.
    #[inline(always)]
    fn words(&self, unit: u32, order: u32) -> &'a [AtomicU64] {
        let first = unit as usize / 64;
        let words = self.lines.as_flattened();
        let words = words.get(first..first + (1 << (order - 6)));
        words.unwrap_or_default()
    }

    /// Whether none of the aligned run of `order` (0..=8) at `unit` is free; its group is in.
    #[inline]
    pub(in super::super) fn is_taken(&self, unit: u32, order: u32) -> bool {
        if order < 6 {
            return self.word(unit / 64) & ones(order) << (unit % 64) == 0;
        }
        let words = self.words(unit, order).iter();
        words.fold(0, |free, word| free | load(word)) == 0
    }

    #[inline]
    fn fill(&mut self, unit: u32, order: u32, free: bool) {
        if order < 6 {
            let mask = ones(order) << (unit % 64);
            let word = self.word(unit / 64);
            self.set_word(unit / 64, if free { word | mask } else { word & !mask });
            return;
        }
        let value = if free { u64::MAX } else { 0 };
        let words = self.words(unit, order).iter();
        words.for_each(|word| store(word, value));
    }

    /// Takes the aligned run of `order` (0..=8) at `unit`, which is free and whose group is in.
    pub(in super::super) fn take_at(&mut self, unit: u32, order: u32) {
        let group = unit / GROUP;
        let head = self.head(group);
        let reach = self.reach(unit, order);
        self.fill(unit, order, false);
        self.account(order, reach, -1);
        let most = largest(head);
        let left = if reach == most {
            self.left(group, order, most)
        } else {
            most
        };
        self.rehead(group, head, -(1 << order), left);
    }

    /// Gives back the aligned run of `order` (0..=8) at `unit`.
    #[inline(never)]
    pub(in super::super) fn give(&mut self, unit: u32, order: u32) -> Given {
        if order == 0 {
            return self.give_one(unit);
        }
        let group = unit / GROUP;
        if self.is_out(group) {
            return Given::Out;
        }
        if !self.is_taken(unit, order) {
            return Given::Twice;
        }
        let reach = if order < 6 {
            self.fill(unit, order, true);
            reach_in_word(self.word(unit / 64), unit % 64)
                .unwrap_or_else(|| reach_of_word(self.full_words(group), unit / 64 % LINE))
        } else {
            let word = unit / 64 % LINE;
            let reach = reach_of_word(self.full_words(group) | ones(order - 6) << word, word);
            // A group that goes out as a whole needs no bits.
            if reach < GROUP_ORDER {
                self.fill(unit, order, true);
            }
            reach
        };
        self.account(order, reach, 1);
        self.grew(group, 1 << order, reach)
    }

    /// The free units at or after `from` in the group of `from` (which is in), as one run that
    /// ends at a taken unit or with a word.
    pub(in super::super) fn next_free(&self, from: u32) -> Option<(u32, u32)> {
        let end = (from / GROUP + 1) * LINE;
        let mut skip = from % 64;
        for word in from / 64..end {
            let bits = self.word(word) & u64::MAX << skip;
            skip = 0;
            if bits != 0 {
                let start = bits.trailing_zeros();
                let length = (!(bits >> start)).trailing_zeros().min(64 - start);
                return Some((word * 64 + start, length));
            }
        }
        None
    }

    /// The first group at or after `from` that is in and has a free unit.
    pub(in super::super) fn next_group(&self, from: u32) -> Option<u32> {
        let hot = self.hot / LINE;
        let listed = self.buckets.next(from);
        if self.hot != super::NO_WORD && hot >= from && self.free_in(hot) > 0 {
            return Some(listed.map_or(hot, |group| group.min(hot)));
        }
        listed
    }

    /// Recounts a group that is in and compares with what is kept of it. Adds its free runs by
    /// order to `runs`.
    pub(in super::super) fn check_group(
        &self,
        group: u32,
        runs: &mut [u32; 9],
    ) -> Result<(), Wrong> {
        let line = group * LINE..group * LINE + LINE;
        let free: u32 = line.clone().map(|word| self.word(word).count_ones()).sum();
        let head = self.head(group);
        if free != self.free_in(group) || free == GROUP {
            return Err(Wrong::Count);
        }
        let mut largest = 0;
        for order in 0..9 {
            let step = 1 << order;
            let found = (0..GROUP / step)
                .filter(|n| self.is_free(group * GROUP + n * step, order))
                .count();
            runs[order as usize] += found as u32;
            if found > 0 {
                largest = order;
            }
        }
        if self.largest_in(group).unwrap_or(0) != largest {
            return Err(Wrong::Count);
        }
        let hot = self.hot / LINE == group;
        for number in 1..=8 {
            let listed = !hot && bucket(head) == number;
            if self.buckets.contains(number, group) != listed
                || self.classes.contains(number, group) != (largest == number)
            {
                return Err(Wrong::Listed);
            }
        }
        Ok(())
    }

    /// Checks that a group that is out is nowhere listed.
    pub(in super::super) fn check_out(&self, group: u32) -> Result<(), Wrong> {
        let listed = (1..=8).any(|number| {
            self.buckets.contains(number, group) || self.classes.contains(number, group)
        });
        if listed || self.hot / LINE == group {
            Err(Wrong::Listed)
        } else {
            Ok(())
        }
    }

    /// Checks the sets' summaries and the number of groups that are in.
    pub(in super::super) fn check_sets(&self) -> bool {
        let inside = (0..self.groups())
            .filter(|group| !self.is_out(*group))
            .count();
        self.buckets.is_consistent()
            && self.classes.is_consistent()
            && inside == self.inside as usize
    }
}

/// What is wrong with a group.
#[derive(Clone, Copy, Debug)]
pub(in super::super) enum Wrong {
    /// Its count, or its largest run.
    Count,
    /// Its place in buckets and classes.
    Listed,
}
