//! Where a count comes from: revisions, machine, command.

use std::process::Command;

use l4re_tree::{Revision, Trees};
use qemu_count::report::Report;

use crate::boot::Image;
use crate::machine::Machine;
use crate::project::Project;

/// Adds to `report` what a reader needs to repeat it.
pub fn add(
    report: &mut Report,
    image: &Image,
    machine: &Machine,
    project: &Project,
    trees: &Trees,
) {
    let kernel = trees
        .fiasco
        .as_ref()
        .map(|tree| tree.revision().to_string());
    let granularity = trees
        .fiasco
        .as_ref()
        .and_then(|tree| tree.config("CONFIG_SCHED_GRANULARITY"));
    report.push_fact("kernel revision", kernel.as_deref().unwrap_or("unknown"));
    report.push_fact(
        "kernel timer granularity in us",
        granularity.unwrap_or("unknown"),
    );
    report.push_fact("l4re revision", trees.l4re.revision());
    report.push_fact("percore revision", Revision::of(project.root()));
    let modules = image
        .modules
        .iter()
        .map(|module| format!("{} {}", module.name, module.args));
    let modules: Vec<_> = modules.map(|module| module.trim().to_owned()).collect();
    report.push_fact("modules", modules.join("; "));
    report.push_fact(
        "guest machine",
        format!(
            "{}: {} CPUs, {} MiB, {} NUMA nodes",
            machine.name,
            machine.cpus(),
            machine.memory.mib(),
            machine.nodes.len()
        ),
    );
    report.push_fact("host machine", host());
    report.push_fact("emulator", emulator(image));
    let words: Vec<_> = std::env::args().skip(1).collect();
    let words = shlex::try_join(words.iter().map(String::as_str));
    report.push_fact("command", format!("percore {}", words.unwrap_or_default()));
}

/// CPU model and number of CPUs.
fn host() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or("unknown CPU", |(_, model)| model);
    let cpus = std::thread::available_parallelism().map_or(0, usize::from);
    format!("{model}, {cpus} CPUs")
}

/// First line of the emulator's version.
fn emulator(image: &Image) -> String {
    let output = Command::new(&image.qemu).arg("--version").output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    text.unwrap_or_default()
        .lines()
        .next()
        .unwrap_or("unknown")
        .to_owned()
}
