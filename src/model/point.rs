//! One measurement: a boot script on so many cores, from boot to the last free.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use fiasco_model::{Costs, Counters, End, Machine, Model, Options, ThreadModel, Violation};

use super::bench::{BASE, Board, Mode, Sample};
use super::plan::{Layout, Plan};
use super::root::{self, Setup};
use crate::Error;

/// Mean and extremes over the cores, cycles a page.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Stat {
    /// Mean over the cores.
    pub mean: f64,
    /// The slowest core.
    pub max: f64,
}

/// What was measured in one mode.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Measured {
    /// How much the pager brought with a fault.
    pub mode: Mode,
    /// Cycles for each page allocated.
    pub alloc: Stat,
    /// Cycles for each page freed.
    pub free: Stat,
    /// What the kernel did while pages were allocated.
    pub alloc_counts: Counters,
    /// What it did while they were freed.
    pub free_counts: Counters,
}

/// A measurement.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Point {
    /// Layout of the pagers.
    pub layout: Layout,
    /// The pagers' policy.
    pub policy: &'static str,
    /// Cores that ran.
    pub cores: u32,
    /// Pages that each core allocated and freed.
    pub pages: u32,
    /// The measurements, one for each mode.
    pub modes: Vec<Measured>,
    /// System calls and faults of the whole run.
    pub steps: u64,
}

impl Point {
    /// The measurement of a mode.
    #[must_use]
    pub fn mode(&self, mode: Mode) -> Option<&Measured> {
        self.modes.iter().find(|m| m.mode == mode)
    }
}

/// What is the same for all points of a series.
#[derive(Debug, Clone)]
pub struct Series {
    /// The machine.
    pub machine: Machine,
    /// The costs.
    pub costs: Costs,
    /// Seed.
    pub seed: u64,
    /// Pages a core.
    pub pages: u32,
    /// What is measured, in this order.
    pub modes: Vec<Mode>,
}

impl Series {
    /// What a model of this series is made of.
    #[must_use]
    pub fn options(&self) -> Options {
        Options {
            costs: self.costs.clone(),
            seed: self.seed,
            ..Options::new(self.machine.clone())
        }
    }
}

/// The two engines, for what is the same with both.
trait Engine {
    fn start(&mut self, root: impl FnOnce(u64) + Send + 'static);
    fn go(&mut self, bound: u64) -> End;
    fn misuses(&self) -> Vec<Violation>;
    fn consistent(&self) -> Result<(), String>;
    fn text(&self) -> String;
}

macro_rules! engine {
    ($of:ty) => {
        impl Engine for $of {
            fn start(&mut self, root: impl FnOnce(u64) + Send + 'static) {
                self.boot(sigma0, root);
            }
            fn go(&mut self, bound: u64) -> End {
                self.run(bound)
            }
            fn misuses(&self) -> Vec<Violation> {
                self.violations()
            }
            fn consistent(&self) -> Result<(), String> {
                self.check()
            }
            fn text(&self) -> String {
                self.log()
            }
        }
    };
}
engine!(Model);
engine!(ThreadModel);

/// What came of a run of a plan.
struct Outcome {
    samples: Vec<Sample>,
    counters: Vec<Counters>,
}

/// Boots a plan and runs it to its end.
fn execute(s: &Series, plan: &Plan, model: &mut impl Engine, bound: u64) -> Result<Outcome, Error> {
    let cores = plan.programs.len();
    let wrong =
        |what: String| Error::Usage(format!("{} on {cores} cores: {what}", plan.layout().name()));
    let board = Arc::new(Board::default());
    let failure = Arc::new(Mutex::new(None));
    let setup = Setup {
        plan: plan.clone(),
        work: s.costs.pager_request,
        modes: s.modes.clone(),
    };
    let (b, f) = (board.clone(), failure.clone());
    model.start(move |_| root::run(&setup, &b, &f));
    let end = model.go(bound);
    let failed = failure.lock().expect("nothing runs any more").take();
    if let Some(e) = failed {
        return Err(wrong(format!("{e}; the log says:\n{}", model.text())));
    }
    if let Some(v) = model.misuses().first() {
        let log = model.text();
        return Err(wrong(format!(
            "misuse of the kernel's interface: {v}\nthe log says:\n{log}"
        )));
    }
    let done = board.done.load(Ordering::SeqCst);
    if end != End::Stopped || done != cores as u64 {
        return Err(wrong(format!(
            "did not finish ({end:?}, {done} programs); the log says:\n{}",
            model.text()
        )));
    }
    model
        .consistent()
        .map_err(|e| wrong(format!("the model's own tables disagree: {e}")))?;
    let samples = board.samples.lock().expect("nothing runs any more").clone();
    let counters = board.counters.lock().expect("nothing runs any more");
    Ok(Outcome {
        samples,
        counters: counters.clone(),
    })
}

impl Outcome {
    /// The measurement of the mode with this number.
    fn measured(&self, s: &Series, (n, mode): (usize, Mode)) -> Option<Measured> {
        let of = |value: fn(&Sample) -> u64| {
            let mine = self.samples.iter().filter(|x| x.mode == mode);
            stat(mine.map(value), s.pages)
        };
        let meeting = |i: usize| self.counters.get(1 + 3 * n + i).copied();
        Some(Measured {
            mode,
            alloc: of(|x| x.alloc),
            free: of(|x| x.free),
            alloc_counts: meeting(1)? - meeting(0)?,
            free_counts: meeting(2)? - meeting(1)?,
        })
    }

    fn all(&self, s: &Series) -> Vec<Measured> {
        let modes = s.modes.iter().copied().enumerate();
        modes.filter_map(|m| self.measured(s, m)).collect()
    }
}

fn stat(values: impl Iterator<Item = u64>, pages: u32) -> Stat {
    let per: Vec<f64> = values.map(|v| v as f64 / f64::from(pages)).collect();
    let max = per.iter().copied().fold(0.0, f64::max);
    Stat {
        mean: per.iter().sum::<f64>() / per.len() as f64,
        max,
    }
}

/// Boots the machine and runs the plan in virtual time.
///
/// # Errors
/// The machine has too little memory, a server misused the kernel's interface, or memory was lost.
pub fn measure(s: &Series, plan: &Plan) -> Result<Point, Error> {
    let mut model = Model::new(&s.options()).map_err(|e| Error::Usage(e.to_string()))?;
    // A page takes four steps; far more than that means that something goes round in circles.
    let all = u64::from(s.pages) * plan.programs.len() as u64;
    let outcome = execute(s, plan, &mut model, 10_000_000 + all * 100)?;
    let window = BASE..BASE + u64::from(s.pages) * 4096;
    let pages = model.pages();
    let left = pages.iter().filter(|p| window.contains(&p.1)).count();
    if left > 0 {
        let name = plan.layout().name();
        return Err(Error::Usage(format!(
            "{name}: {left} pages of programs are mapped after all were freed"
        )));
    }
    Ok(Point {
        layout: plan.layout(),
        policy: plan.policy(),
        cores: plan.programs.len() as u32,
        pages: s.pages,
        modes: outcome.all(s),
        steps: model.steps(),
    })
}

/// The plan on real threads; what was measured has counts, its times mean nothing.
///
/// # Errors
/// As [`measure`].
pub fn race(s: &Series, plan: &Plan) -> Result<Vec<Measured>, Error> {
    let mut model = ThreadModel::new(&s.options()).map_err(|e| Error::Usage(e.to_string()))?;
    Ok(execute(s, plan, &mut model, u64::MAX)?.all(s))
}

/// The project's root pager, unchanged.
pub fn sigma0(kip: u64) {
    let storage = Box::leak(Box::new(sigma0_rs::Storage::new()));
    // SAFETY: this is the first thread of the model's sigma0 task, which has all memory at its
    // physical address, and the model put the kernel information page at `kip`.
    unsafe { sigma0_rs::run(kip, storage) }
}
