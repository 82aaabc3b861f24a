//! Operations on tasks: map, unmap, capability information, kernel-user memory.

use l4_sys::ops::task;
use l4_sys::{Errno, Fpage, FpageType, IpcError, proto};

use crate::invoke::{Call, Reply, err, ok};
use crate::map::MapError;
use crate::object::ObjId;
use crate::state::State;

/// Largest order of one piece of kernel-user memory.
const KU_MAX_ORDER: u32 = 17;

impl State {
    pub fn sys_task(&mut self, call: Call) -> Reply {
        if call.tag.label() != proto::TASK {
            return err(Errno::BadProto);
        }
        match call.utcb.mr(0) {
            task::MAP => self.task_map(call),
            task::UNMAP => self.task_unmap(call),
            task::CAP_INFO => self.task_cap_info(call),
            task::ADD_KU_MEM => self.task_add_ku(call),
            _ => err(Errno::NoSys),
        }
    }

    fn task_map(&mut self, call: Call) -> Reply {
        if call.rights & 1 == 0 {
            return err(Errno::Perm);
        }
        let from = match self.item_cap(&call) {
            Ok(c) => c,
            Err(e) => return e,
        };
        if self.objs.task(from.obj).is_none() {
            return err(Errno::Inval);
        }
        let mut sent = Fpage(call.utcb.mr(2));
        if sent.kind() == FpageType::Obj {
            let mask = (from.rights & call.rights & 3) | 8 | 4 | 1;
            sent = sent.with_rights(sent.rights() & mask);
        }
        let everywhere = Fpage::generic(0, FpageType::Special, 63, 0);
        match self.fpage_map(from.obj, sent, call.obj, everywhere, call.utcb.mr(1)) {
            Ok(true) => ok(0),
            Ok(false) => {
                if from.obj == self.my_task() && from.obj != call.obj {
                    self.mapped_nothing(self.me, from.obj, sent);
                }
                ok(0)
            }
            Err(MapError::NoMem) => self.ipc_error(call.utcb, IpcError::SendMapFailed.number()),
        }
    }

    fn task_unmap(&mut self, call: Call) -> Reply {
        let mask = call.utcb.mr(1);
        let words = call.tag.words();
        let mut gone = Vec::new();
        for i in 2..words {
            let fp = Fpage(call.utcb.mr(i));
            gone.extend(self.fpage_unmap(call.obj, fp, mask));
            // Access bits of the pages are not modelled: none are reported.
            call.utcb.set_mr(i, fp.0 & !0xf);
        }
        self.destroy_all(gone);
        ok(words)
    }

    fn task_cap_info(&mut self, call: Call) -> Reply {
        let slot = |raw: u64| (raw & l4_sys::cap::INVALID_CAP_BIT == 0).then_some(raw >> 12);
        let look = |s: &State, raw: u64| {
            slot(raw).and_then(|n| s.objs.task(call.obj).and_then(|t| t.cap(n)))
        };
        let (a, b) = (call.utcb.mr(1), call.utcb.mr(2));
        let yes = match call.tag.words() {
            2 => look(self, a).is_some(),
            3 if a == b => true,
            3 => {
                let key = |c: Option<crate::space::Cap>| c.map(|c| (c.obj, c.rights & 3));
                key(look(self, a)) == key(look(self, b))
            }
            _ => return err(Errno::Inval),
        };
        Reply::Tag(l4_sys::MsgTag::plain(i64::from(yes), 0, 0))
    }

    fn task_add_ku(&mut self, call: Call) -> Reply {
        for i in 1..call.tag.words() {
            let fp = Fpage(call.utcb.mr(i));
            if fp.kind() != FpageType::Memory {
                return err(Errno::Inval);
            }
            if let Err(e) = self.add_ku(call.obj, fp) {
                return err(e);
            }
        }
        let words = call.tag.words().saturating_sub(1);
        for i in 0..words {
            call.utcb.set_mr(i, call.utcb.mr(i + 1));
        }
        ok(words)
    }

    /// Gives a task kernel-user memory at the flexpage's address.
    pub fn add_ku(&mut self, task: ObjId, fp: Fpage) -> Result<(), Errno> {
        let order = fp.order();
        if !(12..=KU_MAX_ORDER).contains(&order) {
            return Err(Errno::Inval);
        }
        let bytes = 1u64 << order;
        let addr = fp.address();
        if addr > crate::ptab::USER_END - bytes {
            return Err(Errno::Inval);
        }
        let Some(t) = self.objs.task(task) else {
            return Err(Errno::NoMem);
        };
        let q = t.quota;
        if !self.quotas.alloc(q, bytes) {
            return Err(Errno::NoMem);
        }
        if !self
            .objs
            .task_mut(task)
            .is_some_and(|t| t.add_ku(addr, bytes))
        {
            self.quotas.free(q, bytes);
            return Err(Errno::Exist);
        }
        Ok(())
    }
}
