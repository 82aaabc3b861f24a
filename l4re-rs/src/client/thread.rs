//! Threads.

use l4_sys::item::SendItem;
use l4_sys::ops::{endpoint, thread};
use l4_sys::{CapRights, UtcbRef, proto};

use super::ipc;
use crate::cap::{Cap, kind};
use crate::error::{Error, Result};
use crate::msg::Writer;

/// Operation of gates and other objects: let references go.
const DEC_REFCNT: u64 = 0;

/// What a thread is bound to before it first runs.
#[derive(Clone, Copy, Debug)]
pub struct Binding {
    /// Its task.
    pub task: Cap<kind::Task>,
    /// Address of its UTCB in that task.
    pub utcb: u64,
    /// Who handles its page faults: a slot of the task it runs in.
    pub pager: l4_sys::CapIdx,
    /// Who handles its exceptions: a slot of the task it runs in.
    pub exception_handler: l4_sys::CapIdx,
}

impl Cap<kind::Thread> {
    /// Binds the thread to a task and its handlers.
    ///
    /// # Errors
    /// The kernel's.
    ///
    /// # Safety
    /// When the task is the caller's own: the UTCB is unused and stays so for anybody else.
    pub unsafe fn bind(self, b: Binding) -> Result<()> {
        let u = UtcbRef::current();
        let flags = thread::SET_PAGER | thread::SET_EXC_HANDLER | thread::BIND_TASK;
        let tag = Writer::new(u)
            .u64(thread::CONTROL | flags)
            .u64(b.pager.raw())
            .u64(b.exception_handler.raw())
            .u64(0)
            .u64(0)
            .u64(b.utcb)
            .item(SendItem::plain(b.task.fpage(CapRights::RWS)))
            .finish(proto::THREAD)
            .map_err(|_| Error::NoRoom)?;
        ipc::call(self, tag).map(|_| ())
    }

    /// Makes the thread go on at `ip` with stack pointer `sp`.
    ///
    /// # Errors
    /// The kernel's.
    ///
    /// # Safety
    /// In the caller's own task: `ip` is code that may run there, and `sp` is a stack of its own.
    pub unsafe fn ex_regs(self, ip: u64, sp: u64, flags: u64) -> Result<()> {
        let tag = Writer::new(UtcbRef::current())
            .u64(thread::EX_REGS | flags)
            .u64(ip)
            .u64(sp)
            .finish(proto::THREAD)
            .map_err(|_| Error::NoRoom)?;
        ipc::call(self, tag).map(|_| ())
    }

    /// Names the interrupt that is raised when a gate bound to this thread is deleted.
    ///
    /// # Errors
    /// The kernel's.
    pub fn register_delete_irq(self, irq: Cap<kind::Irq>) -> Result<()> {
        let tag = Writer::new(UtcbRef::current())
            .u64(thread::REGISTER_DELETE_IRQ)
            .item(SendItem::plain(irq.fpage(CapRights::RWS)))
            .finish(proto::THREAD)
            .map_err(|_| Error::NoRoom)?;
        ipc::call(self, tag).map(|_| ())
    }

    /// Turns the in-task page-fault handler off for this thread, so that its faults are messages
    /// to its pager.
    ///
    /// # Errors
    /// The kernel's.
    pub fn disable_fault_trampoline(self) -> Result<()> {
        let tag = Writer::new(UtcbRef::current())
            .u64(thread::PF_TRAMP_DISABLE)
            .finish(proto::THREAD)
            .map_err(|_| Error::NoRoom)?;
        ipc::call(self, tag).map(|_| ())
    }
}

/// Binds a gate or an interrupt to `thread`: its messages arrive there with `label`.
pub(super) fn bind_endpoint<K>(ep: Cap<K>, thread: Cap<kind::Thread>, label: u64) -> Result<()> {
    let tag = Writer::new(UtcbRef::current())
        .u64(endpoint::BIND)
        .u64(label)
        .item(SendItem::plain(thread.fpage(CapRights::RWS)))
        .finish(proto::KOBJECT)
        .map_err(|_| Error::NoRoom)?;
    ipc::call(ep, tag).map(|_| ())
}

impl Cap<kind::Gate> {
    /// Lets `count` references go that the kernel counts for this gate, the capabilities staying where
    /// they are: how a server makes a gate live as long as its clients have it. Needs the server's
    /// right. With the last reference gone the gate is deleted when the next capability for it is.
    /// Returns how many are left.
    ///
    /// # Errors
    /// The kernel's.
    pub fn forget_references(self, count: u64) -> Result<u64> {
        let u = UtcbRef::current();
        let tag = Writer::new(u)
            .u64(DEC_REFCNT)
            .u64(count)
            .finish(proto::KOBJECT)
            .map_err(|_| Error::NoRoom)?;
        ipc::call(self, tag).map(|_| u.mr(0))
    }

    /// Binds the gate to another thread or label.
    ///
    /// # Errors
    /// The kernel's.
    pub fn bind_gate(self, thread: Cap<kind::Thread>, label: u64) -> Result<()> {
        bind_endpoint(self, thread, label)
    }
}
