//! Counts the instructions of the frame allocators and of others beside them.
//!
//! `cargo run --release -p bench-frames` prints the table of `docs/frame-allocators.md`. Every figure
//! is counted: with callgrind, or by single-stepping for the worst operation. Needs valgrind.

mod arms;
mod callgrind;
mod heap;
mod others;
mod scenario;
mod step;
mod table;
mod worst;

use percore_pager::frames::{Avl, Bitmap, Buddy, Cached, Live, Slab};

use arms::{Arm, Nothing, Ours};
use std::process::ExitCode;

use table::Extent;

use others::{BitmapCrate, BuddyCrate, List, OffsetCrate};

#[global_allocator]
static HEAP: heap::Counting = heap::Counting;

fn child<A: Arm>(scenario: &str, n: u32, operations: u32) -> Result<(), String> {
    match scenario {
        "pair" => scenario::pair::<A>(n, operations),
        "replace" => scenario::replace::<A>(n, operations),
        "batch" => scenario::batch::<A>(n, operations),
        "pair-2m" => scenario::pair_2m::<A>(operations),
        "owner" => scenario::owner::<A>(operations),
        "worst" => {
            let (most, stepped) = worst::worst::<A>(operations, n != 0);
            println!("{most} {stepped}");
        }
        "blocks" => println!("{}", scenario::whole_blocks::<A>()),
        "bytes" => {
            let (state, all) = scenario::bytes::<A>();
            println!("{state} {all}");
        }
        _ => return Err(format!("no scenario {scenario}")),
    }
    Ok(())
}

fn run_child(arguments: &[String]) -> Result<(), String> {
    let [arm, scenario, n, operations] = arguments else {
        return Err("--child ARM SCENARIO N OPERATIONS".into());
    };
    let number = |text: &String| text.parse().map_err(|_| format!("{text} is no number"));
    let (n, operations) = (number(n)?, number(operations)?);
    let run = match arm.as_str() {
        "nothing" => child::<Nothing>,
        "bitmap" => child::<Ours<Bitmap>>,
        "buddy" => child::<Ours<Buddy>>,
        "avl" => child::<Ours<Avl>>,
        "slab" => child::<Ours<Slab>>,
        // As the pager has it: the policy behind the cache can be changed.
        "bitmap+cache" => child::<Ours<Cached<Live>>>,
        "list" => child::<List>,
        "buddy_system_allocator" => child::<BuddyCrate>,
        "bitmap-allocator" => child::<BitmapCrate>,
        "offset-allocator" => child::<OffsetCrate>,
        _ => return Err(format!("no arm {arm}")),
    };
    run(scenario, n, operations)
}

/// Where the table goes.
const DOCUMENT: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../docs/frame-allocators.md"
);
/// What `--short` compares with.
const BASE_LINE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/baseline.csv");

const BEGIN: &str = "<!-- table: begin, made by bench-frames -->\n";
const END: &str = "<!-- table: end -->";

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

/// Counts, prints, compares. `Ok(false)` when a bound or the base line does not hold.
fn run(extent: Extent, write: bool) -> Result<bool, String> {
    let mut figures = Default::default();
    let counts = callgrind::is_there();
    if counts {
        figures = table::count(&table::counted(extent))?;
    } else {
        let how =
            "valgrind is not there, so no instructions are counted (apt-get install valgrind)";
        if std::env::var_os("CI").is_some() {
            return Err(how.into());
        }
        eprintln!("{how}");
    }
    table::add_rest(&mut figures, extent)?;
    let (bounds, all_hold) = table::bounds(&figures);
    let text = format!("{}\n{bounds}", table::table(&figures));
    println!("{text}");
    if write && !counts {
        return Err("nothing is written without counts".into());
    }
    match (extent, write) {
        (Extent::Full, true) => write_document(&text)?,
        (Extent::Full, false) => {}
        (Extent::Short, true) => {
            std::fs::write(BASE_LINE, table::csv(&figures)).map_err(|e| e.to_string())?;
        }
        (Extent::Short, false) if counts => {
            let base =
                std::fs::read_to_string(BASE_LINE).map_err(|e| format!("{BASE_LINE}: {e}"))?;
            let found = table::regressions(&figures, &base);
            found
                .iter()
                .for_each(|line| eprintln!("regression: {line}"));
            return Ok(all_hold && found.is_empty());
        }
        (Extent::Short, false) => {}
    }
    Ok(all_hold)
}

const USAGE: &str = "\
bench-frames [--short] [--write]
  counts the instructions of all arms with callgrind and prints the table
  --short  our arms only, compared with baseline.csv: more than 5 % above it is a failure
  --write  writes the table to docs/frame-allocators.md, with --short the base line";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if cfg!(debug_assertions) {
        eprintln!("only optimised code is worth counting: use cargo run --release -p bench-frames");
        return ExitCode::FAILURE;
    }
    if arguments.first().is_some_and(|first| first == "--child") {
        return match run_child(&arguments[1..]) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("{error}");
                ExitCode::FAILURE
            }
        };
    }
    let (mut extent, mut write) = (Extent::Full, false);
    for argument in &arguments {
        match argument.as_str() {
            "--short" => extent = Extent::Short,
            "--write" => write = true,
            _ => {
                eprintln!("{USAGE}");
                return ExitCode::FAILURE;
            }
        }
    }
    match run(extent, write) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
