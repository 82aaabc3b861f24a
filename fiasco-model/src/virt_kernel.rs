//! The kernel as programs see it in virtual time.

use l4_sys::host::Kernel;
use l4_sys::{CapIdx, MsgTag, Timeouts, Utcb};

use crate::state::{ENTRY_BASE, ENTRY_STEP};
use crate::virt::Virtual;

impl Kernel for Virtual {
    fn invoke(
        &self,
        dest: CapIdx,
        flags: u64,
        label: u64,
        tag: MsgTag,
        timeouts: Timeouts,
    ) -> (MsgTag, u64) {
        self.state
            .borrow_mut()
            .syscall(dest, flags, label, tag, timeouts);
        self.settle();
        let st = self.state.borrow();
        st.objs
            .thread(st.me)
            .map_or((crate::state::FAILED, 0), |t| t.result)
    }

    fn utcb(&self) -> *mut Utcb {
        self.utcb.get()
    }

    fn at(&self, addr: u64) -> *mut u8 {
        self.access(addr, 4)
    }

    fn zero(&self, addr: u64, bytes: u64) {
        let mut at = addr;
        let end = addr + bytes;
        while at < end {
            let part = (end - at).min(4096 - at % 4096);
            let p = self.access(at, 6);
            // SAFETY: `part` bytes inside one simulated page that is mapped writable; the area is
            // the model's, and the caller of `mem::zero` answers for references into it.
            unsafe { core::ptr::write_bytes(p, 0, part as usize) };
            at += part;
        }
        let mut st = self.state.borrow_mut();
        st.count().zeroed += bytes;
        let cost = st.cost.zero_4k * bytes / 4096;
        st.charge(cost);
    }

    fn apic_id(&self) -> u32 {
        let st = self.state.borrow();
        st.machine.apic_id(st.cpu)
    }

    fn entry(&self, start: Box<dyn FnOnce(u64) + Send>) -> u64 {
        let mut st = self.state.borrow_mut();
        st.entries.push(Some(start));
        ENTRY_BASE + (st.entries.len() as u64 - 1) * ENTRY_STEP
    }
}

impl crate::user::Engine for Virtual {
    fn access(&self, addr: u64, rights: u8) -> *mut u8 {
        Virtual::access(self, addr, rights)
    }

    fn compute(&self, cycles: u64) {
        Virtual::compute(self, cycles);
    }

    fn now(&self) -> u64 {
        self.state.borrow().now()
    }

    fn cpu(&self) -> u32 {
        self.state.borrow().cpu
    }

    fn stop(&self) {
        self.stop.set(true);
    }

    fn mortal(&self, per_million: u32) {
        let mut st = self.state.borrow_mut();
        let me = st.me;
        if let Some(t) = st.objs.thread_mut(me) {
            t.mortal = per_million;
        }
    }

    fn totals(&self) -> crate::Counters {
        self.state.borrow().totals()
    }

    fn settled(&self) {
        self.state.borrow_mut().settled();
    }
}
