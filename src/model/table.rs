//! The result as text.

use std::fmt::Write;

use super::bench::Mode;
use super::job::Results;
use super::paper;
use super::plan::Layout;
use super::point::{Measured, Point};

impl Results {
    /// The point of a layout on so many cores.
    #[must_use]
    pub fn point(&self, layout: Layout, cores: u32) -> Option<&Point> {
        self.points
            .iter()
            .find(|p| p.layout == layout && p.cores == cores)
    }

    /// Layouts that were run, in order.
    #[must_use]
    pub fn layouts(&self) -> Vec<Layout> {
        Layout::ALL
            .into_iter()
            .filter(|l| self.points.iter().any(|p| p.layout == *l))
            .collect()
    }

    /// Numbers of cores that were run, ascending.
    #[must_use]
    pub fn cores(&self) -> Vec<u32> {
        let mut all: Vec<u32> = self.points.iter().map(|p| p.cores).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// Slowdown in percent against one core of the same layout: allocation and free.
    #[must_use]
    pub fn slowdown(&self, p: &Point, mode: Mode) -> Option<(f64, f64)> {
        let one = self.point(p.layout, 1)?.mode(mode)?;
        let p = p.mode(mode)?;
        let percent = |now: f64, then: f64| (now / then - 1.0) * 100.0;
        Some((
            percent(p.alloc.mean, one.alloc.mean),
            percent(p.free.mean, one.free.mean),
        ))
    }
}

/// The tables, the paper's numbers below them.
#[must_use]
pub fn text(r: &Results) -> String {
    let mut t = String::new();
    let m = &r.series.machine;
    let mut policies: Vec<&str> = r.points.iter().map(|p| p.policy).collect();
    policies.dedup();
    let _ = writeln!(
        t,
        "{} pages allocated and freed one by one on each core of {} ({} cores, {} nodes),\n\
         by programs whose memory and region map are percore-pager's, policy {}.\n\
         Costs: {} ({}), seed {}.\n\
         Simulated cycles a page, mean over the cores; slowdown against one core.\n\
         Allocate: first store to a page (fault, zeroed memory, mapping). Free: a clear request for \
         the page.\n",
        r.series.pages,
        m.name,
        m.cpus(),
        m.nodes.len(),
        policies.join(", "),
        r.series.costs.name,
        r.cost_source,
        r.series.seed,
    );
    t.push_str("Single pages: each fault brings one page, as in the paper's experiment.\n\n");
    t.push_str(&block(r, Mode::Single));
    t.push_str(&beside_the_paper(r));
    t.push_str("\nRuns: the pager's default, which brings more pages with a fault.\n\n");
    t.push_str(&block(r, Mode::Runs));
    let _ = writeln!(t, "\nFaults a page: {}.", faults(r));
    let _ = write!(t, "\n{}", r.record.text());
    let steps: u64 = r.points.iter().map(|p| p.steps).sum();
    let _ = writeln!(
        t,
        "\nEvery run ended with all memory back in its pagers, no page left mapped and no misuse of \
         the\nkernel's interface. {steps} system calls and faults modelled in {:.1} s.",
        r.took.as_secs_f64()
    );
    t
}

/// The fewest and the most faults a page of the points, by mode.
fn faults(r: &Results) -> String {
    let of = |mode| {
        let all = r.points.iter().filter_map(move |p| {
            let pages = f64::from(p.pages) * f64::from(p.cores);
            Some(p.mode(mode)?.alloc_counts.faults as f64 / pages)
        });
        let (low, high) = all.fold((f64::MAX, 0.0f64), |(a, b), x| (a.min(x), b.max(x)));
        format!("{low:.4} to {high:.4}")
    };
    let words = r
        .series
        .modes
        .iter()
        .map(|m| format!("{} {}", m.name(), of(*m)));
    words.collect::<Vec<_>>().join(", ")
}

/// One mode: a line for each number of cores.
fn block(r: &Results, mode: Mode) -> String {
    let mut t = String::new();
    let layouts = r.layouts();
    let _ = write!(t, "{:>5}", "");
    for l in &layouts {
        let plural = if *l == Layout::Central { "" } else { "s" };
        let _ = write!(t, " | {:^43}", format!("{} pager{plural}", l.name()));
    }
    let _ = write!(t, "\n{:>5}", "cores");
    for _ in &layouts {
        let _ = write!(
            t,
            " | {:>9} {:>10}  {:>9} {:>10}",
            "allocate", "slowdown", "free", "slowdown"
        );
    }
    let _ = writeln!(t);
    for n in r.cores() {
        let _ = write!(t, "{n:>5}");
        for l in &layouts {
            let cell = r.point(*l, n).and_then(|p| Some((p, p.mode(mode)?)));
            let _ = write!(
                t,
                " | {:>43}",
                cell.map_or(String::new(), |c| columns(r, c))
            );
        }
        let _ = writeln!(t);
    }
    t
}

fn columns(r: &Results, (p, m): (&Point, &Measured)) -> String {
    // Adding 0 makes -0 a 0.
    let percent = |x: Option<f64>| {
        let tenths = |x: f64| (x * 10.0).round() / 10.0 + 0.0;
        x.map_or("-".into(), |x| format!("{:.1} %", tenths(x)))
    };
    let slowdown = r.slowdown(p, m.mode);
    format!(
        "{:>9.0} {:>10}  {:>9.0} {:>10}",
        m.alloc.mean,
        percent(slowdown.map(|s| s.0)),
        m.free.mean,
        percent(slowdown.map(|s| s.1))
    )
}

/// The paper's slowdowns at 48 cores beside the model's.
fn beside_the_paper(r: &Results) -> String {
    let mut t = String::new();
    let n = paper::CORES;
    let row = |layout, free: bool| {
        let p = r.point(layout, n)?;
        let (a, f) = r.slowdown(p, Mode::Single)?;
        Some(format!("{:.1} %", if free { f } else { a }))
    };
    let rows = [
        (paper::ALLOC_CENTRAL, row(Layout::Central, false)),
        (paper::FREE_CENTRAL, row(Layout::Central, true)),
        (paper::PER_CORE, row(Layout::Core, false)),
    ];
    if rows.iter().all(|x| x.1.is_none()) {
        let _ = writeln!(
            t,
            "\nThe paper's numbers are for {n} cores against 1; this run has not both."
        );
        return t;
    }
    let _ = writeln!(
        t,
        "\nSlowdown at {n} cores:{:>17} {:>15} {:>12}",
        "", "paper", "model"
    );
    for (said, ours) in rows {
        let theirs = format!("{} {:.0} %", said.word, said.percent);
        let _ = writeln!(
            t,
            "  {:<36} {theirs:>15} {:>12}",
            said.what,
            ours.unwrap_or_else(|| "-".into())
        );
    }
    t.push_str(
        "The costs are assumptions within the paper's ratios, not its machine: compare which layout \
         scales,\nnot the digits. Locks and caches cost nothing in the model; the bare kernel itself \
         loses 0.9 %.\n",
    );
    t
}
