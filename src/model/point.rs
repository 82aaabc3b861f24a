//! One measurement: a layout on so many cores, from boot to the last free.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use fiasco_model::{Costs, Counters, End, Machine, Model, Options, ThreadModel};

use super::bench::Board;
use super::pager::Policy;
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

/// A measurement.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Point {
    /// Layout of the pagers.
    pub layout: Layout,
    /// Cores that ran.
    pub cores: u32,
    /// Pages that each core allocated and freed.
    pub pages: u32,
    /// Cycles for each page allocated.
    pub alloc: Stat,
    /// Cycles for each page freed.
    pub free: Stat,
    /// What the kernel did while pages were allocated.
    pub alloc_counts: Counters,
    /// What it did while they were freed.
    pub free_counts: Counters,
    /// System calls and faults of the whole run.
    pub steps: u64,
    /// Frames left mapped to clients at the end.
    pub pages_left: usize,
}

/// What is the same for all points of a series.
#[derive(Debug, Clone)]
pub struct Series {
    /// The machine.
    pub machine: Machine,
    /// The costs.
    pub costs: Costs,
    /// The allocators' policy.
    pub policy: Policy,
    /// Seed.
    pub seed: u64,
    /// Pages a core.
    pub pages: u32,
}

fn stat(values: impl Iterator<Item = u64>, pages: u32) -> Stat {
    let per: Vec<f64> = values.map(|v| v as f64 / f64::from(pages)).collect();
    let max = per.iter().copied().fold(0.0, f64::max);
    Stat {
        mean: per.iter().sum::<f64>() / per.len() as f64,
        max,
    }
}

/// Boots the machine and runs the plan.
///
/// # Errors
/// The machine has too little memory, or a server misused the kernel's interface.
pub fn measure(s: &Series, plan: &Plan) -> Result<Point, Error> {
    let cores = plan.programs.len() as u32;
    let options = Options {
        costs: s.costs.clone(),
        seed: s.seed,
        ..Options::new(s.machine.clone())
    };
    let mut model = Model::new(&options).map_err(|e| Error::Usage(e.to_string()))?;
    let board = Arc::new(Board::default());
    let failure = Arc::new(Mutex::new(None));
    let setup = Setup {
        plan: plan.clone(),
        machine: s.machine.clone(),
        policy: s.policy,
        work: s.costs.pager_request,
    };
    let (b, f) = (board.clone(), failure.clone());
    model.boot(sigma0, move |_| {
        if let Err(e) = root::run(&setup, &b) {
            *f.lock().expect("one host thread") = Some(e);
            fiasco_model::user::stop();
        }
    });
    // A page takes four steps; far more than that means that something goes round in circles.
    let bound = 1_000_000 + u64::from(s.pages) * u64::from(cores) * 100;
    let end = model.run(bound);
    if let Some(e) = failure.lock().expect("one host thread").take() {
        return Err(Error::Usage(format!(
            "{} on {cores} cores: {e}",
            plan.layout.name()
        )));
    }
    let samples = board.samples.lock().expect("one host thread").clone();
    let counters = board.counters.lock().expect("one host thread").clone();
    let errors = board.errors.load(Ordering::SeqCst);
    if let Some(v) = model.violations().first() {
        return Err(Error::Usage(format!(
            "misuse of the kernel's interface: {v}"
        )));
    }
    if end != End::Stopped || samples.len() != cores as usize || counters.len() != 3 || errors > 0 {
        return Err(Error::Usage(format!(
            "{} on {cores} cores did not finish ({end:?}, {} of {cores} programs, {errors} failed \
             frees); the log says:\n{}",
            plan.layout.name(),
            samples.len(),
            model.log()
        )));
    }
    model
        .check()
        .map_err(|e| Error::Usage(format!("the model's own tables disagree: {e}")))?;
    let base = super::pager::BASE;
    let window = base..base + u64::from(s.pages) * 4096;
    Ok(Point {
        layout: plan.layout,
        cores,
        pages: s.pages,
        alloc: stat(samples.iter().map(|x| x.alloc), s.pages),
        free: stat(samples.iter().map(|x| x.free), s.pages),
        alloc_counts: counters[1] - counters[0],
        free_counts: counters[2] - counters[1],
        steps: model.steps(),
        pages_left: model
            .pages()
            .iter()
            .filter(|p| Some(p.0) != model.root() && window.contains(&p.1))
            .count(),
    })
}

/// The plan on real threads; returns the counters of allocating and freeing.
///
/// # Errors
/// As [`measure`].
pub fn race(s: &Series, plan: &Plan) -> Result<(Counters, Counters), Error> {
    let cores = plan.programs.len();
    let options = Options {
        costs: s.costs.clone(),
        ..Options::new(s.machine.clone())
    };
    let mut model = ThreadModel::new(&options).map_err(|e| Error::Usage(e.to_string()))?;
    let board = Arc::new(Board::default());
    let failure = Arc::new(Mutex::new(None));
    let setup = Setup {
        plan: plan.clone(),
        machine: s.machine.clone(),
        policy: s.policy,
        work: s.costs.pager_request,
    };
    let (b, f) = (board.clone(), failure.clone());
    model.boot(sigma0, move |_| {
        if let Err(e) = root::run(&setup, &b) {
            *f.lock().expect("held for a moment only") = Some(e);
            fiasco_model::user::stop();
        }
    });
    let end = model.run(u64::MAX);
    if let Some(e) = failure.lock().expect("held for a moment only").take() {
        return Err(Error::Usage(e));
    }
    if let Some(v) = model.violations().first() {
        return Err(Error::Usage(format!(
            "misuse of the kernel's interface: {v}"
        )));
    }
    model
        .check()
        .map_err(|e| Error::Usage(format!("the model's own tables disagree: {e}")))?;
    let done = board.samples.lock().expect("held for a moment only").len();
    let c = board
        .counters
        .lock()
        .expect("held for a moment only")
        .clone();
    let errors = board.errors.load(Ordering::SeqCst);
    if end != End::Stopped || done != cores || c.len() != 3 || errors > 0 {
        return Err(Error::Usage(format!(
            "{} on {cores} cores did not finish ({end:?}, {done} programs, {errors} failed frees)",
            plan.layout.name()
        )));
    }
    Ok((c[1] - c[0], c[2] - c[1]))
}

/// The project's root pager, unchanged.
pub fn sigma0(kip: u64) {
    let storage = Box::leak(Box::new(sigma0_rs::Storage::new()));
    // SAFETY: this is the first thread of the model's sigma0 task, which has all memory at its
    // physical address, and the model put the kernel information page at `kip`.
    unsafe { sigma0_rs::run(kip, storage) }
}
