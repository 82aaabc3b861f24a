//! The root pager: memory, I/O memory, the kernel information page, and further clients.
//!
//! Also its requests beyond upstream's, which `docs/sigma0-protocol.md` specifies.

use l4_sys::ops::sigma0;
use l4_sys::{Fpage, MemRights, MsgTag, UtcbRef, proto};

use super::ipc;
use crate::cap::{Cap, kind};
use crate::error::{Error, Result};
use crate::msg::{Reader, Writer};

fn request(word0: u64, word1: u64) -> Result<MsgTag> {
    Writer::new(UtcbRef::current())
        .u64(word0)
        .u64(word1)
        .finish(proto::SIGMA0)
        .map_err(|_| Error::NoRoom)
}

/// The flexpage that an answer mapped: its address is the physical address.
fn mapped(tag: MsgTag) -> Result<Fpage> {
    match Reader::new(UtcbRef::current(), tag).item() {
        Ok(l4_sys::item::Received::Mapped { order, base, .. }) => {
            Ok(Fpage::mem(base, order, MemRights::RWX))
        }
        _ => Err(Error::BadReply),
    }
}

impl Cap<kind::Sigma0> {
    /// Maps the `2^order` bytes of RAM at `address`, which become the caller's, into `window`.
    ///
    /// # Errors
    /// `Refused(Inval)` misaligned or below a page, `Refused(NoMem)` not free and not the caller's.
    ///
    /// # Safety
    /// Nothing that Rust uses lies in `window`.
    pub unsafe fn ram(self, address: u64, order: u32, window: Fpage) -> Result<Fpage> {
        let tag = request(sigma0::RAM, Fpage::mem(address, order, MemRights::RWX).0)?;
        // SAFETY: the caller's promise.
        mapped(unsafe { ipc::call_for_memory(self, tag, window) }?)
    }

    /// Maps any free, aligned `2^order` bytes of RAM into `window`; the answer tells which. With
    /// the whole address space as window it lands at its physical address.
    ///
    /// # Errors
    /// `Refused(NoMem)` when there is no such block, `Refused(Inval)` below a page.
    ///
    /// # Safety
    /// Nothing that Rust uses lies in `window`, or where free RAM would be mapped in it.
    pub unsafe fn any_ram(self, order: u32, window: Fpage) -> Result<Fpage> {
        let tag = request(sigma0::ANY_RAM, Fpage::mem(0, order, MemRights::RWX).0)?;
        // SAFETY: the caller's promise.
        mapped(unsafe { ipc::call_for_memory(self, tag, window) }?)
    }

    /// Maps I/O memory into `window`, cached or not.
    ///
    /// # Errors
    /// As [`Cap::ram`]; many clients may have the same I/O memory.
    ///
    /// # Safety
    /// Nothing that Rust uses lies in `window`.
    pub unsafe fn io_memory(
        self,
        address: u64,
        order: u32,
        cached: bool,
        window: Fpage,
    ) -> Result<Fpage> {
        let id = if cached {
            sigma0::IOMEM_CACHED
        } else {
            sigma0::IOMEM
        };
        let tag = request(id, Fpage::mem(address, order, MemRights::RW).0)?;
        // SAFETY: the caller's promise.
        mapped(unsafe { ipc::call_for_memory(self, tag, window) }?)
    }

    /// Maps the kernel information page into `window`.
    ///
    /// # Errors
    /// IPC errors.
    ///
    /// # Safety
    /// Nothing that Rust uses lies in `window`.
    pub unsafe fn kip(self, window: Fpage) -> Result<Fpage> {
        let tag = request(sigma0::KIP, 0)?;
        // SAFETY: the caller's promise.
        mapped(unsafe { ipc::call_for_memory(self, tag, window) }?)
    }

    /// Makes a new client of the root pager: a gate with an owner number of its own.
    ///
    /// # Errors
    /// `Refused(Perm)` without the S right, `Refused(NoMem)` when no number or no kernel memory is
    /// left.
    pub fn new_client(self, slot: Cap<kind::Sigma0>) -> Result<()> {
        self.cast::<kind::Factory>()
            .create(proto::SIGMA0, &[], slot)
    }

    /// Prints the maps on the kernel's log.
    ///
    /// # Errors
    /// IPC errors.
    pub fn dump(self) -> Result<()> {
        let tag = request(sigma0::DEBUG_DUMP, 0)?;
        ipc::call(self, tag).map(|_| ())
    }
}
