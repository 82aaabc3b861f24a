//! The root task of a modelled run: does what moe and ned would for the boot script.
//!
//! It starts the pager server, makes the script's factories by requests to the service, and starts each
//! program with a region map of its factory as pager. That is all that it does for programs: once they
//! run, no request of theirs comes here.

use std::sync::Arc;

use fiasco_model::kit;
use l4_sys::{CapIdx, CapRights, proto};
use l4re_rs::Cap;
use l4re_rs::cap::kind;
use l4re_rs::varg::Arg;

use super::bench::{self, Board};
use super::plan::{Factory, Plan, Program};
use super::server::{self, Failure};

/// Priority of the root task while it starts the others.
const ROOT_PRIO: u64 = 150;
/// Priority of programs.
const PROGRAM_PRIO: u64 = 2;
/// Slots: the service's gate, the server's client of the root pager, the server's task and thread.
const SERVICE: CapIdx = CapIdx::from_slot(0x20);
const SIGMA0: CapIdx = CapIdx::from_slot(0x21);
const SERVER: CapIdx = CapIdx::from_slot(0x22);
/// Slots of factories, region maps, programs.
const FACTORIES: u64 = 0x1000;
const MAPS: u64 = 0x2000;
const PROGRAMS: u64 = 0x3000;

/// What the root task is started with.
#[derive(Debug, Clone)]
pub struct Setup {
    /// The script's wishes.
    pub plan: Plan,
    /// Cycles of the server's own work for a message.
    pub work: u64,
    /// Which measurements the programs make.
    pub modes: Vec<bench::Mode>,
}

/// Starts everything, then sleeps. What cannot be done ends the run.
pub fn run(setup: &Setup, board: &Arc<Board>, failure: &Failure) {
    if let Err(e) = begin(setup, board, failure) {
        server::fail(failure, e);
    }
    kit::sleep();
}

fn begin(setup: &Setup, board: &Arc<Board>, failure: &Failure) -> Result<(), String> {
    ok(
        kit::run_on(CapIdx::THREAD, 0, ROOT_PRIO),
        "raise the own priority",
    )?;
    // A gate without a thread, as a loader's `new_channel` makes it.
    let gate = kit::create(CapIdx::FACTORY, SERVICE, &[proto::KOBJECT as u64], &[]);
    ok(gate, "make the service's gate")?;
    Cap::<kind::Sigma0>::new(CapIdx::PAGER)
        .new_client(Cap::new(SIGMA0))
        .map_err(|e| format!("the root task cannot make a client of sigma0: {e:?}"))?;
    let words = setup.plan.server.clone();
    server::start(
        SERVER,
        (SERVICE, SIGMA0),
        words,
        setup.work,
        failure.clone(),
    )
    .map_err(|t| format!("the root task cannot start rom/percore-pager: {t:?}"))?;
    for (n, factory) in setup.plan.factories.iter().enumerate() {
        make_factory(factory, CapIdx::from_slot(FACTORIES + n as u64))?;
    }
    for (n, program) in setup.plan.programs.iter().enumerate() {
        start_program(setup, board, failure, (n as u64, program))?;
    }
    Ok(())
}

fn ok(tag: l4_sys::MsgTag, what: &str) -> Result<(), String> {
    kit::check(tag).map_err(|t| format!("the root task cannot {what}: {t:?}"))
}

/// The script's `create(L4.Proto.Factory, ...)` on the service's capability.
fn make_factory(f: &Factory, slot: CapIdx) -> Result<(), String> {
    let mut text = f.place.clone().into_bytes();
    text.push(0);
    let mut args = Vec::new();
    args.extend(f.quota.map(|q| Arg::Int(q.cast_signed())));
    args.push(Arg::Bytes(&text));
    let service = Cap::<kind::Factory>::new(SERVICE);
    service
        .create(proto::FACTORY, &args, Cap::<kind::Factory>::new(slot))
        .map_err(|e| format!("the pager refuses a factory with '{}': {e:?}", f.place))
}

fn start_program(
    setup: &Setup,
    board: &Arc<Board>,
    failure: &Failure,
    (n, program): (u64, &Program),
) -> Result<(), String> {
    let name = &program.name;
    if name != "rom/page-bench" {
        return Err(format!(
            "no program '{name}' in the model; expected rom/page-bench or rom/percore-pager"
        ));
    }
    let memory = program.memory.ok_or_else(|| {
        format!("{name} has its memory from the root task; the model has only the pager's")
    })?;
    let text = program.args.first();
    let pages = text.and_then(|a| a.parse().ok()).ok_or_else(|| {
        let found = text.map_or("nothing", String::as_str);
        format!("{name}: expected a number of pages, found '{found}'")
    })?;
    let factory = CapIdx::from_slot(FACTORIES + memory as u64);
    let map = Cap::<kind::Rm>::new(CapIdx::from_slot(MAPS + n));
    Cap::<kind::Factory>::new(factory)
        .create(proto::RM, &[], map)
        .map_err(|e| format!("the pager refuses a region map for {name}: {e:?}"))?;
    let p = kit::Program {
        slot: CapIdx::from_slot(PROGRAMS + 2 * n),
        cpu: program.core,
        prio: PROGRAM_PRIO,
        pager: Some(map.idx()),
    };
    let job = bench::Job {
        pages,
        programs: setup.plan.programs.len() as u64,
        modes: setup.modes.clone(),
    };
    let (board, failure) = (board.clone(), failure.clone());
    let caps = [(factory, bench::MEM, CapRights::RWS)];
    p.start(&caps, move || bench::run(&board, &job, &failure))
        .map_err(|t| format!("the root task cannot start {name}: {t:?}"))
}
