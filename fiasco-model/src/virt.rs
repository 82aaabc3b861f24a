//! Deterministic virtual time: all simulated threads on one host thread, as coroutines.
//!
//! The CPU with the earliest clock runs, one segment between two system calls at a time, so that
//! what threads do to each other happens in the order of simulated time. Everything follows from
//! the inputs and the seed: the same run is the same bit for bit.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;

use corosensei::stack::DefaultStack;
use corosensei::{Coroutine, CoroutineResult, Yielder};
use l4_sys::Utcb;

use crate::dispatch::{earliest, may_go_on, put_back, start_on};
use crate::fault::FaultStep;
use crate::object::ObjId;
use crate::rng::Rng;
use crate::state::State;

/// Host stack of a simulated thread; its pages are only used when touched.
pub(crate) const STACK: usize = 256 << 10;

pub(crate) type Co = Coroutine<(), (), (), DefaultStack>;

/// How the next CPU is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// By simulated time.
    Time,
    /// By chance among the CPUs that can run, changing at every system call: for exploring
    /// schedules. Clocks then mean nothing.
    Random,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Nothing can run and no timeout is pending.
    Quiet,
    /// The bound on steps was reached: something goes on for ever.
    Bound,
    /// A program asked for the end.
    Stopped,
}

/// The engine. Not `Send`: it lives on one host thread.
pub(crate) struct Virtual {
    pub state: RefCell<State>,
    coros: RefCell<HashMap<ObjId, Co>>,
    stacks: RefCell<Vec<DefaultStack>>,
    yielder: Cell<*const Yielder<(), ()>>,
    pub utcb: Cell<*mut Utcb>,
    /// The earliest time at which another CPU can run.
    horizon: Cell<u64>,
    order: Order,
    rng: RefCell<Rng>,
    pub stop: Cell<bool>,
    /// System calls and faults so far, and where the run ends.
    pub steps: Cell<u64>,
    bound: Cell<u64>,
}

impl Virtual {
    pub fn new(state: State, order: Order, seed: u64) -> Self {
        Virtual {
            state: RefCell::new(state),
            coros: RefCell::new(HashMap::new()),
            stacks: RefCell::new(Vec::new()),
            yielder: Cell::new(core::ptr::null()),
            utcb: Cell::new(core::ptr::null_mut()),
            horizon: Cell::new(0),
            order,
            rng: RefCell::new(Rng::new(seed)),
            stop: Cell::new(false),
            steps: Cell::new(0),
            bound: Cell::new(0),
        }
    }

    /// Runs until nothing can run, a program stops the run, or `bound` steps have happened.
    pub fn run(&self, bound: u64) -> End {
        crate::user::installed(self, || self.run_inner(bound))
    }

    fn run_inner(&self, bound: u64) -> End {
        self.bound.set(self.steps.get().saturating_add(bound));
        self.stop.set(false);
        loop {
            if self.stop.get() {
                return End::Stopped;
            }
            if self.steps.get() >= self.bound.get() {
                return End::Bound;
            }
            let Some(thread) = self.choose() else {
                self.state.borrow_mut().ends();
                return End::Quiet;
            };
            self.dispatch(thread);
            self.bury();
        }
    }

    /// Chooses CPU and thread; fires timeouts that are due first.
    fn choose(&self) -> Option<ObjId> {
        let mut st = self.state.borrow_mut();
        loop {
            let (cpu, at, next) = match self.order {
                Order::Time => earliest(&mut st),
                Order::Random => self.any(&st),
            };
            let timer = st.next_timer();
            if at == u64::MAX && timer.is_none() {
                return None;
            }
            if timer.is_some_and(|t| t <= at) {
                st.fire_timer();
                continue;
            }
            self.horizon.set(match self.order {
                Order::Time => timer.map_or(next, |t| t.min(next)),
                Order::Random => 0,
            });
            return Some(start_on(&mut st, cpu, at));
        }
    }

    fn any(&self, st: &State) -> (u32, u64, u64) {
        let able: Vec<u32> = (0..st.cpus.len() as u32)
            .filter(|c| st.cpus[*c as usize].key() != u64::MAX)
            .collect();
        if able.is_empty() {
            return (0, u64::MAX, u64::MAX);
        }
        let cpu = able[self.rng.borrow_mut().below(able.len() as u64) as usize];
        (cpu, st.cpus[cpu as usize].key(), 0)
    }

    fn dispatch(&self, thread: ObjId) {
        let start = {
            let mut st = self.state.borrow_mut();
            let Some(t) = st.objs.thread(thread) else {
                return;
            };
            self.utcb.set(t.utcb);
            st.take_start(thread)
        };
        let mut co = match start {
            Some((entry, sp)) => {
                self.drop_coroutine(thread);
                self.make(entry, sp)
            }
            None => match self.coros.borrow_mut().remove(&thread) {
                Some(c) => c,
                None => return self.finished(thread),
            },
        };
        match co.resume(()) {
            CoroutineResult::Yield(()) => {
                self.coros.borrow_mut().insert(thread, co);
            }
            CoroutineResult::Return(()) => {
                self.stacks.borrow_mut().push(co.into_stack());
                self.finished(thread);
            }
        }
    }

    fn make(&self, entry: crate::state::Entry, sp: u64) -> Co {
        let stack = self.stacks.borrow_mut().pop();
        let stack = stack.unwrap_or_else(|| {
            DefaultStack::new(STACK).expect("the host gives 256 KiB of address space")
        });
        let yielder = &raw const self.yielder;
        Coroutine::with_stack(stack, move |y, ()| {
            // SAFETY: the engine outlives its coroutines: they are dropped with it at the latest.
            unsafe { (*yielder).set(y) };
            entry(sp);
        })
    }

    /// A program that returned sleeps for ever.
    fn finished(&self, thread: ObjId) {
        self.state.borrow_mut().returned(thread);
    }

    fn drop_coroutine(&self, thread: ObjId) {
        let Some(mut co) = self.coros.borrow_mut().remove(&thread) else {
            return;
        };
        // SAFETY: nothing outside a coroutine's stack refers into it: programs are `'static`
        // closures, and the kernel keeps no host pointer to stacks. What the program owned leaks,
        // as it does when a real thread is killed.
        unsafe { co.force_reset() };
        self.stacks.borrow_mut().push(co.into_stack());
    }

    /// Drops the host side of threads that were killed.
    fn bury(&self) {
        let dead = core::mem::take(&mut self.state.borrow_mut().dead);
        for t in dead {
            self.drop_coroutine(t);
        }
    }

    fn suspend(&self) {
        let y = self.yielder.get();
        // SAFETY: set by the running coroutine at its start or after its last suspension, so it is
        // the running one's, and alive as long as that is.
        unsafe { (*y).suspend(()) };
        self.yielder.set(y);
        // The thread may have been moved in memory by growth of the object table.
        let st = self.state.borrow();
        if let Some(t) = st.objs.thread(st.me) {
            self.utcb.set(t.utcb);
        }
    }

    /// After an operation of the running thread: whether it goes on at once.
    fn goes_on(&self, st: &State) -> bool {
        let clock = st.cpus[st.cpu as usize].clock;
        self.order == Order::Time
            && clock <= self.horizon.get()
            && may_go_on(st, true)
            && self.steps.get() < self.bound.get()
            && !self.stop.get()
    }

    /// Gives other CPUs their turn when time has come, and sleeps while the thread waits.
    pub fn settle(&self) {
        self.steps.set(self.steps.get() + 1);
        self.fate();
        let on = {
            let mut st = self.state.borrow_mut();
            self.goes_on(&st) || {
                put_back(&mut st);
                false
            }
        };
        if !on {
            self.suspend();
        }
    }

    /// A mortal thread may die here, with its task.
    fn fate(&self) {
        let mut st = self.state.borrow_mut();
        let chance = st.objs.thread(st.me).map_or(0, |t| t.mortal);
        if chance > 0 && self.rng.borrow_mut().below(1_000_000) < u64::from(chance) {
            st.crash_task_of_me();
        }
    }

    /// Host address of `addr` for the running thread, faulting as often as it takes.
    pub fn access(&self, addr: u64, rights: u8) -> *mut u8 {
        let write = rights & 2 != 0;
        loop {
            let step = {
                let mut st = self.state.borrow_mut();
                let task = st.my_task();
                if let Some(p) = st.translate(task, addr, rights) {
                    return p;
                }
                st.fault(addr, write)
            };
            self.follow(step, addr, write);
        }
    }

    fn follow(&self, mut step: FaultStep, addr: u64, write: bool) {
        while step == FaultStep::Asked {
            self.settle();
            step = self.state.borrow_mut().fault_answer(addr, write);
        }
        if step == FaultStep::Hopeless {
            self.state.borrow_mut().stuck(addr);
            self.settle();
        }
    }

    /// Time passes in the running program.
    pub fn compute(&self, cycles: u64) {
        self.state.borrow_mut().charge(cycles);
        self.settle();
    }
}

impl Drop for Virtual {
    fn drop(&mut self) {
        let all: Vec<ObjId> = self.coros.borrow().keys().copied().collect();
        for t in all {
            self.drop_coroutine(t);
        }
    }
}
