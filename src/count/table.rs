//! A report as a table for people.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use qemu_count::report::{Half, Record, Report};

/// Windows that are printed one by one; of more, only the sum is.
const WINDOWS: usize = 8;
/// CPUs that are printed for a window, the busiest first.
const CPUS: usize = 8;

/// Counts of one line.
#[derive(Debug, Clone, Default)]
struct Line {
    user: u64,
    kernel: u64,
    zeroed: u64,
    copied: u64,
    syscalls: u64,
    faults: Option<u64>,
    cr3: u64,
    invlpg: u64,
    invpcid: u64,
    ipis: u64,
    /// What the kernel's functions count, with names; page faults have a column of their own.
    entered: BTreeMap<&'static str, u64>,
}

impl Line {
    fn add(&mut self, record: &Record) {
        // Instructions of code set apart are in lines of their own; events are events everywhere.
        if record.part.is_empty() {
            match record.half {
                Half::User => self.user += record.instructions,
                Half::Kernel => self.kernel += record.instructions,
            }
        }
        self.zeroed += record.rep_stos_bytes;
        self.zeroed += if record.part == "zero" {
            record.apart_bytes
        } else {
            0
        };
        self.copied += record.rep_movs_bytes;
        self.syscalls += record.syscalls;
        self.faults = match (self.faults, record.page_faults) {
            (sum, Some(more)) => Some(sum.unwrap_or(0) + more),
            (sum, None) => sum,
        };
        self.cr3 += record.cr3_writes;
        self.invlpg += record.invlpg;
        self.invpcid += record.invpcid;
        self.ipis += record.ipis;
        for (name, count) in record.entered() {
            if let Some(n) = count.filter(|_| name != "page_faults") {
                *self.entered.entry(name).or_default() += n;
            }
        }
    }

    fn instructions(&self) -> u64 {
        self.user + self.kernel
    }

    fn print(&self, name: &str, out: &mut String) {
        let faults = self
            .faults
            .map_or("?".to_owned(), |faults| faults.to_string());
        let _ = writeln!(
            out,
            "{name:>8} {:>13} {:>13} {:>11} {:>11} {:>8} {faults:>8} {:>8} {:>7} {:>7} {:>7}",
            self.user,
            self.kernel,
            self.zeroed,
            self.copied,
            self.syscalls,
            self.cr3,
            self.invlpg,
            self.invpcid,
            self.ipis
        );
    }
}

/// The text for a report.
pub fn render(report: &Report) -> String {
    let mut out = String::new();
    let mut windows: BTreeMap<u32, Vec<&Record>> = BTreeMap::new();
    for record in &report.records {
        windows.entry(record.window).or_default().push(record);
    }
    match windows.len() {
        0 => out.push_str("nothing was counted: no window was opened, or none closed in time\n"),
        1..=WINDOWS => {
            for (number, records) in &windows {
                render_window(&format!("window {number}"), records, &mut out);
            }
        }
        more => {
            let all: Vec<_> = report.records.iter().collect();
            render_window(
                &format!("all {more} windows (each is in the CSV)"),
                &all,
                &mut out,
            );
        }
    }
    for key in ["invalid", "warning"] {
        if let Some(text) = report.fact(key) {
            let _ = writeln!(out, "{key}: {text}");
        }
    }
    out
}

fn render_window(title: &str, records: &[&Record], out: &mut String) {
    let mut cpus: BTreeMap<u32, Line> = BTreeMap::new();
    let mut programs: BTreeMap<(Half, &str, &str), (u64, u64)> = BTreeMap::new();
    let mut sum = Line::default();
    for record in records {
        cpus.entry(record.vcpu).or_default().add(record);
        sum.add(record);
        let entry = programs
            .entry((record.half, &record.program, &record.part))
            .or_default();
        entry.0 += record.instructions;
        entry.1 += record.rep_stos_bytes + record.apart_bytes;
    }
    let _ = writeln!(
        out,
        "{title}\n{:>8} {:>13} {:>13} {:>11} {:>11} {:>8} {:>8} {:>8} {:>7} {:>7} {:>7}",
        "CPU",
        "user instr",
        "kernel instr",
        "zeroed B",
        "copied B",
        "syscalls",
        "faults",
        "cr3 wr",
        "invlpg",
        "invpcid",
        "IPIs"
    );
    let mut order: Vec<_> = cpus.iter().collect();
    order.sort_by_key(|(_, line)| std::cmp::Reverse(line.instructions()));
    for (cpu, line) in order.iter().take(CPUS) {
        line.print(&cpu.to_string(), out);
    }
    if order.len() > CPUS {
        let most = order[CPUS].1.instructions();
        let _ = writeln!(
            out,
            "{:>8} and {} CPUs with at most {most}",
            "",
            order.len() - CPUS
        );
    }
    sum.print("all", out);
    if !sum.entered.is_empty() {
        let counts = sum.entered.iter().map(|(name, n)| format!("{name} {n}"));
        let counts: Vec<_> = counts.collect();
        let _ = writeln!(out, "{:>8} {}", "kernel:", counts.join(", "));
    }
    let busiest = order.first().map_or(0, |(_, line)| line.instructions());
    let share = busiest as f64 / sum.instructions().max(1) as f64 * 100.0;
    let _ = writeln!(
        out,
        "{:>8} busiest CPU: {busiest} instructions, {share:.1} % of all",
        ""
    );
    for ((half, program, part), (instructions, bytes)) in programs {
        let half = if half == Half::User { "user" } else { "kernel" };
        let part = if part.is_empty() {
            String::new()
        } else {
            format!(" (apart: {part})")
        };
        let stored = if bytes > 0 {
            format!(", {bytes} bytes stored in runs")
        } else {
            String::new()
        };
        let _ = writeln!(out, "{instructions:>22} {half} {program}{part}{stored}");
    }
    out.push('\n');
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Two CPUs, one window: 1 500 and 200 instructions, 700 apart.
    pub(in crate::count) fn sample() -> Report {
        let record = |vcpu, half, program: &str, part: &str, instructions| {
            let mut row = [0; qemu_count::counters::METRICS];
            row[0] = instructions;
            Record::new(1, vcpu, half, program.into(), part.into(), &row)
        };
        let zero = Record {
            apart_bytes: 4096,
            ..record(0, Half::User, "moe", "zero", 700)
        };
        Report {
            facts: Vec::new(),
            records: vec![
                record(0, Half::User, "moe", "", 500),
                zero,
                record(0, Half::Kernel, "kernel", "", 1000),
                record(1, Half::Kernel, "kernel", "", 200),
            ],
        }
    }

    #[test]
    fn code_set_apart_is_not_in_the_sums() {
        let text = render(&sample());
        assert!(
            text.contains("busiest CPU: 1500 instructions, 88.2 % of all"),
            "{text}"
        );
        assert!(
            text.contains("700 user moe (apart: zero), 4096 bytes stored in runs"),
            "{text}"
        );
        let all = text
            .lines()
            .find(|line| line.trim_start().starts_with("all "))
            .unwrap();
        let words: Vec<_> = all.split_whitespace().collect();
        assert_eq!(words[..4], ["all", "500", "1200", "4096"]);
    }

    #[test]
    fn an_unknown_count_is_a_question_mark() {
        let mut report = sample();
        for record in &mut report.records {
            record.page_faults = None;
        }
        assert!(render(&report).contains(" ? "));
    }

    #[test]
    fn nothing_counted_is_said() {
        assert!(render(&Report::default()).starts_with("nothing was counted"));
    }
}
