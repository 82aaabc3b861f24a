//! Factories: new objects, paid from the factory's quota.

use l4_sys::{Errno, Fpage, FpageType, IpcError, proto};

use crate::invoke::{Call, Reply, err};
use crate::object::{Gate, Kind, ObjId};
use crate::quota::{self, QuotaId};
use crate::space::{Cap, Task};
use crate::state::State;
use crate::thread::Thread;
use crate::transfer::object_window;

/// Return item of a new capability.
const NEW_CAP: u64 = 0x38;

impl State {
    pub fn sys_factory(&mut self, call: Call) -> Reply {
        if call.tag.label() != proto::FACTORY {
            return err(Errno::BadProto);
        }
        if call.rights & 2 == 0 {
            return err(Errno::Perm);
        }
        if call.tag.words() < 1 {
            return err(Errno::MsgTooShort);
        }
        if !call.receives() {
            return crate::invoke::ok(0);
        }
        let Some(window) = object_window(call.utcb) else {
            return self.ipc_error(call.utcb, IpcError::ReceiveMsgCut.number());
        };
        let Some(Kind::Factory(q)) = self.objs.get(call.obj).map(|o| &o.kind) else {
            return err(Errno::NoSys);
        };
        let q = *q;
        match self.make(call, q) {
            Err(e) => err(e),
            Ok((obj, words)) => {
                call.utcb.set_mr(words, NEW_CAP);
                self.hand_over(call, obj, window.number(), words)
            }
        }
    }

    fn hand_over(&mut self, _call: Call, obj: ObjId, slot: u64, words: usize) -> Reply {
        let task = self.my_task();
        let mut gone = Vec::new();
        self.remove_cap(task, slot, &mut gone);
        self.destroy_all(gone);
        let cap = Cap {
            obj,
            rights: 1 | 2 | 8,
            extra: 0xf0,
        };
        if !self.enter_cap(task, slot, cap) {
            self.destroy_all(vec![obj]);
            return err(Errno::NoMem);
        }
        Reply::Tag(l4_sys::MsgTag::plain(0, words, 1))
    }

    fn make(&mut self, call: Call, q: QuotaId) -> Result<(ObjId, usize), Errno> {
        let none = Errno::NoMem;
        match call.utcb.mr(0) as i64 {
            0 | proto::KOBJECT => {
                let gate = self.new_gate(call)?;
                let kind = Kind::Gate(Box::new(gate));
                Ok((self.create(q, quota::GATE, kind).ok_or(none)?, 0))
            }
            proto::TASK => self.new_task(call, q),
            proto::THREAD => {
                let kind = Kind::Thread(Box::new(Thread::new()));
                Ok((self.create(q, quota::THREAD, kind).ok_or(none)?, 0))
            }
            proto::FACTORY => {
                if call.tag.words() < 3 {
                    return Err(Errno::MsgTooShort);
                }
                if call.tag.words() > 3 || call.tag.items() > 0 {
                    return Err(Errno::MsgTooLong);
                }
                let limit = call.utcb.mr(2);
                if !self.quotas.alloc(q, quota::FACTORY) {
                    return Err(none);
                }
                let Some(inner) = self.quotas.create(q, limit) else {
                    self.quotas.free(q, quota::FACTORY);
                    return Err(none);
                };
                self.charge(self.cost.object);
                Ok((self.objs.add(Kind::Factory(inner), (q, quota::FACTORY)), 0))
            }
            proto::IRQ_SENDER => {
                let kind = Kind::Irq(Box::default());
                Ok((self.create(q, quota::IRQ, kind).ok_or(none)?, 0))
            }
            proto::SEMAPHORE => {
                let kind = Kind::Semaphore(Box::default());
                Ok((self.create(q, quota::IRQ, kind).ok_or(none)?, 0))
            }
            _ => Err(Errno::NoDev),
        }
    }

    fn new_gate(&mut self, call: Call) -> Result<Gate, Errno> {
        let mut gate = Gate::default();
        let at = call.tag.words();
        if call.tag.items() > 0 && at + 1 < l4_sys::utcb::MESSAGE_REGISTERS {
            let fp = Fpage(call.utcb.mr(at + 1));
            if fp.kind() != FpageType::Obj {
                return Err(Errno::Inval);
            }
            let cap = self.cap(fp.number()).ok_or(Errno::Inval)?;
            if self.objs.thread(cap.obj).is_none() {
                return Err(Errno::Inval);
            }
            if cap.rights & 2 == 0 {
                return Err(Errno::Perm);
            }
            if at < 3 {
                return Err(Errno::MsgTooShort);
            }
            gate.label = call.utcb.mr(2);
            if gate.label & 3 != 0 {
                return Err(Errno::Inval);
            }
            gate.thread = Some(cap.obj);
        }
        Ok(gate)
    }

    fn new_task(&mut self, call: Call, q: QuotaId) -> Result<(ObjId, usize), Errno> {
        if call.tag.words() <= 2 {
            return Err(Errno::Inval);
        }
        let area = Fpage(call.utcb.mr(2));
        let task = self.new_space(q, false).ok_or(Errno::NoMem)?;
        // A flexpage without order names nothing: no UTCB area then.
        if area.order() == 0 {
            return Ok((task, 0));
        }
        if let Err(e) = self.add_ku(task, area) {
            self.destroy_all(vec![task]);
            return Err(e);
        }
        call.utcb.set_mr(0, area.0);
        Ok((task, 1))
    }

    /// A task without capabilities and memory.
    pub fn new_space(&mut self, q: QuotaId, is_sigma0: bool) -> Option<ObjId> {
        if !self.quotas.alloc(q, quota::PAGE_TABLE) {
            return None;
        }
        let task = Task::new(q, is_sigma0, self.cpus.len());
        let made = self.create(q, quota::TASK, Kind::Task(Box::new(task)));
        if made.is_none() {
            self.quotas.free(q, quota::PAGE_TABLE);
        }
        made
    }

    /// A gate to a thread, made by the kernel itself at boot.
    pub fn boot_gate(&mut self, thread: ObjId, label: u64) -> ObjId {
        let gate = Gate {
            thread: Some(thread),
            label,
            waiting: Default::default(),
        };
        self.objs
            .add(Kind::Gate(Box::new(gate)), (crate::quota::Quotas::ROOT, 0))
    }
}
