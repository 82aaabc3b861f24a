//! What a counted program says besides the names of its windows.
//!
//! ```text
//! count-note TEXT            a figure that the program has from its server, kept as it is
//! count-heap KIB NAME        so much was mapped between the kernel's last two reports on its memory
//! count-programs N           so many programs take part, if not one on each CPU
//! ```
//!
//! The kernel's reports are those of its debugger object: they end with the memory that is left.

use std::fmt::Write as _;

use qemu_count::report::Report;

const NOTE: &str = "count-note ";
const HEAP: &str = "count-heap ";
const PROGRAMS: &str = "count-programs ";
/// The line of the kernel's report that is used, up to the number of bytes.
const AVAILABLE: &str = "sum of available memory: ";
/// Starts of keys.
const NOTE_KEY: &str = "note";
const HEAP_KEY: &str = "heap ";

/// Collects the lines of one boot.
#[derive(Debug, Default)]
pub struct Notes {
    /// Bytes available in the kernel's last two reports.
    available: (Option<u64>, Option<u64>),
    facts: Vec<(String, String)>,
    /// Programs that take part.
    pub programs: Option<u32>,
}

impl Notes {
    /// Takes one line of the log.
    pub fn line(&mut self, line: &str) {
        let behind = |what: &str| line.split_once(what).map(|(_, rest)| rest.trim());
        if let Some(text) = behind(NOTE) {
            self.facts.push((NOTE_KEY.to_owned(), text.to_owned()));
        } else if let Some((kib, name)) = behind(HEAP).and_then(|rest| rest.split_once(' ')) {
            if let (Some(before), Some(after)) = self.available {
                let taken = i128::from(before) - i128::from(after);
                self.facts
                    .push((format!("{HEAP_KEY}{name}"), format!("{taken} {kib}")));
            }
        } else if let Some(n) = behind(PROGRAMS) {
            self.programs = n.parse().ok();
        } else if let Some(rest) = behind(AVAILABLE) {
            let bytes = rest
                .split_once('(')
                .and_then(|(_, rest)| rest.split(' ').next());
            self.available = (self.available.1, bytes.and_then(|n| n.parse().ok()));
        }
    }

    /// Adds to a report what was said.
    pub fn add(&self, report: &mut Report) {
        for (key, value) in &self.facts {
            report.push_fact(key, value);
        }
    }
}

/// Bytes of the kernel's memory and KiB mapped, by name.
fn heap(report: &Report) -> Vec<(&str, i64, u64)> {
    let facts = report.facts.iter().filter_map(|(key, value)| {
        let name = key.strip_prefix(HEAP_KEY)?;
        let (bytes, kib) = value.split_once(' ')?;
        Some((name, bytes.parse().ok()?, kib.parse().ok()?))
    });
    facts.collect()
}

/// What was said, as lines; with the other run's use of kernel memory beside it.
pub fn render(report: &Report, other: Option<&Report>) -> String {
    let mut out = String::new();
    let there = other.map(heap).unwrap_or_default();
    for (index, (name, bytes, kib)) in heap(report).into_iter().enumerate() {
        let each = |bytes: i64, kib: u64| bytes as f64 / (kib.max(1) as f64 / 1024.0);
        if index == 0 {
            let _ = writeln!(out, "kernel memory taken, bytes for each MiB mapped (M20)");
        }
        let _ = write!(out, "{name:<56} {:>10.0}", each(bytes, kib));
        if let Some((_, b, k)) = there.iter().find(|(n, ..)| *n == name) {
            let _ = write!(out, "  the other's {:.0}", each(*b, *k));
        }
        let _ = writeln!(out, "   ({bytes} bytes for {kib} KiB)");
    }
    for (_, text) in report.facts.iter().filter(|(key, _)| key == NOTE_KEY) {
        let _ = writeln!(out, "{text}");
    }
    if !out.is_empty() {
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_become_facts_and_text() {
        let mut notes = Notes::default();
        for line in [
            "core-0 | count-heap 1024 too early",
            "sum of available memory: 9 KiB (9216 bytes)",
            "core-0 | count-heap 1024 still too early",
            "sum of available memory: 7 KiB (7168 bytes)",
            "core-0 | count-heap 512 in order",
            "core-0 | count-note M12 93 of 100",
            "core-0 | count-programs 1",
        ] {
            notes.line(line);
        }
        let mut report = Report::default();
        notes.add(&mut report);
        assert_eq!(report.facts.len(), 2, "{:?}", report.facts);
        let text = render(&report, Some(&report.clone()));
        assert!(
            text.contains("4096  the other's 4096   (2048 bytes for 512 KiB)"),
            "{text}"
        );
        assert!(text.contains("\nM12 93 of 100\n"), "{text}");
        assert_eq!(notes.programs, Some(1));
        assert_eq!(render(&Report::default(), None), "");
    }
}
