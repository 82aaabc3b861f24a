//! CPUs, their clocks and ready queues; timeouts.
//!
//! A CPU runs its ready thread of the highest priority that has arrived; equal ones in order of
//! arrival. A message to a waiting thread of the same CPU in a call hands the CPU over directly,
//! as the kernel does.

use std::cmp::Reverse;

use l4_sys::Timeout;
use l4_sys::utcb::BUFFER_REGISTERS;

use crate::count::Counters;
use crate::object::{CpuId, Kind, ObjId};
use crate::state::{NOBODY, State};
use crate::thread::{From, Run};

/// Bit of a timeout that is a point in time; the low bits say which buffer register holds it.
const ABSOLUTE: u16 = 0x8000;

/// When a timeout happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// Never.
    Never,
    /// At once: it is zero, or a point in time that is not in the future.
    Passed,
    /// At this cycle of the waiting thread's CPU.
    At(u64),
}

/// A thread that could run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ready {
    pub prio: u8,
    pub number: u64,
    pub at: u64,
    pub thread: ObjId,
}

/// A simulated CPU.
#[derive(Debug)]
pub(crate) struct Cpu {
    pub node: u32,
    pub clock: u64,
    pub ready: Vec<Ready>,
    /// Whose address space is loaded.
    pub space: Option<ObjId>,
    pub running: Option<ObjId>,
    /// Runs next, whoever else is ready at its priority.
    pub direct: Option<ObjId>,
    pub counters: Counters,
    /// Cycles in which it ran a thread, as of the last switch.
    pub busy: u64,
    /// When the running thread was dispatched.
    pub since: u64,
    /// When the last interrupt that was sent here is taken.
    pub pending: u64,
    /// Who was dispatched last, and when its time slice began.
    pub last: Option<ObjId>,
    pub slice: u64,
}

impl Cpu {
    pub fn new(node: u32) -> Self {
        Cpu {
            node,
            clock: 0,
            ready: Vec::new(),
            space: None,
            running: None,
            direct: None,
            counters: Counters::default(),
            busy: 0,
            since: 0,
            pending: 0,
            last: None,
            slice: 0,
        }
    }

    pub fn is_idle(&self) -> bool {
        self.running.is_none() && self.ready.is_empty()
    }

    /// When the CPU can do something: `u64::MAX` for never.
    pub fn key(&self) -> u64 {
        if self.running.is_some() {
            return self.clock;
        }
        let first = self.ready.iter().map(|r| r.at).min();
        first.map_or(u64::MAX, |at| at.max(self.clock))
    }

    /// Index of the thread to run at `time`.
    pub fn pick(&self, time: u64) -> Option<usize> {
        let best = self
            .ready
            .iter()
            .enumerate()
            .filter(|(_, r)| r.at <= time)
            .max_by_key(|(_, r)| (r.prio, Reverse(r.number)))?;
        if let Some(d) = self.direct
            && let Some(i) = self
                .ready
                .iter()
                .position(|r| r.thread == d && r.at <= time)
            && self.ready[i].prio >= best.1.prio
        {
            return Some(i);
        }
        Some(best.0)
    }
}

impl State {
    /// Lets `thread` run from `at` on; nothing happens unless it is started and has a CPU.
    pub fn make_ready(&mut self, thread: ObjId, at: u64) {
        let Some(t) = self.objs.thread_mut(thread) else {
            return;
        };
        t.run = Run::Ready;
        t.timer = 0;
        let (cpu, prio) = (t.cpu, t.prio);
        let Some(CpuId(cpu)) = cpu else { return };
        if !self.queues {
            self.woken.push(thread);
            return;
        }
        let number = self.next_number();
        self.turns.changed.push(cpu);
        let c = &mut self.cpus[cpu as usize];
        if c.running == Some(thread) || c.ready.iter().any(|r| r.thread == thread) {
            return;
        }
        c.ready.push(Ready {
            prio,
            number,
            at,
            thread,
        });
    }

    /// Takes `thread` out of every queue of its CPU.
    pub fn unready(&mut self, thread: ObjId) {
        for (i, c) in self.cpus.iter_mut().enumerate() {
            self.turns.changed.push(i as u32);
            c.ready.retain(|r| r.thread != thread);
            if c.running == Some(thread) {
                c.running = None;
            }
            if c.direct == Some(thread) {
                c.direct = None;
            }
        }
    }

    /// What a timeout of `thread` means now. The kernel clock of absolute ones counts the
    /// microseconds since the start, on the running CPU.
    pub fn due(&self, thread: ObjId, timeout: Timeout) -> Due {
        let raw = timeout.raw();
        if raw == 0 {
            return Due::Never;
        }
        let mhz = self.cost.mhz.max(1);
        if raw & ABSOLUTE == 0 {
            return match timeout.us() {
                Some(us) if us > 0 => Due::At(self.now().saturating_add(us.saturating_mul(mhz))),
                _ => Due::Passed,
            };
        }
        let register = usize::from(raw & 0x3f).min(BUFFER_REGISTERS - 1);
        let us = self.utcb(thread).map_or(0, |u| u.br(register));
        if us > self.now() / mhz {
            Due::At(us.saturating_mul(mhz))
        } else {
            Due::Passed
        }
    }

    /// Starts a timeout for `thread` that happens at the cycle `when`.
    pub fn set_timer(&mut self, thread: ObjId, when: u64) {
        let number = self.next_number();
        if let Some(t) = self.objs.thread_mut(thread) {
            t.timer = number;
        }
        self.timers.push(Reverse((when, number, thread)));
    }

    /// When the next timeout that still counts is due.
    pub fn next_timer(&mut self) -> Option<u64> {
        while let Some(Reverse((when, number, thread))) = self.timers.peek().copied() {
            if self.objs.thread(thread).is_some_and(|t| t.timer == number) {
                return Some(when);
            }
            self.timers.pop();
        }
        None
    }

    /// Lets the earliest timeout happen.
    pub fn fire_timer(&mut self) {
        let Some(when) = self.next_timer() else {
            return;
        };
        let Some(Reverse((_, _, thread))) = self.timers.pop() else {
            return;
        };
        let Some(t) = self.objs.thread_mut(thread) else {
            return;
        };
        t.timer = 0;
        let run = t.run;
        // No program is running: whoever is woken goes through the ready queue.
        self.me = NOBODY;
        if let Some(CpuId(cpu)) = t.cpu {
            self.turns.changed.push(cpu);
            let c = &mut self.cpus[cpu as usize];
            if c.is_idle() {
                c.clock = c.clock.max(when);
            }
            self.cpu = cpu;
        }
        self.abort(thread, run, l4_sys::IpcError::SendTimeout);
    }

    /// Breaks off what `thread` waits for. `error` is the code of the send phase; a receive phase
    /// reports the one above it.
    pub fn abort(&mut self, thread: ObjId, run: Run, error: l4_sys::IpcError) {
        match run {
            Run::Sending(to) => {
                self.leave_queue(thread, to);
                self.fail(thread, error.number());
            }
            Run::Receiving => {
                self.drop_reply_to(thread);
                self.fail(thread, error.number() | 1);
            }
            Run::Down(at) => {
                self.leave_queue(thread, at);
                self.fail(thread, error.number() | 1);
            }
            _ => {}
        }
    }

    /// Takes a thread out of the queue that it waits in.
    pub fn leave_queue(&mut self, thread: ObjId, at: ObjId) {
        match self.objs.get_mut(at).map(|o| &mut o.kind) {
            Some(Kind::Thread(t)) => t.senders.dequeue(thread),
            Some(Kind::Gate(g)) => g.waiting.dequeue(thread),
            Some(Kind::Semaphore(s)) => s.leave(thread),
            _ => {}
        }
    }

    /// Ends `thread`'s IPC with an error and lets it run.
    pub fn fail(&mut self, thread: ObjId, code: u8) {
        if let Some(u) = self.utcb(thread) {
            self.set_error(u, code);
        }
        self.note(crate::trace::What::Failed { thread, code });
        let now = self.now();
        if let Some(t) = self.objs.thread_mut(thread) {
            t.result = (crate::state::FAILED, 0);
            t.frame.from = From::Nobody;
        }
        if thread == self.me {
            if let Some(t) = self.objs.thread_mut(thread) {
                t.run = Run::Ready;
                t.timer = 0;
            }
        } else {
            self.make_ready(thread, now);
        }
    }

    /// Writes the error word of a UTCB.
    pub fn set_error(&self, utcb: l4_sys::UtcbRef, code: u8) {
        // SAFETY: `utcb` is a thread's block (see `State::utcb`); during a system call the kernel
        // alone accesses it.
        unsafe { (*utcb.as_ptr()).error = u64::from(code) };
    }
}
