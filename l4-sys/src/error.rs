//! Error numbers: what a negative reply label means, and why an IPC failed.

macro_rules! codes {
    ($(#[$m:meta])* $name:ident : $repr:ty { $($(#[$d:meta])* $v:ident = $n:literal,)* }) => {
        $(#[$m])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr($repr)]
        pub enum $name { $($(#[$d])* $v = $n,)* }

        impl $name {
            /// All codes, in ascending order.
            pub const ALL: &'static [$name] = &[$($name::$v,)*];

            /// The code with this number, if there is one.
            #[must_use]
            pub const fn from_number(n: $repr) -> Option<Self> {
                match n {
                    $($n => Some($name::$v),)*
                    _ => None,
                }
            }

            /// The number.
            #[must_use]
            pub const fn number(self) -> $repr {
                self as $repr
            }
        }
    };
}

codes! {
    /// Error numbers of protocols; a reply carries them negated as its label.
    Errno: u16 {
        /// The capability lacks a right.
        Perm = 1,
        /// Not there.
        NoEnt = 2,
        /// I/O error.
        Io = 5,
        /// No such device or address.
        NxIo = 6,
        /// Argument list too long.
        TooBig = 7,
        /// Try again.
        Again = 11,
        /// Out of memory or quota.
        NoMem = 12,
        /// Access denied by the object.
        Access = 13,
        /// Bad address.
        Fault = 14,
        /// Busy.
        Busy = 16,
        /// Already there.
        Exist = 17,
        /// No such kind of object.
        NoDev = 19,
        /// Not a directory.
        NotDir = 20,
        /// Invalid argument.
        Inval = 22,
        /// No space left.
        NoSpc = 28,
        /// Out of range.
        Range = 34,
        /// Name too long.
        NameTooLong = 36,
        /// Unknown operation.
        NoSys = 38,
        /// Unknown protocol.
        BadProto = 39,
        /// Address not available.
        AddrNotAvail = 99,
        /// No reply is to be sent.
        NoReply = 1000,
        /// Message too short.
        MsgTooShort = 1001,
        /// Message too long.
        MsgTooLong = 1002,
        /// An argument is missing.
        MsgMissArg = 1003,
        /// A value in the message is out of range.
        MsgErrRange = 1004,
        /// The reply was dropped.
        DropReply = 1005,
    }
}

impl Errno {
    /// The label of a reply that reports this error.
    #[must_use]
    pub const fn label(self) -> i64 {
        -(self as i64)
    }

    /// The error that a reply's label reports; `None` for success and for numbers not known.
    #[must_use]
    pub const fn from_label(label: i64) -> Option<Self> {
        if label < 0 && label > -65536 {
            Errno::from_number(-label as u16)
        } else {
            None
        }
    }
}

codes! {
    /// Why the kernel refused or broke off an IPC. Even numbers happened while sending, odd ones
    /// while receiving.
    IpcError: u8 {
        /// The send timeout passed.
        SendTimeout = 0x02,
        /// The receive timeout passed.
        ReceiveTimeout = 0x03,
        /// The destination does not exist.
        NotExistent = 0x04,
        /// The send was cancelled.
        SendCancelled = 0x06,
        /// The receive was cancelled.
        ReceiveCancelled = 0x07,
        /// The message did not fit the receiver's buffers (sender's side).
        SendMsgCut = 0x08,
        /// The message did not fit the receiver's buffers (receiver's side).
        ReceiveMsgCut = 0x09,
        /// Page-fault timeout at the sender (sender's side).
        SendSenderFaultTimeout = 0x0a,
        /// Page-fault timeout at the sender (receiver's side).
        ReceiveSenderFaultTimeout = 0x0b,
        /// Page-fault timeout at the receiver (sender's side).
        SendReceiverFaultTimeout = 0x0c,
        /// Page-fault timeout at the receiver (receiver's side).
        ReceiveReceiverFaultTimeout = 0x0d,
        /// The partner was destroyed while sending.
        SendAborted = 0x0e,
        /// The partner was destroyed while receiving.
        ReceiveAborted = 0x0f,
        /// A mapping could not be made (sender's side): kernel memory or quota.
        SendMapFailed = 0x10,
        /// A mapping could not be made (receiver's side).
        ReceiveMapFailed = 0x11,
        /// There is no reply capability to reply through.
        NoReplyCap = 0x13,
    }
}

/// First number of the range that stands for IPC errors among error numbers.
pub const IPC_ERROR_BASE: u16 = 2000;
/// Bits of the UTCB's error word that hold the code.
pub const IPC_ERROR_MASK: u64 = 0x1f;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_and_numbers() {
        assert_eq!(Errno::BadProto.label(), -39);
        assert_eq!(Errno::from_label(-1001), Some(Errno::MsgTooShort));
        assert_eq!(Errno::from_label(5), None);
        assert_eq!(Errno::from_label(-3), None);
        assert_eq!(Errno::from_label(i64::MIN), None);
        for e in Errno::ALL {
            assert_eq!(Errno::from_label(e.label()), Some(*e));
        }
        assert_eq!(IpcError::from_number(4), Some(IpcError::NotExistent));
        assert_eq!(IpcError::from_number(1), None);
    }
}
