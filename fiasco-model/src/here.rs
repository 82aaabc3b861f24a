//! The kernel as the programs of a pinned CPU see it.
//!
//! A simulated thread can wait on one host thread and go on on another. So nothing here keeps
//! `self` across a suspension: what belongs to the host thread is looked up again with [`here`],
//! which is not inlined so that its address of the thread-local is never an old one.

use std::cell::{Cell, RefCell};
use std::sync::MutexGuard;
use std::sync::atomic::Ordering;

use corosensei::Yielder;
use l4_sys::host::Kernel;
use l4_sys::{CapIdx, MsgTag, Timeouts, Utcb};

use crate::dispatch::may_go_on;
use crate::fault::FaultStep;
use crate::object::ObjId;
use crate::pinned::Shared;
use crate::rng::Rng;
use crate::state::{NOBODY, State};

/// One simulated CPU on its host thread.
pub(crate) struct Cpu<'a> {
    pub shared: &'a Shared,
    pub cpu: u32,
    pub me: Cell<ObjId>,
    pub utcb: Cell<*mut Utcb>,
    rng: RefCell<Rng>,
}

std::thread_local! {
    static HERE: Cell<*const ()> = const { Cell::new(core::ptr::null()) };
    static YIELDER: Cell<*const Yielder<(), ()>> = const { Cell::new(core::ptr::null()) };
}

/// The CPU of the calling host thread.
#[inline(never)]
fn here<'a>() -> &'a Cpu<'a> {
    let p: *const Cpu<'a> = HERE.with(Cell::get).cast();
    // SAFETY: set by `while_installed` for as long as programs run on this host thread; the
    // reference is not used after the next suspension.
    unsafe { &*p }
}

/// Remembers the running coroutine's way out.
#[inline(never)]
pub(crate) fn set_yielder(y: *const Yielder<(), ()>) {
    YIELDER.with(|c| c.set(y));
}

#[inline(never)]
fn yielder() -> *const Yielder<(), ()> {
    YIELDER.with(Cell::get)
}

/// Leaves the running coroutine; returns on whatever host thread takes it up again.
#[inline(never)]
fn suspend() {
    let y = yielder();
    // SAFETY: the running coroutine's own, alive as long as it runs.
    unsafe { (*y).suspend(()) };
    set_yielder(y);
}

impl<'a> Cpu<'a> {
    pub fn new(shared: &'a Shared, cpu: u32) -> Self {
        let utcb = Cell::new(core::ptr::null_mut());
        Cpu {
            shared,
            cpu,
            me: Cell::new(NOBODY),
            utcb,
            rng: RefCell::new(Rng::new(shared.seed.wrapping_add(u64::from(cpu)))),
        }
    }

    /// Runs `f` with this CPU answering the host thread's system calls.
    pub fn while_installed<R>(&self, f: impl FnOnce() -> R) -> R {
        crate::user::installed(self, || {
            HERE.with(|h| h.set(core::ptr::from_ref(self).cast()));
            let result = f();
            HERE.with(|h| h.set(core::ptr::null()));
            result
        })
    }

    /// The state, with this CPU's thread as the running one.
    fn locked(&self) -> MutexGuard<'a, State> {
        let mut st = self.shared.lock();
        st.me = self.me.get();
        st.cpu = self.cpu;
        st
    }

    /// A mortal thread may die here, with its task.
    fn fate(&self, st: &mut State) {
        let chance = st.objs.thread(st.me).map_or(0, |t| t.mortal);
        if chance > 0 && self.rng.borrow_mut().below(1_000_000) < u64::from(chance) {
            st.crash_task_of_me();
        }
    }

    /// After an operation: goes on, or lets the CPU run something else first.
    fn settle(&self, mut st: MutexGuard<'_, State>) {
        let steps = self.shared.steps.fetch_add(1, Ordering::SeqCst) + 1;
        let over = steps >= self.shared.bound.load(Ordering::SeqCst);
        self.fate(&mut st);
        let now = st.now();
        let due = st.next_timer().is_some_and(|t| t <= now);
        let goes_on = may_go_on(&st, false) && !due;
        self.shared.notify(&mut st);
        drop(st);
        if !goes_on || over || self.shared.stop.load(Ordering::SeqCst) {
            suspend();
        }
    }
}

/// The state for the running thread; one that another CPU has killed meanwhile ends here.
fn alive<'a>() -> (&'a Cpu<'a>, MutexGuard<'a, State>) {
    loop {
        let cpu = here();
        let st = cpu.locked();
        if st.objs.thread(st.me).is_some_and(|t| t.task.is_some()) {
            return (cpu, st);
        }
        drop(st);
        // Its stack is dropped when it gets here, so this does not return.
        suspend();
    }
}

/// One operation of the running thread.
fn operation<R>(f: impl FnOnce(&mut State) -> R) -> R {
    let (cpu, mut st) = alive();
    let r = f(&mut st);
    cpu.settle(st);
    r
}

/// A look without an operation.
fn look<R>(f: impl FnOnce(&mut State) -> R) -> R {
    f(&mut alive().1)
}

fn access(addr: u64, rights: u8) -> *mut u8 {
    let write = rights & 2 != 0;
    loop {
        let there = look(|st| {
            let task = st.my_task();
            st.translate(task, addr, rights)
        });
        if let Some(p) = there {
            return p;
        }
        let mut step = operation(|st| st.fault(addr, write));
        while step == FaultStep::Asked {
            step = operation(|st| st.fault_answer(addr, write));
        }
        if step == FaultStep::Hopeless {
            operation(|st| st.stuck(addr));
        }
    }
}

impl Kernel for Cpu<'_> {
    fn invoke(
        &self,
        dest: CapIdx,
        flags: u64,
        label: u64,
        tag: MsgTag,
        timeouts: Timeouts,
    ) -> (MsgTag, u64) {
        operation(|st| st.syscall(dest, flags, label, tag, timeouts));
        look(|st| st.result(flags))
    }

    fn utcb(&self) -> *mut Utcb {
        self.utcb.get()
    }

    fn at(&self, addr: u64) -> *mut u8 {
        access(addr, 4)
    }

    fn zero(&self, addr: u64, bytes: u64) {
        crate::user::zero(addr, bytes, access);
        look(|st| st.count().zeroed += bytes);
    }

    fn apic_id(&self) -> u32 {
        look(|st| st.machine.apic_id(st.cpu))
    }

    fn entry(&self, start: Box<dyn FnOnce(u64) + Send>) -> u64 {
        look(|st| st.add_entry(start))
    }
}

impl crate::user::Engine for Cpu<'_> {
    fn access(&self, addr: u64, rights: u8) -> *mut u8 {
        access(addr, rights)
    }

    fn compute(&self, cycles: u64) {
        // Others may need the host's processor to get on.
        std::thread::yield_now();
        operation(|st| st.charge(cycles));
    }

    fn now(&self) -> u64 {
        look(|st| st.now())
    }

    fn cpu(&self) -> u32 {
        self.cpu
    }

    fn stop(&self) {
        self.shared.end();
    }

    fn mortal(&self, per_million: u32) {
        look(|st| st.mortal(per_million));
    }

    fn totals(&self) -> crate::Counters {
        look(|st| st.totals())
    }

    fn settled(&self) {
        look(State::settled);
    }

    fn works(&self, cycles: u64) {
        look(|st| st.works(cycles));
    }
}
