//! Real threads: one host thread for each simulated CPU, pinned where the host allows it.
//!
//! The kernel is under one lock; programs run between their system calls without it, so their
//! accesses to simulated memory and to what they share race as on a machine. Each host thread runs
//! the simulated threads of its CPU as coroutines, by the same priorities as in virtual time.
//! Clocks still count costs but mean nothing across CPUs; a timeout fires when its CPU's clock has
//! passed it, or when nothing else can run. No two runs are the same.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard};

use corosensei::stack::DefaultStack;
use corosensei::{Coroutine, CoroutineResult};

use crate::dispatch::{put_back, start_on};
use crate::here::{self, Cpu};
use crate::object::ObjId;
use crate::state::State;
use crate::thread::Run;
use crate::virt::{Co, End, STACK};

/// A coroutine that goes with its simulated thread to another CPU.
pub(crate) struct Moved(Co);

// SAFETY: a coroutine is resumed by one host thread at a time (it is taken out of the table for
// that). What is on its stack are programs, whose entries are `Send`, and frames of this module,
// which hold references to the shared state only; thread-locals are looked up anew after every
// suspension (the functions that do so are not inlined).
unsafe impl Send for Moved {}

/// What the host threads share.
pub(crate) struct Shared {
    pub state: Mutex<State>,
    pub coros: Mutex<HashMap<ObjId, Moved>>,
    wake: Vec<Condvar>,
    pub stop: AtomicBool,
    pub steps: AtomicU64,
    pub bound: AtomicU64,
    pub seed: u64,
}

impl Shared {
    pub fn new(state: State, seed: u64) -> Self {
        let cpus = state.cpus.len();
        Shared {
            state: Mutex::new(state),
            coros: Mutex::new(HashMap::new()),
            wake: (0..cpus).map(|_| Condvar::new()).collect(),
            stop: AtomicBool::new(false),
            steps: AtomicU64::new(0),
            bound: AtomicU64::new(0),
            seed,
        }
    }

    /// Locks the state. A program that panicked leaves it whole: no lock is held in programs.
    pub fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|p| p.into_inner())
    }

    /// Runs all CPUs until nothing can run, a program stops the run, or `bound` steps were made.
    pub fn run(&self, bound: u64) -> End {
        self.stop.store(false, Ordering::SeqCst);
        let limit = self.steps.load(Ordering::SeqCst).saturating_add(bound);
        self.bound.store(limit, Ordering::SeqCst);
        let ended: Mutex<Option<End>> = Mutex::new(None);
        std::thread::scope(|s| {
            for cpu in 0..self.wake.len() as u32 {
                let ended = &ended;
                s.spawn(move || {
                    pin(cpu);
                    let here = Cpu::new(self, cpu);
                    if let Some(e) = here.while_installed(|| here.run()) {
                        ended
                            .lock()
                            .unwrap_or_else(|p| p.into_inner())
                            .get_or_insert(e);
                    }
                });
            }
        });
        let end = ended.into_inner().unwrap_or_else(|p| p.into_inner());
        end.unwrap_or(End::Stopped)
    }

    /// Wakes the CPUs that got something to do, and those that must look again.
    pub fn notify(&self, st: &mut State) {
        while let Some(cpu) = st.turns.changed.pop() {
            self.wake[cpu as usize].notify_all();
        }
    }

    /// Ends the run.
    pub fn end(&self) {
        self.stop.store(true, Ordering::SeqCst);
        for w in &self.wake {
            w.notify_all();
        }
    }
}

/// Pins the calling host thread, as far as the host has so many processors and allows it.
fn pin(cpu: u32) {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    // SAFETY: `set` is a plain bit set that these functions fill and read; a refusal is harmless.
    unsafe {
        let mut set: libc::cpu_set_t = core::mem::zeroed();
        libc::CPU_SET(cpu as usize % cores, &mut set);
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set);
    }
}

impl Cpu<'_> {
    fn run(&self) -> Option<End> {
        let mut st = self.shared.lock();
        loop {
            if self.shared.stop.load(Ordering::SeqCst) {
                return None;
            }
            if self.shared.steps.load(Ordering::SeqCst) >= self.shared.bound.load(Ordering::SeqCst)
            {
                self.shared.end();
                return Some(End::Bound);
            }
            st.cpu = self.cpu;
            self.due_timers(&mut st);
            let cpu = &st.cpus[self.cpu as usize];
            let at = cpu.ready.iter().map(|r| r.at).min();
            if let (None, Some(at)) = (cpu.running, at) {
                let at = at.max(cpu.clock);
                let thread = start_on(&mut st, self.cpu, at);
                self.dispatch(thread, st);
                st = self.shared.lock();
                continue;
            }
            if st
                .cpus
                .iter()
                .all(|c| c.running.is_none() && c.ready.is_empty())
            {
                if st.next_timer().is_some() {
                    st.fire_timer();
                    self.shared.notify(&mut st);
                    continue;
                }
                st.ends();
                self.shared.end();
                return Some(End::Quiet);
            }
            st = self.shared.wake[self.cpu as usize]
                .wait(st)
                .unwrap_or_else(|p| p.into_inner());
        }
    }

    /// Timeouts whose time has passed on this CPU's clock.
    fn due_timers(&self, st: &mut State) {
        while st
            .next_timer()
            .is_some_and(|t| t <= st.cpus[self.cpu as usize].clock)
        {
            st.fire_timer();
            st.cpu = self.cpu;
            self.shared.notify(st);
        }
    }

    fn dispatch(&self, thread: ObjId, mut st: MutexGuard<'_, State>) {
        self.me.set(thread);
        if let Some(t) = st.objs.thread(thread) {
            self.utcb.set(t.utcb);
        }
        let start = st.take_start(thread);
        self.shared.notify(&mut st);
        drop(st);
        let mut co = match start {
            Some((entry, sp)) => {
                if let Some(old) = self.coros().remove(&thread) {
                    reset(old);
                }
                let stack = DefaultStack::new(STACK).expect("the host gives 256 KiB");
                Coroutine::with_stack(stack, move |y, ()| {
                    here::set_yielder(y);
                    entry(sp);
                })
            }
            None => match self.wait_for(thread) {
                Some(co) => co,
                None => return self.finished(thread),
            },
        };
        match co.resume(()) {
            CoroutineResult::Yield(()) => {
                let mut st = self.shared.lock();
                if st.objs.thread(thread).is_some_and(|t| t.run != Run::Done) {
                    self.coros().insert(thread, Moved(co));
                } else {
                    reset(Moved(co));
                }
                st.me = thread;
                st.cpu = self.cpu;
                put_back(&mut st);
                self.bury(&mut st);
                self.shared.notify(&mut st);
            }
            CoroutineResult::Return(()) => self.finished(thread),
        }
    }

    /// The coroutine of a thread that was moved here; its old CPU may still be leaving it.
    fn wait_for(&self, thread: ObjId) -> Option<Co> {
        loop {
            if let Some(m) = self.coros().remove(&thread) {
                return Some(m.0);
            }
            let st = self.shared.lock();
            if st.objs.thread(thread).is_none_or(|t| t.run == Run::Done)
                || self.shared.stop.load(Ordering::SeqCst)
            {
                return None;
            }
            drop(st);
            std::thread::yield_now();
        }
    }

    fn coros(&self) -> MutexGuard<'_, HashMap<ObjId, Moved>> {
        self.shared.coros.lock().unwrap_or_else(|p| p.into_inner())
    }

    fn finished(&self, thread: ObjId) {
        let mut st = self.shared.lock();
        st.returned(thread);
        self.shared.notify(&mut st);
    }

    /// Drops the host side of killed threads; one that still executes goes when it stops.
    fn bury(&self, st: &mut State) {
        for t in core::mem::take(&mut st.dead) {
            if let Some(m) = self.coros().remove(&t) {
                reset(m);
            }
        }
    }
}

/// Drops a coroutine without running what is on its stack.
fn reset(m: Moved) {
    let Moved(mut co) = m;
    // SAFETY: nothing refers into the stack: programs are `'static`, and the kernel keeps no host
    // pointer to stacks. What the program owned leaks, as when a real thread is killed.
    unsafe { co.force_reset() };
}

impl Drop for Shared {
    fn drop(&mut self) {
        let coros = self.coros.get_mut().unwrap_or_else(|p| p.into_inner());
        for (_, m) in coros.drain() {
            reset(m);
        }
    }
}
