//! `percore test --qemu` over made-up guests: which runs pass, and what a failure says.

mod common;

use common::World;
use predicates::prelude::PredicateBooleanExt;
use predicates::str::contains;

const GOOD: &str =
    "test    | 1..2\ntest    | ok 1 - a\ntest    | ok 2 - b\ntest    | TAP-END 2/2\n";
const BAD: &str =
    "test    | 1..2\ntest    | ok 1 - a\ntest    | not ok 2 - b\n# got 3\ntest    | TAP-END 1/2\n";

#[test]
fn test_entries_are_found_by_their_mark() {
    World::new()
        .percore(&["test", "--list"])
        .assert()
        .code(0)
        .stdout("rows\n");
    let run = World::new()
        .percore(&["test", "--qemu", "hello"])
        .assert()
        .code(2);
    run.stderr(contains("entry 'hello' is no test"));
}

#[test]
fn both_servers_on_each_number_of_cpus() {
    let world = World::new();
    world.guest(GOOD);
    let run = world
        .percore(&["test", "--qemu", "--cpus", "1,4,8"])
        .assert()
        .code(0);
    run.stdout(contains(
        "PASS rows sigma0=ours machine=uniform-1 cpus=1 memory=1G: 2 ok, 0 not ok",
    ))
    .stdout(contains(
        "PASS rows sigma0=upstream machine=uniform-8 cpus=8",
    ))
    .stdout(contains(
        "rows, ours against upstream: 0 expected differences, 0 not run on both, 0 not expected",
    ));
    assert_eq!(world.qemu_pids().len(), 6);
}

#[test]
fn a_difference_must_be_listed_and_true() {
    let world = World::new();
    world.put("ours.log", GOOD);
    world.put("guest.log", BAD);
    let run = world
        .percore(&["test", "--qemu", "--cpus", "1"])
        .assert()
        .code(1);
    run.stdout(contains("not ok: b (got 3)"))
        .stdout(contains("ok       not ok   b (NOT EXPECTED)"));

    let list = "[[difference]]\ntest = \"b\"\nfails-on = \"upstream\"\nreason = \"BUG-1\"\n";
    world.put("project/conf/differences.toml", list);
    let run = world
        .percore(&["test", "--qemu", "--cpus", "1"])
        .assert()
        .code(0);
    run.stdout(contains("1 expected differences").and(contains("FAIL").not()));
    let run = world
        .percore(&["test", "--qemu", "--cpus", "1", "--verbose"])
        .assert()
        .code(0);
    run.stdout(contains("b (expected: BUG-1)"));

    world.guest(GOOD);
    let run = world
        .percore(&["test", "--qemu", "--cpus", "1"])
        .assert()
        .code(1);
    run.stdout(contains("passes, but is listed as failing on upstream: b"));
}

#[test]
fn a_report_that_is_not_whole_fails() {
    let world = World::new();
    for (log, code, words) in [
        (
            GOOD.replace("1..2", "1..3"),
            1,
            "1 of 3 tests missing, first 3",
        ),
        (GOOD.replace("2/2", "1/2"), 1, "lines were lost"),
        (
            GOOD.replace("test    | TAP-END 2/2\n", ""),
            3,
            "FAIL rows sigma0=ours machine=uniform-1 cpus=1 memory=1G: Timeout",
        ),
        (
            "test    | 1..2\nBail out! no memory\n".to_owned(),
            1,
            "Failure(\"Bail out! no memory\")",
        ),
        ("    CPU 0 [ffff]: panic\n".to_owned(), 4, "Panic("),
    ] {
        world.guest(&log);
        let args = [
            "test",
            "--qemu",
            "--cpus",
            "1",
            "--sigma0",
            "ours",
            "--timeout",
            "1",
        ];
        world
            .percore(&args)
            .assert()
            .code(code)
            .stdout(contains(words));
    }
}
