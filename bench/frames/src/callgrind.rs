//! Runs scenarios as children of this program, under callgrind where instructions are counted.

use std::process::Command;

/// What a child is to do: an arm, a scenario, its size, and how many operations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    pub arm: &'static str,
    pub scenario: &'static str,
    pub n: u32,
    pub operations: u32,
}

/// Whether valgrind can be started.
pub fn is_there() -> bool {
    Command::new("valgrind")
        .arg("--version")
        .output()
        .is_ok_and(|out| out.status.success())
}

fn arguments(job: &Job) -> [String; 5] {
    [
        "--child".into(),
        job.arm.into(),
        job.scenario.into(),
        job.n.to_string(),
        job.operations.to_string(),
    ]
}

/// Instructions of `job` in the counted region, for each operation.
pub fn count(job: &Job) -> Result<f64, String> {
    let me = std::env::current_exe().map_err(|error| error.to_string())?;
    let out = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg("--toggle-collect=*callgrind_counted_region*")
        .arg(me)
        .args(arguments(job))
        .output()
        .map_err(|error| format!("valgrind does not start: {error}"))?;
    let text = String::from_utf8_lossy(&out.stderr);
    if !out.status.success() {
        return Err(format!("{job:?} failed under valgrind:\n{text}"));
    }
    let collected = text
        .lines()
        .find_map(|line| line.split_once("Collected : "))
        .and_then(|(_, number)| number.trim().parse::<u64>().ok())
        .ok_or_else(|| format!("{job:?}: valgrind printed no count:\n{text}"))?;
    Ok(collected as f64 / f64::from(job.operations))
}

/// The numbers that a child prints that is not run under callgrind.
pub fn run(job: &Job) -> Result<Vec<f64>, String> {
    let me = std::env::current_exe().map_err(|error| error.to_string())?;
    let out = Command::new(me)
        .args(arguments(job))
        .output()
        .map_err(|error| error.to_string())?;
    let text = String::from_utf8_lossy(&out.stdout);
    if !out.status.success() {
        return Err(format!(
            "{job:?} failed:\n{}",
            String::from_utf8_lossy(&out.stderr)
        ));
    }
    text.split_whitespace()
        .map(|word| word.parse().map_err(|_| format!("{job:?} printed {text}")))
        .collect()
}
