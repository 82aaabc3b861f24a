//! Boots of the real kernel with upstream's servers. They need the trees of the setting and QEMU;
//! where those are absent the test says so in one line and checks nothing.

use std::io::Write;

use assert_cmd::Command;

/// Whether the kernel can be booted here; else one line says what is left out. A setting that is
/// there but wrong is a failure.
fn can_boot() -> bool {
    let trees = l4re_tree::find().unwrap_or_else(|error| panic!("{error}"));
    let has_kernel = trees.is_some_and(|trees| trees.fiasco.is_some());
    if has_kernel && which::which("qemu-system-x86_64").is_ok() {
        return true;
    }
    let text = "left out: booting the real kernel (needs L4RE_BUILD, FIASCO_BUILD and QEMU)\n";
    // Not by eprintln!, which the test harness hides when a test passes.
    std::io::stderr().write_all(text.as_bytes()).unwrap();
    false
}

#[test]
fn hello_runs_on_small_and_on_numa_machines() {
    if !can_boot() {
        return;
    }
    for args in [
        ["hello", "--memory", "512M"],
        ["hello-ned", "--cpus", "4"],
        ["hello-ned", "--machine", "numa-2x2"],
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_percore"));
        command.args(["qemu", "--sigma0", "upstream"]).args(args);
        command.assert().code(0);
    }
}
