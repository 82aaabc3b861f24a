//! The loop of a server: wait, handle, reply and wait.
//!
//! A server replies with a send timeout of zero: a client that does not wait for its answer loses
//! it, and cannot hold the server. An IPC error, on either half, only starts the next wait.

use l4_sys::syscall::{self, REPLY_AND_WAIT, WAIT};
use l4_sys::{CapIdx, MsgTag, Timeout, Timeouts, UtcbRef};

/// A message that has arrived.
#[derive(Clone, Copy, Debug)]
pub struct Incoming {
    /// Label of the gate it came through; the low two bits are the W (1) and S (2) right of the
    /// capability that was used. For interrupts, the label they were bound with.
    pub label: u64,
    /// Its tag.
    pub tag: MsgTag,
    /// Where its words are.
    pub utcb: UtcbRef,
}

/// What becomes of the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "the caller waits for this"]
pub enum Outcome {
    /// Answer with the message that now is in the UTCB.
    Reply(MsgTag),
    /// No answer: the message was a notification, or the caller stays blocked for good.
    Nothing,
}

impl Outcome {
    /// An answer that is only a result code.
    pub const fn label(label: i64) -> Self {
        Outcome::Reply(MsgTag::plain(label, 0, 0))
    }

    /// An answer that is only an error.
    pub const fn error(e: l4_sys::Errno) -> Self {
        Outcome::label(e.label())
    }
}

/// What a server does with messages.
pub trait Service {
    /// Handles one message. The UTCB holds it; on return it holds the answer.
    fn handle(&mut self, msg: Incoming) -> Outcome;

    /// Sets the receive buffers; called before every wait, because calls that the handler makes
    /// use the same registers. The default accepts nothing but words.
    #[inline(always)]
    fn prepare(&mut self, utcb: UtcbRef) {
        utcb.set_bdr(0);
        utcb.set_br(0, 0);
    }

    /// How long to wait for the next message. [`Timeout::ZERO`] while there is work for
    /// [`Service::idle`].
    #[inline(always)]
    fn patience(&self) -> Timeout {
        Timeout::NEVER
    }

    /// Called when no message came within [`Service::patience`]. Does a bounded piece of work.
    #[inline(always)]
    fn idle(&mut self) {}

    /// Called when a reply or a wait failed; `code` is the kernel's IPC error. Timeouts of the
    /// wait go to [`Service::idle`] instead.
    #[inline(always)]
    fn ipc_failed(&mut self, code: u64) {
        let _ = code;
    }
}

/// Serves for ever.
///
/// # Safety
/// The receive buffers that [`Service::prepare`] sets name no memory that Rust uses: a client
/// could replace it.
pub unsafe fn serve<S: Service>(service: &mut S) -> ! {
    let utcb = UtcbRef::current();
    let mut outcome = Outcome::Nothing;
    loop {
        service.prepare(utcb);
        let timeouts = Timeouts::new(Timeout::ZERO, service.patience());
        let (flags, tag) = match outcome {
            Outcome::Reply(tag) => (REPLY_AND_WAIT, tag),
            Outcome::Nothing => (WAIT, MsgTag(0)),
        };
        // SAFETY: replies map from here to clients; what clients send goes to the buffers that
        // the caller vouches for.
        let (tag, label) = unsafe { syscall::invoke(CapIdx::INVALID, flags, 0, tag, timeouts) };
        if tag.has_error() {
            outcome = Outcome::Nothing;
            match syscall::error_code(utcb) {
                RECEIVE_TIMEOUT => service.idle(),
                code => service.ipc_failed(code),
            }
            continue;
        }
        outcome = service.handle(Incoming { label, tag, utcb });
    }
}

const RECEIVE_TIMEOUT: u64 = l4_sys::IpcError::ReceiveTimeout as u64;
