//! A message with any receive buffers, or none: what the other tests' messages always have right.

use l4_sys::item::SendItem;
use l4_sys::syscall::{self, CALL, SEND};
use l4_sys::{MsgTag, Timeout, Timeouts, UtcbRef};
use l4re_rs::Cap;
use l4re_rs::cap::kind;

/// A server that does not answer within this time is dead.
const PATIENCE: Timeout = Timeout::from_us(10_000_000);

/// What a message came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The answer's label.
    Label(i64),
    /// An error of the kernel other than a timeout: the partner was there.
    Failed(u64),
    /// Nobody took the message, or nobody answered.
    Timeout,
}

impl Outcome {
    fn read(tag: MsgTag, u: UtcbRef) -> Self {
        if !tag.has_error() {
            return Outcome::Label(tag.label());
        }
        match syscall::error_code(u) {
            // Send and receive timeout.
            2 | 3 => Outcome::Timeout,
            code => Outcome::Failed(code),
        }
    }
}

/// A message, word by word.
#[derive(Clone, Copy, Debug)]
pub struct Raw<'a> {
    /// Protocol.
    pub label: i64,
    /// Words.
    pub words: &'a [u64],
    /// Items behind the words.
    pub items: &'a [SendItem],
    /// Buffer descriptor.
    pub bdr: u64,
    /// Buffer registers, as they are; a zero is put behind them.
    pub buffers: &'a [u64],
}

impl<'a> Raw<'a> {
    /// Words only, without any receive buffer.
    #[must_use]
    pub const fn new(label: i64, words: &'a [u64]) -> Self {
        Raw {
            label,
            words,
            items: &[],
            bdr: 0,
            buffers: &[],
        }
    }

    fn prepare(&self) -> (UtcbRef, MsgTag) {
        let u = UtcbRef::current();
        for (i, w) in self.words.iter().enumerate() {
            u.set_mr(i, *w);
        }
        for (i, item) in self.items.iter().enumerate() {
            u.set_mr(self.words.len() + 2 * i, item.control);
            u.set_mr(self.words.len() + 2 * i + 1, item.fpage.0);
        }
        u.set_bdr(self.bdr);
        for (i, b) in self.buffers.iter().chain(&[0, 0]).enumerate() {
            u.set_br(i, *b);
        }
        (
            u,
            MsgTag::plain(self.label, self.words.len(), self.items.len()),
        )
    }

    /// Sends it and waits for the answer.
    pub fn call(&self, to: Cap<kind::Sigma0>) -> Outcome {
        let (u, tag) = self.prepare();
        let timeouts = Timeouts::new(PATIENCE, PATIENCE);
        // SAFETY: no test names a memory window outside the tests' window, where no Rust object is.
        let (tag, _) = unsafe { syscall::invoke(to.idx(), CALL, 0, tag, timeouts) };
        Outcome::read(tag, u)
    }

    /// Sends it and never receives the answer.
    pub fn send(&self, to: Cap<kind::Sigma0>) -> Outcome {
        let (u, tag) = self.prepare();
        let timeouts = Timeouts::new(PATIENCE, Timeout::ZERO);
        // SAFETY: nothing is received.
        let (tag, _) = unsafe { syscall::invoke(to.idx(), SEND, 0, tag, timeouts) };
        if tag.has_error() {
            Outcome::read(tag, u)
        } else {
            Outcome::Label(0)
        }
    }

    /// Sends it and gives up waiting at once: most often gone when the answer is ready.
    pub fn hurried_call(&self, to: Cap<kind::Sigma0>) -> Outcome {
        let (u, tag) = self.prepare();
        let timeouts = Timeouts::new(PATIENCE, Timeout::ZERO);
        // SAFETY: as in `call`.
        let (tag, _) = unsafe { syscall::invoke(to.idx(), CALL, 0, tag, timeouts) };
        Outcome::read(tag, u)
    }
}
