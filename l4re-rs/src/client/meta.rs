//! What an object speaks.

use l4_sys::{UtcbRef, proto};

use super::ipc;
use crate::cap::Cap;
use crate::error::{Error, Result};
use crate::msg::{Reader, Writer};

impl<K> Cap<K> {
    /// Number of interfaces of the object.
    ///
    /// # Errors
    /// The object's and IPC errors.
    pub fn interface_count(self) -> Result<i64> {
        let tag = Writer::new(UtcbRef::current())
            .u32(0)
            .finish(proto::META)
            .map_err(|_| Error::NoRoom)?;
        ipc::call(self, tag).map(|t| t.label())
    }

    /// Protocol number of interface `index`; its name goes to `name`, whose used length is the
    /// second result (the NUL included).
    ///
    /// # Errors
    /// `Refused(Range)` for an index beyond the last.
    pub fn interface(self, index: u64, name: &mut [u8]) -> Result<(i64, usize)> {
        let u = UtcbRef::current();
        let tag = Writer::new(u)
            .u32(1)
            .u64(index)
            .finish(proto::META)
            .map_err(|_| Error::NoRoom)?;
        let tag = ipc::call(self, tag)?;
        let mut r = Reader::new(u, tag);
        match (r.i64(), r.array(name)) {
            (Ok(p), Ok(n)) => Ok((p, n)),
            _ => Err(Error::BadReply),
        }
    }

    /// Whether the object speaks `protocol`.
    ///
    /// # Errors
    /// The object's and IPC errors.
    pub fn supports(self, protocol: i64) -> Result<bool> {
        let tag = Writer::new(UtcbRef::current())
            .u32(2)
            .u64(protocol.cast_unsigned())
            .finish(proto::META)
            .map_err(|_| Error::NoRoom)?;
        ipc::call(self, tag).map(|t| t.label() != 0)
    }
}
