//! The system call: one instruction that sends, receives or both.
//!
//! Every service of the kernel is a message to an object, so this is all there is. Flags say
//! whether the call sends, receives, waits for anybody, or replies.

use crate::cap::CapIdx;
use crate::tag::MsgTag;
use crate::timeout::Timeouts;
use crate::utcb::{Utcb, UtcbRef};

/// Send to the capability.
pub const SEND: u64 = 1;
/// Receive (from the capability, unless [`OPEN_WAIT`] is set).
pub const RECV: u64 = 2;
/// Receive from anybody.
pub const OPEN_WAIT: u64 = 4;
/// Send to the last caller.
pub const REPLY: u64 = 8;
/// Send and receive from the same partner.
pub const CALL: u64 = SEND | RECV;
/// Receive from anybody.
pub const WAIT: u64 = OPEN_WAIT | RECV;
/// Send, then receive from anybody.
pub const SEND_AND_WAIT: u64 = OPEN_WAIT | CALL;
/// Reply, then receive from anybody.
pub const REPLY_AND_WAIT: u64 = WAIT | SEND | REPLY;

/// Invokes `dest` with the message in the caller's UTCB.
///
/// `flags` are the bits of this module; `label` is the label to send where the kernel takes one
/// (0 otherwise). Returns the received tag and the sender's label; with the error flag in the tag,
/// [`UtcbRef::error`] says why. Blocks as the timeouts allow.
///
/// # Safety
/// The message may make the kernel change memory: mappings received into a memory window, and
/// unmap or map operations on the caller's own task. The caller makes sure that no Rust reference
/// or live value is in memory that this call may replace or take away.
#[inline(always)]
#[must_use]
pub unsafe fn invoke(
    dest: CapIdx,
    flags: u64,
    label: u64,
    tag: MsgTag,
    timeouts: Timeouts,
) -> (MsgTag, u64) {
    #[cfg(l4re)]
    {
        let mut raw_tag = tag.0;
        let mut raw_label = label;
        // SAFETY: the registers are as the kernel's ABI says; "memory" is clobbered by default, so
        // the UTCB is written before and read after. What the message does is the caller's matter.
        unsafe {
            core::arch::asm!(
                "syscall",
                inout("rax") raw_tag,
                inout("rdx") dest.raw() | flags => _,
                inout("rsi") raw_label,
                in("r8") u64::from(timeouts.raw()),
                lateout("rdi") _,
                lateout("rcx") _,
                lateout("r11") _,
                lateout("r15") _,
                options(nostack),
            );
        }
        (MsgTag(raw_tag), raw_label)
    }
    #[cfg(not(l4re))]
    crate::host::invoke(dest, flags, label, tag, timeouts)
}

/// Address of the calling thread's UTCB.
#[inline(always)]
#[must_use]
pub fn utcb() -> *mut Utcb {
    #[cfg(l4re)]
    {
        let block: *mut Utcb;
        // SAFETY: the kernel keeps the UTCB's address at offset 0 of the gs segment, and it never
        // changes during a thread's life.
        unsafe {
            core::arch::asm!("mov {}, gs:[0]", out(reg) block,
                options(pure, readonly, nostack, preserves_flags));
        }
        block
    }
    #[cfg(not(l4re))]
    crate::host::utcb()
}

/// Sends and waits for the answer of the same partner.
///
/// # Safety
/// As [`invoke`].
#[inline(always)]
#[must_use]
pub unsafe fn call(dest: CapIdx, tag: MsgTag, timeouts: Timeouts) -> MsgTag {
    // SAFETY: the caller's promise.
    unsafe { invoke(dest, CALL, 0, tag, timeouts).0 }
}

/// Error of a failed call, as the kernel's code.
#[must_use]
pub fn error_code(utcb: UtcbRef) -> u64 {
    utcb.error() & crate::error::IPC_ERROR_MASK
}
