//! Which windows were open, and what was counted in each.
//!
//! A window is the time from a start marker, with none open, to the stop marker that closes the
//! last open start: starts nest, whatever CPU runs them. So N threads that each run `start ... stop`
//! at the same time make one window, the union; one thread doing it N times makes N windows.

use crate::counters::{METRICS, Row, SlotId};

/// Windows that are kept one by one; later ones are added to the last.
pub const KEPT: usize = 4096;

/// What was counted in one window: CPU, slot, counts.
pub type Rows = Vec<(u32, SlotId, Row)>;

/// The windows of a run.
#[derive(Debug, Default)]
pub struct Windows {
    depth: u64,
    opened: u64,
    unmatched_stops: u64,
    kept: Vec<Rows>,
}

impl Windows {
    /// A start marker ran. True if it opens a window.
    #[must_use = "the counters must be opened"]
    pub fn start(&mut self) -> bool {
        self.depth += 1;
        let opens = self.depth == 1;
        self.opened += u64::from(opens);
        opens
    }

    /// A stop marker ran. True if it closes the window. A stop without a start is only counted.
    #[must_use = "the counters must be closed"]
    pub fn stop(&mut self) -> bool {
        if self.depth == 0 {
            self.unmatched_stops += 1;
            return false;
        }
        self.depth -= 1;
        self.depth == 0
    }

    /// Stores what the window just closed has counted.
    pub fn keep(&mut self, rows: Rows) {
        if self.kept.len() < KEPT {
            self.kept.push(rows);
            return;
        }
        let Some(last) = self.kept.last_mut() else {
            return;
        };
        for (vcpu, slot, row) in rows {
            match last.iter_mut().find(|(v, s, _)| (*v, *s) == (vcpu, slot)) {
                Some((_, _, sum)) => (0..METRICS).for_each(|i| sum[i] += row[i]),
                None => last.push((vcpu, slot, row)),
            }
        }
    }

    /// Whether a window is open.
    pub fn is_open(&self) -> bool {
        self.depth > 0
    }

    /// Windows opened so far.
    pub fn opened(&self) -> u64 {
        self.opened
    }

    /// Stop markers that ran with no window open.
    pub fn unmatched_stops(&self) -> u64 {
        self.unmatched_stops
    }

    /// The closed windows in order; the first has number 1.
    pub fn closed(&self) -> &[Rows] {
        &self.kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starts_nest() {
        let mut windows = Windows::default();
        assert!(windows.start());
        assert!(!windows.start());
        assert!(!windows.stop());
        assert!(windows.is_open());
        assert!(windows.stop());
        assert!(!windows.is_open());
        assert!(windows.start());
        assert_eq!(windows.opened(), 2);
    }

    #[test]
    fn a_stop_alone_is_counted_and_harmless() {
        let mut windows = Windows::default();
        assert!(!windows.stop());
        assert_eq!(windows.unmatched_stops(), 1);
        assert!(windows.start());
        assert!(windows.stop());
        assert!(!windows.stop());
        assert_eq!(windows.unmatched_stops(), 2);
    }

    #[test]
    fn late_windows_add_to_the_last_kept() {
        let mut windows = Windows::default();
        for i in 0..KEPT as u64 + 3 {
            let mut row = [0; METRICS];
            row[0] = 1;
            windows.keep(vec![((i % 2) as u32, SlotId(0), row)]);
        }
        assert_eq!(windows.closed().len(), KEPT);
        let last = &windows.closed()[KEPT - 1];
        assert_eq!(last.iter().map(|(_, _, row)| row[0]).sum::<u64>(), 4);
        assert_eq!(last.len(), 2);
    }
}
