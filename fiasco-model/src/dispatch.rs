//! What both engines do to hand a CPU from thread to thread.

use crate::object::ObjId;
use crate::sched::Ready;
use crate::state::State;
use crate::thread::Run;

/// The CPU that can run first, when, and when the next one can.
pub(crate) fn earliest(st: &mut State) -> (u32, u64, u64) {
    let here = st.cpu;
    st.turns.set(here, st.cpus[here as usize].key());
    while let Some(cpu) = st.turns.changed.pop() {
        st.turns.set(cpu, st.cpus[cpu as usize].key());
    }
    st.turns.first()
}

/// Makes the best thread of a CPU the running one.
pub(crate) fn start_on(st: &mut State, cpu: u32, at: u64) -> ObjId {
    let c = &mut st.cpus[cpu as usize];
    c.clock = c.clock.max(at);
    let i = c.pick(c.clock).expect("the CPU has a thread that arrived");
    let thread = c.ready.swap_remove(i).thread;
    let direct = c.direct.take() == Some(thread);
    c.running = Some(thread);
    c.since = c.clock;
    if c.last != Some(thread) {
        c.last = Some(thread);
        c.slice = c.clock;
    }
    let space = st.objs.thread(thread).and_then(|t| t.task);
    let c = &mut st.cpus[cpu as usize];
    if !direct && c.space != space {
        c.clock += st.cost.schedule;
    }
    c.space = space;
    if let Some(t) = space.and_then(|s| st.objs.task_mut(s)) {
        t.mark_active(cpu);
    }
    st.me = thread;
    st.cpu = cpu;
    if st.objs.thread(thread).is_some_and(|t| t.start.is_some()) {
        st.begins(thread);
    }
    thread
}

/// Microseconds that a thread runs before others of its priority get their turn.
const QUANTUM_US: u64 = 10_000;

/// Whether the running thread's time slice is used up.
fn expired(st: &State) -> bool {
    let c = &st.cpus[st.cpu as usize];
    c.clock - c.slice.min(c.clock) > QUANTUM_US * st.cost.mhz
}

/// Whether the running thread may go on after an operation: it is ready, here, and nobody of a
/// higher priority (or of its own, when its slice is over) is. Without `timed`, threads that will
/// only arrive later count as well.
pub(crate) fn may_go_on(st: &State, timed: bool) -> bool {
    let Some(t) = st.objs.thread(st.me) else {
        return false;
    };
    let c = &st.cpus[st.cpu as usize];
    let here = t.cpu.is_some_and(|x| x.0 == st.cpu);
    if t.run != Run::Ready || !here || t.start.is_some() || c.running != Some(st.me) {
        return false;
    }
    c.ready.is_empty() || {
        let over = expired(st);
        let first = |r: &Ready| r.prio > t.prio || (over && r.prio == t.prio);
        !c.ready
            .iter()
            .any(|r| first(r) && (!timed || r.at <= c.clock))
    }
}

/// The running thread stops running; when it could go on it is the next of its
/// priority, or the last when its slice is over.
pub(crate) fn put_back(st: &mut State) {
    let (me, cpu) = (st.me, st.cpu as usize);
    if st.cpus[cpu].running != Some(me) {
        return;
    }
    let number = if expired(st) { st.next_number() } else { 0 };
    let c = &mut st.cpus[cpu];
    c.running = None;
    let used = c.clock - c.since.min(c.clock);
    c.busy += used;
    if let Some(t) = st.objs.thread_mut(me) {
        t.consumed += used;
    }
    let ready = st
        .objs
        .thread(me)
        .filter(|t| t.run == Run::Ready && t.cpu.map(|c| c.0) == Some(cpu as u32));
    if let Some(prio) = ready.map(|t| t.prio) {
        let at = st.cpus[cpu].clock;
        st.cpus[cpu].ready.push(Ready {
            prio,
            number,
            at,
            thread: me,
        });
    }
}
