//! Page faults and exceptions: the kernel calls pager and handler in the thread's name.

use l4_sys::exc::EXC_WORDS;
use l4_sys::item::ITEM_MAP;
use l4_sys::{Fpage, IpcError, MsgTag, TagFlags, Timeouts, proto, syscall};

use crate::object::{Kind, ObjId};
use crate::state::State;
use crate::thread::{Frame, From, Purpose, Run, Saved};
use crate::trace::{Misuse, What};

/// What a fault came to, for the engine that runs the thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FaultStep {
    /// Mapped: go on.
    Done,
    /// The thread waits or was stopped; ask again when it runs.
    Asked,
    /// Cannot be resolved.
    Hopeless,
}

impl State {
    /// Whether `rights` (4 read, 2 write, 1 execute) at `addr` are there.
    pub fn mapped(&self, thread: ObjId, addr: u64, rights: u8) -> bool {
        self.objs
            .thread(thread)
            .and_then(|t| t.task)
            .is_some_and(|t| self.translate(t, addr, rights).is_some())
    }

    /// Begins the fault of the running thread at `addr`.
    pub fn fault(&mut self, addr: u64, write: bool) -> FaultStep {
        let me = self.me;
        self.charge(self.cost.exception);
        self.note(What::Fault {
            thread: me,
            addr,
            write,
        });
        let task = self.my_task();
        if task == self.sigma0 {
            // Sigma0 has all memory at its physical address: what it misses is no memory.
            return FaultStep::Hopeless;
        }
        self.count().faults += 1;
        let Some(t) = self.objs.thread(me) else {
            return FaultStep::Hopeless;
        };
        let (pager, ip) = (t.pager, t.ip);
        let Some(u) = self.utcb(me) else {
            return FaultStep::Hopeless;
        };
        let Some(cap) = self.cap(pager) else {
            // The kernel kills a thread whose pager is gone.
            self.violation(me, Misuse::UnhandledFault { addr });
            self.kill(me);
            return FaultStep::Asked;
        };
        self.save(me);
        let present = u64::from(self.mapped(me, addr, 4));
        u.set_mr(0, (addr & !7) | present | (u64::from(write) << 1));
        u.set_mr(1, ip);
        let tag = MsgTag::new(proto::PAGE_FAULT, 2, 0, TagFlags::empty());
        self.kernel_call(cap, tag, Purpose::Fault);
        FaultStep::Asked
    }

    fn save(&mut self, thread: ObjId) {
        let Some(u) = self.utcb(thread) else { return };
        let saved = Saved {
            bdr: u.bdr(),
            br: [u.br(0), u.br(1)],
            mr: [u.mr(0), u.mr(1)],
        };
        u.set_bdr(0);
        u.set_br(0, ITEM_MAP);
        u.set_br(1, Fpage::generic(0, l4_sys::FpageType::Special, 63, 0).0);
        if let Some(t) = self.objs.thread_mut(thread) {
            t.saved = saved;
        }
    }

    fn restore(&mut self, thread: ObjId, words: bool) {
        let Some(u) = self.utcb(thread) else { return };
        let Some(s) = self.objs.thread(thread).map(|t| t.saved) else {
            return;
        };
        u.set_bdr(s.bdr);
        u.set_br(0, s.br[0]);
        u.set_br(1, s.br[1]);
        if words {
            u.set_mr(0, s.mr[0]);
            u.set_mr(1, s.mr[1]);
        }
    }

    fn kernel_call(&mut self, cap: crate::space::Cap, tag: MsgTag, purpose: Purpose) {
        let me = self.me;
        let mut frame = Frame {
            tag,
            label: 0,
            rights: cap.rights & 3,
            from: From::One(cap.obj),
            timeouts: Timeouts::NEVER,
            purpose,
            flags: syscall::CALL,
            reply: None,
        };
        match self.objs.get(cap.obj).map(|o| &o.kind) {
            Some(Kind::Gate(g)) => {
                let gate = (g.thread, g.label);
                frame.from = From::Nobody;
                self.gate_ipc(cap.obj, gate, frame);
            }
            Some(Kind::Thread(_)) => self.do_ipc(Some(cap.obj), frame),
            _ => self.fail(me, IpcError::NotExistent.number()),
        }
        if let Some(t) = self.objs.thread_mut(me) {
            t.frame.purpose = purpose;
        }
    }

    /// The pager's answer is there: whether it says that the fault is resolved.
    pub fn fault_answer(&mut self, addr: u64, write: bool) -> FaultStep {
        let me = self.me;
        let Some(t) = self.objs.thread(me) else {
            return FaultStep::Hopeless;
        };
        let (tag, purpose) = (t.result.0, t.frame.purpose);
        self.restore(me, purpose == Purpose::Fault);
        let refused = if tag.has_error() {
            let code = self.utcb(me).map_or(0, |u| u.error());
            code == u64::from(IpcError::NotExistent.number())
        } else {
            tag.label() < 0
        };
        match purpose {
            Purpose::Fault if refused => self.exception(addr, write),
            _ => FaultStep::Done,
        }
    }

    fn exception(&mut self, addr: u64, write: bool) -> FaultStep {
        let me = self.me;
        let Some(t) = self.objs.thread(me) else {
            return FaultStep::Hopeless;
        };
        let (handler, ip, sp) = (t.handler, t.ip, t.sp);
        let Some(cap) = self.cap(handler) else {
            self.violation(me, Misuse::UnhandledFault { addr });
            if let Some(t) = self.objs.thread_mut(me) {
                t.run = Run::Stuck;
            }
            return FaultStep::Asked;
        };
        self.count().exceptions += 1;
        self.charge(self.cost.exception);
        self.save(me);
        let Some(u) = self.utcb(me) else {
            return FaultStep::Hopeless;
        };
        for i in 0..EXC_WORDS {
            u.set_mr(i, 0);
        }
        u.set_mr(11, addr);
        u.set_mr(16, 14);
        u.set_mr(17, 4 | (u64::from(write) << 1));
        u.set_mr(18, ip);
        u.set_mr(21, sp);
        let tag = MsgTag::new(proto::EXCEPTION, EXC_WORDS, 0, TagFlags::TRANSFER_FPU);
        self.kernel_call(cap, tag, Purpose::Exception);
        FaultStep::Asked
    }
}
