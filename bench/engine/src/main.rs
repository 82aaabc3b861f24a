//! Counts what the memory engine does for a fault.
//!
//! `cargo run --release -p bench-engine` prints the table of `docs/memory-engine.md`: the distribution of
//! the instructions of single faults, counted with callgrind fault by fault. Needs valgrind.

mod callgrind;
mod client;
mod machine;
mod path;
mod scenario;
mod table;

use std::process::ExitCode;

use client::Path;
use table::Figures;

const USAGE: &str = "\
bench-engine [--short] [--write] [SCENARIO...]
  counts the instructions of each fault in each scenario and prints their distribution
  --short  compares with baseline.csv: more than 5 % above it is a failure
  --write  writes the table to docs/memory-engine.md, with --short the base line";

/// Where the table goes.
const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/memory-engine.md");
/// What `--short` compares with.
const BASE_LINE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/baseline.csv");

const BEGIN: &str = "<!-- table: begin, made by bench-engine -->\n";
const END: &str = "<!-- table: end -->";

fn child(arguments: &[String]) -> Result<(), String> {
    let [scenario, path] = arguments else {
        return Err("--child SCENARIO PATH".into());
    };
    let path = Path::ALL.into_iter().find(|p| p.name() == path);
    let path = path.ok_or("map or fault")?;
    let faults = scenario::run(scenario, path).ok_or(format!("no scenario {scenario}"))?;
    println!("{faults}");
    Ok(())
}

/// Counts the named scenarios, or all, two at a time.
fn count(names: &[String]) -> Result<Figures, String> {
    let wanted = |name: &str| names.is_empty() || names.iter().any(|n| n == name);
    let jobs: Vec<(&str, Path)> = scenario::ALL
        .iter()
        .filter(|(name, _)| wanted(name))
        .flat_map(|(name, _)| Path::ALL.map(|path| (*name, path)))
        .collect();
    let parts: Vec<Result<Vec<_>, String>> = std::thread::scope(|scope| {
        let half = |half: usize| jobs.iter().skip(half).step_by(2).copied();
        let started = [half(0), half(1)].map(|jobs| {
            scope.spawn(|| {
                jobs.map(|(name, path)| Ok(((name, path), callgrind::count(name, path)?)))
                    .collect()
            })
        });
        started
            .map(|thread| thread.join().expect("no panic"))
            .into()
    });
    let mut figures = Figures::new();
    for part in parts {
        for ((name, path), counts) in part? {
            figures.insert((name.into(), path.name().into()), table::figure(counts));
        }
    }
    Ok(figures)
}

/// Replaces what is between the marks in the document.
fn write_document(table: &str) -> Result<(), String> {
    let text = std::fs::read_to_string(DOCUMENT).map_err(|e| format!("{DOCUMENT}: {e}"))?;
    let parts = text.split_once(BEGIN).and_then(|(before, rest)| {
        let (_, after) = rest.split_once(END)?;
        Some((before, after))
    });
    let (before, after) = parts.ok_or(format!("{DOCUMENT} has no marks for the table"))?;
    std::fs::write(DOCUMENT, format!("{before}{BEGIN}{table}{END}{after}"))
        .map_err(|e| format!("{DOCUMENT}: {e}"))
}

/// Counts, prints, compares. `Ok(false)` when something got worse.
fn run(short: bool, write: bool, names: &[String]) -> Result<bool, String> {
    if !callgrind::is_there() {
        let how = "valgrind is not there (apt-get install valgrind)";
        if write || std::env::var_os("CI").is_some() {
            return Err(how.into());
        }
        eprintln!("{how}: nothing is counted");
        return Ok(true);
    }
    let figures = count(names)?;
    let text = table::table(&figures);
    println!("{text}");
    match (short, write) {
        (false, true) => write_document(&text)?,
        (true, true) => {
            std::fs::write(BASE_LINE, table::csv(&figures)).map_err(|e| e.to_string())?;
        }
        (true, false) => {
            let base = std::fs::read_to_string(BASE_LINE);
            let base = base.map_err(|error| format!("{BASE_LINE}: {error}"))?;
            let found = table::regressions(&figures, &base);
            for line in &found {
                eprintln!("regression: {line}");
            }
            return Ok(found.is_empty());
        }
        (false, false) => {}
    }
    Ok(true)
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if cfg!(debug_assertions) {
        eprintln!("only optimised code is worth counting: use cargo run --release -p bench-engine");
        return ExitCode::FAILURE;
    }
    let done = if arguments.first().is_some_and(|first| first == "--child") {
        child(&arguments[1..]).map(|()| true)
    } else {
        let (options, names): (Vec<_>, Vec<_>) =
            arguments.into_iter().partition(|a| a.starts_with('-'));
        let known = |name: &String| scenario::ALL.iter().any(|(n, _)| n == name);
        let option = |name: &str| options.iter().any(|option| option == name);
        let (short, write) = (option("--short"), option("--write"));
        let understood = options.len() == usize::from(short) + usize::from(write);
        if !understood || !names.iter().all(known) {
            eprintln!("{USAGE}");
            return ExitCode::FAILURE;
        }
        run(short, write, &names)
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
