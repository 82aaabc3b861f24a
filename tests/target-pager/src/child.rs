//! A task with one thread, whose address space is empty but for one page of code and one of data.
//!
//! The code is a few instructions that make one access and then stop in an exception, or send
//! messages without end. The thread's pager is either our gate, which then tells of the fault, or a
//! region map under test, which resolves it; its exceptions come to our gate. So a test sees what is
//! mapped where with which rights, and what a server does with the kernel's fault messages.

use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicU64, Ordering};

use l4_sys::item::bdr;
use l4_sys::ops::thread;
use l4_sys::syscall::{self, WAIT};
use l4_sys::{CapIdx, CapRights, Fpage, MemRights, MsgTag, Timeout, Timeouts, UtcbRef, proto};
use l4re_rs::Cap;
use l4re_rs::cap::kind;
use l4re_rs::client::ipc;
use l4re_rs::client::thread::Binding;
use l4re_rs::msg::Writer;

use crate::bench::{Bench, OWN_TASK, give};

/// What the thread does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Loads 8 bytes.
    Read = 0,
    /// Stores 8 bytes.
    Write = 1,
    /// Calls code there that only returns.
    Fetch = 2,
    /// Reads a byte from a port.
    Port = 3,
    /// Sends a message again and again.
    Send = 4,
}

/// How it went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The access was possible, at once or after its fault was resolved; the value read.
    Done(u64),
    /// A page fault came to our gate: bit 1 write, bit 2 fetch.
    Fault(u64),
    /// The kernel raised this exception: 14 after a page fault that was refused.
    Exception(u64),
    /// Nothing was heard of the thread.
    Lost(u64),
}

/// Slots of the child: our gate, the region map, and one for what it sends to.
const GATE: CapIdx = CapIdx::from_slot(0x20);
const MAP: CapIdx = CapIdx::from_slot(0x21);
const TARGET: CapIdx = CapIdx::from_slot(0x22);
/// Where the child's UTCBs are.
const UTCBS: u64 = 0x7000_0000;
/// Label of the gate; the low bits are the kernel's.
const GATE_LABEL: u64 = 0x100;
/// Trap number of an invalid instruction, the end of an access.
const INVALID_OPCODE: u64 = 6;
/// How long an access may take.
const PATIENCE: Timeout = Timeout::from_us(20_000_000);

/// Words of the page that parent and child share; see `child_code`.
mod word {
    pub const KIND: usize = 0;
    pub const ADDRESS: usize = 1;
    pub const RESULT: usize = 2;
    pub const VALUE: usize = 3;
    pub const DONE: usize = 4;
    pub const TAG: usize = 8;
    pub const DEST: usize = 9;
    pub const TIMEOUTS: usize = 10;
    pub const COUNT: usize = 11;
    pub const MESSAGE: usize = 32;
    pub const BUFFERS: usize = 48;
}

#[repr(C, align(4096))]
struct Shared(UnsafeCell<[AtomicU64; 512]>);
// SAFETY: atomics only, and the cell is never borrowed exclusively.
unsafe impl Sync for Shared {}
static SHARED: Shared = Shared(UnsafeCell::new([const { AtomicU64::new(0) }; 512]));

fn shared(i: usize) -> &'static AtomicU64 {
    // SAFETY: only shared references are made of it.
    unsafe { &(&*SHARED.0.get())[i] }
}

/// The child's code, entered with the stack pointer at the shared page.
#[cfg(l4re)]
#[unsafe(naked)]
extern "C" fn child_code() {
    core::arch::naked_asm!(
        ".balign 512",
        "mov rax, [rsp]",
        "mov rcx, [rsp + 8]",
        "cmp rax, 1",
        "je 2f",
        "cmp rax, 2",
        "je 3f",
        "cmp rax, 3",
        "je 4f",
        "cmp rax, 4",
        "je 5f",
        "mov rdx, [rcx]",
        "mov [rsp + 16], rdx",
        "jmp 9f",
        "2:",
        "mov rdx, [rsp + 24]",
        "mov [rcx], rdx",
        "jmp 9f",
        "3:",
        "add rsp, 4096",
        "call rcx",
        "sub rsp, 4096",
        "jmp 9f",
        "4:",
        "mov edx, ecx",
        "in al, dx",
        ".globl percore_child_finish",
        "percore_child_finish:",
        "9:",
        "mov qword ptr [rsp + 32], 1",
        "ud2",
        "5:",
        "mov rbx, gs:[0]",
        "cld",
        "mov ecx, 16",
        "lea rsi, [rsp + 256]",
        "mov rdi, rbx",
        "rep movsq",
        "mov ecx, 8",
        "lea rsi, [rsp + 384]",
        "lea rdi, [rbx + 512]",
        "rep movsq",
        "mov rax, [rsp + 64]",
        "mov rdx, [rsp + 72]",
        "xor esi, esi",
        "mov r8, [rsp + 80]",
        "syscall",
        "inc qword ptr [rsp + 88]",
        "jmp 5b",
    )
}

#[cfg(l4re)]
unsafe extern "C" {
    /// Inside [`child_code`]: the end of an access.
    #[link_name = "percore_child_finish"]
    safe fn child_finish();
}

#[cfg(not(l4re))]
extern "C" fn child_code() {}

#[cfg(not(l4re))]
extern "C" fn child_finish() {}

/// The code's place: behind the alignment that stands before the first instruction.
fn entry() -> u64 {
    (child_code as *const () as u64).next_multiple_of(512)
}

/// A running child.
#[derive(Clone, Copy, Debug)]
pub struct Child {
    task: Cap<kind::Task>,
    thread: Cap<kind::Thread>,
    gate: Cap<kind::Gate>,
}

impl Child {
    /// Makes the task and its thread, which does nothing yet. `None` when the kernel refuses any
    /// part of it.
    pub fn new(b: &Bench) -> Option<Self> {
        let c = Child {
            task: Cap::new(b.child_slots),
            thread: Cap::new(b.child_slots.offset(1)),
            gate: Cap::new(b.child_slots.offset(2)),
        };
        let made = c.make(b);
        if made.is_none() {
            c.end();
        }
        made.map(|()| c)
    }

    fn make(&self, b: &Bench) -> Option<()> {
        b.kernel
            .create_gate(GATE_LABEL, b.main_thread, self.gate)
            .ok()?;
        let utcbs = Fpage::mem(UTCBS, 12, MemRights::RW);
        b.kernel.create_task(utcbs, self.task).ok()?;
        b.kernel.create_thread(self.thread).ok()?;
        self.pass(self.gate, GATE)?;
        let binding = Binding {
            task: self.task,
            utcb: UTCBS,
            pager: GATE,
            exception_handler: GATE,
        };
        // SAFETY: the UTCB is in the child, which has no other thread.
        unsafe { self.thread.bind(binding) }.ok()?;
        b.scheduler.set_priority(self.thread, 1).ok()?;
        let code = entry() & !0xfff;
        // SAFETY: a byte of our own code; the read makes sure that the page is mapped.
        let _ = unsafe { core::ptr::read_volatile(entry() as *const u8) };
        shared(word::DONE).store(0, Ordering::Relaxed);
        let data = SHARED.0.get() as u64;
        let ok = give(self.task, Fpage::mem(code, 12, MemRights::RX), code | 8)
            && give(self.task, Fpage::mem(data, 12, MemRights::RW), data | 8);
        ok.then_some(())
    }

    fn pass<K>(&self, cap: Cap<K>, to: CapIdx) -> Option<()> {
        let base = to.raw() | l4_sys::item::ITEM_MAP;
        give(self.task, cap.fpage(CapRights::RWS), base).then_some(())
    }

    /// Gives the child memory of our window.
    #[must_use]
    pub fn map(&self, spot: u64, order: u32, address: u64) -> bool {
        give(
            self.task,
            crate::ops::page(crate::ask::WINDOW + spot, order),
            address | 8,
        )
    }

    /// Takes memory from the child, not from us.
    pub fn unmap(&self, address: u64, order: u32) {
        // SAFETY: another task's memory.
        let _ = unsafe { self.task.unmap(&[crate::ops::page(address, order)]) };
    }

    /// One access with our gate as pager.
    pub fn access(&self, access: Access, address: u64) -> Outcome {
        self.with_pager(GATE, GATE, access, address)
    }

    /// One access with a region map as pager.
    pub fn through(&self, map: Cap<kind::Rm>, access: Access, address: u64) -> Outcome {
        match self.pass(map, MAP) {
            Some(()) => self.with_pager(MAP, GATE, access, address),
            None => Outcome::Lost(4),
        }
    }

    /// One access with a region map as pager and exception handler. Ends with `Lost` when the map
    /// leaves the thread in its exception.
    pub fn rescued(&self, map: Cap<kind::Rm>, access: Access, address: u64) -> Outcome {
        if self.pass(map, MAP).is_none() {
            return Outcome::Lost(4);
        }
        self.start(MAP, MAP, access, address);
        for _ in 0..50 {
            ipc::sleep(Timeout::from_us(10_000));
            if shared(word::DONE).load(Ordering::Relaxed) != 0 {
                return Outcome::Done(shared(word::RESULT).load(Ordering::Relaxed));
            }
        }
        Outcome::Lost(5)
    }

    /// The code that makes accesses: its first address, and where it goes on when one is done. A
    /// rescue jump from the first to the second ends an access that was refused.
    #[must_use]
    pub fn code(&self) -> (u64, u64) {
        (entry(), child_finish as *const () as u64)
    }

    /// Sends `words` (with `items` items at their end) to `target` without end, as fast as it can.
    /// A capability in an answer goes to slot 0x23, memory to 1 GiB at 1 TiB.
    #[must_use]
    pub fn flood<K>(&self, target: Cap<K>, label: i64, words: &[u64], items: usize) -> bool {
        if self.pass(target, TARGET).is_none() {
            return false;
        }
        for (i, w) in words.iter().enumerate().take(16) {
            shared(word::MESSAGE + i).store(*w, Ordering::Relaxed);
        }
        let slot = l4_sys::item::single_cap(CapIdx::from_slot(0x23));
        let window = Fpage::mem(1 << 40, 30, MemRights::empty()).0;
        let buffers = [bdr(0, 2, 3), l4_sys::item::ITEM_MAP, window, 0, slot, 0];
        for (i, w) in buffers.iter().enumerate() {
            shared(word::BUFFERS + i).store(*w, Ordering::Relaxed);
        }
        let tag = MsgTag::plain(label, words.len() - 2 * items, items);
        shared(word::TAG).store(tag.0, Ordering::Relaxed);
        shared(word::DEST).store(TARGET.raw() | syscall::CALL, Ordering::Relaxed);
        shared(word::TIMEOUTS).store(0, Ordering::Relaxed);
        shared(word::COUNT).store(0, Ordering::Relaxed);
        self.start(GATE, GATE, Access::Send, 0).is_some()
    }

    /// Messages sent by [`Child::flood`] so far.
    #[must_use]
    pub fn sent(&self) -> u64 {
        shared(word::COUNT).load(Ordering::Relaxed)
    }

    /// Ends the child, wherever it is. All its objects at once: the kernel waits for a quiet moment
    /// of every CPU in each delete, up to two of its long timer ticks.
    pub fn end(self) {
        let slots = Fpage::obj(self.task.idx(), 2, CapRights::RWSD);
        let _ = OWN_TASK.delete_slots(slots);
    }

    fn with_pager(&self, pager: CapIdx, handler: CapIdx, access: Access, address: u64) -> Outcome {
        match self.start(pager, handler, access, address) {
            Some(()) => wait_for_end(),
            None => Outcome::Lost(3),
        }
    }

    fn start(&self, pager: CapIdx, handler: CapIdx, access: Access, address: u64) -> Option<()> {
        shared(word::KIND).store(access as u64, Ordering::Relaxed);
        shared(word::ADDRESS).store(address, Ordering::Relaxed);
        shared(word::VALUE).store(VALUE, Ordering::Relaxed);
        shared(word::RESULT).store(0, Ordering::Relaxed);
        shared(word::DONE).store(0, Ordering::Relaxed);
        let flags = thread::SET_PAGER | thread::SET_EXC_HANDLER;
        let tag = Writer::new(UtcbRef::current())
            .u64(thread::CONTROL | flags)
            .u64(pager.raw())
            .u64(handler.raw())
            .u64(0)
            .u64(0)
            .u64(0)
            .finish(proto::THREAD)
            .ok()?;
        ipc::call(self.thread, tag).ok()?;
        // SAFETY: another task's thread; whatever it did before is given up, it holds nothing.
        unsafe {
            self.thread
                .ex_regs(entry(), SHARED.0.get() as u64, thread::EX_REGS_CANCEL)
        }
        .ok()
    }
}

/// What [`Access::Write`] stores.
pub const VALUE: u64 = 0x5eed_cafe;

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
        proto::PAGE_FAULT => Outcome::Fault(u.mr(0) & 6),
        // Trap number: see `l4_sys::exc::ExcRegs`.
        proto::EXCEPTION if u.mr(16) == INVALID_OPCODE => {
            let done = shared(word::DONE).load(Ordering::Relaxed) != 0;
            match done {
                true => Outcome::Done(shared(word::RESULT).load(Ordering::Relaxed)),
                false => Outcome::Exception(INVALID_OPCODE),
            }
        }
        proto::EXCEPTION => Outcome::Exception(u.mr(16)),
        label => Outcome::Lost(label.cast_unsigned()),
    }
}
