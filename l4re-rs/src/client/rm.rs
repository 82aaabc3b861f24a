//! Region maps: which object is where in an address space.

use l4_sys::item::SendItem;
use l4_sys::{CapRights, UtcbRef, proto};

use super::ipc;
use crate::cap::{Cap, kind};
use crate::error::{Error, Result};
use crate::msg::{Reader, Writer};

/// Operation numbers of the protocol (label [`proto::RM`]).
pub mod op {
    #![allow(missing_docs)]
    pub const ATTACH: u32 = 0;
    pub const DETACH: u32 = 1;
    pub const FIND: u32 = 2;
    pub const RESERVE_AREA: u32 = 3;
    pub const FREE_AREA: u32 = 4;
    pub const GET_REGIONS: u32 = 5;
    pub const GET_AREAS: u32 = 6;
    pub const GET_INFO: u32 = 7;
    pub const ADD_RESCUE_JUMP: u32 = 8;
    pub const REMOVE_RESCUE_JUMP: u32 = 9;
    pub const PAGE_IN: u32 = 10;
}

/// Region and attach flags.
pub mod flag {
    #![allow(missing_docs)]
    pub const X: u32 = 1;
    pub const W: u32 = 2;
    pub const R: u32 = 4;
    pub const KERNEL: u32 = 0x100;
    pub const PAGER: u32 = 0x400;
    pub const RESERVED: u32 = 0x800;
    pub const PRIVATE: u32 = 0x1000;
    pub const ANONYMOUS: u32 = 0x2000;
    pub const SEARCH_ADDR: u32 = 0x20000;
    pub const IN_AREA: u32 = 0x40000;
    pub const EAGER_MAP: u32 = 0x80000;
    pub const NO_EAGER_MAP: u32 = 0x100000;
}

/// Arguments of [`Cap::attach`].
#[derive(Clone, Copy, Debug)]
pub struct Attach<'a> {
    /// Where, or from where to search.
    pub start: u64,
    /// Bytes.
    pub size: u64,
    /// Flags of [`flag`].
    pub flags: u32,
    /// The object, with the rights to pass on.
    pub object: Option<(Cap<kind::Dataspace>, CapRights)>,
    /// Offset in the object.
    pub offset: u64,
    /// log2 of the alignment of a searched place.
    pub align: u8,
    /// Name of the region for people.
    pub name: &'a str,
}

impl Cap<kind::Rm> {
    /// Attaches an object; returns where.
    ///
    /// # Errors
    /// The region map's: `Refused(AddrNotAvail)`, `Refused(Inval)`, `Refused(Perm)`, ...
    pub fn attach(self, a: Attach<'_>) -> Result<u64> {
        let u = UtcbRef::current();
        let index = a
            .object
            .map_or(l4_sys::cap::INVALID_CAP, |(c, _)| c.idx().raw());
        let mut w = Writer::new(u)
            .u32(op::ATTACH)
            .u64(a.start)
            .u64(a.size)
            .u32(a.flags)
            .u64(a.offset)
            .u8(a.align)
            .u64(index)
            .u64(a.name.len() as u64 + 1)
            .raw(a.name.as_bytes())
            .u8(0)
            .u64(0);
        if let Some((cap, rights)) = a.object {
            w = w.item(SendItem::plain(cap.fpage(rights)));
        }
        let tag = w.finish(proto::RM).map_err(|_| Error::NoRoom)?;
        let tag = ipc::call(self, tag)?;
        Reader::new(u, tag).u64().map_err(|_| Error::BadReply)
    }

    /// Keeps a range of addresses free: nothing is placed there unless it is asked to be.
    ///
    /// # Errors
    /// `Refused(AddrNotAvail)` when something is there, `Refused(Inval)`.
    pub fn reserve_area(self, start: u64, size: u64) -> Result<()> {
        let tag = Writer::new(UtcbRef::current())
            .u32(op::RESERVE_AREA)
            .u64(start)
            .u64(size)
            .u32(0)
            .u8(0)
            .finish(proto::RM)
            .map_err(|_| Error::NoRoom)?;
        ipc::call(self, tag).map(|_| ())
    }

    /// Detaches what lies in a range, one region a call. The result's label bits say what was
    /// done: 0 whole region, 1 head or tail, 2 split, 4 more regions are in the range.
    ///
    /// # Errors
    /// The region map's.
    ///
    /// # Safety
    /// Nothing that Rust uses lies in the range.
    pub unsafe fn detach(self, start: u64, size: u64, flags: u32) -> Result<i64> {
        let tag = Writer::new(UtcbRef::current())
            .u32(op::DETACH)
            .u64(start)
            .u64(size)
            .u32(flags)
            .finish(proto::RM)
            .map_err(|_| Error::NoRoom)?;
        ipc::call(self, tag).map(|t| t.label())
    }
}
