//! `percore trace`: one page fault followed through client, kernel, pager and back.

use std::fmt::Write;
use std::path::PathBuf;
use std::sync::Arc;

use fiasco_model::{Event, Model, ObjId, What};
use plotters::prelude::*;

use super::args::Args;
use super::bench::Board;
use super::plan::Layout;
use super::root::{self, Setup};
use super::server;
use super::{bench, job, point, script};
use crate::project::Project;
use crate::{Error, Exit};

/// Follows one page fault through client, kernel, pager and back, step by step with costs.
#[derive(clap::Args, Debug)]
pub struct TraceArgs {
    /// Core of the client; the pager is where the layout puts it.
    #[arg(long, default_value_t = 1)]
    core: u32,
    /// Layout of the pagers.
    #[arg(long, value_enum, default_value_t = Layout::Core)]
    layout: Layout,
    /// Cost file. Default: conf/cost/opteron-6174.toml.
    #[arg(long, value_name = "FILE")]
    cost: Option<PathBuf>,
    /// Where the picture goes.
    #[arg(
        long,
        value_name = "FILE",
        default_value = "target/percore-report/fault.svg"
    )]
    picture: PathBuf,
}

/// One line of the story.
#[derive(Debug, Clone, PartialEq)]
struct Step {
    /// Cycles since the fault, on the clock of the CPU where it happened.
    time: i64,
    cpu: u32,
    text: String,
}

/// Runs the subcommand.
///
/// # Errors
/// Options that do not fit, or a picture that cannot be written.
pub fn run(args: &TraceArgs) -> Result<Exit, Error> {
    let steps = follow(args)?;
    let mut text = format!(
        "A page fault of a program on core {}, {} pagers. Cycles of the CPU named in the line, \
         from the touch on.\n\n",
        args.core,
        args.layout.name()
    );
    let mut last: Option<i64> = None;
    for s in &steps {
        let more = last.map_or(String::new(), |l| format!("{:+}", s.time - l));
        let _ = writeln!(text, "{:>8} {more:>8}  cpu {:<3} {}", s.time, s.cpu, s.text);
        last = Some(s.time);
    }
    anstream::print!("{text}");
    if let Some(folder) = args.picture.parent() {
        std::fs::create_dir_all(folder)
            .map_err(Error::io(format!("cannot make {}", folder.display())))?;
    }
    let svg = picture(&steps).map_err(|e| Error::Usage(format!("cannot draw: {e}")))?;
    std::fs::write(&args.picture, svg).map_err(Error::io(format!(
        "cannot write {}",
        args.picture.display()
    )))?;
    anstream::println!("\nwrote {}", args.picture.display());
    Ok(Exit::Success)
}

fn follow(args: &TraceArgs) -> Result<Vec<Step>, Error> {
    let options = Args {
        machine: None,
        cores: Vec::new(),
        pages: 3,
        layout: vec![args.layout],
        policy: None,
        seed: 1,
        cost: args.cost.clone(),
        script: None,
        threads: false,
        report: PathBuf::new(),
    };
    let series = job::series(&options)?;
    let cores = series.machine.cpus();
    if args.core >= cores {
        return Err(Error::Usage(format!(
            "core {}; expected 0 to {}",
            args.core,
            cores - 1
        )));
    }
    let name = format!("paper-{}.cfg", args.layout.name());
    let file = Project::find()?.root().join("ned-scripts").join(name);
    let mut plan = script::run(&file, args.core + 1, options.pages)?;
    plan.programs.retain(|p| p.core == args.core);
    let setup = Setup {
        plan,
        work: series.costs.pager_request,
        modes: vec![bench::Mode::Single],
    };
    let mut model = Model::new(&series.options()).map_err(|e| Error::Usage(e.to_string()))?;
    model.keep_events();
    let (board, failure) = (Arc::new(Board::default()), server::Failure::default());
    let f = failure.clone();
    model.boot(point::sigma0, move |_| root::run(&setup, &board, &f));
    model.run(10_000_000);
    if let Some(e) = failure.lock().expect("nothing runs any more").take() {
        return Err(Error::Usage(e));
    }
    let steps = story(&model, &model.events());
    if steps.is_empty() {
        return Err(Error::Usage(format!(
            "no fault happened; the log says:\n{}",
            model.log()
        )));
    }
    Ok(steps)
}

/// The events from the second fault of the program (the first one still makes page tables) to the
/// answer's arrival.
fn story(model: &Model, events: &[Event]) -> Vec<Step> {
    let base = bench::BASE;
    let Some(first) = events
        .iter()
        .position(|e| matches!(e.what, What::Fault { addr, .. } if addr == base + 4096))
    else {
        return Vec::new();
    };
    let What::Fault { thread: client, .. } = events[first].what else {
        return Vec::new();
    };
    let start = events[first].time as i64 - model_exception(model);
    let mut steps = Vec::new();
    let mut pager: Option<ObjId> = None;
    for e in &events[first..] {
        let text = match e.what {
            What::Fault { addr, write, .. } => format!(
                "client: {} at {addr:#x}, nothing mapped; the processor enters the kernel",
                if write { "store" } else { "load" }
            ),
            What::Message { from, to, .. } if from == client => {
                pager = Some(to);
                "kernel: fault message goes to the pager (2 words, whole-space window)".into()
            }
            What::Queued { from, to } if from == client => {
                pager = Some(to);
                "kernel: the pager is busy, the fault message waits".into()
            }
            What::Message {
                from, to, items, ..
            } if Some(from) == pager && to == client => {
                format!("pager: answers with {items} flexpage; the kernel transfers it")
            }
            What::Map { addr, order, .. } if addr == base + 4096 => {
                format!("kernel: enters the page at {addr:#x} (order {order}) for the client")
            }
            _ => continue,
        };
        steps.push(Step {
            time: e.time as i64 - start,
            cpu: e.cpu.0,
            text,
        });
        if matches!(e.what, What::Map { addr, .. } if addr == base + 4096) {
            break;
        }
    }
    // The next touch faults right behind this one: less its own exception, that is when this one
    // was over.
    let next = events[first + 1..]
        .iter()
        .find(|e| matches!(e.what, What::Fault { thread, .. } if thread == client));
    if let Some(e) = next {
        let time = e.time as i64 - model_exception(model) - start;
        let text = "client: runs on, the store is done".into();
        steps.push(Step {
            time,
            cpu: e.cpu.0,
            text,
        });
    }
    steps
}

fn model_exception(model: &Model) -> i64 {
    model.costs().exception as i64
}

/// A lane for each CPU, time from left to right, an arrow for each change of CPU.
fn picture(steps: &[Step]) -> Result<String, Box<dyn std::error::Error>> {
    let mut cpus: Vec<u32> = steps.iter().map(|s| s.cpu).collect();
    cpus.sort_unstable();
    cpus.dedup();
    let lane = |cpu: u32| cpus.iter().position(|c| *c == cpu).unwrap_or(0) as f64;
    let end = steps.iter().map(|s| s.time).max().unwrap_or(1).max(1) as f64;
    let mut svg = String::new();
    {
        let height = 140 + 60 * cpus.len() as u32 + 22 * steps.len() as u32;
        let area = SVGBackend::with_string(&mut svg, (900, height)).into_drawing_area();
        area.fill(&WHITE)?;
        let (top, bottom) = area.split_vertically(100 + 60 * cpus.len() as i32);
        let mut chart = ChartBuilder::on(&top)
            .caption("One page fault, cycles from the touch", ("sans-serif", 18))
            .margin(14)
            .x_label_area_size(30)
            .y_label_area_size(60)
            .build_cartesian_2d(0.0..end * 1.05, -0.5..cpus.len() as f64 - 0.5)?;
        let name = |y: &f64| match cpus.get(y.round() as usize) {
            Some(c) if (y - y.round()).abs() < 0.01 => format!("cpu {c}"),
            _ => String::new(),
        };
        chart
            .configure_mesh()
            .disable_y_mesh()
            .light_line_style(WHITE)
            .y_labels(cpus.len() * 2 + 1)
            .y_label_formatter(&name)
            .draw()?;
        for pair in steps.windows(2) {
            let (a, b) = (&pair[0], &pair[1]);
            let line = [(a.time as f64, lane(a.cpu)), (b.time as f64, lane(b.cpu))];
            let colour = if a.cpu == b.cpu { BLUE } else { RED };
            chart.draw_series(LineSeries::new(line, colour.stroke_width(2)))?;
        }
        for (i, s) in steps.iter().enumerate() {
            let at = (s.time as f64, lane(s.cpu));
            chart.draw_series([Circle::new(at, 5, BLACK.filled())])?;
            let label = (s.time as f64, lane(s.cpu) + 0.22);
            chart.draw_series([Text::new(format!("{}", i + 1), label, ("sans-serif", 14))])?;
        }
        for (i, s) in steps.iter().enumerate() {
            let line = format!("{}. {:>6}  cpu {}  {}", i + 1, s.time, s.cpu, s.text);
            let at = (20, 10 + 22 * i as i32);
            bottom.draw(&Text::new(line, at, ("sans-serif", 14)))?;
        }
        area.present()?;
    }
    Ok(svg)
}
