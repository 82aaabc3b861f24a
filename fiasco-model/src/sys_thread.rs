//! Operations on threads: control, start, senders' labels, deletion notices.

use l4_sys::ops::thread;
use l4_sys::{Errno, IpcError};

use crate::invoke::{Call, Reply, err, ok};
use crate::object::ObjId;
use crate::state::State;
use crate::thread::Run;
use crate::trace::Misuse;

/// Bits of word 0 that hold the operation.
const OPCODE: u64 = 0xffff;
/// A pager or handler slot in the form that names nothing.
const NO_SLOT: u64 = u64::MAX;

impl State {
    pub fn sys_thread(&mut self, call: Call) -> Reply {
        if call.tag.words() < 1 {
            return err(Errno::MsgTooShort);
        }
        match call.utcb.mr(0) & OPCODE {
            thread::CONTROL => self.thread_control(call),
            thread::EX_REGS => self.thread_ex_regs(call),
            thread::SWITCH => ok(0),
            thread::STATS => {
                let used = self.objs.thread(call.obj).map_or(0, |t| t.consumed);
                call.utcb.set_mr(0, used / self.cost.mhz.max(1));
                ok(1)
            }
            thread::REGISTER_DELETE_IRQ => self.thread_delete_irq(call),
            thread::MODIFY_SENDER => self.thread_modify_senders(call),
            // The trampoline of page faults is never on in the model.
            thread::PF_TRAMP_CONTROL if call.utcb.mr(0) == thread::PF_TRAMP_DISABLE => {
                call.utcb.set_mr(0, 0);
                ok(1)
            }
            _ => err(Errno::NoSys),
        }
    }

    fn thread_control(&mut self, call: Call) -> Reply {
        if call.rights & 2 == 0 {
            return err(Errno::Perm);
        }
        if call.tag.words() < 6 {
            return err(Errno::Inval);
        }
        let u = call.utcb;
        let flags = u.mr(0);
        let Some(t) = self.objs.thread(call.obj) else {
            return err(Errno::NoSys);
        };
        let old = (t.pager, t.handler);
        if flags & thread::BIND_TASK != 0 {
            let cap = match self.item_cap(&call) {
                Ok(c) => c,
                Err(e) => return e,
            };
            if self.objs.task(cap.obj).is_none() {
                return err(Errno::Inval);
            }
            if cap.rights & 2 == 0 {
                return err(Errno::Perm);
            }
            if !self.bind(call.obj, cap.obj, u.mr(thread::MR_BIND_UTCB)) {
                return err(Errno::Inval);
            }
        }
        if flags & thread::ALIEN != 0 {
            return err(Errno::NoSys);
        }
        if let Some(t) = self.objs.thread_mut(call.obj) {
            if flags & thread::SET_PAGER != 0 {
                t.pager = u.mr(thread::MR_PAGER) >> 12;
            }
            if flags & thread::SET_EXC_HANDLER != 0 {
                t.handler = u.mr(thread::MR_EXC_HANDLER) >> 12;
            }
        }
        let back = |slot: u64| {
            if slot == NO_SLOT {
                u64::MAX << 11
            } else {
                slot << 12
            }
        };
        u.set_mr(1, back(old.0));
        u.set_mr(2, back(old.1));
        ok(3)
    }

    /// Binds a thread to a task and a UTCB in its kernel-user memory; once.
    pub fn bind(&mut self, thread: ObjId, task: ObjId, utcb: u64) -> bool {
        let Some(host) = self
            .objs
            .task(task)
            .and_then(|t| t.ku_host(utcb, l4_sys::utcb::UTCB_SIZE))
        else {
            return false;
        };
        if !utcb.is_multiple_of(l4_sys::utcb::UTCB_SIZE) {
            return false;
        }
        match self.objs.thread_mut(thread) {
            Some(t) if t.task.is_none() && t.run == Run::Dormant => {
                t.task = Some(task);
                t.utcb = host.cast();
            }
            _ => return false,
        }
        if let Some(t) = self.objs.task_mut(task) {
            t.bound += 1;
        }
        true
    }

    fn thread_ex_regs(&mut self, call: Call) -> Reply {
        if call.tag.words() != 3 {
            return err(Errno::Inval);
        }
        let (flags, ip, sp) = (call.utcb.mr(0), call.utcb.mr(1), call.utcb.mr(2));
        // The registers of a thread are changed on its own CPU.
        let there = self.objs.thread(call.obj).and_then(|t| t.cpu);
        if let Some(there) = there.filter(|c| c.0 != self.cpu) {
            self.remote_request(there.0);
        }
        match self.ex_regs(call.obj, flags, ip, sp) {
            Ok((ip, sp)) => {
                call.utcb.set_mr(0, 0);
                call.utcb.set_mr(1, ip);
                call.utcb.set_mr(2, sp);
                ok(3)
            }
            Err(e) => err(e),
        }
    }

    /// Sets where a thread goes on; returns where it was.
    pub fn ex_regs(
        &mut self,
        thread: ObjId,
        flags: u64,
        ip: u64,
        sp: u64,
    ) -> Result<(u64, u64), Errno> {
        let t = self.objs.thread(thread).ok_or(Errno::Inval)?;
        if t.task.is_none() {
            return Err(Errno::Inval);
        }
        let (old, run) = ((t.ip, t.sp), t.run);
        let entry = self.entry_at(ip);
        if ip != u64::MAX && entry.is_none() {
            self.violation(thread, Misuse::NoEntry { ip });
            return Err(Errno::Inval);
        }
        if let Some(t) = self.objs.thread_mut(thread) {
            if entry.is_some() {
                t.ip = ip;
                t.start = entry;
            }
            if sp != u64::MAX {
                t.sp = sp;
            }
        }
        if matches!(run, Run::Dormant | Run::Done | Run::Stuck) {
            if entry.is_some() {
                self.make_ready(thread, self.now());
            }
        } else if flags & thread::EX_REGS_CANCEL != 0 {
            match run {
                Run::Sending(_) | Run::Receiving | Run::Down(_) => {
                    self.abort(thread, run, IpcError::SendCancelled);
                }
                _ => {
                    if let Some(t) = self.objs.thread_mut(thread) {
                        t.cancel = true;
                    }
                }
            }
        }
        Ok(old)
    }

    fn thread_delete_irq(&mut self, call: Call) -> Reply {
        let cap = match self.item_cap(&call) {
            Ok(c) => c,
            Err(e) => return e,
        };
        if self.objs.deletion_of(cap.obj).is_none() {
            return err(Errno::Inval);
        }
        if cap.rights & 1 == 0 {
            return err(Errno::Perm);
        }
        if self
            .objs
            .thread(call.obj)
            .is_none_or(|t| t.delete_irq.is_some())
        {
            return err(Errno::Busy);
        }
        // One that reported another thread's deletions leaves that.
        self.forget_observer(cap.obj);
        if let Some(of) = self.objs.deletion_of(cap.obj) {
            *of = Some(call.obj);
        }
        if let Some(t) = self.objs.thread_mut(call.obj) {
            t.delete_irq = Some(cap.obj);
        }
        ok(0)
    }

    fn thread_modify_senders(&mut self, call: Call) -> Reply {
        let Some(t) = self.objs.thread(call.obj) else {
            return err(Errno::Inval);
        };
        if t.cpu.is_none_or(|c| c.0 != self.cpu) {
            return err(Errno::Inval);
        }
        let senders: Vec<ObjId> = t.senders.iter().collect();
        let rules = call.tag.words().saturating_sub(1) / 4;
        for s in senders {
            for i in 0..rules {
                let w = |n: usize| call.utcb.mr(1 + i * 4 + n);
                let label = match self.objs.get_mut(s).map(|o| &mut o.kind) {
                    Some(crate::object::Kind::Thread(t)) => &mut t.frame.label,
                    Some(crate::object::Kind::Irq(q)) => &mut q.label,
                    _ => break,
                };
                if *label & w(0) == w(1) {
                    *label = (*label & !w(2)) | w(3);
                    break;
                }
            }
        }
        ok(0)
    }
}
