//! A second thread of our task that touches memory and ports, to see what a mapping allows.
//!
//! The kernel tells the receiver of a mapping neither its rights nor its place. So a helper thread
//! makes one access; its pager is either a gate of ours, which gets the fault message when the
//! mapping does not allow the access, or a client of sigma0, which then sees a real fault. The
//! helper's exceptions always come to our gate. One access at a time: the caller waits for its end,
//! and a helper that hangs in a fault is set anew by the next access.

use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicU64, Ordering};

use l4_sys::item::bdr;
use l4_sys::ops::thread;
use l4_sys::syscall::{self, WAIT};
use l4_sys::{CapIdx, MsgTag, Timeout, Timeouts, UtcbRef, proto};
use l4re_rs::cap::{Cap, kind};
use l4re_rs::client::{ipc, thread::Binding};
use l4re_rs::msg::Writer;

use crate::context::{Context, OWN_TASK};

/// What the helper does at an address, or with a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Loads 8 bytes.
    Read = 0,
    /// Stores 8 bytes that are there already.
    Write = 1,
    /// Calls code there that only returns.
    Fetch = 2,
    /// Reads a byte from a port.
    Port = 3,
}

/// How it went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The access was possible, at once or after its fault was resolved.
    Done,
    /// A page fault came to our gate: bit 1 write, bit 2 fetch.
    Fault(u64),
    /// The kernel raised this exception.
    Exception(u64),
    /// Nothing was heard of the helper.
    Lost(u64),
}

/// Label of the helper's last message of an access.
const FINISHED: i64 = 0x77;
/// Label of the gate; the low bits are the kernel's.
const GATE_LABEL: u64 = 0x100;
/// How long an access may take.
const PATIENCE: Timeout = Timeout::from_us(10_000_000);

static ACCESS: AtomicU64 = AtomicU64::new(0);
static ADDRESS: AtomicU64 = AtomicU64::new(0);
static GATE: AtomicU64 = AtomicU64::new(0);

#[repr(C, align(16))]
struct Stack(UnsafeCell<[u8; 8192]>);
// SAFETY: only the helper uses it, through its stack pointer.
unsafe impl Sync for Stack {}
static STACK: Stack = Stack(UnsafeCell::new([0; 8192]));

/// The helper.
pub struct Probe {
    thread: Cap<kind::Thread>,
    gate: Cap<kind::Gate>,
}

impl Probe {
    /// Makes the helper. `None` when the kernel refuses any part of it.
    #[must_use]
    pub fn new(c: &mut Context) -> Option<Self> {
        let (gate, thread) = (c.slot(), c.slot());
        c.factory
            .create_gate(GATE_LABEL, c.main_thread, gate)
            .ok()?;
        c.factory.create_thread(thread).ok()?;
        GATE.store(gate.idx().raw(), Ordering::Relaxed);
        let binding = Binding {
            task: OWN_TASK,
            utcb: c.free_utcb,
            pager: gate.idx(),
            exception_handler: gate.idx(),
        };
        // SAFETY: the loader says that this UTCB is nobody's, and only the helper gets it.
        unsafe { thread.bind(binding) }.ok()?;
        c.scheduler.set_priority(thread, 2).ok()?;
        Some(Probe { thread, gate })
    }

    /// One access with our gate as pager.
    pub fn access(&self, access: Access, address: u64) -> Outcome {
        self.with_pager(self.gate.idx(), access, address)
    }

    /// One access with another pager.
    pub fn with_pager(&self, pager: CapIdx, access: Access, address: u64) -> Outcome {
        ACCESS.store(access as u64, Ordering::Relaxed);
        ADDRESS.store(address, Ordering::Relaxed);
        let flags = thread::SET_PAGER | thread::SET_EXC_HANDLER;
        let tag = Writer::new(UtcbRef::current())
            .u64(thread::CONTROL | flags)
            .u64(pager.raw())
            .u64(self.gate.idx().raw())
            .u64(0)
            .u64(0)
            .u64(0)
            .finish(proto::THREAD);
        let Ok(tag) = tag else {
            return Outcome::Lost(1);
        };
        if ipc::call(self.thread, tag).is_err() {
            return Outcome::Lost(2);
        }
        // The stack as at a function's entry: a return address below a multiple of 16.
        let stack = STACK.0.get() as u64 + 8192 - 8;
        let entry = helper as *const () as u64;
        // SAFETY: `helper` never returns, and the stack is the helper's own. Whatever it did
        // before is given up; it holds nothing.
        if unsafe { self.thread.ex_regs(entry, stack, thread::EX_REGS_CANCEL) }.is_err() {
            return Outcome::Lost(3);
        }
        wait_for_end()
    }
}

/// Waits for the one message that ends an access, and does not answer it.
fn wait_for_end() -> Outcome {
    let u = UtcbRef::current();
    u.set_bdr(bdr(0, 0, 0));
    u.set_br(0, 0);
    let timeouts = Timeouts::new(Timeout::ZERO, PATIENCE);
    // SAFETY: no receive buffer is armed.
    let (tag, _) = unsafe { syscall::invoke(CapIdx::INVALID, WAIT, 0, MsgTag(0), timeouts) };
    if tag.has_error() {
        return Outcome::Lost(0x100 | syscall::error_code(u));
    }
    match tag.label() {
        FINISHED => Outcome::Done,
        proto::PAGE_FAULT => Outcome::Fault(u.mr(0) & 6),
        // Trap number: see `l4_sys::exc::ExcRegs`.
        proto::EXCEPTION => Outcome::Exception(u.mr(16)),
        label => Outcome::Lost(label.cast_unsigned()),
    }
}

/// Runs in the helper: one access, then a message.
extern "C" fn helper() -> ! {
    let address = ADDRESS.load(Ordering::Relaxed);
    touch(ACCESS.load(Ordering::Relaxed), address);
    let gate: Cap<kind::Gate> = Cap::new(CapIdx::from_raw(GATE.load(Ordering::Relaxed)));
    let _ = ipc::call(gate, MsgTag::plain(FINISHED, 0, 0));
    l4re_rs::panic::stop()
}

#[cfg(l4re)]
fn touch(access: u64, address: u64) {
    use core::arch::asm;
    // SAFETY: nothing at the address changes: a load, a store of what is there, a call of code
    // that only returns, a read of a port. What is not allowed raises a fault, which is the point.
    unsafe {
        match access {
            0 => asm!("mov {0}, [{0}]", inout(reg) address => _, options(nostack)),
            1 => asm!("lock or qword ptr [{0}], 0", in(reg) address, options(nostack)),
            2 => asm!("call {0}", in(reg) address, clobber_abi("C")),
            _ => asm!("in al, dx", in("dx") address as u16, out("al") _, options(nostack)),
        }
    }
}

#[cfg(not(l4re))]
fn touch(_: u64, _: u64) {}
