//! The root task of a modelled run: starts what the boot script says, as moe and ned would.

use std::sync::Arc;

use fiasco_model::{Machine, kit};
use l4_sys::ops::{task, thread};
use l4_sys::{CapIdx, Fpage, MemRights, proto};
use l4re_rs::Cap;
use l4re_rs::cap::kind;
use l4re_rs::client::sigma0_ext::flag;

use super::bench::{self, Board};
use super::pager::{self, Policy, Spec};
use super::plan::Plan;

/// Priority of the root task while it starts the others.
const ROOT_PRIO: u64 = 150;
/// Priority of pager threads.
const PAGER_PRIO: u64 = 200;
/// Priority of programs.
const PROGRAM_PRIO: u64 = 2;
/// Where the pager threads' UTCBs are.
const UTCBS: u64 = 0x7e00_0000_0000;
/// Slots of pager threads, of gates, of programs.
const THREADS: u64 = 0x1000;
const GATES: u64 = 0x2000;
const PROGRAMS: u64 = 0x3000;
/// Bytes of a block of memory.
const BLOCK: u64 = 2 << 20;

/// What the root task is started with.
#[derive(Debug, Clone)]
pub struct Setup {
    /// The script's wishes.
    pub plan: Plan,
    /// The machine, for the layout.
    pub machine: Machine,
    /// Policy of the pagers.
    pub policy: Policy,
    /// Cycles of a pager's own work for a request.
    pub work: u64,
}

/// One pager thread: its core and the programs that it serves.
struct Service {
    core: u32,
    programs: Vec<usize>,
}

/// Starts everything, then sleeps. A failure is the text it ends with.
///
/// # Errors
/// What could not be done.
pub fn run(setup: &Setup, board: &Arc<Board>) -> Result<(), String> {
    ok(
        kit::run_on(CapIdx::THREAD, 0, ROOT_PRIO),
        "raise the own priority",
    )?;
    let services = services(setup);
    let area = Fpage::mem(UTCBS, 17, MemRights::RW);
    let words = [task::ADD_KU_MEM, area.0];
    ok(
        kit::call(CapIdx::TASK, proto::TASK, &words, &[]),
        "get memory for UTCBs",
    )?;
    let clients = setup.plan.programs.len();
    for (i, s) in services.iter().enumerate() {
        let pages: u32 = s
            .programs
            .iter()
            .map(|p| pages_of(setup, *p))
            .max()
            .unwrap_or(0);
        let need: u64 = s
            .programs
            .iter()
            .map(|p| u64::from(pages_of(setup, *p)) * 4096)
            .sum();
        let spec = Spec {
            policy: setup.policy,
            blocks: memory(setup.machine.node_of(s.core), need.div_ceil(BLOCK))?,
            clients: clients as u32,
            pages,
            work: setup.work,
        };
        start_pager(i as u64, s.core, spec)?;
    }
    for (i, s) in services.iter().enumerate() {
        for p in &s.programs {
            start_program(setup, board, *p, CapIdx::from_slot(THREADS + i as u64))?;
        }
    }
    kit::sleep();
    Ok(())
}

fn ok(tag: l4_sys::MsgTag, what: &str) -> Result<(), String> {
    kit::check(tag).map_err(|t| format!("the root task cannot {what}: {t:?}"))
}

/// Groups the programs by the pager thread that the layout gives them.
fn services(setup: &Setup) -> Vec<Service> {
    let mut all: Vec<Service> = Vec::new();
    for (i, p) in setup.plan.programs.iter().enumerate() {
        let of = p.memory_of.unwrap_or(p.core);
        let core = setup.plan.layout.pager_of(&setup.machine, of);
        match all.iter_mut().find(|s| s.core == core) {
            Some(s) => s.programs.push(i),
            None => all.push(Service {
                core,
                programs: vec![i],
            }),
        }
    }
    all
}

fn pages_of(setup: &Setup, program: usize) -> u32 {
    setup.plan.programs[program]
        .args
        .first()
        .and_then(|a| a.parse().ok())
        .unwrap_or(0)
}

/// Takes blocks of a node's memory from sigma0, from near nodes when it has no more.
fn memory(node: u32, blocks: u64) -> Result<Vec<u64>, String> {
    let sigma0 = Cap::<kind::Sigma0>::new(CapIdx::PAGER);
    (0..blocks)
        .map(|n| {
            // SAFETY: simulated memory has no Rust references into it.
            let got = unsafe { sigma0.node_ram(node, 21, flag::NEAR, Fpage::whole_space()) };
            got.map(|(f, _)| f.address()).map_err(|e| {
                format!(
                    "sigma0 gives {n} of {blocks} blocks of 2 MiB near node {node} ({e:?}); \
                     expected enough memory for the pages of all cores"
                )
            })
        })
        .collect()
}

fn start_pager(i: u64, core: u32, spec: Spec) -> Result<(), String> {
    let th = CapIdx::from_slot(THREADS + i);
    let create = kit::create(CapIdx::FACTORY, th, &[proto::THREAD as u64], &[]);
    ok(create, "make a pager thread")?;
    let flags = thread::CONTROL | thread::BIND_TASK | thread::SET_PAGER;
    let utcb = UTCBS + i * l4_sys::utcb::UTCB_SIZE;
    let words = [flags, CapIdx::PAGER.raw(), 0, 0, 0, utcb];
    let own = kit::cap_item(CapIdx::TASK, l4_sys::CapRights::RWS);
    ok(
        kit::call(th, proto::THREAD, &words, &[own]),
        "bind a pager thread",
    )?;
    let ip = l4_sys::host::entry(Box::new(move |_| pager::run(&spec)));
    ok(
        kit::call(th, proto::THREAD, &[thread::EX_REGS, ip, 0], &[]),
        "start a pager thread",
    )?;
    ok(kit::run_on(th, core, PAGER_PRIO), "run a pager thread")
}

fn start_program(
    setup: &Setup,
    board: &Arc<Board>,
    index: usize,
    pager: CapIdx,
) -> Result<(), String> {
    let program = &setup.plan.programs[index];
    if program.name != "rom/page-bench" {
        return Err(format!(
            "no program '{}' in the model; expected rom/page-bench or rom/percore-pager",
            program.name
        ));
    }
    let gate = CapIdx::from_slot(GATES + index as u64);
    ok(
        kit::create_gate(gate, pager, (index as u64 + 1) << 4),
        "make a gate",
    )?;
    let p = kit::Program {
        slot: CapIdx::from_slot(PROGRAMS + 2 * index as u64),
        cpu: program.core,
        prio: PROGRAM_PRIO,
        pager: Some(gate),
    };
    let (pages, n) = (pages_of(setup, index), setup.plan.programs.len() as u64);
    let board = board.clone();
    p.start(&[], move || bench::run(&board, pages, n))
        .map_err(|t| format!("the root task cannot start {}: {t:?}", program.name))
}
