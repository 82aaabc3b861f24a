//! Windows with names: what one operation costs, from a program that says what its windows are.
//!
//! A line `count-window NUMBER OPERATIONS UNIT NAME` in the guest's log names a window; OPERATIONS are
//! those of one of the programs, of which one runs on each CPU. Windows of one name are one line of
//! the table, with the median and the 99th percentile of the server's own instructions.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use qemu_count::report::{Half, Report};

use super::notes::Notes;
use super::{notes, stalls};

/// What starts a line that names a window.
const LINE: &str = "count-window ";
/// Start of the key under which a name is kept in the report.
const KEY: &str = "window ";
/// Key of the program that serves memory.
const SERVER: &str = "memory server";
/// Key of the number of programs.
const PROGRAMS: &str = "programs";

/// Collects the lines of one boot.
#[derive(Debug, Default)]
pub struct Names {
    windows: Vec<(u32, String)>,
    notes: Notes,
}

impl Names {
    /// Takes one line of the log.
    pub fn line(&mut self, line: &str) {
        let Some((_, rest)) = line.split_once(LINE) else {
            self.notes.line(line);
            return;
        };
        if let Some((number, name)) = rest.trim().split_once(' ')
            && let Ok(number) = number.parse()
        {
            self.windows.push((number, name.to_owned()));
        }
    }

    /// Adds to a report what it needs for [`render`]. `server` is the program that serves memory.
    pub fn add(&self, report: &mut Report, server: &str, programs: u32) {
        self.notes.add(report);
        if self.windows.is_empty() {
            return;
        }
        report.push_fact(SERVER, server);
        report.push_fact(PROGRAMS, self.notes.programs.unwrap_or(programs));
        for (number, name) in &self.windows {
            report.push_fact(&format!("{KEY}{number}"), name);
        }
    }
}

/// Counts of one window, or of several with one name.
#[derive(Debug, Clone, Default)]
struct Sum {
    /// Operations of one program.
    operations: u64,
    /// Instructions of the busiest CPU, and its kernel's part.
    busiest: (u64, u64),
    /// The server's own instructions: all, and those of the CPU with most.
    server: (u64, u64),
    /// The same for each window, by operation.
    each: Vec<f64>,
    /// The server's system calls.
    calls: u64,
    zeroed: u64,
    faults: Option<u64>,
    maps: Option<u64>,
    unmaps: Option<u64>,
    flushes: Option<u64>,
    ipis: u64,
}

/// The program that serves memory.
pub(super) fn server(report: &Report) -> &str {
    report.fact(SERVER).unwrap_or_default()
}

/// A window's number, operations and name.
fn named(fact: &(String, String)) -> Option<(u32, u64, &str)> {
    let number = fact.0.strip_prefix(KEY)?.parse().ok()?;
    let mut words = fact.1.splitn(3, ' ');
    let operations = words.next()?.parse().ok()?;
    let _unit = words.next()?;
    Some((number, operations, words.next()?))
}

/// The numbers of the windows of each name, in order of first appearance.
pub(super) fn numbers(report: &Report) -> Vec<(String, Vec<u32>)> {
    let mut all: Vec<(String, Vec<u32>)> = Vec::new();
    for (number, _, name) in report.facts.iter().filter_map(named) {
        match all.iter_mut().find(|(n, _)| n == name) {
            Some((_, numbers)) => numbers.push(number),
            None => all.push((name.to_owned(), vec![number])),
        }
    }
    all
}

/// Few digits, but never 0 for what is not.
fn short(x: f64) -> String {
    if x > 0.0 && x < 0.01 {
        format!("{x:.5}")
    } else {
        format!("{x:.3}")
    }
}

fn more(sum: Option<u64>, one: Option<u64>) -> Option<u64> {
    Some(sum? + one?)
}

/// The windows in order of their first appearance.
fn sums(report: &Report) -> Vec<(String, Sum)> {
    let server = server(report);
    let mut all: Vec<(String, Sum)> = Vec::new();
    for (number, operations, name) in report.facts.iter().filter_map(named) {
        let one = window(report, number, server);
        let index = all.iter().position(|(n, _)| n == name).unwrap_or_else(|| {
            let known = Some(0);
            let new = Sum {
                faults: known,
                maps: known,
                unmaps: known,
                flushes: known,
                ..Sum::default()
            };
            all.push((name.to_owned(), new));
            all.len() - 1
        });
        let sum = &mut all[index].1;
        sum.each
            .push(one.server.0 as f64 / operations.max(1) as f64);
        sum.operations += operations;
        sum.busiest.0 += one.busiest.0;
        sum.busiest.1 += one.busiest.1;
        sum.server.0 += one.server.0;
        sum.server.1 += one.server.1;
        sum.zeroed += one.zeroed;
        sum.calls += one.calls;
        sum.ipis += one.ipis;
        sum.faults = more(sum.faults, one.faults);
        sum.maps = more(sum.maps, one.maps);
        sum.unmaps = more(sum.unmaps, one.unmaps);
        sum.flushes = more(sum.flushes, one.flushes);
    }
    all
}

/// The counts of one window.
fn window(report: &Report, number: u32, server: &str) -> Sum {
    let mut cpus: BTreeMap<u32, (u64, u64)> = BTreeMap::new();
    let mut served: BTreeMap<u32, u64> = BTreeMap::new();
    let known = Some(0);
    let mut sum = Sum {
        faults: known,
        maps: known,
        unmaps: known,
        flushes: known,
        ..Sum::default()
    };
    for r in report.records.iter().filter(|r| r.window == number) {
        sum.zeroed += r.rep_stos_bytes;
        if r.part == "zero" {
            sum.zeroed += r.apart_bytes;
        }
        if r.part.is_empty() {
            let cpu = cpus.entry(r.vcpu).or_default();
            cpu.0 += r.instructions;
            if r.half == Half::Kernel {
                cpu.1 += r.instructions;
            } else if r.program.split('|').any(|name| name == server) {
                *served.entry(r.vcpu).or_default() += r.instructions;
                sum.calls += r.syscalls;
            }
        }
        sum.ipis += r.ipis;
        sum.faults = more(sum.faults, r.page_faults);
        sum.maps = more(sum.maps, r.maps);
        sum.unmaps = more(sum.unmaps, r.unmaps);
        sum.flushes = more(sum.flushes, r.flushes);
    }
    sum.busiest = cpus.into_values().max().unwrap_or_default();
    sum.server = (
        served.values().sum(),
        served.values().copied().max().unwrap_or(0),
    );
    sum
}

/// The table, stalls and notes, or nothing when no window has a name. With the report of another run, each window's
/// cost over that run's as well.
pub fn render(report: &Report, other: Option<&Report>) -> String {
    let mut out = String::new();
    let sums_here = sums(report);
    if sums_here.is_empty() {
        return out;
    }
    let programs: u64 = report
        .fact(PROGRAMS)
        .and_then(|n| n.parse().ok())
        .unwrap_or(1);
    let there: BTreeMap<_, _> = other.map(sums).unwrap_or_default().into_iter().collect();
    let _ = writeln!(
        out,
        "for each operation; {programs} program(s), memory from {}",
        report.fact(SERVER).unwrap_or("?")
    );
    let _ = writeln!(
        out,
        "{:<40} {:>6} {:>8} {:>8} {:>7} {:>6} {:>7} {:>7} {:>7} {:>7} {:>7} {:>7} {:>8}",
        "window",
        "ops",
        "busiest",
        "kernel",
        "server",
        "M2",
        "faults",
        "maps",
        "unmaps",
        "flushes",
        "calls",
        "IPIs",
        "zeroed B"
    );
    for (name, s) in &sums_here {
        let own = s.operations.max(1) as f64;
        let all = own * programs as f64;
        let each = |n: Option<u64>| n.map_or("?".to_owned(), |n| short(n as f64 / all));
        let share = s.server.1 as f64 / s.server.0.max(1) as f64 * programs as f64;
        let _ = write!(
            out,
            "{name:<40} {:>6} {:>8.1} {:>8.1} {:>7.1} {share:>6.2} {:>7} {:>7} {:>7} {:>7} {:>7} {:>7} {:>8.0}",
            s.operations,
            s.busiest.0 as f64 / own,
            s.busiest.1 as f64 / own,
            s.server.0 as f64 / all,
            each(s.faults),
            each(s.maps),
            each(s.unmaps),
            each(s.flushes),
            each(Some(s.calls)),
            each(Some(s.ipis)),
            s.zeroed as f64 / all,
        );
        if s.each.len() > 1 {
            let mut each = s.each.clone();
            each.sort_by(f64::total_cmp);
            let at = |part: f64| each[((each.len() - 1) as f64 * part).round() as usize];
            let _ = write!(out, "  server: median {}, p99 {}", at(0.5), at(0.99));
        }
        if let Some(t) = there.get(name) {
            let then = t.busiest.0 as f64 / t.operations.max(1) as f64;
            let now = s.busiest.0 as f64 / own;
            let _ = write!(out, "  x {:.4}", now / then);
        }
        out.push('\n');
    }
    let _ = writeln!(
        out,
        "busiest: instructions of the busiest CPU for an operation of one program; server, calls: the memory \
         server's own instructions and system calls; M2: its busiest CPU's share of its instructions, times programs{}\n",
        if other.is_some() {
            "; x: busiest over the other run's"
        } else {
            ""
        }
    );
    out.push_str(&stalls::render(report, other));
    out.push_str(&notes::render(report, other));
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::count::table::tests::sample;

    fn named(programs: u32) -> Report {
        let mut report = sample();
        let mut names = Names::default();
        names.line("core-0  | count-window 1 10 page first touch");
        names.line("count-window x 10 page no number");
        names.line("something else");
        names.add(&mut report, "moe", programs);
        report
    }

    #[test]
    fn a_window_is_shown_by_operation() {
        let text = render(&named(2), None);
        let line = text.lines().find(|l| l.starts_with("first touch")).unwrap();
        let words: Vec<_> = line.split_whitespace().skip(2).collect();
        // 1500 of the busiest CPU, 1000 of them the kernel's, 500 of the server in two programs.
        assert_eq!(words[..4], ["10", "150.0", "100.0", "25.0"]);
        assert_eq!(words[4], "2.00", "all service is on one of two CPUs");
    }

    #[test]
    fn another_run_is_a_ratio() {
        let text = render(&named(1), Some(&named(1)));
        assert!(text.contains("x 1.0000"), "{text}");
    }

    #[test]
    fn no_names_no_table() {
        assert_eq!(render(&sample(), None), "");
    }
}
