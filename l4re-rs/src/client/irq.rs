//! Interrupt objects: how servers wake each other, and how they learn of dead gates.

use l4_sys::ops::irq;
use l4_sys::syscall::{self, SEND};
use l4_sys::{MsgTag, Timeouts, UtcbRef, proto};

use super::thread::bind_endpoint;
use crate::cap::{Cap, kind};
use crate::error::Result;

impl Cap<kind::Irq> {
    /// Binds the interrupt to `thread`; its messages arrive with `label`.
    ///
    /// # Errors
    /// The kernel's.
    pub fn bind_irq(self, thread: Cap<kind::Thread>, label: u64) -> Result<()> {
        bind_endpoint(self, thread, label)
    }

    /// Raises the interrupt; does not wait for anybody.
    pub fn trigger(self) {
        let tag = MsgTag::plain(proto::IRQ, 0, 0);
        // SAFETY: a send receives nothing. An interrupt that is not there cannot be raised, and
        // nobody waits for it.
        let _ = unsafe { syscall::invoke(self.idx(), SEND, 0, tag, Timeouts::ZERO) };
    }

    /// Makes the interrupt able to fire again after one was handled.
    pub fn unmask(self) {
        UtcbRef::current().set_mr(0, irq::EOI);
        let tag = MsgTag::plain(proto::IRQ, 1, 0);
        // SAFETY: as in `trigger`.
        let _ = unsafe { syscall::invoke(self.idx(), SEND, 0, tag, Timeouts::NEVER) };
    }
}
