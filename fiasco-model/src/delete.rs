//! The end of kernel objects: what each of them leaves behind for others to see.

use l4_sys::{Fpage, FpageType, IpcError};

use crate::object::{Kind, ObjId};
use crate::quota;
use crate::state::State;
use crate::thread::Run;
use crate::trace::What;

impl State {
    /// Destroys objects, and those that go with them.
    pub fn destroy_all(&mut self, mut gone: Vec<ObjId>) {
        while let Some(obj) = gone.pop() {
            let more = self.destroy(obj);
            gone.extend(more);
        }
    }

    fn destroy(&mut self, obj: ObjId) -> Vec<ObjId> {
        let kind = match self.objs.get(obj).map(|o| &o.kind) {
            None | Some(Kind::Scheduler | Kind::Log | Kind::Icu | Kind::Debugger) => {
                return Vec::new();
            }
            Some(k) => k.name(),
        };
        self.charge(self.cost.object);
        self.note(What::Deleted { obj });
        let mut gone = Vec::new();
        match kind {
            "task" => gone = self.destroy_task(obj),
            "thread" => self.destroy_thread(obj),
            "gate" => self.destroy_gate(obj),
            "irq" => {
                self.forget_observer(obj);
                self.unbind_irq(obj);
            }
            "semaphore" => self.destroy_semaphore(obj),
            _ => {}
        }
        if let Some(o) = self.objs.remove(obj) {
            let (payer, bytes) = o.paid;
            match o.kind {
                Kind::Factory(q) => self.quotas.close(payer, q),
                Kind::Task(t) => self.graveyard.extend(t.ku),
                _ => {}
            }
            if bytes > 0 {
                self.quotas.free(payer, bytes);
            }
        }
        gone
    }

    fn destroy_task(&mut self, task: ObjId) -> Vec<ObjId> {
        let all = Fpage::generic(0, FpageType::Special, 63, 15);
        let gone = self.fpage_unmap(task, all, 1 << 31);
        for cpu in &mut self.cpus {
            if cpu.space == Some(task) {
                cpu.space = None;
            }
        }
        if let Some(t) = self.objs.task(task) {
            let (q, ku) = (t.quota, t.ku.iter().map(|k| k.size).sum::<u64>());
            let bytes = t.pages.tables() * quota::PAGE_TABLE + t.cap_pages() * quota::CAP_PAGE + ku;
            self.quotas.free(q, bytes);
        }
        // Threads of the task that others still name lose their memory; they can only fault now.
        let threads: Vec<ObjId> = self
            .objs
            .iter()
            .filter(|(_, o)| matches!(&o.kind, Kind::Thread(t) if t.task == Some(task)))
            .map(|(id, _)| id)
            .collect();
        for t in threads {
            self.kill(t);
        }
        gone
    }

    /// Destroys the running thread's task and whatever goes with it, as its parent would.
    pub fn crash_task_of_me(&mut self) {
        let me = self.me;
        let Some(task) = self.objs.thread(me).and_then(|t| t.task) else {
            return;
        };
        self.revoke_all(task);
        self.destroy_all(vec![task]);
    }

    /// Ends a thread: it never runs again, its senders are told, its callers are not.
    pub fn kill(&mut self, thread: ObjId) {
        self.destroy_thread(thread);
        if let Some(t) = self.objs.thread_mut(thread) {
            t.task = None;
            t.utcb = core::ptr::null_mut();
        }
    }

    fn destroy_thread(&mut self, thread: ObjId) {
        let Some(t) = self.objs.thread_mut(thread) else {
            return;
        };
        let run = core::mem::replace(&mut t.run, Run::Done);
        t.timer = 0;
        let senders = core::mem::take(&mut t.senders);
        let irq = t.delete_irq.take();
        if let Run::Sending(at) | Run::Down(at) = run {
            self.leave_queue(thread, at);
        }
        self.drop_reply_to(thread);
        self.drop_replies_of(thread);
        if let Some(of) = irq.and_then(|i| self.objs.deletion_of(i)) {
            *of = None;
        }
        for s in senders.iter() {
            if let Some(i) = self.objs.irq_mut(s) {
                // An interrupt goes back to unbound, but is remembered.
                i.queued = false;
                i.pending = true;
                i.thread = None;
            } else {
                self.fail(s, IpcError::SendCancelled.number());
            }
        }
        self.unready(thread);
        self.dead.push(thread);
    }

    fn destroy_gate(&mut self, gate: ObjId) {
        let Some(g) = self.objs.gate_mut(gate) else {
            return;
        };
        let waiting = core::mem::take(&mut g.waiting);
        let thread = g.thread.take();
        for w in waiting.iter() {
            self.fail(w, IpcError::NotExistent.number());
        }
        if let Some(irq) = thread
            .and_then(|t| self.objs.thread(t))
            .and_then(|t| t.delete_irq)
        {
            self.trigger(irq);
        }
    }
}
