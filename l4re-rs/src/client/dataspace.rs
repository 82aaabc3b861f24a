//! Dataspaces: memory objects of a memory server.

use l4_sys::item::{Received, SendItem};
use l4_sys::{CapRights, Fpage, FpageType, Timeouts, UtcbRef, proto};

use super::ipc;
use crate::cap::{Cap, kind};
use crate::error::{Error, Result};
use crate::msg::{Reader, Writer};

/// Operation numbers of the protocol (label [`proto::DATASPACE`]).
pub mod op {
    #![allow(missing_docs)]
    pub const MAP: u32 = 0;
    pub const CLEAR: u32 = 1;
    pub const INFO: u32 = 2;
    pub const COPY_IN: u32 = 3;
    pub const ALLOCATE: u32 = 4;
    pub const MAP_INFO: u32 = 5;
}

/// Size and flags of a dataspace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Info {
    /// Exact size in bytes.
    pub size: u64,
    /// Rights (R 4, W 2, X 1), caching and kind bits.
    pub flags: u64,
}

/// A finished message or [`Error::NoRoom`].
fn seal(w: Writer) -> Result<l4_sys::MsgTag> {
    w.finish(proto::DATASPACE).map_err(|_| Error::NoRoom)
}

impl Cap<kind::Dataspace> {
    /// Maps a page or more of the object into `window`. `spot` is where inside the window the byte
    /// at `offset` should go; the server answers with a flexpage that fits both and sends as much
    /// as it can.
    ///
    /// # Errors
    /// `Refused(Perm)` rights not allowed, `Refused(Range)` offset beyond the end,
    /// `Refused(NoMem)`.
    ///
    /// # Safety
    /// Nothing that Rust uses lies in `window`.
    pub unsafe fn map(self, offset: u64, spot: u64, flags: u64, window: Fpage) -> Result<()> {
        let w = Writer::new(UtcbRef::current())
            .u32(op::MAP)
            .u64(offset)
            .u64(spot)
            .u64(flags);
        // SAFETY: the caller's promise.
        unsafe { ipc::call_for_memory(self, seal(w)?, window) }.map(|_| ())
    }

    /// As [`Cap::map`], with times after which the request is given up, and tells how much came: the
    /// log2 of the bytes that were sent, of which the kernel maps what fits the window.
    ///
    /// # Errors
    /// As [`Cap::map`]; an IPC error when the server did not answer in time; `BadReply` when it sent no
    /// memory.
    ///
    /// # Safety
    /// Nothing that Rust uses lies in `window`.
    pub unsafe fn map_within(
        self,
        (offset, spot): (u64, u64),
        flags: u64,
        window: Fpage,
        timeouts: Timeouts,
    ) -> Result<u32> {
        let u = UtcbRef::current();
        let w = Writer::new(u).u32(op::MAP).u64(offset).u64(spot).u64(flags);
        // SAFETY: the caller's promise.
        let tag = unsafe { ipc::call_within(self, seal(w)?, window, timeouts) }?;
        match Reader::new(u, tag).item() {
            Ok(Received::Mapped {
                kind: FpageType::Memory,
                order,
                ..
            }) => Ok(order),
            _ => Err(Error::BadReply),
        }
    }

    /// [`Cap::info`] with times after which the request is given up.
    ///
    /// # Errors
    /// IPC errors; the server's.
    pub fn info_within(self, timeouts: Timeouts) -> Result<Info> {
        let u = UtcbRef::current();
        let tag = seal(Writer::new(u).u32(op::INFO))?;
        // SAFETY: no window: no memory is accepted.
        let tag = unsafe { ipc::call_within(self, tag, Fpage::INVALID, timeouts) }?;
        let mut r = Reader::new(u, tag);
        match (r.u64(), r.u64()) {
            (Ok(size), Ok(flags)) => Ok(Info { size, flags }),
            _ => Err(Error::BadReply),
        }
    }

    /// Makes `size` bytes at `offset` read as zero; the server may take the memory back.
    ///
    /// # Errors
    /// `Refused(Access)` not writable, `Refused(Range)` offset beyond the end.
    ///
    /// # Safety
    /// No Rust reference points into a mapping of that range.
    pub unsafe fn clear(self, offset: u64, size: u64) -> Result<()> {
        let w = Writer::new(UtcbRef::current())
            .u32(op::CLEAR)
            .u64(offset)
            .u64(size);
        ipc::call(self, seal(w)?).map(|_| ())
    }

    /// Size and flags.
    ///
    /// # Errors
    /// IPC errors.
    pub fn info(self) -> Result<Info> {
        let u = UtcbRef::current();
        let tag = ipc::call(self, seal(Writer::new(u).u32(op::INFO))?)?;
        let mut r = Reader::new(u, tag);
        match (r.u64(), r.u64()) {
            (Ok(size), Ok(flags)) => Ok(Info { size, flags }),
            _ => Err(Error::BadReply),
        }
    }

    /// Copies `size` bytes from another dataspace. Ranges are clipped to both objects.
    ///
    /// # Errors
    /// `Refused(Access)` not writable, `Refused(Inval)` the source is not one the server knows.
    ///
    /// # Safety
    /// No Rust reference points into a mapping of the destination.
    pub unsafe fn copy_in(
        self,
        to: u64,
        source: Cap<kind::Dataspace>,
        from: u64,
        size: u64,
    ) -> Result<()> {
        let w = Writer::new(UtcbRef::current())
            .u32(op::COPY_IN)
            .u64(to)
            .u64(from)
            .u64(size)
            .item(SendItem::plain(source.fpage(CapRights::RWS)));
        ipc::call(self, seal(w)?).map(|_| ())
    }

    /// Makes sure that the range has memory behind it.
    ///
    /// # Errors
    /// `Refused(Range)`, `Refused(NoMem)`.
    pub fn allocate(self, offset: u64, size: u64) -> Result<()> {
        let w = Writer::new(UtcbRef::current())
            .u32(op::ALLOCATE)
            .u64(offset)
            .u64(size);
        ipc::call(self, seal(w)?).map(|_| ())
    }
}
