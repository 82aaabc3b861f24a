//! Lines of text. Each is at most 118 characters, so that it is one line of a log.

use core::fmt;

use percore_pager::api::{NONE, policy, reply};

use crate::sample::{Sample, Work};

/// Heading of [`Line`].
pub const HEADING: &str = "core node policy        free MiB  used MiB kept wait meta zero% faults   other  runs+  \
                           runs-  flush  pages  bor lent";

/// Clears the screen and goes to its start.
pub const REPAINT: &str = "\x1b[2J\x1b[H";

/// Name of a policy, `-` for none.
#[must_use]
pub fn policy_name(number: u32) -> &'static str {
    policy::name(number).unwrap_or("-")
}

/// Frames as MiB with one decimal, rounded down.
struct Mib(u64);

impl fmt::Display for Mib {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>7}.{}", self.0 / 256, self.0 % 256 * 10 / 256)
    }
}

/// A count in few characters.
struct Short(u64);

impl fmt::Display for Short {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = f.width().unwrap_or(0);
        let (value, unit) = match self.0 {
            n if n < 100_000 => return write!(f, "{n:>width$}"),
            n if n < 100_000_000 => (n / 1000, 'k'),
            n if n < 100_000_000_000 => (n / 1_000_000, 'M'),
            n => (n / 1_000_000_000, 'G'),
        };
        write!(f, "{value:>0$}{unit}", width.saturating_sub(1))
    }
}

/// One line a core: frames at the moment, and work since the sample before.
#[derive(Clone, Copy, Debug)]
pub struct Line<'a>(pub &'a Sample, pub Work);

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Line(sample, work) = self;
        let (info, memory) = (&sample.info, &sample.memory);
        // Part of the pieces that were zeroed ahead.
        let ready = work.pieces_zeroed * 100 / work.pieces.max(1);
        write!(
            f,
            "{:>4} {:>4} {:<12} {} {} {:>4} {:>4} {:>4} {:>4}% {:>6} {:>7} {:>6} {:>6} {:>6} {:>6} {:>4} {:>4}",
            info.core,
            info.node,
            policy_name(info.policy),
            Mib(memory.free),
            Mib(memory.used),
            Short(memory.kept),
            Short(memory.waiting),
            Short(memory.meta),
            ready,
            Short(work.faults),
            Short(work.others),
            Short(work.runs_taken),
            Short(work.runs_given),
            Short(work.unmap_calls),
            Short(work.unmapped),
            Short(memory.borrowed),
            Short(memory.lent),
        )?;
        if info.changing_to != NONE {
            write!(f, " -> {}", policy_name(info.changing_to))?;
        }
        Ok(())
    }
}

/// Bytes of a run of an order, in the shortest way.
struct RunSize(usize);

impl fmt::Display for RunSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            order @ 0..=7 => write!(f, "{}K", 4 << order),
            order @ 8..=17 => write!(f, "{}M", 1 << (order - 8)),
            order => write!(f, "{}G", 1 << (order - 18)),
        }
    }
}

/// One line a core: free runs by order, those inside longer ones not counted, nor what waits zeroed.
#[derive(Clone, Copy, Debug)]
pub struct Free<'a>(pub &'a reply::Info, pub &'a reply::Orders);

impl fmt::Display for Free<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Free(info, orders) = self;
        write!(f, "{:>4} free runs:", info.core)?;
        let runs = &orders.runs;
        for (order, count) in runs.iter().enumerate() {
            // Each run of the next order is two of this one.
            let inside = 2 * runs.get(order + 1).map_or(0, |next| u64::from(*next));
            let count = u64::from(*count).saturating_sub(inside);
            if count > 0 {
                write!(f, " {}*{}", Short(count), RunSize(order))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use percore_pager::api::{Counters, ORDERS};
    use std::string::ToString;

    fn sample() -> Sample {
        let mut runs = [0; ORDERS];
        runs[..4].copy_from_slice(&[11, 5, 2, 1]);
        Sample {
            info: reply::Info {
                version: 1,
                core: 3,
                node: 1,
                cores: 48,
                policy: policy::AVL,
                changing_to: NONE,
                flags: 0,
                runs_per_call: 16,
            },
            memory: reply::Memory {
                present: 300_000,
                free: 256_128,
                zeroed: 512,
                held: 0,
                used: 40_000,
                kept: 800,
                waiting: 60,
                meta: 3_012,
                borrowed: 0,
                lent: 512,
            },
            orders: reply::Orders { largest: 3, runs },
            counters: Counters::default(),
        }
    }

    #[test]
    fn lines_fit_their_heading() {
        let it = sample();
        let counters = Counters {
            faults: 10,
            maps: 1_234_567,
            others: 99_999,
            pieces: 200,
            pieces_zeroed: 150,
            unmap_calls: 17,
            unmapped: 1_000,
            runs_taken: 5,
            runs_given: 3,
            runs_recycled: 4,
            ..Counters::default()
        };
        let work = Work::between(&it.counters, &counters);
        let line = Line(&it, work).to_string();
        let columns: std::vec::Vec<&str> = line.split_whitespace().collect();
        let want = [
            "3", "1", "avl", "1000.5", "156.2", "800", "60", "3012", "75%", "1234k", "99999", "5",
            "7", "17", "1000", "0", "512",
        ];
        assert_eq!(columns, want);
        assert_eq!(line.len(), HEADING.len(), "\n{HEADING}\n{line}");
        assert!(line.len() <= 118);
    }

    #[test]
    fn numbers_stay_short() {
        for (value, text) in [
            (0, "     0"),
            (99_999, " 99999"),
            (100_000, "  100k"),
            (99_999_999, "99999k"),
            (100_000_000, "  100M"),
            (u64::MAX, "18446744073G"),
        ] {
            assert_eq!(std::format!("{:>6}", Short(value)), text);
        }
    }

    #[test]
    fn a_change_under_way_is_shown() {
        let mut it = sample();
        it.info.changing_to = policy::SLAB;
        let line = Line(&it, Work::default()).to_string();
        assert!(line.ends_with(" -> slab"), "{line}");
    }

    #[test]
    fn two_policies_fit_their_column() {
        let mut it = sample();
        it.info.policy = policy::pair(policy::BITMAP, policy::BUDDY);
        let line = Line(&it, Work::default()).to_string();
        assert!(line.contains(" bitmap+buddy "), "{line}");
        assert_eq!(line.len(), HEADING.len(), "\n{HEADING}\n{line}");
    }

    #[test]
    fn free_runs_are_those_that_are_in_no_longer_one() {
        // 8 frames, 4 more that are no run of 8, 2 more, and one.
        let mut it = sample();
        it.orders.runs[..4].copy_from_slice(&[15, 7, 3, 1]);
        assert_eq!(
            Free(&it.info, &it.orders).to_string(),
            "   3 free runs: 1*4K 1*8K 1*16K 1*32K"
        );
        it.orders.runs = [0; ORDERS];
        it.orders.runs[18] = 2;
        for order in 0..18 {
            it.orders.runs[order] = 2 << (18 - order);
        }
        assert_eq!(
            Free(&it.info, &it.orders).to_string(),
            "   3 free runs: 2*1G"
        );
    }
}
