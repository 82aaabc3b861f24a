//! How far several runs of one count lie apart.

use std::collections::{BTreeMap, BTreeSet};

use qemu_count::report::{Half, Report};

/// Runs that lie further apart than this part do not count as repeatable.
pub const BOUND: f64 = 0.01;

/// What the runs are compared by, for one window.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Figures {
    /// Instructions of all CPUs that ran any program, without the parts set apart. The others were
    /// idle: they only took timer interrupts, which come by wall time.
    pub total: u64,
    /// Instructions of the busiest CPU, likewise.
    pub busiest: u64,
}

/// The figures of each window.
pub fn figures(report: &Report) -> BTreeMap<u32, Figures> {
    let mut cpus: BTreeMap<(u32, u32), u64> = BTreeMap::new();
    let mut working = BTreeSet::new();
    for record in report
        .records
        .iter()
        .filter(|record| record.part.is_empty())
    {
        *cpus.entry((record.window, record.vcpu)).or_default() += record.instructions;
        if record.half == Half::User {
            working.insert((record.window, record.vcpu));
        }
    }
    let mut windows: BTreeMap<u32, Figures> = BTreeMap::new();
    for ((window, cpu), instructions) in cpus {
        let figures = windows.entry(window).or_default();
        if working.contains(&(window, cpu)) {
            figures.total += instructions;
        }
        figures.busiest = figures.busiest.max(instructions);
    }
    windows
}

/// The largest distance between runs, relative to the smallest value, over all windows and both
/// figures. `None` if the runs do not have the same windows.
pub fn spread(runs: &[BTreeMap<u32, Figures>]) -> Option<f64> {
    let first = runs.first()?;
    if runs.iter().any(|run| !run.keys().eq(first.keys())) {
        return None;
    }
    let apart = |values: &mut dyn Iterator<Item = u64>| {
        let (low, high) = values.fold((u64::MAX, 0), |(l, h), v| (l.min(v), h.max(v)));
        if low == high {
            0.0
        } else {
            (high - low) as f64 / low as f64
        }
    };
    let each = first.keys().map(|window| {
        let total = apart(&mut runs.iter().map(|run| run[window].total));
        let busiest = apart(&mut runs.iter().map(|run| run[window].busiest));
        total.max(busiest)
    });
    Some(each.fold(0.0, f64::max))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::count::table::tests::sample;

    #[test]
    fn parts_and_idle_cpus_are_left_out() {
        // CPU 1 of the sample ran in the kernel only.
        let figures = figures(&sample());
        assert_eq!(
            figures[&1],
            Figures {
                total: 1500,
                busiest: 1500
            }
        );
    }

    #[test]
    fn the_largest_distance_counts() {
        let run = |total, busiest| BTreeMap::from([(1, Figures { total, busiest })]);
        assert_eq!(spread(&[run(1000, 500)]), Some(0.0));
        assert_eq!(
            spread(&[run(1000, 500), run(1001, 510), run(1000, 500)]),
            Some(0.02)
        );
        assert_eq!(spread(&[run(1, 1), BTreeMap::new()]), None);
        assert_eq!(spread(&[]), None);
    }
}
