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
