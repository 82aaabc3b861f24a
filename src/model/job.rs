//! The main job: all layouts on more and more cores.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use fiasco_model::{Costs, Machine};
use indicatif::{ProgressBar, ProgressStyle};

use super::args::Args;
use super::bench::Mode;
use super::plan::{Layout, Plan};
use super::point::{Point, Series, measure};
use super::{record, report, script, table};
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
    /// The record of the real kernel's counts.
    pub record: record::Found,
}

/// Most measurements at once: each needs the host memory of a whole machine's tables.
const AT_ONCE: usize = 4;

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
    report::prepare(&args.report)?;
    let start = Instant::now();
    let mut plans = Vec::new();
    for file in &scripts {
        for n in &cores {
            plans.push(script::run(file, *n, args.pages)?.with_policy(args.policy));
        }
    }
    let points = measure_all(&series, &plans)?;
    let cost_source = args.cost.as_ref().map_or_else(
        || "conf/cost/opteron-6174.toml".into(),
        |p| p.display().to_string(),
    );
    let results = Results {
        series,
        cost_source,
        points,
        took: start.elapsed(),
        record: record::find(Project::find()?.root()),
    };
    anstream::print!("{}", table::text(&results));
    let files = report::write(&results, &args.report)?;
    for f in files {
        anstream::println!("wrote {}", f.display());
    }
    Ok(Exit::Success)
}

/// Measures every plan, several at once: each run is a machine of its own, so the result is the same.
fn measure_all(series: &Series, plans: &[Plan]) -> Result<Vec<Point>, Error> {
    let bar = ProgressBar::new(plans.len() as u64);
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {msg}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    // The long ones first, so that none is left for the end.
    let mut order: Vec<usize> = (0..plans.len()).collect();
    order.sort_by_key(|i| std::cmp::Reverse(plans[*i].programs.len()));
    let next = AtomicUsize::new(0);
    let points: Mutex<Vec<(usize, Result<Point, Error>)>> = Mutex::default();
    let work = || {
        while let Some(i) = order.get(next.fetch_add(1, Ordering::SeqCst)) {
            let plan = &plans[*i];
            let (name, n) = (plan.layout().name(), plan.programs.len());
            bar.set_message(format!("{name}, {n} cores"));
            let point = measure(series, plan);
            if point.is_err() {
                next.store(order.len(), Ordering::SeqCst);
            }
            points
                .lock()
                .expect("nobody panics with it")
                .push((*i, point));
            bar.inc(1);
        }
    };
    let hosts = std::thread::available_parallelism().map_or(1, |n| n.get().min(AT_ONCE));
    std::thread::scope(|scope| (0..hosts).for_each(|_| drop(scope.spawn(work))));
    bar.finish_and_clear();
    let mut points = points.into_inner().expect("nobody panics with it");
    points.sort_by_key(|(i, _)| *i);
    points.into_iter().map(|(_, point)| point).collect()
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
            let plan = script::run(file, *n, args.pages)?.with_policy(args.policy);
            let start = Instant::now();
            let measured = super::point::race(series, &plan)?;
            let took = start.elapsed().as_secs_f64();
            let pages = u64::from(*n) * u64::from(args.pages);
            for m in measured {
                anstream::println!(
                    "{:<8} {n:>3} cores, {:<6}: {pages} pages allocated and freed, {} faults, {} \
                     unmap calls",
                    plan.layout().name(),
                    m.mode.name(),
                    m.alloc_counts.faults,
                    m.free_counts.unmap_calls,
                );
            }
            anstream::println!("{:<22} {took:.1} s on the host, all memory back", "");
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
        seed: args.seed,
        pages: args.pages,
        modes: Mode::ALL.to_vec(),
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
