//! Boots of the real kernel: upstream's programs, and our test images on both root pagers. They need the trees of the setting and QEMU;
//! where those are absent the test says so in one line and checks nothing.

mod trees;

use assert_cmd::Command;
use trees::{can_boot, can_boot_with};

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

/// Takes some three minutes, most of it the kernel's waits when objects are deleted; `percore test --qemu
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

/// What is booted below with the defaults of its entry: arguments, and texts that the log must have.
type Boot<'a> = (&'a [&'a str], &'a [&'a str]);

fn boot((args, lines): Boot<'_>) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_percore"));
    let done = command.arg("qemu").args(args).assert().code(0);
    let log = String::from_utf8_lossy(&done.get_output().stdout).into_owned();
    for line in lines {
        assert!(log.contains(line), "{args:?}: no '{line}' in\n{log}");
    }
    log
}

/// The pager API from C++ (and, below that, C): policies, runs in batches, a reserve for self-paging.
#[test]
fn the_example_of_the_pager_api_runs() {
    if !can_boot_with(&["percore-example"]) {
        return;
    }
    boot((
        &["percore-example", "--cpus", "2"],
        &[
            "core 1 of 2",
            "bitmap -> buddy in",
            "policy 77: refused",
            "16 runs, 256 frames, ",
            // 64 pages by 4 faults; giving 64 frames back takes one message and no unmap.
            "we: 4 faults",
            "into the reserve             the pager: 1 messages, 0 pieces taken, 0 frames zeroed, 0 unmap calls",
        ],
    ));
}

/// Each function of the C header and each method of the C++ header, with capabilities that lack a right, are closed,
/// sealed, or another server's, and with values that do not exist.
#[test]
fn wrong_arguments_of_the_pager_api_get_the_promised_errors() {
    if !can_boot_with(&["test-percore-api"]) {
        return;
    }
    let log = boot((&["api-percore", "--cpus", "1"], &[" rows, 0 failed"]));
    let rows = log.split("test-percore-api: ").nth(1);
    let rows = rows.and_then(|text| text.split(' ').next()?.parse().ok());
    assert!(rows.is_some_and(|rows: u32| rows > 300), "{log}");
}

#[test]
fn a_cxx_program_sees_the_same_on_every_memory_server() {
    if !can_boot_with(&["test-percore-cxx", "libtest-percore-cxx-late.so"]) {
        return;
    }
    let mut sums = std::collections::BTreeSet::new();
    for server in ["ours", "upstream"] {
        let log = boot((
            &["cxx-percore", "--cpus", "1", "--memory-server", server],
            &["cxx-root| test-percore-cxx: checksum "],
        ));
        let lines = log
            .lines()
            .filter_map(|line| line.split("checksum ").nth(1))
            .map(|sum| sum.trim().to_owned());
        assert_eq!(
            lines.clone().count(),
            2,
            "{server}: one on the root task, one on the server"
        );
        sums.extend(lines);
        assert!(sums.len() == 1, "{server}: {sums:?}");
    }
}

#[test]
fn an_unmodified_lua_allocates_on_the_pager() {
    if !can_boot_with(&["lua"]) {
        return;
    }
    let log = boot((&["lua-percore", "--roottask-args", "rounds=3000"], &[]));
    let checked = |name: &str| {
        let line = log.lines().find(|line| line.starts_with(name));
        line.and_then(|line| line.split("| ").nth(1))
            .map(str::to_owned)
    };
    assert_eq!(
        checked("lua-0   | lua: done"),
        checked("lua-root| lua: done")
    );
}

#[test]
fn percore_top_shows_every_core_once() {
    if !can_boot() {
        return;
    }
    let log = boot((
        &["percore-top", "--cpus", "2"],
        &["core node policy", "percore-top: done"],
    ));
    for core in 0..2 {
        let line = format!("top     | {core:>4}    0 bitmap ");
        assert_eq!(log.matches(&line).count(), 1, "core {core} in\n{log}");
    }
}

#[test]
fn layouts_and_policies_side_by_side() {
    if !can_boot() {
        return;
    }
    let own = |core: usize| format!("page-{core}  | page-bench: ");
    let log = boot((
        &["mixed-layouts", "--cpus", "4"],
        &["another memory server: done"],
    ));
    assert!((0..4).all(|core| log.contains(&own(core))), "{log}");
    for (service, threads) in [("pager-01", 1), ("pager-23", 2)] {
        let line = format!("{service}| percore-pager: {threads} threads for 2 CPUs");
        assert!(log.contains(&line), "no '{line}' in\n{log}");
    }
    let log = boot((&["policies", "--cpus", "4"], &[]));
    for (core, policy) in ["bitmap", "buddy", "avl", "slab"].into_iter().enumerate() {
        let pages = format!("{}1000 pages", own(core));
        let line = format!("top     |    0    0 {policy} ");
        assert!(
            log.contains(&pages) && log.contains(&line),
            "{policy} in\n{log}"
        );
    }
}

/// The paper's scripts and programs that are spread over nodes; no frame may be in use at the end.
#[test]
fn layouts_of_the_paper_give_all_memory_back() {
    if !can_boot() {
        return;
    }
    for (entry, machine, threads) in [
        ("paper-core", "uniform-4", "4 threads for 4 CPUs"),
        ("spread", "numa-2x2", "2 threads for 4 CPUs"),
    ] {
        let log = boot((
            &[entry, "--machine", machine, "--roottask-args", "pages=200"],
            &[threads, "percore-top: done"],
        ));
        let used = log.lines().filter_map(|line| {
            let columns: Vec<&str> = line
                .strip_prefix("top     | ")?
                .split_whitespace()
                .collect();
            (columns.get(2) == Some(&"bitmap")).then(|| columns[4].to_owned())
        });
        let used: Vec<String> = used.collect();
        assert!(
            !used.is_empty() && used.iter().all(|mib| mib == "0.0"),
            "{entry}: {used:?}"
        );
    }
}

/// Scripts with a mistake: the log must name it, and nothing must wait for ever.
const MISTAKES: &[(&str, &[&str])] = &[
    (
        "percore.start(percore.pagers('core', 9), 0, { log = { 'h', 'g' } }, 'rom/hello')",
        &[
            "percore-pager: --cores wants more CPUs than there are: 2",
            "x.cfg:3: percore.factory: core=0: the service has ended",
        ],
    ),
    (
        "percore.start(percore.pagers('core', '0,7'), 0, {}, 'rom/hello')",
        &["percore-pager: --cores names CPU 7, which is not there"],
    ),
    (
        "percore.start(percore.pagers('core', 2, { memory = '64G' }), 0, {}, 'rom/hello')",
        &["percore-pager: --memory wants 65536 MiB; sigma0's reserve, by node has "],
    ),
    (
        "percore.start(percore.pagers('core', 2, { memory = '64K' }), 0, {}, 'rom/hello')",
        &["percore-pager: there is too little memory: 32 KiB for each of 2 threads"],
    ),
    (
        "percore.start(percore.pagers('core', 2, { args = '--memry=1M' }), 0, {}, 'rom/hello')",
        &["percore-pager: unknown option '--memry=1M'"],
    ),
    (
        "percore.start(percore.pagers('core', 2), 5, {}, 'rom/hello')",
        &["x.cfg:3: percore.factory: core=5: no pager serves it"],
    ),
    (
        "percore.pagers('cores', 2)",
        &["x.cfg:3: percore.pagers: layout is \"cores\"; expected core, node or central"],
    ),
    (
        // A program with a sealed factory may not do what the script may.
        "local p = percore.pagers('core', 2, { policy = 'buddy' })\n\
         percore.policy(p, 0, 'slab+avl')\n\
         local env = { log = { 'sealed', 'g' } }\n\
         percore.start(p, { cpus = 0, sealed = true }, env, 'rom/percore-top --policy=bitmap'):wait()\n\
         percore.statistics(p)\n\
         percore.policy(p, 0, 'best')",
        &[
            "policy  | core 0: policy slab+avl, was buddy, ",
            "sealed  | percore-top: refused: Refused(Perm)",
            "top     |    0    0 slab+avl ",
            "top     |    1    0 buddy ",
            "x.cfg:8: percore.policy: policy is \"best\"; expected bitmap, buddy, avl or slab",
        ],
    ),
];

#[test]
fn mistakes_in_scripts_are_named_on_the_console() {
    if !can_boot() {
        return;
    }
    let folder = tempfile::tempdir().expect("a directory");
    let list = folder.path().join("x.list");
    let entry = "default-kernel fiasco -serial_esc\nentry x\nsigma0 sigma0-rs --reserve=50%\nmoe x.cfg\n\
                 module l4re\nmodule ned\nmodule percore.lua\nmodule percore-pager\nmodule percore-top\n\
                 module hello\n";
    std::fs::write(&list, entry).expect("the list");
    for (script, lines) in MISTAKES {
        let head = "package.path = 'rom/?.lua'\nlocal percore = require('percore')\n";
        std::fs::write(folder.path().join("x.cfg"), format!("{head}{script}\n"))
            .expect("the script");
        let mut command = Command::new(env!("CARGO_BIN_EXE_percore"));
        command.args(["qemu", "x", "--cpus", "2", "--timeout", "60", "--list"]);
        // The guest says that the script failed.
        let done = command.arg(&list).assert().code(1);
        let log = String::from_utf8_lossy(&done.get_output().stdout).into_owned();
        for line in *lines {
            assert!(log.contains(line), "{script}: no '{line}' in\n{log}");
        }
    }
}
