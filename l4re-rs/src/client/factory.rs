//! Factories: kernel objects, and the objects of servers that speak the factory protocol.

use l4_sys::item::SendItem;
use l4_sys::{CapRights, Fpage, UtcbRef, proto};

use super::ipc;
use crate::cap::{Cap, kind};
use crate::error::{Error, Result};
use crate::msg::{Reader, Writer};
use crate::varg::Arg;

/// Answer of [`Cap::memory`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// The factory's limit.
    pub quota: u64,
    /// What is taken out of it.
    pub reserved: u64,
    /// The lesser of the limit and what the server had at the start.
    pub present: u64,
    /// What is used.
    pub committed: u64,
    /// What can still be had.
    pub free: u64,
}

impl Cap<kind::Factory> {
    /// Creates an object of type `object` with `args` and receives its capability into `slot`.
    ///
    /// # Errors
    /// `NoRoom` when the arguments do not fit; otherwise the factory's and IPC errors. A server's
    /// quota or the kernel's memory being used up is `Refused(NoMem)`.
    pub fn create<K>(self, object: i64, args: &[Arg<'_>], slot: Cap<K>) -> Result<()> {
        let mut w = Writer::new(UtcbRef::current()).u64(object.cast_unsigned());
        for a in args {
            w = w.varg(*a);
        }
        let tag = w.finish(proto::FACTORY).map_err(|_| Error::NoRoom)?;
        ipc::call_for_cap(self, tag, slot).map(|_| ())
    }

    /// Memory figures of a memory server's factory, in bytes.
    ///
    /// # Errors
    /// The server's: the kernel's factory has none.
    pub fn memory(self) -> Result<Memory> {
        let u = UtcbRef::current();
        let tag = Writer::new(u)
            .u32(0)
            .finish(proto::MEM_ALLOC)
            .map_err(|_| Error::NoRoom)?;
        let mut r = Reader::new(u, ipc::call(self, tag)?);
        let mut next = || r.u64().map_err(|_| Error::BadReply);
        Ok(Memory {
            quota: next()?,
            reserved: next()?,
            present: next()?,
            committed: next()?,
            free: next()?,
        })
    }

    fn create_kernel<K>(self, w: Writer, slot: Cap<K>) -> Result<()> {
        let tag = w.finish(proto::FACTORY).map_err(|_| Error::NoRoom)?;
        ipc::call_for_cap(self, tag, slot).map(|_| ())
    }

    /// Creates a gate whose messages reach `thread` with `label`; the low two bits of the label
    /// must be 0 (the kernel puts the rights there).
    ///
    /// # Errors
    /// The kernel's: `Refused(NoMem)` when its memory or the factory's quota is used up.
    pub fn create_gate(
        self,
        label: u64,
        thread: Cap<kind::Thread>,
        slot: Cap<kind::Gate>,
    ) -> Result<()> {
        let w = Writer::new(UtcbRef::current())
            .u64(0)
            .varg(Arg::Uint(label))
            .item(SendItem::plain(thread.fpage(CapRights::RWS)));
        self.create_kernel(w, slot)
    }

    /// Creates an interrupt object.
    ///
    /// # Errors
    /// As [`Cap::create_gate`].
    pub fn create_irq(self, slot: Cap<kind::Irq>) -> Result<()> {
        let w = Writer::new(UtcbRef::current()).u64(proto::IRQ_SENDER.cast_unsigned());
        self.create_kernel(w, slot)
    }

    /// Creates a thread without a task.
    ///
    /// # Errors
    /// As [`Cap::create_gate`].
    pub fn create_thread(self, slot: Cap<kind::Thread>) -> Result<()> {
        let w = Writer::new(UtcbRef::current()).u64(proto::THREAD.cast_unsigned());
        self.create_kernel(w, slot)
    }

    /// Creates a task whose UTCBs lie in `utcb_area` (empty for none).
    ///
    /// # Errors
    /// As [`Cap::create_gate`].
    pub fn create_task(self, utcb_area: Fpage, slot: Cap<kind::Task>) -> Result<()> {
        let w = Writer::new(UtcbRef::current())
            .u64(proto::TASK.cast_unsigned())
            .varg(Arg::Fpage(utcb_area));
        self.create_kernel(w, slot)
    }
}
