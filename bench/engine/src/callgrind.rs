//! Runs scenarios as children of this program under callgrind, which writes a part for each fault.

use std::process::Command;

use crate::client::Path;

/// Whether valgrind can be started.
pub fn is_there() -> bool {
    Command::new("valgrind")
        .arg("--version")
        .output()
        .is_ok_and(|out| out.status.success())
}

/// Instructions of each counted fault, in order.
pub fn count(scenario: &str, path: Path) -> Result<Vec<u64>, String> {
    let me = std::env::current_exe().map_err(|error| error.to_string())?;
    let name = path.name();
    // In full: patterns are understood for collecting, not for dumping.
    let function = format!("bench_engine::path::engine_counted_{name}");
    let file = std::env::temp_dir().join(format!(
        "bench-engine-{}-{scenario}-{name}",
        std::process::id()
    ));
    let mut out_file = std::ffi::OsString::from("--callgrind-out-file=");
    out_file.push(&file);
    let out = Command::new("valgrind")
        .args(["--tool=callgrind", "--combine-dumps=yes", "--dump-line=no"])
        .arg(out_file)
        .arg(format!("--toggle-collect={function}"))
        .arg(format!("--dump-after={function}"))
        .arg(me)
        .args(["--child", scenario, name])
        .output()
        .map_err(|error| format!("valgrind does not start: {error}"))?;
    let text = std::fs::read_to_string(&file);
    let _ = std::fs::remove_file(&file);
    if !out.status.success() {
        let said = String::from_utf8_lossy(&out.stderr);
        return Err(format!("{scenario} {name} failed under valgrind:\n{said}"));
    }
    let printed = String::from_utf8_lossy(&out.stdout);
    let faults: usize = printed
        .trim()
        .parse()
        .map_err(|_| format!("{scenario} {name} printed {printed}"))?;
    let text = text.map_err(|error| format!("{}: {error}", file.display()))?;
    let counts = parts(&text);
    // The last faults are those that are meant.
    let skipped = counts
        .len()
        .checked_sub(faults)
        .ok_or_else(|| format!("{scenario} {name}: {} counts, not {faults}", counts.len()))?;
    Ok(counts[skipped..].to_vec())
}

/// The totals of the parts that are not empty.
fn parts(text: &str) -> Vec<u64> {
    text.lines()
        .filter_map(|line| line.strip_prefix("totals: "))
        .filter_map(|total| total.trim().parse().ok())
        .filter(|total| *total > 0)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_file() {
        let text = "part: 1\ntotals: 12\nfn=x\npart: 2\nsummary: 4\ntotals: 300\ntotals: 0\n";
        assert_eq!(parts(text), [12, 300]);
        assert!(parts("").is_empty());
    }
}
