//! Name spaces: capabilities by name.

use l4_sys::item::SendItem;
use l4_sys::{CapRights, UtcbRef, proto};

use super::ipc;
use crate::cap::{Cap, kind};
use crate::error::{Error, Result};
use crate::msg::{Reader, Writer};

/// Operation numbers of the protocol (label [`proto::NAMESPACE`]).
pub mod op {
    #![allow(missing_docs)]
    pub const QUERY: u32 = 0;
    pub const REGISTER: u32 = 1;
    pub const UNLINK: u32 = 3;
}

/// Label of an answer that resolved only the first part of a name.
pub const PARTLY_RESOLVED: i64 = 0x20;

impl Cap<kind::Namespace> {
    /// Looks `name` up and receives the capability into `slot`. A name with slashes is followed
    /// through nested name spaces, of whichever servers.
    ///
    /// # Errors
    /// `Refused(NoEnt)` unknown, `Refused(Again)` registered without an object yet, `NoRoom` the
    /// name does not fit a message.
    pub fn query<K>(self, name: &str, slot: Cap<K>) -> Result<()> {
        let u = UtcbRef::current();
        let mut buffer = [0u8; 256];
        let mut from: Cap<kind::Namespace> = self;
        let mut rest = name.as_bytes();
        // Each round resolves at least one part, so a name cannot hold the caller for ever.
        for _ in 0..name.len() + 1 {
            let tag = Writer::new(u)
                .u32(op::QUERY)
                .array(rest)
                .finish(proto::NAMESPACE)
                .map_err(|_| Error::NoRoom)?;
            let tag = ipc::call_for_cap(from, tag, slot)?;
            if tag.label() & PARTLY_RESOLVED == 0 {
                return Ok(());
            }
            let mut r = Reader::new(u, tag);
            let _dummy = r.u32().map_err(|_| Error::BadReply)?;
            let n = r.array(&mut buffer).map_err(|_| Error::BadReply)?;
            rest = buffer_tail(name, n)?;
            if rest.is_empty() {
                return Ok(());
            }
            from = slot.cast();
        }
        Err(Error::BadReply)
    }

    /// Registers `object` with `rights` under `name`; without an object, a place to be filled.
    /// `flags` as the protocol has them (0x200 overwrites).
    ///
    /// # Errors
    /// `Refused(Perm)` without W, `Refused(Inval)` a bad name, `Refused(Exist)`, `Refused(NoMem)`.
    pub fn register<K>(
        self,
        name: &str,
        object: Option<(Cap<K>, CapRights)>,
        flags: u32,
    ) -> Result<()> {
        let mut w = Writer::new(UtcbRef::current())
            .u32(op::REGISTER)
            .u32(flags)
            .array(name.as_bytes());
        if let Some((cap, rights)) = object {
            w = w.item(SendItem::plain(cap.fpage(rights)));
        }
        let tag = w.finish(proto::NAMESPACE).map_err(|_| Error::NoRoom)?;
        ipc::call(self, tag).map(|_| ())
    }

    /// Removes a name.
    ///
    /// # Errors
    /// `Refused(Perm)` without W, `Refused(NoEnt)`, `Refused(Access)` for a fixed entry.
    pub fn unlink(self, name: &str) -> Result<()> {
        let tag = Writer::new(UtcbRef::current())
            .u32(op::UNLINK)
            .array(name.as_bytes())
            .finish(proto::NAMESPACE)
            .map_err(|_| Error::NoRoom)?;
        ipc::call(self, tag).map(|_| ())
    }
}

/// The last `n` bytes of `name`: what a server says is left to resolve.
fn buffer_tail(name: &str, n: usize) -> Result<&[u8]> {
    let bytes = name.as_bytes();
    bytes
        .len()
        .checked_sub(n)
        .and_then(|at| bytes.get(at..))
        .ok_or(Error::BadReply)
}
