//! Interrupt objects, and the operations of gates and interrupt objects as receive endpoints.

use l4_sys::ops::{endpoint, irq};
use l4_sys::{Errno, MsgTag, proto};

use crate::invoke::{Call, Reply, err, ok};
use crate::object::ObjId;
use crate::state::State;
use crate::thread::{From, Run};
use crate::trace::What;

/// Operation of a gate's own capability: lower the count of capabilities.
const DEC_REFCNT: u64 = 0;
/// Priority of interrupts in a sender queue.
const IRQ_PRIO: u8 = 255;

impl Call {
    /// The operation of a message to an interrupt object; `None` when there is none.
    pub fn irq_op(&self) -> Option<u64> {
        match (self.tag.label(), self.tag.words()) {
            (proto::IRQ, 0) => Some(irq::TRIGGER),
            (_, 0) => None,
            _ => Some(self.utcb.mr(0) & 0xffff),
        }
    }
}

impl State {
    pub fn sys_irq(&mut self, call: Call) -> Reply {
        let Some(op) = call.irq_op() else {
            return err(Errno::Inval);
        };
        match (call.tag.label(), op) {
            (proto::KOBJECT, endpoint::BIND) => self.bind_irq(call),
            (proto::IRQ, irq::TRIGGER) => {
                self.trigger(call.obj);
                Reply::Silent
            }
            (proto::IRQ, irq::EOI) => Reply::Silent,
            (proto::IRQ_SENDER, irq::SENDER_DETACH) => {
                if call.rights & 2 == 0 {
                    return err(Errno::Perm);
                }
                match self
                    .objs
                    .irq_mut(call.obj)
                    .map(|i| (i.thread.is_some(), i.queued))
                {
                    Some((true, queued)) => {
                        self.unbind_irq(call.obj);
                        if let Some(i) = self.objs.irq_mut(call.obj) {
                            i.pending = queued;
                        }
                        Reply::Tag(MsgTag::plain(i64::from(queued), 0, 0))
                    }
                    _ => err(Errno::NoEnt),
                }
            }
            (proto::KOBJECT | proto::IRQ | proto::IRQ_SENDER, _) => err(Errno::NoSys),
            _ => err(Errno::BadProto),
        }
    }

    /// The thread that the first item of a request to bind names, with S.
    fn item_thread(&mut self, call: &Call) -> Result<ObjId, Reply> {
        let cap = self.item_cap(call)?;
        if self.objs.thread(cap.obj).is_none() {
            return Err(err(Errno::Inval));
        }
        if cap.rights & 2 == 0 {
            return Err(err(Errno::Perm));
        }
        Ok(cap.obj)
    }

    fn bind_irq(&mut self, call: Call) -> Reply {
        if call.rights & 2 == 0 {
            return err(Errno::Perm);
        }
        let thread = match self.item_thread(&call) {
            Ok(t) => t,
            Err(e) => return e,
        };
        let label = call.utcb.mr(1);
        let same = match self.objs.irq_mut(call.obj) {
            Some(i) => i.thread == Some(thread),
            None => return err(Errno::NoSys),
        };
        let mut pending = false;
        if !same {
            pending = self
                .objs
                .irq_mut(call.obj)
                .is_some_and(|i| i.queued || i.pending);
            self.unbind_irq(call.obj);
        }
        if let Some(i) = self.objs.irq_mut(call.obj) {
            i.thread = Some(thread);
            i.label = label;
            i.pending &= same;
        }
        if pending {
            self.trigger(call.obj);
        }
        ok(0)
    }

    /// Takes an interrupt object from its thread.
    pub fn unbind_irq(&mut self, id: ObjId) {
        let Some(i) = self.objs.irq_mut(id) else {
            return;
        };
        let thread = i.thread.take();
        i.queued = false;
        if let Some(t) = thread.and_then(|t| self.objs.thread_mut(t)) {
            t.senders.dequeue(id);
        }
    }

    /// An interrupt object or semaphore reports no gate deletions any more.
    pub fn forget_observer(&mut self, id: ObjId) {
        let watched = self.objs.deletion_of(id).and_then(Option::take);
        if let Some(t) = watched.and_then(|t| self.objs.thread_mut(t)) {
            t.delete_irq = None;
        }
    }

    /// An interrupt happens.
    pub fn trigger(&mut self, id: ObjId) {
        self.note(What::Irq { irq: id });
        let Some(i) = self.objs.irq_mut(id) else {
            return self.raise(id);
        };
        let Some(thread) = i.thread else {
            i.pending = true;
            return;
        };
        if i.queued {
            return;
        }
        let there = self
            .objs
            .thread(thread)
            .and_then(|t| t.cpu)
            .map_or(self.cpu, |c| c.0);
        let at = if there == self.cpu {
            self.now()
        } else {
            self.ipi(there)
        };
        if self.accepts(thread, id) {
            self.irq_message(id, thread);
            self.finish_receive(thread, at);
            return;
        }
        let number = self.next_number();
        if let Some(t) = self.objs.thread_mut(thread) {
            t.senders.enqueue(IRQ_PRIO, number, id);
        }
        if let Some(i) = self.objs.irq_mut(id) {
            i.queued = true;
        }
    }

    /// Puts an interrupt's message into its receiver.
    pub fn irq_message(&mut self, id: ObjId, thread: ObjId) {
        self.count().irqs += 1;
        let Some(i) = self.objs.irq_mut(id) else {
            return;
        };
        i.queued = false;
        let label = i.label;
        let Some(t) = self.objs.thread_mut(thread) else {
            return;
        };
        t.result = (MsgTag(0), label);
        if t.frame.from == From::Anybody {
            self.no_reply_due(thread);
        }
    }

    pub fn sys_gate(&mut self, call: Call) -> Reply {
        if call.tag.words() < 1 {
            return err(Errno::Inval);
        }
        match call.utcb.mr(0) {
            endpoint::BIND => self.bind_gate(call),
            endpoint::GATE_INFO => match self.objs.gate_mut(call.obj) {
                Some(g) => {
                    let label = g.label;
                    call.utcb.set_mr(0, label);
                    ok(1)
                }
                None => err(Errno::NoSys),
            },
            DEC_REFCNT => self.drop_references(call),
            _ => err(Errno::NoSys),
        }
    }

    /// Lowers the count of a gate's capabilities, so that it goes with its users' last one and not
    /// with its creator's. Nothing goes by this alone.
    fn drop_references(&mut self, call: Call) -> Reply {
        if call.tag.words() < 2 {
            return err(Errno::Inval);
        }
        let Some(o) = self.objs.get_mut(call.obj) else {
            return err(Errno::NoSys);
        };
        let by = call.utcb.mr(1) as i64;
        o.counted = o.counted.wrapping_sub(by);
        o.dropped = o.dropped.wrapping_add(by);
        call.utcb.set_mr(0, o.counted as u64);
        ok(1)
    }

    fn bind_gate(&mut self, call: Call) -> Reply {
        if call.rights & 2 == 0 {
            return err(Errno::Perm);
        }
        if call.tag.words() < 2 {
            return err(Errno::MsgTooShort);
        }
        let label = call.utcb.mr(1);
        if label & 3 != 0 {
            return err(Errno::Inval);
        }
        let thread = match self.item_thread(&call) {
            Ok(t) => t,
            Err(e) => return e,
        };
        let Some(g) = self.objs.gate_mut(call.obj) else {
            return err(Errno::NoSys);
        };
        g.label = label;
        g.thread = Some(thread);
        let waiting = core::mem::take(&mut g.waiting);
        let me = self.me;
        for w in waiting.iter() {
            self.resend(call.obj, w, (Some(thread), label));
        }
        self.me = me;
        ok(0)
    }

    /// Lets a thread that waited for the gate's thread send to it now.
    fn resend(&mut self, gate: ObjId, thread: ObjId, to: (Option<ObjId>, u64)) {
        let Some(t) = self.objs.thread_mut(thread) else {
            return;
        };
        t.timer = 0;
        let frame = t.frame;
        self.me = thread;
        self.gate_ipc(gate, to, frame);
        if self
            .objs
            .thread(thread)
            .is_some_and(|t| t.run == Run::Ready)
        {
            let now = self.now();
            self.make_ready(thread, now);
        }
    }
}
