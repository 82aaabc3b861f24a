//! The result as text.

use std::fmt::Write;

use super::job::Results;
use super::paper;
use super::plan::Layout;
use super::point::Point;

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
    pub fn slowdown(&self, p: &Point) -> Option<(f64, f64)> {
        let one = self.point(p.layout, 1)?;
        let percent = |now: f64, then: f64| (now / then - 1.0) * 100.0;
        Some((
            percent(p.alloc.mean, one.alloc.mean),
            percent(p.free.mean, one.free.mean),
        ))
    }
}

/// The table, the paper's numbers below it.
#[must_use]
pub fn text(r: &Results) -> String {
    let mut t = String::new();
    let m = &r.series.machine;
    let _ = writeln!(
        t,
        "{} pages allocated and freed on each core of {} ({} cores, {} nodes),\n\
         policy {:?}, costs: {} ({}), seed {}.\n\
         Simulated cycles a page, mean over the cores; slowdown against one core.\n",
        r.series.pages,
        m.name,
        m.cpus(),
        m.nodes.len(),
        r.series.policy,
        r.series.costs.name,
        r.cost_source,
        r.series.seed,
    );
    let layouts = r.layouts();
    let _ = write!(t, "{:>5}", "");
    for l in &layouts {
        let _ = write!(
            t,
            " | {:^43}",
            format!(
                "{} pager{}",
                l.name(),
                if *l == Layout::Central { "" } else { "s" }
            )
        );
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
            match r.point(*l, n) {
                None => {
                    let _ = write!(t, " | {:>43}", "");
                }
                Some(p) => {
                    let (a, f) = percents(r, p);
                    let _ = write!(
                        t,
                        " | {:>9.0} {a:>10}  {:>9.0} {f:>10}",
                        p.alloc.mean, p.free.mean
                    );
                }
            }
        }
        let _ = writeln!(t);
    }
    t.push_str(&beside_the_paper(r));
    let steps: u64 = r.points.iter().map(|p| p.steps).sum();
    let _ = writeln!(
        t,
        "\n{steps} system calls and faults modelled in {:.1} s.",
        r.took.as_secs_f64()
    );
    t
}

fn percents(r: &Results, p: &Point) -> (String, String) {
    match r.slowdown(p) {
        Some((a, f)) => (format!("{a:.1} %"), format!("{f:.1} %")),
        None => ("-".into(), "-".into()),
    }
}

/// The paper's slowdowns at 48 cores beside the model's.
fn beside_the_paper(r: &Results) -> String {
    let mut t = String::new();
    let n = paper::CORES;
    let row = |layout, free: bool| {
        let p = r.point(layout, n)?;
        let (a, f) = r.slowdown(p)?;
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
