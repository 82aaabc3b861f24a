//! One message to the memory server, and what came back.
//!
//! Below the typed clients of l4re-rs on purpose: most tests send what those would never send.

use l4_sys::item::{ITEM_MAP, Received, bdr, single_cap};
use l4_sys::syscall::{self, CALL};
use l4_sys::{
    CapIdx, Errno, Fpage, FpageType, IpcError, MemRights, MsgTag, Timeout, Timeouts, UtcbRef,
};
use l4re_rs::Cap;
use l4re_rs::msg::Writer;

/// Where memory is received: address `WINDOW + spot`. Nothing else of the program is there.
pub const WINDOW: u64 = 1 << 44;
/// log2 of its size.
pub const WINDOW_ORDER: u32 = 42;

/// A server that does not answer within this time is dead: a test fails and the next one begins.
const PATIENCE: Timeout = Timeout::from_us(20_000_000);

/// What a request came to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Got {
    /// A label of 0 or more.
    Label(i64),
    /// An error of the server.
    Refused(i64),
    /// The kernel did not deliver request or answer.
    Failed(u64),
}

impl Got {
    /// Label 0.
    pub const OK: Got = Got::Label(0);

    /// A refusal.
    #[must_use]
    pub const fn err(e: Errno) -> Got {
        Got::Refused(e.label())
    }
}

impl core::fmt::Debug for Got {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match *self {
            Got::Label(label) => write!(f, "label {label}"),
            Got::Refused(label) => match Errno::from_label(label) {
                Some(e) => write!(f, "error {e:?}"),
                None => write!(f, "error {label}"),
            },
            Got::Failed(code) => match IpcError::from_number(code as u8) {
                Some(e) => write!(f, "IPC error {e:?}"),
                None => write!(f, "IPC error {code:#x}"),
            },
        }
    }
}

/// What an answer may bring.
#[derive(Clone, Copy, Debug)]
pub struct Receive {
    /// Slot for a capability.
    pub slot: CapIdx,
    /// Where memory goes.
    pub window: Fpage,
}

impl Receive {
    /// Words, and memory into [`WINDOW`].
    pub const MEMORY: Receive = Receive {
        slot: CapIdx::INVALID,
        window: Fpage::mem(WINDOW, WINDOW_ORDER, MemRights::empty()),
    };

    /// Memory into [`WINDOW`], and a capability.
    #[must_use]
    pub const fn cap<K>(slot: Cap<K>) -> Receive {
        Receive {
            slot: slot.idx(),
            ..Receive::MEMORY
        }
    }
}

/// A whole answer.
#[derive(Clone, Copy, Debug)]
pub struct Answer {
    /// Its label.
    pub got: Got,
    /// Its tag.
    pub tag: MsgTag,
    words: [u64; l4_sys::utcb::MESSAGE_REGISTERS],
}

impl Answer {
    /// Message word `n`, 0 beyond the end of the answer.
    #[must_use]
    pub fn word(&self, n: usize) -> u64 {
        if n < self.tag.words() {
            self.words[n]
        } else {
            0
        }
    }

    /// The first item, as the kernel reported it.
    #[must_use]
    pub fn item(&self) -> Received {
        if self.tag.items() == 0 {
            return Received::Nothing;
        }
        let at = self.tag.words().min(61);
        Received::decode(self.words[at], self.words[at + 1])
    }

    /// Send base and order, when memory came.
    #[must_use]
    pub fn memory(&self) -> Option<(u64, u32)> {
        match self.item() {
            Received::Mapped {
                kind: FpageType::Memory,
                order,
                base,
            } if self.got == Got::OK => Some((base, order)),
            _ => None,
        }
    }
}

/// Sends the message in `w` to `to` and waits for the answer. A message that does not fit is a
/// mistake of the tests and reported as one.
pub fn ask<K>(to: Cap<K>, label: i64, w: Writer, receive: Receive) -> Answer {
    match w.finish(label) {
        Ok(tag) => ask_tag(to, tag, receive),
        Err(_) => Answer {
            got: Got::Failed(0xbad),
            tag: MsgTag(0),
            words: [0; 63],
        },
    }
}

/// As [`ask`] for a message that is in the UTCB already.
pub fn ask_tag<K>(to: Cap<K>, tag: MsgTag, receive: Receive) -> Answer {
    let u = UtcbRef::current();
    // One buffer of each kind, each list ended by a zero.
    u.set_bdr(bdr(0, 3, 6));
    u.set_br(0, ITEM_MAP);
    u.set_br(1, receive.window.0);
    u.set_br(2, 0);
    u.set_br(3, ITEM_MAP);
    u.set_br(4, Fpage::io(0, l4_sys::fpage::WHOLE_IO_SPACE).0);
    u.set_br(5, 0);
    let cap = if receive.slot.is_valid() {
        single_cap(receive.slot)
    } else {
        0
    };
    u.set_br(6, cap);
    u.set_br(7, 0);
    let timeouts = Timeouts::new(PATIENCE, PATIENCE);
    // SAFETY: memory is received only into the tests' window, where no Rust object is.
    let (tag, _) = unsafe { syscall::invoke(to.idx(), CALL, 0, tag, timeouts) };
    let mut answer = Answer {
        got: Got::Label(tag.label()),
        tag,
        words: [0; 63],
    };
    if tag.has_error() {
        answer.got = Got::Failed(syscall::error_code(u));
        answer.tag = MsgTag(0);
        return answer;
    }
    if tag.label() < 0 {
        answer.got = Got::Refused(tag.label());
    }
    for (i, w) in answer.words.iter_mut().enumerate() {
        *w = u.mr(i);
    }
    answer
}

/// A fresh message.
#[must_use]
pub fn message() -> Writer {
    Writer::new(UtcbRef::current())
}
