//! Runs a guest with known counts under QEMU with the plugin and compares every figure.
//!
//! Needs `qemu-system-x86_64`; where it is absent the test says so, and fails if `CI=true`.

mod guest;

use std::path::{Path, PathBuf};
use std::process::Command;

use qemu_count::args::{Apart, Config, Entry, ImageArg, Receive};
use qemu_count::counters::Metric;
use qemu_count::report::{Half, Record, Report};
use qemu_count::stall::Longest;

const QEMU: &str = "qemu-system-x86_64";

/// Whether QEMU can be started; if not, says what is left out.
fn have_qemu() -> bool {
    let found = Command::new(QEMU)
        .arg("--version")
        .output()
        .is_ok_and(|out| out.status.success());
    if !found {
        assert_ne!(
            std::env::var("CI").as_deref(),
            Ok("true"),
            "CI must have {QEMU}"
        );
        eprintln!("left out: the exact test of the counting plugin, no {QEMU} found");
    }
    found
}

/// The plugin that cargo built with this test.
fn plugin() -> PathBuf {
    let exe = std::env::current_exe().unwrap();
    let deps = exe.parent().unwrap();
    [deps, deps.parent().unwrap()]
        .iter()
        .map(|dir| dir.join("libqemu_count.so"))
        .find(|path| path.exists())
        .expect("cargo builds the cdylib with the library")
}

fn entry(metric: Metric, addr: u64) -> Entry {
    Entry { metric, addr }
}

/// All system calls of `alpha` below an address are receives.
fn receive(hi: u64) -> Receive {
    Receive {
        image: "alpha".into(),
        lo: guest::BASE,
        hi,
    }
}

fn config(dir: &Path) -> Config {
    let images = guest::programs().map(|(name, file)| {
        let path = dir.join(name);
        std::fs::write(&path, file).unwrap();
        ImageArg {
            name: name.to_owned(),
            path,
        }
    });
    let (kernel, beta) = (guest::kernel_apart(), guest::beta_apart());
    let apart = |part: &str, range: std::ops::Range<u64>, image: Option<&str>| Apart {
        part: part.to_owned(),
        lo: range.start,
        hi: range.end,
        image: image.map(str::to_owned),
    };
    Config {
        out: dir.join("out.csv"),
        images: images.into(),
        entries: vec![
            entry(Metric::PageFaults, guest::page_fault_entry()),
            entry(Metric::Maps, kernel.start),
            // Two counts may be taken at one place.
            entry(Metric::Unmaps, guest::page_fault_entry()),
        ],
        apart: vec![
            apart("stores", kernel, None),
            apart("zero", beta, Some("beta")),
        ],
        receives: vec![receive(guest::BASE + 4096)],
        ..Config::default()
    }
}

/// Runs the guest to its end and reads the report.
fn run(config: &Config, dir: &Path, accel: &str) -> Report {
    let image = dir.join("guest");
    std::fs::write(&image, guest::image()).unwrap();
    let output = Command::new(QEMU)
        .args([
            "-accel",
            accel,
            "-smp",
            "2",
            "-m",
            "64",
            "-display",
            "none",
            "-no-reboot",
        ])
        .args(["-nic", "none", "-serial", "none", "-monitor", "none"])
        .args(["-device", "isa-debug-exit,iobase=0xf4", "-kernel"])
        .arg(&image)
        .arg("-plugin")
        .arg(config.qemu_option(&plugin()))
        .output()
        .unwrap();
    // isa-debug-exit turns the guest's 0 into 1.
    assert_eq!(
        output.status.code(),
        Some(1),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Report::read(&config.out).unwrap()
}

/// A record of window 1 and CPU 0 with these instructions and nothing else; without the counts
/// that [`config`] has no entries for.
fn record(half: Half, program: &str, part: &str, instructions: u64) -> Record {
    let mut row = [0; qemu_count::counters::METRICS];
    row[0] = instructions;
    let mut record = Record::new(1, 0, half, program.into(), part.into(), &row);
    for name in ["flushes", "messages", "cross_sends"] {
        record.unknown(name);
    }
    record
}

#[test]
fn counts_are_exact() {
    if !have_qemu() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path());
    let report = run(&config, dir.path(), "tcg,thread=single");
    let of = |window| report.records.iter().filter(move |r| r.window == window);

    let expected = [
        Record {
            rep_stos_bytes: 4096 + 512 * 8,
            rep_movs_bytes: 256 * 8,
            syscalls: 3,
            invlpg: 2,
            ..record(Half::User, "alpha", "", 2031)
        },
        record(Half::User, "beta", "", 166),
        Record {
            apart_bytes: 2,
            ..record(Half::User, "beta", "zero", 2)
        },
        record(Half::User, "delta", "", 41),
        record(Half::User, "gamma", "", 71),
        Record {
            page_faults: Some(2),
            unmaps: Some(2),
            cr3_writes: 1,
            invlpg: 2,
            ipis: 1,
            ..record(Half::Kernel, "kernel", "", 3 * 2 + 2 * 8 + 11)
        },
        Record {
            apart_bytes: 8 + 4 + 1,
            maps: Some(1),
            ..record(Half::Kernel, "kernel", "stores", 4)
        },
    ];
    assert_eq!(of(1).cloned().collect::<Vec<_>>(), expected);

    let nested: Vec<_> = of(2)
        .map(|r| (r.vcpu, r.program.as_str(), r.instructions))
        .collect();
    assert_eq!(nested, [(0, "alpha", 12)]);

    let second: Vec<_> = of(3).filter(|r| r.vcpu == 1).collect();
    assert_eq!(second.len(), 1);
    assert_eq!(
        (second[0].program.as_str(), second[0].half),
        ("other", Half::User)
    );
    // The first CPU may see the flag before the second has run its last two instructions.
    assert!(
        (2002..=2004).contains(&second[0].instructions),
        "{}",
        second[0].instructions
    );
    let sender: Vec<_> = of(3).filter(|r| r.half == Half::Kernel).collect();
    assert_eq!(sender.len(), 1);
    assert_eq!(
        (sender[0].vcpu, sender[0].instructions, sender[0].ipis),
        (0, 5, 2)
    );

    assert_eq!(of(4).count(), 0);
    assert_eq!(report.fact("windows opened"), Some("3"));
    assert_eq!(report.fact("stop markers without a window"), Some("1"));
    assert_eq!(report.fact("complete"), Some("yes"));
    assert_eq!(report.fact("invalid"), None);

    // To the first system call 2001; behind the third 27 and the kernel's 16 for faults and 11 of work,
    // and 8192 bytes. Of window 2 alpha's 12.
    let longest = Longest {
        user: 2001,
        most_zeroed: 4096 + 512 * 8,
        receives: 3,
        ..Longest::default()
    };
    assert_eq!(stall(&report, 1), [(0, longest)]);
    let second = Longest {
        user: 12,
        ..Longest::default()
    };
    assert_eq!(stall(&report, 2), [(0, second)]);
}

/// CPU and figures of the stalls of `alpha` in a window.
fn stall(report: &Report, window: u32) -> Vec<(u32, Longest)> {
    report
        .stalls()
        .filter(|s| s.window == window && s.program == "alpha")
        .map(|s| (s.vcpu, s.longest))
        .collect()
}

#[test]
fn a_stall_holds_what_the_kernel_does_for_the_server() {
    if !have_qemu() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    // No system call is a receive: the whole window is one span. Beta, and the kernel's code set
    // apart, are not in it.
    let config = Config {
        receives: vec![receive(guest::BASE + 1)],
        ..config(dir.path())
    };
    let report = run(&config, dir.path(), "tcg,thread=single");
    let longest = Longest {
        user: 2031,
        kernel: 3 * 2 + 2 * 8 + 11,
        zeroed: 4096 + 512 * 8,
        most_zeroed: 4096 + 512 * 8,
        receives: 0,
    };
    assert_eq!(stall(&report, 1), [(0, longest)]);
}

#[test]
fn a_tick_is_apart_until_the_program_goes_on() {
    if !have_qemu() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    // The handler of page faults stands for that of ticks.
    let config = Config {
        ticks: vec![guest::page_fault_entry()],
        receives: vec![receive(guest::BASE + 1)],
        ..config(dir.path())
    };
    let report = run(&config, dir.path(), "tcg,thread=single");
    let parts: Vec<_> = report
        .records
        .iter()
        .filter(|r| r.window == 1 && r.half == Half::Kernel)
        .map(|r| (r.part.as_str(), r.instructions, r.page_faults))
        .collect();
    let rest = 3 * 2 + 11;
    let expected = [
        ("", rest, Some(2)),
        ("stores", 4, Some(0)),
        ("tick", 2 * 8, Some(0)),
    ];
    assert_eq!(parts, expected);
    assert_eq!(stall(&report, 1)[0].1.kernel, rest);
}

#[test]
fn without_an_entry_address_page_faults_are_unknown() {
    if !have_qemu() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let config = Config {
        entries: vec![entry(Metric::Maps, guest::kernel_apart().start)],
        ..config(dir.path())
    };
    let report = run(&config, dir.path(), "tcg,thread=single");
    assert!(!report.records.is_empty());
    assert!(
        report
            .records
            .iter()
            .all(|record| record.page_faults.is_none() && record.maps.is_some())
    );
}

#[test]
fn parallel_cpus_are_called_invalid() {
    if !have_qemu() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let report = run(&config(dir.path()), dir.path(), "tcg,thread=multi");
    assert!(
        report
            .fact("invalid")
            .is_some_and(|text| text.contains("thread=single"))
    );
}

#[test]
fn bad_arguments_stop_qemu_with_the_reason() {
    if !have_qemu() {
        return;
    }
    let option = format!("{},out=/dev/null,elf=x:/no/such/file", plugin().display());
    let output = Command::new(QEMU)
        .args([
            "-accel",
            "tcg,thread=single",
            "-display",
            "none",
            "-plugin",
            &option,
        ])
        .output()
        .unwrap();
    assert!(!output.status.success());
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(message.contains("/no/such/file"), "{message}");
}
