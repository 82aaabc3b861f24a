//! The kernel as programs see it in virtual time.

use l4_sys::host::Kernel;
use l4_sys::{CapIdx, MsgTag, Timeouts, Utcb};

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
        self.state.borrow_mut().result(flags)
    }

    fn utcb(&self) -> *mut Utcb {
        self.utcb.get()
    }

    fn at(&self, addr: u64) -> *mut u8 {
        self.access(addr, 4)
    }

    fn zero(&self, addr: u64, bytes: u64) {
        crate::user::zero(addr, bytes, |at, rights| self.access(at, rights));
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
        self.state.borrow_mut().add_entry(start)
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
        self.state.borrow_mut().mortal(per_million);
    }

    fn totals(&self) -> crate::Counters {
        self.state.borrow().totals()
    }

    fn settled(&self) {
        self.state.borrow_mut().settled();
    }

    fn works(&self, cycles: u64) {
        self.state.borrow_mut().works(cycles);
    }
}
