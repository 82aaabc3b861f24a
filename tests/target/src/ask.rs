//! One message to the root pager, word by word, and what came back.
//!
//! Below the typed clients of l4re-rs on purpose: most tests send what those would never send.

use l4_sys::item::{ITEM_MAP, Received, SendItem, bdr, single_cap};
use l4_sys::syscall::{self, SEND};
use l4_sys::{
    CapIdx, Errno, Fpage, FpageType, IpcError, MemRights, MsgTag, Timeout, Timeouts, UtcbRef,
};
use l4re_rs::Cap;
use l4re_rs::cap::kind;

/// Start of the part of our address space that memory from sigma0 is received into. Nothing else
/// of the program is there, and physical address `p` appears at `WINDOW + p`.
pub const WINDOW: u64 = 1 << 44;
/// log2 of its size: more than any machine's memory.
pub const WINDOW_ORDER: u32 = 42;

/// A server that does not answer within this time is dead: a test fails and the next one begins.
const PATIENCE: Timeout = Timeout::from_us(10_000_000);

/// What one request came to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Reply {
    /// Label 0 or more, without words and items.
    Done(i64),
    /// Label 0, no words, one item: something was mapped.
    Mapped {
        /// What.
        kind: FpageType,
        /// log2 of its size.
        order: u32,
        /// Its send base: the physical address of memory.
        base: u64,
    },
    /// Label 0 and words.
    Words(usize),
    /// An error of the server.
    Refused(i64),
    /// The kernel did not deliver request or answer.
    Failed(u64),
    /// Anything else, with its tag.
    Odd(MsgTag),
}

impl Reply {
    /// A refusal with an error of ours.
    #[must_use]
    pub const fn refused(e: Errno) -> Self {
        Reply::Refused(e.label())
    }

    /// A page or more of memory, mapped.
    #[must_use]
    pub const fn memory(base: u64, order: u32) -> Self {
        Reply::Mapped {
            kind: FpageType::Memory,
            order,
            base,
        }
    }

    /// A capability, mapped.
    #[must_use]
    pub const fn capability() -> Self {
        Reply::Mapped {
            kind: FpageType::Obj,
            order: 0,
            base: 0,
        }
    }

    /// Ports, mapped.
    #[must_use]
    pub const fn ports(order: u32) -> Self {
        Reply::Mapped {
            kind: FpageType::Io,
            order,
            base: 0,
        }
    }

    /// Address of the memory, when memory was mapped.
    #[must_use]
    pub const fn address(self) -> Option<u64> {
        match self {
            Reply::Mapped {
                kind: FpageType::Memory,
                base,
                ..
            } => Some(base),
            _ => None,
        }
    }
}

impl core::fmt::Debug for Reply {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match *self {
            Reply::Done(label) => write!(f, "label {label}"),
            Reply::Mapped { kind, order, base } => {
                write!(f, "mapped {kind:?} order {order} base {base:#x}")
            }
            Reply::Words(n) => write!(f, "{n} words"),
            Reply::Refused(label) => match Errno::from_label(label) {
                Some(e) => write!(f, "error {e:?}"),
                None => write!(f, "error {label}"),
            },
            Reply::Failed(code) => match IpcError::from_number(code as u8) {
                Some(e) => write!(f, "IPC error {e:?}"),
                None => write!(f, "IPC error {code:#x}"),
            },
            Reply::Odd(tag) => write!(f, "{tag:?}"),
        }
    }
}

/// A request to be sent.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// Protocol.
    pub label: i64,
    /// Words.
    pub words: &'a [u64],
    /// An item behind the words.
    pub item: Option<SendItem>,
    /// Slot that takes a capability from the answer.
    pub slot: CapIdx,
    /// Where memory from the answer goes.
    pub window: Fpage,
    /// What the first message registers hold behind the words that are sent: a server must not
    /// look at them.
    pub stale: &'a [u64],
}

impl<'a> Message<'a> {
    /// Words only; memory goes to [`WINDOW`], capabilities nowhere.
    #[must_use]
    pub const fn new(label: i64, words: &'a [u64]) -> Self {
        Message {
            label,
            words,
            item: None,
            slot: CapIdx::INVALID,
            window: Fpage::mem(WINDOW, WINDOW_ORDER, MemRights::empty()),
            stale: &[],
        }
    }

    /// Takes a capability into `slot`.
    #[must_use]
    pub const fn into_slot<K>(self, slot: Cap<K>) -> Self {
        Message {
            slot: slot.idx(),
            ..self
        }
    }

    /// Leaves `words` in the message registers from the first word on that is not sent.
    #[must_use]
    pub const fn with_stale(self, stale: &'a [u64]) -> Self {
        Message { stale, ..self }
    }

    /// Adds an item.
    #[must_use]
    pub const fn with_item(self, item: SendItem) -> Self {
        Message {
            item: Some(item),
            ..self
        }
    }

    fn prepare(&self) -> (UtcbRef, MsgTag) {
        let u = UtcbRef::current();
        for i in 0..l4_sys::utcb::MESSAGE_REGISTERS {
            u.set_mr(i, 0);
        }
        for (i, w) in self.words.iter().chain(self.stale).enumerate() {
            u.set_mr(i, *w);
        }
        let n = self.words.len();
        if let Some(item) = self.item {
            u.set_mr(n, item.control);
            u.set_mr(n + 1, item.fpage.0);
        }
        let tag = MsgTag::plain(self.label, n, usize::from(self.item.is_some()));
        // One buffer of each kind, each list ended by a zero.
        u.set_bdr(bdr(0, 3, 6));
        u.set_br(0, ITEM_MAP);
        u.set_br(1, self.window.0);
        u.set_br(2, 0);
        u.set_br(3, ITEM_MAP);
        u.set_br(4, Fpage::io(0, l4_sys::fpage::WHOLE_IO_SPACE).0);
        u.set_br(5, 0);
        u.set_br(
            6,
            if self.slot.is_valid() {
                single_cap(self.slot)
            } else {
                0
            },
        );
        u.set_br(7, 0);
        (u, tag)
    }

    /// Sends it to `to` and waits for the answer; words of the answer go to `out`.
    pub fn ask_words<K>(self, to: Cap<K>, out: &mut [u64]) -> Reply {
        let (u, tag) = self.prepare();
        // SAFETY: memory is received only into the window, where nothing of ours is; the tests
        // that choose another window know that it is free.
        let tag = unsafe { syscall::call(to.idx(), tag, Timeouts::new(PATIENCE, PATIENCE)) };
        if tag.has_error() {
            return Reply::Failed(syscall::error_code(u));
        }
        for (i, w) in out.iter_mut().enumerate().take(tag.words()) {
            *w = u.mr(i);
        }
        let label = tag.label();
        match (label, tag.words(), tag.items()) {
            (..0, _, 0) => Reply::Refused(label),
            (0.., 0, 0) => Reply::Done(label),
            (0, n, 0) => Reply::Words(n),
            (0, 0, 1) => match Received::decode(u.mr(0), u.mr(1)) {
                Received::Mapped { kind, order, base } => Reply::Mapped { kind, order, base },
                _ => Reply::Odd(tag),
            },
            _ => Reply::Odd(tag),
        }
    }

    /// As [`Message::ask_words`], for answers without words.
    pub fn ask<K>(self, to: Cap<K>) -> Reply {
        self.ask_words(to, &mut [])
    }

    /// Sends it and does not wait for an answer. Whether it was delivered.
    pub fn only_send<K>(self, to: Cap<K>) -> bool {
        let (_, tag) = self.prepare();
        // SAFETY: nothing is received.
        let (tag, _) = unsafe {
            syscall::invoke(
                to.idx(),
                SEND,
                0,
                tag,
                Timeouts::new(PATIENCE, Timeout::ZERO),
            )
        };
        !tag.has_error()
    }
}

/// A request of the sigma0 protocol with one argument.
pub fn sigma0(to: Cap<kind::Sigma0>, request: u64, fpage: u64) -> Reply {
    Message::new(l4_sys::proto::SIGMA0, &[request, fpage]).ask(to)
}

/// Bits of a flexpage argument: address and order.
#[must_use]
pub const fn block(address: u64, order: u32) -> u64 {
    Fpage::mem(address, order, MemRights::empty()).0
}
