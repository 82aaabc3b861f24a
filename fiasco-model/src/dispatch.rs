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
    thread
}

/// The running thread stops running; when it could go on it is the next of its priority.
pub(crate) fn put_back(st: &mut State) {
    let (me, cpu) = (st.me, st.cpu as usize);
    if st.cpus[cpu].running != Some(me) {
        return;
    }
    st.cpus[cpu].running = None;
    let ready = st
        .objs
        .thread(me)
        .filter(|t| t.run == Run::Ready && t.cpu.map(|c| c.0) == Some(cpu as u32));
    if let Some(prio) = ready.map(|t| t.prio) {
        let at = st.cpus[cpu].clock;
        st.cpus[cpu].ready.push(Ready {
            prio,
            number: 0,
            at,
            thread: me,
        });
    }
}
