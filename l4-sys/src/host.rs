//! The back end under Linux: a kernel model that answers system calls.
//!
//! A model installs itself for a thread of the host before it runs model code there ([`enter`]);
//! the functions of this crate then go to it. Which simulated thread is meant is the model's
//! knowledge: it changes with every switch, and the model answers [`Kernel::utcb`] accordingly.

use std::boxed::Box;
use std::cell::Cell;

use crate::cap::CapIdx;
use crate::tag::MsgTag;
use crate::timeout::Timeouts;
use crate::utcb::Utcb;

/// What a kernel model offers to the programs that it runs.
pub trait Kernel {
    /// The system call of the running simulated thread; see [`crate::syscall::invoke`].
    fn invoke(
        &self,
        dest: CapIdx,
        flags: u64,
        label: u64,
        tag: MsgTag,
        timeouts: Timeouts,
    ) -> (MsgTag, u64);

    /// UTCB of the running simulated thread: 1024 bytes, aligned to 8, that stay where they are
    /// while the thread exists.
    fn utcb(&self) -> *mut Utcb;

    /// Host address of the byte at `addr` in the running thread's address space.
    fn at(&self, addr: u64) -> *mut u8;

    /// Zeroes memory of the running thread's address space.
    fn zero(&self, addr: u64, bytes: u64);

    /// APIC id of the simulated CPU that runs.
    fn apic_id(&self) -> u32;

    /// Gives code of the host a place in simulated memory; see [`entry`].
    fn entry(&self, start: Box<dyn FnOnce(u64) + Send>) -> u64;
}

std::thread_local! {
    static KERNEL: Cell<Option<*const dyn Kernel>> = const { Cell::new(None) };
}

/// Instruction pointer at which a simulated thread runs `start` (for `thread::EX_REGS`).
///
/// `start` gets the stack pointer that the thread was started with; when it returns the thread
/// sleeps for ever. Each entry can be started once. Any other instruction pointer is refused by
/// the model, so a client's garbage cannot make the host jump.
#[must_use]
pub fn entry(start: Box<dyn FnOnce(u64) + Send>) -> u64 {
    with(|k| k.entry(start))
}

/// Makes `kernel` answer this host thread's calls; returns what answered before.
///
/// # Safety
/// `kernel` stays alive and in place until it is replaced.
pub unsafe fn enter(kernel: Option<*const dyn Kernel>) -> Option<*const dyn Kernel> {
    KERNEL.with(|k| k.replace(kernel))
}

// Not inlined, nor are its callers: a model may move a simulated thread to another host thread
// while it waits in here, and an address of a thread-local that was computed before would then be
// the wrong one.
#[inline(never)]
fn with<R>(f: impl FnOnce(&dyn Kernel) -> R) -> R {
    let kernel = KERNEL.with(Cell::get).expect(
        "no kernel: this code runs on Fiasco.OC or inside fiasco-model, and neither is here",
    );
    // SAFETY: `enter`'s caller keeps the kernel alive while it is installed.
    f(unsafe { &*kernel })
}

#[inline(never)]
pub(crate) fn invoke(
    dest: CapIdx,
    flags: u64,
    label: u64,
    tag: MsgTag,
    timeouts: Timeouts,
) -> (MsgTag, u64) {
    with(|k| k.invoke(dest, flags, label, tag, timeouts))
}

#[inline(never)]
pub(crate) fn utcb() -> *mut Utcb {
    with(|k| k.utcb())
}

#[inline(never)]
pub(crate) fn at(addr: u64) -> *mut u8 {
    with(|k| k.at(addr))
}

#[inline(never)]
pub(crate) fn zero(addr: u64, bytes: u64) {
    with(|k| k.zero(addr, bytes));
}

#[inline(never)]
pub(crate) fn apic_id() -> u32 {
    with(|k| k.apic_id())
}
