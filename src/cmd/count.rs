//! `percore count`: boots an entry with the counting plugin and prints what it did.

use std::path::{Path, PathBuf};
use std::time::Duration;

use qemu_count::args::Arm;
use qemu_count::report::Report;

use super::qemu::Guest;
use super::trees;
use crate::boot::{DEFAULT_TIMEOUT, Image, Judge, Request, Run, Verdict};
use crate::count::{Choice, Event, Events, Plan, facts, find_plugin, spread, table, windows};
use crate::project::Project;
use crate::{Error, Exit};

/// Boots an entry and counts, per CPU and program, what runs between the guest's markers.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Entry of the modules list.
    entry: String,
    #[command(flatten)]
    guest: Guest,
    /// Count from the first instruction to the end of the run, not between the guest's markers.
    #[arg(long)]
    from_boot: bool,
    /// Report a function apart from its program, for example `spin=bench:barrier_wait`.
    #[arg(long, value_name = "PART=MODULE:SYMBOL")]
    apart: Vec<Choice>,
    /// Count entries into a kernel function, for example `maps=Mem_space::v_insert(*)`, instead of
    /// the functions that conf/count/kernel-events.toml has for that count.
    #[arg(long, value_name = "COUNT=FUNCTION")]
    event: Vec<Event>,
    /// Runs to make; they must agree within 1 %.
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// CSV file of the first run [default: out/count-ENTRY.csv]; further runs add -2, -3, ...
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// CSV file of another run: named windows are shown as a ratio to it, too.
    #[arg(long, value_name = "FILE")]
    against: Option<PathBuf>,
    /// Log text that means success, instead of the entry's.
    #[arg(long, value_name = "TEXT")]
    expect: Option<String>,
    /// Seconds until a boot is given up.
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<u64>,
}

pub(super) fn run(args: &Args) -> Result<Exit, Error> {
    let project = Project::find()?;
    let list = args.guest.modlist(&project)?;
    let entry = list.entry(&args.entry)?;
    let trees = trees()?;
    let request = args.guest.request(entry, &list, &project)?;
    let out = match &args.out {
        Some(path) => std::path::absolute(path).map_err(Error::io("cannot tell where we are"))?,
        None => project.root().join(format!("out/count-{}.csv", args.entry)),
    };
    if let Some(dir) = out.parent() {
        std::fs::create_dir_all(dir)
            .map_err(Error::io(format!("cannot make {}", dir.display())))?;
    }
    let judge = Judge {
        expect: args.expect.clone().or_else(|| entry.expect.clone()),
        fail: Vec::new(),
    };
    let seconds = args.timeout.or(entry.timeout).unwrap_or(DEFAULT_TIMEOUT);
    let other = match &args.against {
        None => None,
        Some(path) => Some(
            Report::read(path)
                .map_err(|cause| Error::Usage(format!("--against {}: {cause}", path.display())))?,
        ),
    };
    let mut runs = Vec::new();
    for number in 1..=args.runs {
        let path = numbered(&out, number);
        // An old file must not be taken for this run's.
        let _ = std::fs::remove_file(&path);
        let mut names = windows::Names::default();
        let image = instrument(args, &request, &project, &trees, &path, number == 1)?;
        let verdict = Run::start(&image)?
            .watch(
                &judge,
                Duration::from_secs(seconds),
                |_| Ok(()),
                |line| names.line(line),
            )?
            .verdict;
        let awaited = judge.expect.is_some();
        if !matches!(verdict, Verdict::Sentinel(_)) && (awaited || verdict != Verdict::Ended) {
            eprintln!("percore: run {number} ended with {verdict:?}");
            return Ok(verdict.exit());
        }
        let mut report = Report::read(&path).map_err(|cause| Error::Missing {
            what: format!("the plugin left no {}: {cause}", path.display()),
            remedy: "see QEMU's messages with: percore qemu --qemu-arg=-plugin ...".into(),
        })?;
        facts::add(&mut report, &image, &request.machine, &project, &trees);
        report.push_fact("run", format!("{number} of {}", args.runs));
        names.add(
            &mut report,
            match request.memory_server.as_deref() {
                Some("upstream") => "moe",
                _ => "percore-pager",
            },
            request.machine.cpus(),
        );
        report
            .write(&path)
            .map_err(Error::io(format!("cannot write {}", path.display())))?;
        if number == 1 {
            print!("{}", table::render(&report));
            print!("{}", windows::render(&report, other.as_ref()));
        }
        println!("run {number}: {}", path.display());
        if report.fact("invalid").is_some() || report.records.is_empty() {
            return Ok(Exit::Failure);
        }
        runs.push(spread::figures(&report));
    }
    Ok(judge_spread(&runs))
}

/// The boot with the plugin added.
fn instrument(
    args: &Args,
    request: &Request,
    project: &Project,
    trees: &l4re_tree::Trees,
    out: &Path,
    talk: bool,
) -> Result<Image, Error> {
    let arm = if args.from_boot {
        Arm::Boot
    } else {
        Arm::Marker
    };
    let plain = Image::gather(request, project, trees)?;
    let events = Events::read(project, &args.event)?;
    let plan = Plan::new(&plain, &args.apart, &events, arm, out.to_path_buf())?;
    for missing in plan.missing.iter().filter(|_| talk) {
        eprintln!("percore: not counted: {missing}");
    }
    let mut request = request.clone();
    request.qemu_args.push("-plugin".into());
    request
        .qemu_args
        .push(plan.config.qemu_option(&find_plugin()?).into());
    Image::gather(&request, project, trees)
}

/// `NAME.csv`, `NAME-2.csv`, ...
fn numbered(path: &Path, number: u32) -> PathBuf {
    if number == 1 {
        return path.to_path_buf();
    }
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!("{stem}-{number}.csv"))
}

fn judge_spread(runs: &[std::collections::BTreeMap<u32, spread::Figures>]) -> Exit {
    if runs.len() < 2 {
        return Exit::Success;
    }
    match spread::spread(runs) {
        None => {
            println!("{} runs: they do not have the same windows", runs.len());
            Exit::Failure
        }
        Some(part) => {
            println!("{} runs: at most {:.3} % apart", runs.len(), part * 100.0);
            if part <= spread::BOUND {
                Exit::Success
            } else {
                Exit::Failure
            }
        }
    }
}
