//! The plain call, and what every client does with its answer.

use l4_sys::item::{ITEM_MAP, single_cap};
use l4_sys::syscall::{self, CALL, RECV};
use l4_sys::{CapIdx, Fpage, MsgTag, Timeout, Timeouts, UtcbRef};

use crate::cap::Cap;
use crate::error::{Result, check};

/// Calls `cap` with the message in the UTCB and accepts nothing but words in the answer.
///
/// # Errors
/// IPC errors and the callee's.
pub fn call<K>(cap: Cap<K>, tag: MsgTag) -> Result<MsgTag> {
    let utcb = UtcbRef::current();
    utcb.set_bdr(0);
    utcb.set_br(0, 0);
    // SAFETY: no receive buffer is armed, so nothing of ours is replaced. Requests to the own task
    // that take memory away go through `client::task`, whose functions are unsafe themselves.
    let tag = unsafe { syscall::call(cap.idx(), tag, Timeouts::NEVER) };
    check(tag, utcb).map(|_| tag)
}

/// Calls `cap` and accepts one capability into `slot`; what was there is replaced.
///
/// # Errors
/// IPC errors and the callee's; `BadReply` when the answer brings no capability.
pub fn call_for_cap<K, L>(cap: Cap<K>, tag: MsgTag, slot: Cap<L>) -> Result<MsgTag> {
    let utcb = UtcbRef::current();
    utcb.set_bdr(0);
    utcb.set_br(0, single_cap(slot.idx()));
    utcb.set_br(1, 0);
    // SAFETY: only an object-space slot can be replaced, no memory.
    let tag = unsafe { syscall::call(cap.idx(), tag, Timeouts::NEVER) };
    utcb.set_br(0, 0);
    check(tag, utcb)?;
    let received = crate::msg::Reader::new(utcb, tag).item();
    if received.is_ok_and(|r| r.is_cap()) {
        Ok(tag)
    } else {
        Err(crate::Error::BadReply)
    }
}

/// Calls `cap` and accepts memory into `window`.
///
/// # Errors
/// IPC errors and the callee's.
///
/// # Safety
/// Nothing that Rust uses lies in `window`.
pub unsafe fn call_for_memory<K>(cap: Cap<K>, tag: MsgTag, window: Fpage) -> Result<MsgTag> {
    let utcb = UtcbRef::current();
    utcb.set_bdr(0);
    utcb.set_br(0, ITEM_MAP);
    utcb.set_br(1, window.0);
    utcb.set_br(2, 0);
    // SAFETY: the caller's promise about the window.
    let (tag, _) = unsafe { syscall::invoke(cap.idx(), CALL, 0, tag, Timeouts::NEVER) };
    utcb.set_br(0, 0);
    check(tag, utcb).map(|_| tag)
}

/// Calls `cap`, accepts memory into `window` unless that is [`Fpage::INVALID`], and gives up when the
/// timeouts pass.
///
/// # Errors
/// IPC errors, those of the timeouts among them, and the callee's.
///
/// # Safety
/// Nothing that Rust uses lies in `window`.
pub unsafe fn call_within<K>(
    cap: Cap<K>,
    tag: MsgTag,
    window: Fpage,
    timeouts: Timeouts,
) -> Result<MsgTag> {
    let utcb = UtcbRef::current();
    utcb.set_bdr(0);
    if window == Fpage::INVALID {
        utcb.set_br(0, 0);
    } else {
        utcb.set_br(0, ITEM_MAP);
        utcb.set_br(1, window.0);
        utcb.set_br(2, 0);
    }
    // SAFETY: the caller's promise about the window.
    let tag = unsafe { syscall::call(cap.idx(), tag, timeouts) };
    utcb.set_br(0, 0);
    check(tag, utcb).map(|_| tag)
}

/// Waits for a time without receiving anything.
pub fn sleep(time: Timeout) {
    let timeouts = Timeouts::new(Timeout::NEVER, time);
    // SAFETY: a receive from nobody brings nothing.
    let _ = unsafe { syscall::invoke(CapIdx::INVALID, RECV, 0, MsgTag(0), timeouts) };
}
