//! Building blocks for programs inside the model, in the kernel's own terms: objects, tasks with
//! a program, messages. For tests and for Rust programs that stand for compiled ones; servers use
//! `l4re-rs`.
//!
//! Every function is to be called from inside a running program and makes system calls there.

use l4_sys::cap::REPLY_CAP_BIT;
use l4_sys::item::{self, ITEM_MAP, SendItem};
use l4_sys::ops::{endpoint, irq, scheduler, task, thread};
use l4_sys::{CapIdx, CapRights, Fpage, MemRights, MsgTag, Timeouts, UtcbRef, proto, syscall};

/// Where [`Program::start`] puts the UTCB of a new task's first thread.
pub const UTCB: u64 = 0x7f00_0000_0000;

/// The calling thread's UTCB.
#[must_use]
pub fn utcb() -> UtcbRef {
    UtcbRef::current()
}

/// One system call with these words and items.
#[must_use]
pub fn invoke(
    dest: CapIdx,
    flags: u64,
    label: i64,
    words: &[u64],
    items: &[SendItem],
    timeouts: Timeouts,
) -> (MsgTag, u64) {
    let u = utcb();
    for (i, w) in words.iter().enumerate() {
        u.set_mr(i, *w);
    }
    for (i, it) in items.iter().enumerate() {
        u.set_mr(words.len() + 2 * i, it.control);
        u.set_mr(words.len() + 2 * i + 1, it.fpage.0);
    }
    let tag = MsgTag::plain(label, words.len(), items.len());
    // SAFETY: simulated memory has no Rust references into it, so whatever the message maps or
    // takes away, no live value of this program is concerned.
    unsafe { syscall::invoke(dest, flags, 0, tag, timeouts) }
}

/// A call that waits without limit.
pub fn call(dest: CapIdx, label: i64, words: &[u64], items: &[SendItem]) -> MsgTag {
    invoke(dest, syscall::CALL, label, words, items, Timeouts::NEVER).0
}

/// Waits for anybody; returns tag and label.
#[must_use]
pub fn wait() -> (MsgTag, u64) {
    invoke(CapIdx::INVALID, syscall::WAIT, 0, &[], &[], Timeouts::NEVER)
}

/// Answers the last caller, if it waits, and waits for anybody.
#[must_use]
pub fn reply_and_wait(label: i64, words: &[u64], items: &[SendItem]) -> (MsgTag, u64) {
    invoke(
        CapIdx::INVALID,
        syscall::REPLY_AND_WAIT,
        label,
        words,
        items,
        Timeouts::SEND_ZERO,
    )
}

/// Answers the last caller, if it waits.
pub fn reply(label: i64, words: &[u64], items: &[SendItem]) -> MsgTag {
    let flags = syscall::SEND | syscall::REPLY;
    invoke(CapIdx::INVALID, flags, label, words, items, Timeouts::ZERO).0
}

/// Waits for anybody; the right to answer a call goes to the explicit reply slot `slot`.
#[must_use]
pub fn wait_in(slot: u64) -> (MsgTag, u64) {
    let flags = syscall::WAIT | REPLY_CAP_BIT;
    invoke(CapIdx::from_slot(slot), flags, 0, &[], &[], Timeouts::NEVER)
}

/// Answers the caller that the explicit reply slot `slot` names.
pub fn reply_in(slot: u64, label: i64, words: &[u64], items: &[SendItem]) -> MsgTag {
    let flags = syscall::SEND | syscall::REPLY | REPLY_CAP_BIT;
    let at = CapIdx::from_slot(slot);
    invoke(at, flags, label, words, items, Timeouts::ZERO).0
}

/// Sleeps for ever.
pub fn sleep() {
    let _ = invoke(CapIdx::INVALID, syscall::RECV, 0, &[], &[], Timeouts::NEVER);
}

/// Opens a receive window for one capability at `slot`.
pub fn receive_cap(slot: CapIdx) {
    utcb().set_bdr(item::bdr(0, 0, 0));
    utcb().set_br(0, item::single_cap(slot));
    utcb().set_br(1, 0);
}

/// Opens a receive window for memory.
pub fn receive_memory(window: Fpage) {
    utcb().set_bdr(item::bdr(0, 0, 0));
    utcb().set_br(0, ITEM_MAP);
    utcb().set_br(1, window.0);
    utcb().set_br(2, 0);
}

/// An item for one capability.
#[must_use]
pub fn cap_item(cap: CapIdx, rights: CapRights) -> SendItem {
    SendItem::plain(Fpage::obj(cap, 0, rights))
}

/// Makes an object with the factory; the capability comes to `slot`.
pub fn create(factory: CapIdx, slot: CapIdx, words: &[u64], items: &[SendItem]) -> MsgTag {
    receive_cap(slot);
    call(factory, proto::FACTORY, words, items)
}

/// Makes a gate to the thread `thread` with `label` at `slot`.
pub fn create_gate(slot: CapIdx, thread: CapIdx, label: u64) -> MsgTag {
    let words = [
        0,
        u64::from(l4_sys::ops::varg::UMWORD as u8) | 8 << 16,
        label,
    ];
    create(
        CapIdx::FACTORY,
        slot,
        &words,
        &[cap_item(thread, CapRights::RWS)],
    )
}

/// Makes an interrupt object at `slot`.
pub fn create_irq(slot: CapIdx) -> MsgTag {
    create(CapIdx::FACTORY, slot, &[proto::IRQ_SENDER as u64], &[])
}

/// Binds an interrupt object to a thread.
pub fn bind_irq(irq: CapIdx, thread: CapIdx, label: u64) -> MsgTag {
    call(
        irq,
        proto::KOBJECT,
        &[endpoint::BIND, label],
        &[cap_item(thread, CapRights::RWS)],
    )
}

/// Triggers an interrupt object.
pub fn trigger(cap: CapIdx) {
    let _ = invoke(
        cap,
        syscall::SEND,
        proto::IRQ,
        &[irq::TRIGGER],
        &[],
        Timeouts::NEVER,
    );
}

/// Makes a semaphore at `slot`.
pub fn create_semaphore(slot: CapIdx) -> MsgTag {
    create(CapIdx::FACTORY, slot, &[proto::SEMAPHORE as u64], &[])
}

/// Takes one of a semaphore, or waits for it as long as the receive timeout says.
pub fn down(semaphore: CapIdx, timeouts: Timeouts) -> MsgTag {
    invoke(
        semaphore,
        syscall::CALL,
        proto::SEMAPHORE,
        &[0],
        &[],
        timeouts,
    )
    .0
}

/// Has the deletion of a gate of `thread` trigger `irq`.
pub fn notice_deletions(thread: CapIdx, irq: CapIdx) -> MsgTag {
    call(
        thread,
        proto::THREAD,
        &[thread::REGISTER_DELETE_IRQ],
        &[cap_item(irq, CapRights::RWS)],
    )
}

/// Starts `run` in a further thread of the calling task: the thread's capability comes to `slot`,
/// its UTCB to the page `utcb`. It has the task's pager.
///
/// # Errors
/// The tag of the operation that failed.
pub fn start_thread(
    slot: CapIdx,
    utcb: u64,
    (cpu, prio): (u32, u64),
    run: impl FnOnce() + Send + 'static,
) -> Result<(), MsgTag> {
    let area = Fpage::mem(utcb, 12, MemRights::RW);
    let task = CapIdx::TASK;
    check(call(task, proto::TASK, &[task::ADD_KU_MEM, area.0], &[]))?;
    check(create(CapIdx::FACTORY, slot, &[proto::THREAD as u64], &[]))?;
    start_in(task, slot, utcb, run)?;
    check(run_on(slot, cpu, prio))
}

/// Binds a thread to a task and lets it begin with `run` when it gets a CPU.
fn start_in(
    task: CapIdx,
    th: CapIdx,
    utcb: u64,
    run: impl FnOnce() + Send + 'static,
) -> Result<(), MsgTag> {
    let flags = thread::CONTROL | thread::SET_PAGER | thread::SET_EXC_HANDLER | thread::BIND_TASK;
    let words = [flags, CapIdx::PAGER.raw(), CapIdx::PAGER.raw(), 0, 0, utcb];
    let item = cap_item(task, CapRights::RWS);
    check(call(th, proto::THREAD, &words, &[item]))?;
    let ip = l4_sys::host::entry(Box::new(move |_| run()));
    check(call(th, proto::THREAD, &[thread::EX_REGS, ip, 0], &[]))
}

/// Takes back flexpages of the task `of`; `mask` as in [`l4_sys::ops::task`].
pub fn unmap(of: CapIdx, mask: u64, fpages: &[Fpage]) -> MsgTag {
    let mut words = vec![task::UNMAP, mask];
    words.extend(fpages.iter().map(|f| f.0));
    call(of, proto::TASK, &words, &[])
}

/// Maps from the caller's own task into the task `to`, at `base`.
pub fn map_into(to: CapIdx, base: u64, sent: Fpage) -> MsgTag {
    let words = [task::MAP, base, sent.0];
    call(
        to,
        proto::TASK,
        &words,
        &[cap_item(CapIdx::TASK, CapRights::RWS)],
    )
}

/// Maps one capability into the task `to`.
pub fn give(to: CapIdx, cap: CapIdx, slot: CapIdx, rights: CapRights) -> MsgTag {
    map_into(to, slot.raw(), Fpage::obj(cap, 0, rights))
}

/// Maps a gate into the task `to` as its server has it: with the gate's own operations, such as
/// binding a thread.
pub fn give_to_server(to: CapIdx, gate: CapIdx, slot: CapIdx) -> MsgTag {
    const OWN_OPERATIONS: u64 = 0xe0;
    let base = slot.raw() | OWN_OPERATIONS;
    map_into(to, base, Fpage::obj(gate, 0, CapRights::RWSD))
}

/// Whether a slot of the caller's task holds a capability.
#[must_use]
pub fn is_valid(cap: CapIdx) -> bool {
    call(CapIdx::TASK, proto::TASK, &[task::CAP_INFO, cap.raw()], &[]).label() == 1
}

/// Runs a thread on a CPU with a priority.
pub fn run_on(thread: CapIdx, cpu: u32, prio: u64) -> MsgTag {
    let words = [scheduler::RUN_THREAD, u64::from(cpu), 1, prio, 0];
    call(
        CapIdx::SCHEDULER,
        proto::SCHEDULER,
        &words,
        &[cap_item(thread, CapRights::RWS)],
    )
}

/// Sets the pager and exception handler of a thread, without binding it.
pub fn set_pager(of: CapIdx, pager: CapIdx, handler: CapIdx) -> MsgTag {
    let flags = thread::CONTROL | thread::SET_PAGER | thread::SET_EXC_HANDLER;
    call(
        of,
        proto::THREAD,
        &[flags, pager.raw(), handler.raw(), 0, 0, 0],
        &[],
    )
}

/// A program in a task of its own.
#[derive(Clone, Copy, Debug)]
pub struct Program {
    /// Where the starter keeps the task's capability; the thread's is in the next slot.
    pub slot: CapIdx,
    /// CPU to run on.
    pub cpu: u32,
    /// Priority.
    pub prio: u64,
    /// The starter's capability to the pager, mapped to the pager's slot of the program.
    pub pager: Option<CapIdx>,
}

impl Program {
    /// Makes task and thread and starts `run` there. In the new task the capabilities of task,
    /// factory, thread, pager, log and scheduler are in their usual slots, and each of `caps` is
    /// mapped to the slot named with it. Returns the first failed result.
    ///
    /// # Errors
    /// The tag of the operation that failed.
    pub fn start(
        &self,
        caps: &[(CapIdx, CapIdx, CapRights)],
        run: impl FnOnce() + Send + 'static,
    ) -> Result<(), MsgTag> {
        let (t, th) = (self.slot, self.slot.offset(1));
        let area = Fpage::mem(UTCB, 12, MemRights::RW);
        check(create(
            CapIdx::FACTORY,
            t,
            &[proto::TASK as u64, 0, area.0],
            &[],
        ))?;
        check(create(CapIdx::FACTORY, th, &[proto::THREAD as u64], &[]))?;
        check(give(t, t, CapIdx::TASK, CapRights::RWSD))?;
        check(give(t, CapIdx::FACTORY, CapIdx::FACTORY, CapRights::RWS))?;
        check(give(t, th, CapIdx::THREAD, CapRights::RWS))?;
        check(give(t, CapIdx::LOG, CapIdx::LOG, CapRights::RW))?;
        check(give(
            t,
            CapIdx::SCHEDULER,
            CapIdx::SCHEDULER,
            CapRights::RWS,
        ))?;
        if let Some(p) = self.pager {
            check(give(t, p, CapIdx::PAGER, CapRights::RWS))?;
        }
        for (from, to, rights) in caps {
            check(give(t, *from, *to, *rights))?;
        }
        start_in(t, th, UTCB, run)?;
        check(run_on(th, self.cpu, self.prio))
    }
}

/// `Err` with the tag unless the result is good.
///
/// # Errors
/// The tag, when it has the error flag or a negative label.
pub fn check(tag: MsgTag) -> Result<(), MsgTag> {
    if tag.has_error() || tag.label() < 0 {
        Err(tag)
    } else {
        Ok(())
    }
}
