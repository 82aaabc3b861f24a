//! sigma0-rs under upstream's unmodified moe, ned and hello on the real kernel: it boots on every
//! size of machine, and its maps have the content of upstream's.
//!
//! The two root pagers differ in size, so the boot loader puts the images behind them elsewhere.
//! What must be equal all the same: the I/O map and the ports line by line; the RAM map together
//! with the root pager's own image, as a set of pages; and how much of it the root task owns, by
//! rights.

mod trees;

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

/// Boots an entry; its log. Fails unless the entry's programs have run.
fn boot(entry: &str, sigma0: &str, args: &[&str]) -> String {
    let out = Command::new(env!("CARGO_BIN_EXE_percore"))
        .args(["qemu", entry, "--sigma0", sigma0])
        .args(args)
        .output()
        .expect("percore runs");
    let log = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(
        out.status.success(),
        "{entry} {sigma0} {args:?}: {:?}\n{log}",
        out.status
    );
    log
}

/// The maps that a root pager printed at start.
#[derive(Default)]
struct Maps {
    /// Page number to (owner, rights); the root pager's own image is owner 2.
    ram: BTreeMap<u64, (u64, String)>,
    io: Vec<(u64, u64, String)>,
    ports: Vec<(u64, u64, String)>,
}

fn hex(s: &str) -> u64 {
    u64::from_str_radix(s.trim(), 16).expect("a hexadecimal number")
}

/// Reads `[owner:rights:first;last]` lines below the three headings, in either server's words, and
/// the boot loader's line about the root pager's image.
fn maps(log: &str) -> Maps {
    let mut m = Maps::default();
    let mut part = "";
    let mut images = Vec::new();
    for line in log.lines().map(str::trim_end) {
        if let Some((range, _)) = line.split_once("} Sigma0") {
            let range = range.split(['[', ']']).nth(1).expect("a range");
            let (a, b) = range.split_once(',').expect("two ends");
            images.push((hex(a) / 4096, hex(b) / 4096));
        }
        for (heading, name) in [("RAM:", "ram"), ("IOMEM:", "io"), ("IO PORTS", "ports")] {
            if line.trim_start_matches("SIGMA0: ").starts_with(heading) && !line.contains(" - ") {
                part = name;
            }
        }
        let Some(body) = line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) else {
            continue;
        };
        let fields: Vec<&str> = body.split([':', ';']).collect();
        let [owner, rights, first, last] = fields[..] else {
            continue;
        };
        let Ok(owner) = owner.parse::<u64>() else {
            continue;
        };
        let (first, last, rights) = (hex(first), hex(last), rights.to_owned());
        match part {
            "ram" => {
                assert_eq!(
                    (first % 4096, last % 4096),
                    (0, 4095),
                    "whole pages: {line}"
                );
                m.ram
                    .extend((first / 4096..=last / 4096).map(|p| (p, (owner, rights.clone()))));
            }
            "io" => m.io.push((first, last, rights)),
            // Upstream keeps ports shifted left by a page's bits.
            "ports" if last > 0xffff => m.ports.push((first >> 12, last >> 12, rights)),
            "ports" => m.ports.push((first, last, rights)),
            _ => panic!("a run under no heading: {line}"),
        }
    }
    assert!(
        !images.is_empty(),
        "the boot loader names the root pager's image"
    );
    for (first, last) in images {
        m.ram
            .extend((first..=last).map(|p| (p, (2, String::new()))));
    }
    assert!(
        !m.ram.is_empty() && !m.io.is_empty() && !m.ports.is_empty(),
        "three maps:\n{log}"
    );
    m
}

/// Pages of the root task by rights.
fn root_pages(m: &Maps) -> BTreeMap<String, usize> {
    let mut sum = BTreeMap::new();
    for (_, rights) in m.ram.values().filter(|(owner, _)| *owner == 4) {
        *sum.entry(rights.clone()).or_default() += 1;
    }
    sum
}

fn compare(args: &[&str]) {
    let ours = maps(&boot("hello-rs-sigma0", "ours", args));
    let theirs = maps(&boot("hello-rs-sigma0", "upstream", args));
    assert_eq!(ours.io, theirs.io, "{args:?}: I/O memory");
    assert_eq!(ours.ports, theirs.ports, "{args:?}: ports");
    assert_eq!(
        root_pages(&ours),
        root_pages(&theirs),
        "{args:?}: the root task's pages"
    );
    let pages = |m: &Maps| m.ram.keys().copied().collect::<BTreeSet<u64>>();
    let (a, b) = (pages(&ours), pages(&theirs));
    let odd: Vec<_> = a.symmetric_difference(&b).take(8).collect();
    assert!(
        odd.is_empty(),
        "{args:?}: pages that only one of the two has: {odd:x?}"
    );
}

#[test]
fn maps_have_upstream_s_content() {
    if !trees::can_boot() {
        return;
    }
    compare(&["--cpus", "1", "--memory", "512M"]);
    compare(&["--cpus", "4", "--memory", "8G"]);
    compare(&["--machine", "numa-8x6"]);
}

#[test]
fn unmodified_programs_boot_on_every_size() {
    if !trees::can_boot() {
        return;
    }
    for cpus in ["1", "4", "48"] {
        for memory in ["512M", "8G"] {
            boot(
                "hello-ned-rs-sigma0",
                "ours",
                &["--cpus", cpus, "--memory", memory],
            );
        }
    }
    for machine in ["numa-2x2", "numa-8x6", "numa-memory-only", "numa-cpu-only"] {
        let log = boot("hello-ned-rs-sigma0", "ours", &["--machine", machine]);
        assert!(
            log.contains("SIGMA0: NUMA: "),
            "{machine}: a line about nodes"
        );
        assert!(
            !log.contains("SIGMA0: NUMA: 1 node"),
            "{machine}: more than one node"
        );
    }
}
