//! How a boot ends: verdicts, exit codes, and that no QEMU is left behind, with a made-up QEMU.

mod common;

use std::fs;
use std::path::Path;
use std::process::{Child, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use common::World;
use predicates::str::contains;

/// Waits for a condition that is about to become true.
fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < end, "still not: {what}");
        sleep(Duration::from_millis(10));
    }
}

/// Whether a process is running. One that has ended and awaits its parent is not.
fn is_running(pid: u32) -> bool {
    let stat = fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat"));
    // The state follows the name in parentheses.
    stat.is_ok_and(|stat| !stat.rsplit(") ").next().unwrap_or("").starts_with('Z'))
}

fn assert_no_qemu_left(world: &World) {
    let pids = world.qemu_pids();
    assert!(!pids.is_empty(), "no QEMU was started");
    wait_until("every QEMU is gone", || {
        !pids.iter().any(|&pid| is_running(pid))
    });
}

#[test]
fn the_log_decides() {
    for (log, code, words) in [
        (
            "MOE: Hello world\r\n\x1b[31mhello   | Hello World!\x1b[0m\r\n",
            0,
            "success",
        ),
        (
            "lua error: cannot open rom/x.cfg\n",
            1,
            "the guest failed: 'lua error",
        ),
        (
            "MOE: task 3500 exited with 70\n",
            1,
            "the guest failed: 'MOE: task",
        ),
        (
            "\x1b[25;1H\r\n    CPU 0 [fffffffff0023548]: Wait\r\njdb: ",
            4,
            "the guest stopped: 'CPU 0",
        ),
        (
            "region overlap\r\n\r\n\x1b[1mKey press reboots...\x1b[m\r\n",
            4,
            "the guest stopped",
        ),
        ("MOE: Hello world\n", 3, "timeout without 'Hello World!'"),
    ] {
        let world = World::new();
        world.guest(log);
        let run = world
            .percore(&["qemu", "hello", "--timeout", "1"])
            .assert()
            .code(code);
        run.stderr(contains(words));
        assert_no_qemu_left(&world);
    }
}

#[test]
fn the_log_is_shown_plain_and_saved_as_it_is() {
    let world = World::new();
    world.guest("\x1b[31mhello   | Hello World!\x1b[0m\n");
    let log = world.path("serial.log");
    let run = world
        .percore(&["qemu", "hello", "--log", log.to_str().unwrap()])
        .assert()
        .code(0);
    run.stdout("hello   | Hello World!\n");
    assert_eq!(
        fs::read_to_string(log).unwrap(),
        "\x1b[31mhello   | Hello World!\x1b[0m\n"
    );
}

#[test]
fn sentinels_of_the_command_line() {
    let world = World::new();
    world.guest("one\nTWO\n");
    world
        .percore(&["qemu", "quiet", "--expect", "TWO"])
        .assert()
        .code(0);
    world
        .percore(&["qemu", "quiet", "--expect", "TWO", "--fail", "one"])
        .assert()
        .code(1);
    world
        .percore(&["qemu", "quiet", "--expect", "three", "--fail", "TWO"])
        .assert()
        .code(1);
}

#[test]
fn a_guest_that_switches_off() {
    let world = World::new();
    world.qemu("echo bye");
    world.percore(&["qemu", "quiet"]).assert().code(0);
    world
        .percore(&["qemu", "hello"])
        .assert()
        .code(5)
        .stderr(contains("switched off without"));
}

#[test]
fn a_qemu_that_refuses_says_why() {
    let world = World::new();
    world.qemu("echo 'qemu: bad option' >&2; exit 1");
    let run = world.percore(&["qemu", "hello"]).assert().code(6);
    run.stderr(contains("before the guest said anything: qemu: bad option"));
}

/// Starts a boot that goes on until it is stopped.
fn start(world: &World) -> Child {
    let mut command = world.command();
    command
        .args(["qemu", "hello"])
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command.spawn().unwrap()
}

fn signal(child: &Child, name: &str) {
    let kill = std::process::Command::new("kill")
        .arg(name)
        .arg(child.id().to_string())
        .status();
    assert!(kill.unwrap().success());
}

#[test]
fn interrupting_ends_qemu_too() {
    for name in ["-INT", "-TERM", "-HUP"] {
        let world = World::new();
        let mut child = start(&world);
        wait_until("QEMU runs", || !world.qemu_pids().is_empty());
        signal(&child, name);
        assert_eq!(child.wait().unwrap().code(), Some(130), "{name}");
        assert_no_qemu_left(&world);
    }
}

#[test]
fn killing_percore_ends_qemu_too() {
    let world = World::new();
    let mut child = start(&world);
    wait_until("QEMU runs", || !world.qemu_pids().is_empty());
    signal(&child, "-KILL");
    child.wait().unwrap();
    assert_no_qemu_left(&world);
}

#[test]
fn several_at_once_do_not_meet() {
    let world = World::new();
    // Every guest looks for its modules in its own directory.
    world.qemu("ls sigma0 moe hello >/dev/null && sleep 1 && ls sigma0 moe hello >/dev/null && echo 'Hello World!'\nexec sleep 1000");
    let children: Vec<_> = (0..4).map(|_| start(&world)).collect();
    for mut child in children {
        assert_eq!(child.wait().unwrap().code(), Some(0));
    }
    assert_eq!(world.qemu_pids().len(), 4);
    assert_no_qemu_left(&world);
}
