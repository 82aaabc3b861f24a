//! The main job: all layouts on more and more cores.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use fiasco_model::{Costs, Machine};
use indicatif::{ProgressBar, ProgressStyle};

use super::args::Args;
use super::plan::Layout;
use super::point::{Point, Series, measure};
use super::{report, script, table};
use crate::project::Project;
use crate::{Error, Exit};

/// Everything that a report needs.
#[derive(Debug)]
pub struct Results {
    /// What was the same for all points.
    pub series: Series,
    /// Where the costs are from.
    pub cost_source: String,
    /// The points, in the order they were run.
    pub points: Vec<Point>,
    /// Host time of it all.
    pub took: Duration,
}

/// Runs the experiment, prints the table, writes the report.
///
/// # Errors
/// Options that do not fit, files that cannot be read or written, a failed run.
pub fn run(args: &Args) -> Result<Exit, Error> {
    let series = series(args)?;
    let cores = cores(args, &series.machine)?;
    let scripts = scripts(args)?;
    if args.threads {
        return real_threads(args, &series, &cores, &scripts);
    }
    let start = Instant::now();
    let bar = ProgressBar::new((scripts.len() * cores.len()) as u64);
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {msg}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    let mut points = Vec::new();
    for file in &scripts {
        for n in &cores {
            let plan = script::run(file, *n, args.pages)?;
            bar.set_message(format!("{}, {n} cores", plan.layout.name()));
            points.push(measure(&series, &plan)?);
            bar.inc(1);
        }
    }
    bar.finish_and_clear();
    let cost_source = args.cost.as_ref().map_or_else(
        || "conf/cost/opteron-6174.toml".into(),
        |p| p.display().to_string(),
    );
    let results = Results {
        series,
        cost_source,
        points,
        took: start.elapsed(),
    };
    anstream::print!("{}", table::text(&results));
    let files = report::write(&results, &args.report)?;
    for f in files {
        anstream::println!("wrote {}", f.display());
    }
    Ok(Exit::Success)
}

/// The same runs on real threads: what is shown is that everything was served, and the counts.
fn real_threads(
    args: &Args,
    series: &Series,
    cores: &[u32],
    scripts: &[PathBuf],
) -> Result<Exit, Error> {
    for file in scripts {
        for n in cores {
            let plan = script::run(file, *n, args.pages)?;
            let start = Instant::now();
            let (alloc, free) = super::point::race(series, &plan)?;
            let pages = u64::from(*n) * u64::from(args.pages);
            anstream::println!(
                "{:<8} {n:>3} cores: {pages} pages allocated and freed, {} faults, {} unmaps, \
                 {:.1} s on the host",
                plan.layout.name(),
                alloc.faults,
                free.unmaps,
                start.elapsed().as_secs_f64()
            );
        }
    }
    Ok(Exit::Success)
}

/// Checks the options and reads their files.
///
/// # Errors
/// See [`run`].
pub fn series(args: &Args) -> Result<Series, Error> {
    let machine = super::machine::find(args.machine.as_deref(), Project::find)?;
    let costs = match &args.cost {
        None => Costs::opteron(),
        Some(path) => {
            let text = std::fs::read_to_string(path)
                .map_err(Error::io(format!("cannot read {}", path.display())))?;
            Costs::parse(&path.display().to_string(), &text)
                .map_err(|e| Error::Usage(e.to_string()))?
        }
    };
    if !(1..=1_000_000).contains(&args.pages) {
        return Err(Error::Usage(format!(
            "{} pages; expected 1 to 1000000",
            args.pages
        )));
    }
    Ok(Series {
        machine,
        costs,
        policy: args.policy,
        seed: args.seed,
        pages: args.pages,
    })
}

fn cores(args: &Args, machine: &Machine) -> Result<Vec<u32>, Error> {
    let all = machine.cpus();
    if let Some(bad) = args.cores.iter().find(|n| !(1..=all).contains(*n)) {
        return Err(Error::Usage(format!(
            "{bad} cores; machine '{}' has {all}",
            machine.name
        )));
    }
    if !args.cores.is_empty() {
        return Ok(args.cores.clone());
    }
    let mut list: Vec<u32> = [1, 2, 4, 6, 8, 12, 16, 24, 32, 40, 48]
        .into_iter()
        .filter(|n| *n < all)
        .collect();
    list.push(all);
    Ok(list)
}

/// The boot scripts of the chosen layouts.
fn scripts(args: &Args) -> Result<Vec<PathBuf>, Error> {
    if let Some(file) = &args.script {
        return Ok(vec![file.clone()]);
    }
    let folder = Project::find()?.root().join("ned-scripts");
    let chosen = if args.layout.is_empty() {
        Layout::ALL.to_vec()
    } else {
        args.layout.clone()
    };
    Ok(chosen.into_iter().map(|l| script_of(&folder, l)).collect())
}

fn script_of(folder: &Path, layout: Layout) -> PathBuf {
    folder.join(format!("paper-{}.cfg", layout.name()))
}
