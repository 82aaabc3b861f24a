//! Semaphores: interrupt objects that count, and that threads wait for.
//!
//! A trigger (by a thread, or as deletion notice) raises the count or lets the first waiting
//! thread go on; `down` lowers it or waits, as long as its receive timeout says. A waiting thread
//! receives no messages.

use l4_sys::ops::irq;
use l4_sys::{Errno, IpcError, MsgTag, Timeouts, proto};

use crate::invoke::{Call, Reply, err, ok};
use crate::object::{Kind, ObjId};
use crate::queue::Queue;
use crate::state::State;
use crate::thread::Run;

/// Operation of the semaphore protocol: take one, or wait for it.
const DOWN: u64 = 0;

/// A semaphore.
#[derive(Debug, Default)]
pub(crate) struct Semaphore {
    count: u64,
    waiting: Queue,
    /// The thread whose gate deletions raise it.
    pub deletion_of: Option<ObjId>,
}

impl Semaphore {
    /// A thread waits no longer.
    pub fn leave(&mut self, thread: ObjId) {
        self.waiting.dequeue(thread);
    }
}

impl State {
    pub fn sys_semaphore(&mut self, call: Call, timeouts: Timeouts) -> Reply {
        let Some(op) = call.irq_op() else {
            return err(Errno::Inval);
        };
        match (call.tag.label(), op) {
            (proto::IRQ, irq::TRIGGER) => {
                self.trigger(call.obj);
                Reply::Silent
            }
            (proto::IRQ, irq::EOI) => Reply::Silent,
            (proto::SEMAPHORE, DOWN) => self.down(call, timeouts),
            (proto::IRQ | proto::SEMAPHORE, _) => err(Errno::NoSys),
            _ => err(Errno::BadProto),
        }
    }

    fn down(&mut self, call: Call, timeouts: Timeouts) -> Reply {
        if call.rights & 2 == 0 {
            return err(Errno::Perm);
        }
        let me = self.me;
        let number = self.next_number();
        let prio = self.objs.thread(me).map_or(0, |t| t.prio);
        let Some(Kind::Semaphore(s)) = self.objs.get_mut(call.obj).map(|o| &mut o.kind) else {
            return err(Errno::NoSys);
        };
        if s.count > 0 {
            s.count -= 1;
            return ok(0);
        }
        if self.due(me, timeouts.receive()) == crate::sched::Due::Passed {
            return self.ipc_error(call.utcb, IpcError::ReceiveTimeout.number());
        }
        if let Some(Kind::Semaphore(s)) = self.objs.get_mut(call.obj).map(|o| &mut o.kind) {
            s.waiting.enqueue(prio, number, me);
        }
        self.wait(me, Run::Down(call.obj), timeouts.receive());
        Reply::Waits
    }

    /// A semaphore is triggered: the first thread that waits goes on.
    pub fn raise(&mut self, id: ObjId) {
        let Some(Kind::Semaphore(s)) = self.objs.get_mut(id).map(|o| &mut o.kind) else {
            return;
        };
        let Some(thread) = s.waiting.pop() else {
            s.count = s.count.saturating_add(1);
            return;
        };
        let Some(t) = self.objs.thread_mut(thread) else {
            return;
        };
        // Who does not receive keeps the tag that it sent.
        let receives = t.frame.flags & l4_sys::syscall::RECV != 0;
        t.result = (if receives { MsgTag(0) } else { t.frame.tag }, 0);
        let there = t.cpu.map_or(self.cpu, |c| c.0);
        let at = if there == self.cpu {
            self.now()
        } else {
            self.ipi(there)
        };
        self.make_ready(thread, at);
    }

    /// A semaphore goes: who waits is told.
    pub fn destroy_semaphore(&mut self, id: ObjId) {
        self.forget_observer(id);
        loop {
            let Some(Kind::Semaphore(s)) = self.objs.get_mut(id).map(|o| &mut o.kind) else {
                return;
            };
            let Some(thread) = s.waiting.pop() else {
                return;
            };
            self.fail(thread, IpcError::NotExistent.number());
        }
    }
}
