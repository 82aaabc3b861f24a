//! `percore` as a user meets it when something is wrong: the exit code and the words.

mod common;

use common::World;
use predicates::str::contains;

#[test]
fn the_help_names_the_commands() {
    let output = World::new().percore(&["--help"]).assert().code(0);
    output
        .stdout(contains("Usage: percore"))
        .stdout(contains("docs/tool.md"));
}

#[test]
fn an_unknown_entry_names_the_known_ones() {
    let run = World::new().percore(&["qemu", "helo"]).assert().code(2);
    run.stderr(contains("no entry 'helo'"))
        .stderr(contains("hello, quiet, commas, missing, rows"));
}

#[test]
fn a_wrong_list_says_file_and_line() {
    let world = World::new();
    world.put("bad.list", "entry a\nmodul b\n");
    let list = world.path("bad.list");
    let run = world
        .percore(&["qemu", "a", "--list", list.to_str().unwrap()])
        .assert()
        .code(2);
    run.stderr(contains(format!(
        "{}:2: unknown keyword 'modul'; expected entry",
        list.display()
    )));
}

#[test]
fn a_wrong_machine_says_file_and_line() {
    let world = World::new();
    world.put(
        "project/conf/machines/odd.toml",
        "sockets = 1\ncores = 2\n\n[[node]]\ncpus = \"0-2\"\nmemory = \"1G\"\n",
    );
    let run = world
        .percore(&["qemu", "hello", "--machine", "odd"])
        .assert()
        .code(2);
    run.stderr(contains("odd.toml:5: CPU 2; expected 0 to 1"));
    let run = world
        .percore(&["qemu", "hello", "--machine", "none"])
        .assert()
        .code(2);
    run.stderr(contains(
        "no machine 'none'; expected a path or one of: odd",
    ));
}

#[test]
fn a_guest_that_cannot_be_is_refused() {
    let world = World::new();
    for (args, text) in [
        (
            ["qemu", "hello", "--cpus", "9"],
            "the kernel was built for at most 8",
        ),
        (["qemu", "hello", "--cpus", "0"], "expected at least 1"),
        (
            ["qemu", "hello", "--memory", "128M"],
            "expected at least 288M",
        ),
        (
            ["qemu", "hello", "--memory", "much"],
            "is no amount of memory",
        ),
        (
            ["qemu", "hello", "--kernel", "nowhere"],
            "nowhere: No such file",
        ),
    ] {
        world.percore(&args).assert().code(2).stderr(contains(text));
    }
}

/// 1 is what the guest or a test says; a file that is not there is another thing.
#[test]
fn files_of_the_command_line_that_cannot_be_used_are_named() {
    let world = World::new();
    for args in [
        ["qemu", "hello", "--log", "/nowhere/log"],
        ["qemu", "hello", "--list", "/nowhere/list"],
        ["trace", "--core=1", "--cost", "/nowhere/cost"],
    ] {
        let run = world.percore(&args).assert().code(6);
        run.stderr(contains(format!("{}: No such file", args[3])));
    }
}

#[test]
fn cargo_that_refuses_is_quoted_in_one_line() {
    let world = World::new();
    world.put(
        "cargo",
        "#!/bin/sh\necho 'error: no toolchain' >&2; echo '  0: main' >&2; exit 1\n",
    );
    std::fs::set_permissions(
        world.path("cargo"),
        std::os::unix::fs::PermissionsExt::from_mode(0o755),
    )
    .unwrap();
    let mut run = world.percore(&["build"]);
    let run = run.env("CARGO", world.path("cargo")).assert().code(6);
    run.stderr(
        "percore: 'cargo metadata' failed: error: no toolchain; run it in the repository to see why\n",
    );
}

#[test]
fn a_missing_qemu_says_how_to_get_it() {
    let world = World::new();
    let mut run = world.percore(&["qemu", "hello"]);
    let run = run.env("QEMU", "/nowhere/qemu").assert().code(6);
    run.stderr(contains("'/nowhere/qemu' cannot be run"))
        .stderr(contains("qemu-system-x86"));
}

#[test]
fn an_absent_or_wrong_tree_names_the_setting() {
    let world = World::new();
    let mut run = world.percore(&["qemu", "hello"]);
    let run = run
        .env_remove("L4RE_BUILD")
        .env_remove("FIASCO_BUILD")
        .assert()
        .code(6);
    run.stderr(contains("L4RE_BUILD is not set"))
        .stderr(contains("percore/config.toml"));
    let mut run = world.percore(&["qemu", "hello"]);
    let run = run.env("L4RE_BUILD", world.path("kernel")).assert().code(6);
    run.stderr(contains("L4RE_BUILD = "))
        .stderr(contains("'.kconfig'"));
    let mut run = world.percore(&["qemu", "hello"]);
    run.env_remove("FIASCO_BUILD")
        .assert()
        .code(6)
        .stderr(contains("FIASCO_BUILD is not set"));
}

#[test]
fn the_setting_can_be_a_file() {
    let world = World::new();
    let (l4re, kernel) = (world.path("l4"), world.path("kernel"));
    let text = format!("L4RE_BUILD = {l4re:?}\nFIASCO_BUILD = {kernel:?}\n");
    world.put("config/percore/config.toml", &text);
    let mut run = world.percore(&["qemu", "hello", "--dry-run"]);
    let run = run
        .env_remove("L4RE_BUILD")
        .env_remove("FIASCO_BUILD")
        .assert()
        .code(0);
    run.stdout(contains(kernel.join("fiasco").to_str().unwrap()));
}

#[test]
fn a_missing_boot_file_is_named() {
    let run = World::new().percore(&["qemu", "missing"]).assert().code(6);
    run.stderr(contains("boot file 'not-built' is in none of: "))
        .stderr(contains("percore build"));
}

#[test]
fn a_list_of_the_users_own_finds_the_files_beside_it() {
    let world = World::new();
    world.put("mine/own-program", "");
    let list = world.path("mine/modules.list");
    world.put("mine/modules.list", "entry mine\nmodule own-program\n");
    let args = [
        "qemu",
        "mine",
        "--dry-run",
        "--list",
        list.to_str().unwrap(),
    ];
    let run = world.percore(&args).assert().code(0);
    run.stdout(contains(world.path("mine/own-program").to_str().unwrap()));
}

#[test]
fn a_dry_run_shows_the_command_with_doubled_commas() {
    let world = World::new();
    let run = world
        .percore(&["qemu", "commas", "--dry-run", "--cpus", "2"])
        .assert()
        .code(0);
    run.stdout(contains("sigma0 reserve=1,,2,"))
        .stdout(contains("-smp '2,sockets=1"));
    assert!(world.qemu_pids().is_empty());
}

#[test]
fn doctor_tells_left_out_features_from_needs() {
    let world = World::new();
    let mut run = world.percore(&["doctor"]);
    let run = run
        .env_remove("L4RE_BUILD")
        .env_remove("FIASCO_BUILD")
        .assert()
        .code(0);
    run.stdout(contains("missing  L4Re       not set; set L4RE_BUILD"))
        .stdout(contains("left out: booting in QEMU"))
        .stdout(contains("The README's two commands work here."));
    let mut run = world.percore(&["doctor"]);
    let run = run
        .env("PATH", world.path("project"))
        .env_remove("CARGO")
        .assert()
        .code(6);
    run.stdout(contains("missing  cargo"))
        .stdout(contains("rustup"));
}
