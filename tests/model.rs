//! The main job and `percore trace` as a user starts them, on few cores and pages.

use std::process::Command;

use assert_cmd::assert::OutputAssertExt;
use predicates::prelude::PredicateBooleanExt;
use predicates::str::{contains, is_match};

fn percore(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_percore"));
    command.args(args).current_dir(env!("CARGO_MANIFEST_DIR"));
    command
}

#[test]
fn the_main_job_prints_both_tables_and_writes_the_report() {
    let dir = tempfile::tempdir().unwrap();
    let report = dir.path().to_str().unwrap();
    let small = [
        "--cores", "1,3", "--pages", "64", "--layout", "core", "--report", report,
    ];
    percore(&small)
        .assert()
        .code(0)
        .stdout(contains("Single pages").and(contains("Runs: the pager's default")))
        .stdout(contains("Every run ended with all memory back"));
    let csv = std::fs::read_to_string(dir.path().join("points.csv")).unwrap();
    // Two points, two modes, two phases.
    assert_eq!(csv.lines().count(), 1 + 8, "{csv}");
    let html = std::fs::read_to_string(dir.path().join("report.html")).unwrap();
    assert_eq!(html.matches("<svg").count(), 5);
}

/// A file in its way, and a place where nothing can be made: said before the work, with nothing printed.
#[test]
fn a_report_that_cannot_be_written_is_refused_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    for report in [file.to_str().unwrap(), "/proc/percore"] {
        let small = ["--cores", "1", "--pages", "64", "--report", report];
        let run = percore(&small).assert().code(6).stdout("");
        run.stderr(contains(format!("percore: cannot make {report}: ")));
    }
}

#[test]
fn the_policy_goes_to_the_servers_command_line() {
    let dir = tempfile::tempdir().unwrap();
    let report = dir.path().to_str().unwrap();
    let small = [
        "--cores", "2", "--pages", "64", "--layout", "node", "--policy", "avl", "--report", report,
    ];
    percore(&small)
        .assert()
        .code(0)
        .stdout(contains("policy avl"));
}

#[test]
fn real_threads_show_counts() {
    let small = [
        "--threads",
        "--cores",
        "2",
        "--pages",
        "64",
        "--layout",
        "central",
    ];
    percore(&small).assert().code(0).stdout(contains(
        "single: 128 pages allocated and freed, 128 faults",
    ));
}

#[test]
fn the_trace_goes_from_client_to_pager_and_back() {
    let dir = tempfile::tempdir().unwrap();
    let picture = dir.path().join("fault.svg");
    percore(&["trace", "--picture", picture.to_str().unwrap()])
        .assert()
        .code(0)
        .stdout(is_match("(?s)client: store.*pager: answers with 1 flexpage.*runs on").unwrap());
    assert!(std::fs::read_to_string(picture).unwrap().contains("<svg"));
}
