//! The kernel's whole state, and what every operation on it uses.
//!
//! The state is a machine without blocking: a system call changes it and either has a result or
//! leaves its thread waiting. The engines (virtual time, pinned threads) decide what runs when;
//! none of them knows semantics, and nothing here knows the engines.
//!
//! "Here" and "now" are the running thread, its CPU and that CPU's clock, set by the engine.

use std::sync::Arc;

use l4_sys::{MsgTag, TagFlags, UtcbRef};

use crate::cost::Costs;
use crate::count::Counters;
use crate::machine::Machine;
use crate::mapdb::Mapdb;
use crate::object::{CpuId, Kind, ObjId, Objects};
use crate::quota::Quotas;
use crate::ram::Ram;
use crate::sched::Cpu;
use crate::thread::Run;
use crate::trace::{Event, Misuse, Ring, Violation, What};

/// Code that a thread can be started at.
pub(crate) type Entry = Box<dyn FnOnce(u64) + Send>;

/// No thread.
pub(crate) const NOBODY: ObjId = ObjId(u32::MAX);
/// First instruction pointer of entries: no canonical address, so nothing else can be meant.
pub(crate) const ENTRY_BASE: u64 = 0x7e57_0000_0000_0000;
/// Distance between entries.
pub(crate) const ENTRY_STEP: u64 = 16;
/// Misuses kept; who goes on for ever is told often enough.
const VIOLATIONS: usize = 1000;
/// Events kept for histories.
const RING: usize = 4096;

/// The kernel.
pub(crate) struct State {
    pub objs: Objects,
    pub quotas: Quotas,
    pub mapdb: Mapdb,
    pub ram: Arc<Ram>,
    pub machine: Arc<Machine>,
    pub cost: Costs,
    pub cpus: Vec<Cpu>,
    pub turns: crate::turns::Turns,
    pub timers: std::collections::BinaryHeap<std::cmp::Reverse<(u64, u64, ObjId)>>,
    /// Numbers everything that needs an order.
    pub number: u64,
    pub me: ObjId,
    pub cpu: u32,
    pub sigma0: ObjId,
    pub log: Vec<u8>,
    pub entries: Vec<Option<Entry>>,
    /// Threads that became ready, for engines without ready queues.
    pub woken: Vec<ObjId>,
    /// Threads whose host context is to be dropped.
    pub dead: Vec<ObjId>,
    /// Kernel-user memory of tasks that are gone: their threads may still be leaving.
    pub graveyard: Vec<crate::space::KuMem>,
    pub ring: Ring,
    pub violations: Vec<Violation>,
    /// Leaks that are in `violations`.
    pub leaked: std::collections::BTreeSet<(ObjId, u64, ObjId)>,
    /// Threads that have finished their send and now begin to receive.
    pub to_receive: Vec<ObjId>,
    /// Whether ready queues are kept (virtual time).
    pub queues: bool,
}

impl State {
    pub fn new(machine: Arc<Machine>, ram: Arc<Ram>, cost: Costs, heap: u64, queues: bool) -> Self {
        let cpus: Vec<Cpu> = (0..machine.cpus())
            .map(|i| Cpu::new(machine.node_of(i)))
            .collect();
        State {
            objs: Objects::default(),
            quotas: Quotas::new(heap),
            mapdb: Mapdb::default(),
            ram,
            machine,
            cost,
            turns: crate::turns::Turns::new(cpus.len()),
            cpus,
            timers: std::collections::BinaryHeap::new(),
            number: 0,
            me: NOBODY,
            cpu: 0,
            sigma0: NOBODY,
            log: Vec::new(),
            entries: Vec::new(),
            woken: Vec::new(),
            dead: Vec::new(),
            graveyard: Vec::new(),
            ring: Ring::new(RING),
            violations: Vec::new(),
            leaked: Default::default(),
            to_receive: Vec::new(),
            queues,
        }
    }

    /// Gives a program an instruction pointer.
    pub fn add_entry(&mut self, program: Entry) -> u64 {
        self.entries.push(Some(program));
        ENTRY_BASE + (self.entries.len() as u64 - 1) * ENTRY_STEP
    }

    /// Number of the program that an instruction pointer stands for, as long as it has not begun.
    pub fn entry_at(&self, ip: u64) -> Option<u64> {
        ip.checked_sub(ENTRY_BASE)
            .filter(|o| o % ENTRY_STEP == 0)
            .map(|o| o / ENTRY_STEP)
            .filter(|i| self.entries.get(*i as usize).is_some_and(Option::is_some))
    }

    /// The program that a thread is to begin with, if it is, and its stack pointer.
    pub fn take_start(&mut self, thread: ObjId) -> Option<(Entry, u64)> {
        let t = self.objs.thread_mut(thread)?;
        let (index, sp) = (t.start.take()?, t.sp);
        let program = self
            .entries
            .get_mut(index as usize)
            .and_then(Option::take)?;
        Some((program, sp))
    }

    /// A thread's program returned: it sleeps for ever.
    pub fn returned(&mut self, thread: ObjId) {
        self.unready(thread);
        if let Some(t) = self.objs.thread_mut(thread) {
            t.run = Run::Done;
        }
        self.exits(thread);
    }

    /// The running thread may die at each of its steps.
    pub fn mortal(&mut self, per_million: u32) {
        let me = self.me;
        if let Some(t) = self.objs.thread_mut(me) {
            t.mortal = per_million;
        }
    }

    /// Each message that the running program waits for costs it so much of its own work.
    pub fn works(&mut self, cycles: u64) {
        let task = self.my_task();
        if let Some(t) = self.objs.task_mut(task) {
            t.work = cycles;
        }
    }

    /// What the running thread's system call came to. The work on a request begins here.
    pub fn result(&mut self, flags: u64) -> (l4_sys::MsgTag, u64) {
        let result = self.objs.thread(self.me).map(|t| t.result);
        if let Some((tag, _)) = result
            && flags & l4_sys::syscall::OPEN_WAIT != 0
            && !tag.has_error()
        {
            let work = self.objs.task(self.my_task()).map_or(0, |t| t.work);
            self.charge(work);
        }
        result.unwrap_or((FAILED, 0))
    }

    /// The running thread faulted at `addr` and nobody handles that: it stays there.
    pub fn stuck(&mut self, addr: u64) {
        let me = self.me;
        self.violation(me, Misuse::UnhandledFault { addr });
        if let Some(t) = self.objs.thread_mut(me) {
            t.run = Run::Stuck;
        }
    }

    /// Next number of the run's one order.
    pub fn next_number(&mut self) -> u64 {
        self.number += 1;
        self.number
    }

    /// The running CPU's clock, in cycles.
    #[inline]
    pub fn now(&self) -> u64 {
        self.cpus[self.cpu as usize].clock
    }

    /// Time passes on the running CPU.
    #[inline]
    pub fn charge(&mut self, cycles: u64) {
        self.cpus[self.cpu as usize].clock += cycles;
    }

    /// The running CPU's counters.
    #[inline]
    pub fn count(&mut self) -> &mut Counters {
        &mut self.cpus[self.cpu as usize].counters
    }

    /// Remembers an event.
    #[inline]
    pub fn note(&mut self, what: What) -> Event {
        let event = Event {
            time: self.now(),
            cpu: CpuId(self.cpu),
            what,
        };
        self.ring.add(event);
        event
    }

    /// Reports a misuse of the interface with its history.
    pub fn violation(&mut self, who: ObjId, misuse: Misuse) {
        if self.violations.len() < VIOLATIONS {
            let v = self.described(who, misuse);
            self.violations.push(v);
        }
    }

    /// A misuse with name, time and history.
    pub fn described(&self, who: ObjId, misuse: Misuse) -> Violation {
        let task = self.objs.thread(who).and_then(|t| t.task);
        let ids = [Some(who), task, misuse.concerns()];
        let ids: Vec<ObjId> = ids.into_iter().flatten().collect();
        let name = ids
            .iter()
            .filter_map(|i| self.objs.get(*i))
            .map(|o| o.name.clone())
            .find(|n| !n.is_empty())
            .unwrap_or_default();
        let memory = task
            .zip(misuse.memory())
            .map(|(t, (addr, order))| (t, addr, order));
        let history = self.ring.history(&ids, memory, 16);
        let time = self.now();
        Violation {
            who,
            name,
            time,
            misuse,
            history,
        }
    }

    /// UTCB of a thread; `None` when it has none.
    pub fn utcb(&self, thread: ObjId) -> Option<UtcbRef> {
        let t = self.objs.thread(thread)?;
        if t.utcb.is_null() {
            return None;
        }
        // SAFETY: set by `bind` to kernel-user memory of the thread's task, which is never moved
        // and is kept until the state goes; during a system call only the kernel accesses it.
        Some(unsafe { UtcbRef::from_ptr(t.utcb) })
    }

    /// The running thread's task.
    pub fn my_task(&self) -> ObjId {
        self.objs
            .thread(self.me)
            .and_then(|t| t.task)
            .unwrap_or(self.sigma0)
    }

    /// Cycles from sending an interrupt to its arrival.
    fn latency(&self, a: u32, b: u32) -> u64 {
        let same = self.cpus[a as usize].node == self.cpus[b as usize].node;
        self.cost.ipi_latency + if same { 0 } else { self.cost.ipi_latency_node }
    }

    /// Makes another CPU do something: the sender's cost, the receiver's; returns when it is done.
    /// While an interrupt is on its way there, another one is not sent: the receiver finds both
    /// requests when it takes the first.
    pub fn ipi(&mut self, to: u32) -> u64 {
        let handled = self.cost.ipi_receive;
        let pending = self.cpus[to as usize].pending;
        if pending > self.now() {
            return pending + handled;
        }
        self.count().ipis += 1;
        self.charge(self.cost.ipi_send);
        let arrival = self.now() + self.latency(self.cpu, to);
        self.turns.changed.push(to);
        let cpu = &mut self.cpus[to as usize];
        cpu.pending = arrival;
        // The target loses the time of the handler, whatever it does then.
        cpu.clock = cpu.clock.max(if cpu.is_idle() { arrival } else { 0 }) + handled;
        arrival + handled
    }

    /// A request to another CPU whose answer the sender waits for, which comes by interrupt, too.
    /// Returns when the request was done over there.
    pub fn remote_request(&mut self, to: u32) -> u64 {
        let done = self.ipi(to);
        let latency = self.latency(self.cpu, to);
        let handled = self.cost.ipi_receive;
        let cpu = &mut self.cpus[self.cpu as usize];
        if cpu.pending <= done {
            cpu.counters.ipis += 1;
            cpu.pending = done + latency;
        }
        cpu.clock = cpu.clock.max(cpu.pending + handled);
        done
    }

    /// Sum of all CPUs' counters.
    pub fn totals(&self) -> Counters {
        let mut sum = Counters::default();
        for c in &self.cpus {
            sum += c.counters;
        }
        sum
    }

    /// A capability of the running task.
    pub fn cap(&self, slot: u64) -> Option<crate::space::Cap> {
        self.objs.task(self.my_task())?.cap(slot)
    }

    /// Host address of a byte of the task's memory; `None` when it is not mapped with `rights`.
    pub fn translate(&self, task: ObjId, addr: u64, rights: u8) -> Option<*mut u8> {
        let t = self.objs.task(task)?;
        if let Some(p) = t.ku_host(addr, 1) {
            return Some(p);
        }
        if t.is_sigma0 {
            return self.ram.host(addr);
        }
        let leaf = t.pages.page(addr)?;
        if leaf.rights & rights != rights {
            return None;
        }
        self.ram.host(leaf.phys + (addr & ((1 << leaf.order) - 1)))
    }

    /// Charges `quota` for an object and makes it.
    pub fn create(
        &mut self,
        quota: crate::quota::QuotaId,
        bytes: u64,
        kind: Kind,
    ) -> Option<ObjId> {
        if !self.quotas.alloc(quota, bytes) {
            return None;
        }
        self.charge(self.cost.object);
        Some(self.objs.add(kind, (quota, bytes)))
    }
}

/// The tag of a failed IPC.
pub(crate) const FAILED: MsgTag = MsgTag(TagFlags::ERROR.bits());
