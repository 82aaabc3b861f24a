//! The record of the real kernel's counts, to stand beside the model's.
//!
//! It is what `percore count bench-pager` wrote, on the pager server and on upstream's memory server;
//! docs/fiasco-model.md has the commands. Nothing is computed here but the sums that
//! `percore count` prints itself.

use std::path::Path;

use qemu_count::report::Report;

use crate::count::windows;

/// The record with the pager server, below the project's root.
pub const OURS: &str = "bench/pager/record.csv";
/// The record with upstream's memory server.
pub const UPSTREAM: &str = "bench/pager/record-upstream.csv";

/// What was found.
#[derive(Debug)]
pub struct Found(Result<(Report, Option<Report>), String>);

/// Reads the record, if there is one.
#[must_use]
pub fn find(root: &Path) -> Found {
    let read = |name: &str| {
        let path = root.join(name);
        Report::read(&path).map_err(|e| format!("{name}: {e}"))
    };
    if !root.join(OURS).exists() {
        return Found(Err(format!(
            "no record: {OURS} is not there (`percore count bench-pager --out {OURS}` makes it where \
             trees are)"
        )));
    }
    let other = root.join(UPSTREAM).exists().then(|| read(UPSTREAM));
    Found(read(OURS).and_then(|ours| Ok((ours, other.transpose()?))))
}

impl Found {
    /// The record as text.
    #[must_use]
    pub fn text(&self) -> String {
        let title = "The same operations on the real kernel, counted";
        match &self.0 {
            Err(why) => format!("{title}: {why}.\n"),
            Ok((ours, upstream)) => {
                let other = upstream.as_ref().map(|report| source(UPSTREAM, report));
                format!(
                    "{title}; instructions, not cycles:\n{}{}{}",
                    source(OURS, ours),
                    other.unwrap_or_default(),
                    windows::render(ours, upstream.as_ref())
                )
            }
        }
    }
}

/// Which revisions a record is of.
fn source(name: &str, report: &Report) -> String {
    let fact = |key| report.fact(key).unwrap_or("unknown");
    format!(
        "  {name}: {}, percore {}, kernel {}, L4Re {}\n",
        fact("memory server"),
        fact("percore revision"),
        fact("kernel revision"),
        fact("l4re revision"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_record_it_says_so_and_a_bad_one_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let text = find(dir.path()).text();
        assert!(text.contains("no record") && text.contains(OURS), "{text}");
        let path = dir.path().join(OURS);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, "what\n").unwrap();
        let text = find(dir.path()).text();
        assert!(!text.contains("no record") && text.contains(OURS), "{text}");
        let mut good = Report::default();
        good.push_fact("memory server", "percore-pager");
        good.push_fact("programs", 2);
        good.push_fact("percore revision", "abc1234");
        good.push_fact("window 1", "256 page free by requests");
        good.write(&path).unwrap();
        let text = find(dir.path()).text();
        let both = text.contains("percore-pager") && text.contains("free by requests");
        assert!(both, "{text}");
        let of = "record.csv: percore-pager, percore abc1234, kernel unknown, L4Re unknown\n";
        assert!(text.contains(of), "{text}");
        assert!(find(dir.path()).0.unwrap().1.is_none());
    }
}
