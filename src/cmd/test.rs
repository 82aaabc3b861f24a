//! `percore test`: boots the entries that are tests and judges what they report.
//!
//! Each entry runs with each root pager and each number of CPUs; an entry marked `pagers` runs with
//! each memory server instead, on the entry's own root pager. A run fails when the boot does not
//! reach its sentinel, the report is not whole, or a test fails that conf/differences.toml does not
//! list for that server. Then the two servers are compared, test by test.

use std::collections::VecDeque;
use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use super::qemu::Guest;
use super::{say, trees};
use crate::boot::{DEFAULT_TIMEOUT, Image, Judge, Run, Verdict};
use crate::modlist::Entry;
use crate::project::Project;
use crate::tap::{BAIL_OUT, Differences, Parser, Results, SENTINEL, Status, compare};
use crate::{Error, Exit};

/// Lines of the log shown when a boot fails.
const TAIL_LINES: usize = 25;
/// `--sigma0` value that stands for the two servers one after the other.
const BOTH: &str = "both";
const SERVERS: [&str; 2] = ["ours", "upstream"];

/// Boots the test entries and judges the TAP that they print.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Only these entries. Default: all that are marked `tap`.
    entries: Vec<String>,
    /// Run them on the real kernel in QEMU.
    #[arg(long, required_unless_present = "list_tests")]
    qemu: bool,
    /// List the test entries and do nothing else.
    #[arg(long = "list", conflicts_with = "qemu")]
    list_tests: bool,
    /// Numbers of CPUs to run with. Default: 1 and 4, or the machine's.
    #[arg(long, value_delimiter = ',', value_name = "N,N")]
    cpus: Vec<u32>,
    /// Root pager: `ours`, `upstream`, `both`, a file, or `entry` for the entry's own.
    #[arg(long, default_value = BOTH, value_name = "WHICH")]
    sigma0: String,
    /// Memory server for entries marked `pagers`: `ours`, `upstream` or `both`.
    #[arg(long, default_value = BOTH, value_name = "WHICH")]
    memory_server: String,
    /// Machine by name (conf/machines) or file.
    #[arg(long, value_name = "NAME|FILE")]
    machine: Option<String>,
    /// Memory, for example 512M or 8G.
    #[arg(long, value_name = "SIZE")]
    memory: Option<crate::machine::MemSize>,
    /// Seconds until one boot is given up.
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<u64>,
    /// Write the log of every boot to this directory.
    #[arg(long, value_name = "DIR")]
    log_dir: Option<PathBuf>,
    /// Also list the expected differences between the two servers.
    #[arg(long, short)]
    verbose: bool,
    /// Modules list instead of conf/modules.list.
    #[arg(long = "modules-list", value_name = "FILE")]
    modules_list: Option<PathBuf>,
}

/// One boot: what it was and what came of it.
struct Outcome {
    exit: Exit,
    /// The report, when the boot reached its end.
    results: Option<Results>,
}

pub(super) fn run(args: &Args) -> Result<Exit, Error> {
    let project = Project::find()?;
    let guest = Guest {
        list: args.modules_list.clone(),
        machine: args.machine.clone(),
        memory: args.memory,
        ..Guest::default()
    };
    let list = guest.modlist(&project)?;
    let mut entries: Vec<&Entry> = list.entries().iter().filter(|entry| entry.tap).collect();
    if !args.entries.is_empty() {
        entries = args
            .entries
            .iter()
            .map(|name| list.entry(name))
            .collect::<Result<_, _>>()?;
        if let Some(entry) = entries.iter().find(|entry| !entry.tap) {
            let problem = format!(
                "entry '{}' is no test; expected entry[tap] in its line",
                entry.name
            );
            return Err(Error::Usage(problem));
        }
    }
    if args.list_tests {
        for entry in entries {
            say(format_args!("{}", entry.name))?;
        }
        return Ok(Exit::Success);
    }
    if entries.is_empty() {
        return Err(Error::Usage(format!(
            "no entry in {} is marked tap",
            list.file.display()
        )));
    }
    let differences = Differences::read(&project.root().join("conf/differences.toml"))?;
    fn arms(which: &str) -> Vec<&str> {
        match which {
            BOTH => SERVERS.to_vec(),
            one => vec![one],
        }
    }
    let (sigma0s, memories) = (arms(&args.sigma0), arms(&args.memory_server));
    let cpus: Vec<Option<u32>> = match (args.cpus.is_empty(), &args.machine) {
        (false, _) => args.cpus.iter().copied().map(Some).collect(),
        (true, None) => vec![Some(1), Some(4)],
        (true, Some(_)) => vec![None],
    };
    let trees = trees()?;
    let mut exit = Exit::Success;
    let mut note = |new: Exit| {
        if exit == Exit::Success {
            exit = new;
        }
        new == Exit::Interrupted
    };
    for entry in entries {
        for &cpus in &cpus {
            let mut reports = Vec::new();
            for &server in if entry.pagers { &memories } else { &sigma0s } {
                let mut guest = guest.clone();
                guest.cpus = cpus;
                if entry.pagers {
                    guest.memory_server = Some(server.to_owned());
                } else {
                    guest.sigma0 = (server != "entry").then(|| server.to_owned());
                }
                let request = guest.request(entry, &list, &project)?;
                let name = format!(
                    "{} {}={server} machine={} cpus={} memory={}",
                    entry.name,
                    if entry.pagers { "pager" } else { "sigma0" },
                    request.machine.name,
                    request.machine.cpus(),
                    request.machine.memory
                );
                let image = Image::gather(&request, &project, &trees)?;
                let outcome = boot(&name, server, entry, &image, args, &differences)?;
                if note(outcome.exit) {
                    return Ok(Exit::Interrupted);
                }
                reports.extend(outcome.results);
            }
            if let [a, b] = &reports[..] {
                note(show_comparison(entry, a, b, &differences, args.verbose)?);
            }
        }
    }
    Ok(exit)
}

/// One boot with its verdict lines.
fn boot(
    name: &str,
    server: &str,
    entry: &Entry,
    image: &Image,
    args: &Args,
    differences: &Differences,
) -> Result<Outcome, Error> {
    let judge = Judge {
        expect: Some(SENTINEL.to_owned()),
        fail: vec![BAIL_OUT.to_owned()],
    };
    let seconds = args.timeout.or(entry.timeout).unwrap_or(DEFAULT_TIMEOUT);
    let mut log = match &args.log_dir {
        None => None,
        Some(dir) => {
            std::fs::create_dir_all(dir)
                .map_err(Error::io(format!("cannot make {}", dir.display())))?;
            let path = dir.join(format!("{}.log", name.replace([' ', '/'], "_")));
            Some(
                File::create(&path)
                    .map_err(Error::io(format!("cannot write {}", path.display())))?,
            )
        }
    };
    let mut parser = Parser::default();
    let mut tail = VecDeque::new();
    let report = Run::start(image)?.watch(
        &judge,
        Duration::from_secs(seconds),
        |bytes| log.as_mut().map_or(Ok(()), |log| log.write_all(bytes)),
        |line| {
            parser.line(line);
            if tail.len() == TAIL_LINES {
                tail.pop_front();
            }
            tail.push_back(line.to_owned());
        },
    )?;
    let results = parser.finish();
    let time = report.elapsed.as_secs_f32();
    if !matches!(report.verdict, Verdict::Sentinel(_)) {
        say(format_args!(
            "FAIL {name}: {:?} after {time:.1} s, {} tests done",
            report.verdict,
            results.tests.len()
        ))?;
        for line in tail {
            say(format_args!("  | {line}"))?;
        }
        return Ok(Outcome {
            exit: report.verdict.exit(),
            results: None,
        });
    }
    let mut complaints: Vec<_> = results.problems.clone();
    complaints.extend(differences.complaints(&results, server));
    let word = if complaints.is_empty() {
        "PASS"
    } else {
        "FAIL"
    };
    say(format_args!(
        "{word} {name}: {} ok, {} not ok, {} skipped in {time:.1} s",
        results.count(Status::Passed),
        results.count(Status::Failed),
        results.count(Status::Skipped)
    ))?;
    for text in &complaints {
        say(format_args!("  {text}"))?;
    }
    let exit = if complaints.is_empty() {
        Exit::Success
    } else {
        Exit::Failure
    };
    Ok(Outcome {
        exit,
        results: Some(results),
    })
}

/// Says how many tests differ between the two servers and names those that should not: a difference
/// that is not listed, or a test that one of them did not report, is a failure.
fn show_comparison(
    entry: &Entry,
    a: &Results,
    b: &Results,
    differences: &Differences,
    verbose: bool,
) -> Result<Exit, Error> {
    let (mut expected, mut skipped, mut unexpected) = (0, 0, 0);
    let mut lines = Vec::new();
    for row in compare(a, b) {
        let [a, b] = row
            .status
            .map(|status| status.map_or("missing".into(), |status| status.to_string()));
        let reason = SERVERS
            .iter()
            .find_map(|server| differences.reason(&row.test, server));
        let verdict = match reason {
            Some(reason) => {
                expected += 1;
                format!("expected: {reason}")
            }
            // A skipped test says why in the log and is no disagreement.
            None if row.status.contains(&Some(Status::Skipped)) && !row.is_missing() => {
                skipped += 1;
                "not run on both".to_owned()
            }
            None => {
                unexpected += 1;
                lines.push(format!("  {a:8} {b:8} {} (NOT EXPECTED)", row.test));
                continue;
            }
        };
        if verbose {
            lines.push(format!("  {a:8} {b:8} {} ({verdict})", row.test));
        }
    }
    say(format_args!(
        "     {}, {} against {}: {expected} expected differences, {skipped} not run on both, \
         {unexpected} not expected",
        entry.name, SERVERS[0], SERVERS[1]
    ))?;
    for line in lines {
        say(format_args!("{line}"))?;
    }
    Ok(match unexpected {
        0 => Exit::Success,
        _ => Exit::Failure,
    })
}
