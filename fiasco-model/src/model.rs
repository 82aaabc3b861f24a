//! A model to run programs on: set up, boot, run, look.

use std::sync::Arc;

use crate::boot;
use crate::cost::Costs;
use crate::count::Counters;
use crate::machine::{Machine, MachineError};
use crate::object::{CpuId, Kind, ObjId};
use crate::ram::Ram;
use crate::state::State;
use crate::trace::{Event, Violation};
use crate::virt::{End, Order, Virtual};

/// Settings of a run.
#[derive(Clone, Debug)]
pub struct Options {
    /// The machine.
    pub machine: Machine,
    /// What things cost.
    pub costs: Costs,
    /// How CPUs take turns.
    pub order: Order,
    /// Seed of everything random.
    pub seed: u64,
    /// Bytes of the kernel's heap; none for the machine's share.
    pub heap: Option<u64>,
    /// The kernel allocation with this number (from 1, counted after boot) fails.
    pub fail_alloc: Option<u64>,
}

impl Options {
    /// The paper's costs on `machine`, by time, seed 1.
    #[must_use]
    pub fn new(machine: Machine) -> Self {
        Options {
            machine,
            costs: Costs::opteron(),
            order: Order::Time,
            seed: 1,
            heap: None,
            fail_alloc: None,
        }
    }
}

/// A model that cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The machine makes no sense.
    #[error(transparent)]
    Machine(#[from] MachineError),
    /// The host has no address space for the machine's memory.
    #[error("the host refuses {mib} MiB of address space for the machine's memory: {source}")]
    Memory {
        /// Memory asked for.
        mib: u64,
        /// The host's reason.
        source: std::io::Error,
    },
}

/// A kernel with a machine under it, in virtual time.
pub struct Model {
    engine: Box<Virtual>,
    ram: Arc<Ram>,
    machine: Arc<Machine>,
    root: Option<ObjId>,
    baseline: Vec<(ObjId, u64)>,
    fail_alloc: Option<u64>,
}

/// Makes the machine's memory with what boot loader and kernel leave in it.
pub(crate) fn new_state(o: &Options, queues: bool) -> Result<State, SetupError> {
    o.machine.check()?;
    let ram = Ram::new(o.machine.ram_end()).map_err(|source| SetupError::Memory {
        mib: o.machine.ram_end() >> 20,
        source,
    })?;
    boot::write_memory(&o.machine, &ram, o.costs.mhz);
    let heap = o.heap.unwrap_or_else(|| boot::heap_bytes(&o.machine));
    Ok(State::new(
        Arc::new(o.machine.clone()),
        Arc::new(ram),
        o.costs.clone(),
        heap,
        queues,
    ))
}

impl Model {
    /// A model that has not booted.
    ///
    /// # Errors
    /// [`SetupError`].
    pub fn new(o: &Options) -> Result<Self, SetupError> {
        let state = new_state(o, true)?;
        let (ram, machine) = (state.ram.clone(), state.machine.clone());
        let engine = Box::new(Virtual::new(state, o.order, o.seed));
        Ok(Model {
            engine,
            ram,
            machine,
            root: None,
            baseline: Vec::new(),
            fail_alloc: o.fail_alloc,
        })
    }

    /// Gives a program an instruction pointer, as [`l4_sys::host::entry`] does from inside.
    pub fn entry(&self, program: impl FnOnce(u64) + Send + 'static) -> u64 {
        self.engine.state.borrow_mut().add_entry(Box::new(program))
    }

    /// Boots sigma0 and the root task with these programs, as the kernel starts them. Each gets
    /// the address of the kernel information page. Nothing runs yet.
    ///
    /// # Panics
    /// When called twice.
    pub fn boot(
        &mut self,
        sigma0: impl FnOnce(u64) + Send + 'static,
        root: impl FnOnce(u64) + Send + 'static,
    ) {
        assert!(self.root.is_none(), "a model boots once");
        let entries = [
            self.entry(move |_| sigma0(boot::KIP)),
            self.entry(move |_| root(boot::KIP)),
        ];
        let mut st = self.engine.state.borrow_mut();
        self.root = Some(st.boot(entries));
        self.baseline = caps(&st);
        st.quotas.fail_after(self.fail_alloc);
    }

    /// Runs until nothing can run, a program calls [`crate::user::stop`], or `bound` steps (system
    /// calls and faults) were made. Can be called again to go on.
    pub fn run(&mut self, bound: u64) -> End {
        self.engine.run(bound)
    }

    /// The machine.
    #[must_use]
    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    /// Simulated memory.
    #[must_use]
    pub fn ram(&self) -> &Ram {
        &self.ram
    }

    /// Counters of one CPU.
    #[must_use]
    pub fn counters(&self, cpu: CpuId) -> Counters {
        self.engine.state.borrow().cpus[cpu.0 as usize].counters
    }

    /// Counters of all CPUs together.
    #[must_use]
    pub fn totals(&self) -> Counters {
        self.engine.state.borrow().totals()
    }

    /// Clock of a CPU in cycles.
    #[must_use]
    pub fn clock(&self, cpu: CpuId) -> u64 {
        self.engine.state.borrow().cpus[cpu.0 as usize].clock
    }

    /// What was written to the log.
    #[must_use]
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&self.engine.state.borrow().log).into_owned()
    }

    /// Misuses of the interface so far.
    #[must_use]
    pub fn violations(&self) -> Vec<Violation> {
        self.engine.state.borrow().violations.clone()
    }

    /// The last events.
    #[must_use]
    pub fn events(&self) -> Vec<Event> {
        self.engine.state.borrow().ring.all()
    }

    /// Keeps every event from now on instead of the last ones only.
    pub fn keep_events(&mut self) {
        self.engine.state.borrow_mut().ring.keep_all = true;
    }

    /// Bytes of kernel memory in use, and the most there were.
    #[must_use]
    pub fn kernel_memory(&self) -> (u64, u64) {
        self.engine.state.borrow().quotas.heap()
    }

    /// Entries of the mapping database.
    #[must_use]
    pub fn mappings(&self) -> usize {
        self.engine.state.borrow().mapdb.len()
    }

    /// System calls and faults so far.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.engine.steps.get()
    }

    /// Capabilities that are there now and were not at boot, with their history. For the end of a
    /// run in which every program should have given back everything that it got; programs that
    /// exit, and servers that said that they are at rest, are looked at without being asked.
    #[must_use]
    pub fn leaks(&self) -> Vec<Violation> {
        let st = self.engine.state.borrow();
        caps(&st)
            .into_iter()
            .filter(|c| !self.baseline.contains(c))
            .filter_map(|(task, slot)| {
                let cap = st.objs.task(task)?.cap(slot)?;
                st.leak(task, slot, cap.obj)
            })
            .collect()
    }

    /// Checks the kernel's own tables against each other.
    ///
    /// # Errors
    /// The first difference, as text.
    pub fn check(&self) -> Result<(), String> {
        crate::check::check(&self.engine.state.borrow())
    }

    /// Every page of the tasks' memory: task, address, physical address, order, rights.
    #[must_use]
    pub fn pages(&self) -> Vec<(ObjId, u64, u64, u8, u8)> {
        let st = self.engine.state.borrow();
        let mut all = Vec::new();
        for (id, o) in st.objs.iter() {
            if let Kind::Task(t) = &o.kind {
                all.extend(
                    t.pages
                        .pages()
                        .iter()
                        .map(|(a, l)| (id, *a, l.phys, l.order, l.rights)),
                );
            }
        }
        all
    }

    /// What things cost.
    #[must_use]
    pub fn costs(&self) -> Costs {
        self.engine.state.borrow().cost.clone()
    }

    /// The root task's identifier.
    #[must_use]
    pub fn root(&self) -> Option<ObjId> {
        self.root
    }

    /// Ends a task or thread as a crash would, between two dispatches: a task with everything it
    /// has, a thread alone.
    pub fn crash(&mut self, obj: ObjId) {
        let mut st = self.engine.state.borrow_mut();
        st.me = crate::state::NOBODY;
        st.revoke_all(obj);
        st.destroy_all(vec![obj]);
    }

    /// Objects of a kind by the name the debugger was told: identifier and name.
    #[must_use]
    pub fn objects(&self, kind: &str) -> Vec<(ObjId, String)> {
        self.engine.state.borrow().objs.named(kind)
    }
}

fn caps(st: &State) -> Vec<(ObjId, u64)> {
    let mut all: Vec<(ObjId, u64)> = Vec::new();
    for (id, o) in st.objs.iter() {
        if let Kind::Task(t) = &o.kind {
            all.extend(
                t.caps_between(0, crate::space::CAP_END)
                    .iter()
                    .map(|(s, _)| (id, *s)),
            );
        }
    }
    all
}
