//! `percore count`: with a made-up QEMU that plays the plugin, and on the real kernel.

mod common;

use std::collections::BTreeSet;

use assert_cmd::Command;
use common::World;
use predicates::str::contains;
use qemu_count::report::{Half, Report};

/// A QEMU that writes, as the plugin would, `$instructions` for the one window of CPU 0.
const PLUGIN: &str = r##"
[ "$1" = --version ] && { echo made up; exit; }
out=$(printf '%s\n' "$*" | sed -n 's/.*libqemu_count.so,out=\([^, ]*\).*/\1/p')
echo "# complete: yes" > "$out"
echo "window,vcpu,half,program,part,instructions,rep_stos_bytes,rep_movs_bytes,apart_bytes,syscalls,page_faults,cr3_writes,invlpg,invpcid,ipis,wrmsr,halts" >> "$out"
echo "1,0,user,moe,,$instructions,0,0,0,7,,0,0,0,0,0,0" >> "$out"
echo "Hello World!"
exec sleep 1000
"##;

fn plugin(instructions: &str) -> World {
    let world = World::new();
    world.qemu(&format!("instructions={instructions}\n{PLUGIN}"));
    world
}

#[test]
fn prints_a_table_and_adds_where_it_comes_from() {
    let world = plugin("123456");
    world
        .percore(&["count", "hello", "--cpus", "4"])
        .assert()
        .code(0)
        .stdout(contains("busiest CPU: 123456 instructions"))
        .stderr(contains("page faults: the kernel has no"));
    let report = Report::read(&world.path("project/out/count-hello.csv")).unwrap();
    assert_eq!(report.records[0].syscalls, 7);
    assert_eq!(report.records[0].page_faults, None);
    let fact = |key| report.fact(key).unwrap_or_else(|| panic!("no fact {key}"));
    assert_eq!(fact("command"), "percore count hello --cpus 4");
    assert!(fact("guest machine").contains("4 CPUs, 1024 MiB"));
    for key in [
        "kernel revision",
        "l4re revision",
        "percore revision",
        "host machine",
    ] {
        assert!(!fact(key).is_empty());
    }
}

#[test]
fn runs_that_lie_apart_fail() {
    // The second run, known by the list of process ids, counts 1.1 % more.
    let world =
        plugin("$(if [ $(wc -l < \"$here/pid\") = 1 ]; then echo 1000; else echo 1011; fi)");
    world
        .percore(&["count", "hello", "--runs", "2", "--out", "x.csv"])
        .assert()
        .code(1)
        .stdout(contains("2 runs: at most 1.100 % apart"));
    assert!(world.path("project/x-2.csv").is_file());
    let world = plugin("1000");
    world
        .percore(&["count", "hello", "--runs", "3"])
        .assert()
        .code(0)
        .stdout(contains("3 runs: at most 0.000 % apart"));
}

#[test]
fn no_result_and_no_sentinel_are_errors() {
    let world = World::new();
    world.guest("Hello World!\n");
    let count = |args: &[&str]| {
        world
            .percore(&[&["count", "hello"], args].concat())
            .assert()
    };
    count(&[]).code(6).stderr(contains("the plugin left no"));
    count(&["--expect", "never", "--timeout", "1"]).code(3);
    count(&["--apart", "spin=nothing:f"])
        .code(2)
        .stderr(contains("no program module 'nothing'"));
    count(&["--apart", "spin"])
        .code(2)
        .stderr(contains("PART=MODULE:SYMBOL"));
    count(&["--runs", "0"]).code(2);
}

#[test]
fn whole_boots_of_the_real_kernel_agree() {
    match l4re_tree::find() {
        Ok(Some(trees)) if trees.fiasco.is_some() && which::which("qemu-system-x86_64").is_ok() => {
        }
        Ok(_) => {
            eprintln!(
                "left out: counting the real kernel (needs L4RE_BUILD, FIASCO_BUILD and QEMU)"
            );
            return;
        }
        Err(error) => panic!("{error}"),
    }
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("hello.csv");
    Command::new(env!("CARGO_BIN_EXE_percore"))
        .args([
            "count",
            "hello",
            "--sigma0",
            "upstream",
            "--cpus",
            "2",
            "--from-boot",
        ])
        .args(["--runs", "2", "--out"])
        .arg(&out)
        .assert()
        .code(0);
    let report = Report::read(&out).unwrap();
    let programs: BTreeSet<_> = report.records.iter().map(|r| r.program.as_str()).collect();
    for program in ["sigma0", "moe", "l4re", "hello", "kernel"] {
        assert!(
            programs.contains(program),
            "{program} is not among {programs:?}"
        );
    }
    assert!(
        programs.iter().all(|name| !name.contains('|')),
        "{programs:?}"
    );
    let sum =
        |of: fn(&qemu_count::report::Record) -> u64| -> u64 { report.records.iter().map(of).sum() };
    assert!(sum(|r| r.syscalls) > 100);
    assert!(sum(|r| r.cr3_writes) > 100);
    let faults = |r: &qemu_count::report::Record| match r.half {
        Half::Kernel => r.page_faults.expect("an unstripped kernel has the entry"),
        Half::User => 0,
    };
    assert!(report.records.iter().map(faults).sum::<u64>() > 50);
    assert_eq!(report.fact("complete"), Some("yes"));
}
