//! Boots of the real kernel: upstream's programs, and our test images on both root pagers. They need the trees of the setting and QEMU;
//! where those are absent the test says so in one line and checks nothing.

mod trees;

use assert_cmd::Command;
use trees::can_boot;

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

#[test]
fn test_images_agree_on_both_root_pagers() {
    if !can_boot() {
        return;
    }
    Command::new(env!("CARGO_BIN_EXE_percore"))
        .args(["test", "--qemu", "--cpus", "4"])
        .args(["test-sigma0", "test-sigma0-root", "test-sigma0-reserve"])
        .assert()
        .code(0);
}

/// Takes a minute; `percore test --qemu test-hostile` compares it with upstream's root pager too.
#[test]
fn hostile_clients_do_not_stop_the_root_pager() {
    if !can_boot() {
        return;
    }
    Command::new(env!("CARGO_BIN_EXE_percore"))
        .args([
            "test",
            "--qemu",
            "--cpus",
            "4",
            "--sigma0",
            "ours",
            "test-hostile",
        ])
        .assert()
        .code(0);
}

/// Unmodified programs, one a CPU, with memory and region map of the pager of their CPU: on our root
/// pager, and on upstream's, below whose root task the pager gets memory from that.
#[test]
fn hello_runs_on_the_pager_of_each_cpu() {
    if !can_boot() {
        return;
    }
    for (sigma0, cpus, last) in [("ours", "1", 0), ("ours", "48", 47), ("upstream", "4", 3)] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_percore"));
        command.args(["qemu", "hello-percore", "--sigma0", sigma0, "--cpus", cpus]);
        command.args(["--memory", "4G", "--expect"]);
        // The log pads names to eight characters.
        command.arg(format!("{:<8}| Hello World!", format!("hello-{last}")));
        command.assert().code(0);
    }
}

/// Takes two and a half minutes, most of it the kernel's waits when objects are deleted; `percore test --qemu
/// test-pager` compares with upstream's root task too.
#[test]
fn the_pager_keeps_the_rows_of_a_memory_server() {
    if !can_boot() {
        return;
    }
    Command::new(env!("CARGO_BIN_EXE_percore"))
        .args(["test", "--qemu", "--cpus", "1"])
        .args(["--memory-server", "ours", "test-pager"])
        .assert()
        .code(0);
}
