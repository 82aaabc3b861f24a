//! What a call can come back with instead of a result.

use l4_sys::{Errno, IpcError, MsgTag, UtcbRef};

/// Why a call gave no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// The callee answered with an error.
    Refused(Errno),
    /// The kernel could not deliver the request or the answer.
    Ipc(IpcError),
    /// A negative answer whose number is not known.
    Unknown(i64),
    /// The answer is not what the protocol says: too short, or an item is missing.
    BadReply,
    /// The arguments do not fit a message, or no slot is left; nothing was sent.
    NoRoom,
}

/// Result of a call.
pub type Result<T> = core::result::Result<T, Error>;

impl Error {
    /// The error number a server passes on when one of its own calls failed.
    #[must_use]
    pub const fn errno(self) -> Errno {
        match self {
            Error::Refused(e) => e,
            Error::Ipc(IpcError::SendMapFailed | IpcError::ReceiveMapFailed) | Error::NoRoom => {
                Errno::NoMem
            }
            Error::Ipc(_) => Errno::NoEnt,
            Error::Unknown(_) | Error::BadReply => Errno::Io,
        }
    }
}

impl From<Errno> for Error {
    fn from(e: Errno) -> Self {
        Error::Refused(e)
    }
}

/// Turns the tag of an answer into its non-negative label.
///
/// # Errors
/// The kernel's IPC error, or the callee's negative label.
pub fn check(tag: MsgTag, utcb: UtcbRef) -> Result<i64> {
    if tag.has_error() {
        let code = l4_sys::syscall::error_code(utcb);
        return Err(match IpcError::from_number(code as u8) {
            Some(e) => Error::Ipc(e),
            None => Error::Unknown(code as i64),
        });
    }
    let label = tag.label();
    if label >= 0 {
        return Ok(label);
    }
    Err(match Errno::from_label(label) {
        Some(e) => Error::Refused(e),
        None => Error::Unknown(label),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use l4_sys::{TagFlags, Utcb};

    #[test]
    fn labels_and_ipc_errors() {
        let mut block = [0u64; 128];
        block[123] = 0x1e3; // only the low five bits are the code
        // SAFETY: a UTCB-sized block of this thread.
        let u = unsafe { UtcbRef::from_ptr(block.as_mut_ptr().cast::<Utcb>()) };
        assert_eq!(check(MsgTag::plain(3, 0, 0), u), Ok(3));
        assert_eq!(
            check(MsgTag::plain(-12, 0, 0), u),
            Err(Error::Refused(Errno::NoMem))
        );
        assert_eq!(check(MsgTag::plain(-3, 0, 0), u), Err(Error::Unknown(-3)));
        let failed = MsgTag::new(0, 0, 0, TagFlags::ERROR);
        assert_eq!(check(failed, u), Err(Error::Ipc(IpcError::ReceiveTimeout)));
    }
}
