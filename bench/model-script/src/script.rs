//! The script.

use l4_sys::item::{self, Caching, ITEM_MAP, SendItem};
use l4_sys::ops::{scheduler, sigma0, task, thread, varg};
use l4_sys::{CapIdx, CapRights, Fpage, MemRights, MsgTag, Timeouts, UtcbRef, proto, syscall};

/// Rounds of each window.
pub const ROUNDS: u64 = 100;
/// Windows, in their order; each with the server on CPU 0, then all on CPU 1.
pub const WINDOWS: [&str; 3] = ["calls", "faults", "unmaps"];

const SERVER: CapIdx = CapIdx::from_slot(0x20);
const GATE: CapIdx = CapIdx::from_slot(0x21);
/// A frame of the root task that the server maps again and again.
const FRAME: u64 = 0x1000_0000;
/// Where the faults are: nobody has anything there.
const AREA: u64 = 0x40_0000_0000;
/// UTCB of the server's thread.
const UTCBS: u64 = 0x50_0000_0000;
const CLIENT_PRIO: u64 = 10;
const SERVER_PRIO: u64 = 20;

/// What differs between a kernel and a model of it.
pub trait Stage {
    /// A window begins.
    fn open(&self);
    /// It ends.
    fn close(&self);
    /// Stores to `addr`, which faults as long as nothing is mapped there.
    fn touch(&self, addr: u64);
    /// Instruction and stack pointer of a thread that runs [`serve`].
    fn server(&self) -> (u64, u64);
}

fn invoke(to: CapIdx, flags: u64, label: i64, words: &[u64], items: &[SendItem]) -> (MsgTag, u64) {
    let u = UtcbRef::current();
    for (i, w) in words.iter().enumerate() {
        u.set_mr(i, *w);
    }
    for (i, it) in items.iter().enumerate() {
        u.set_mr(words.len() + 2 * i, it.control);
        u.set_mr(words.len() + 2 * i + 1, it.fpage.0);
    }
    let tag = MsgTag::plain(label, words.len(), items.len());
    // SAFETY: memory is mapped and taken away in AREA only, where no Rust object lies.
    unsafe { syscall::invoke(to, flags, 0, tag, Timeouts::NEVER) }
}

fn call(to: CapIdx, label: i64, words: &[u64], items: &[SendItem]) -> Result<(), i64> {
    let (t, _) = invoke(to, syscall::CALL, label, words, items);
    if t.has_error() {
        return Err(-1000 - UtcbRef::current().error() as i64);
    }
    if t.label() < 0 {
        Err(t.label())
    } else {
        Ok(())
    }
}

fn cap(c: CapIdx) -> SendItem {
    SendItem::plain(Fpage::obj(c, 0, CapRights::RWS))
}

fn create(slot: CapIdx, words: &[u64], items: &[SendItem]) -> Result<(), i64> {
    let u = UtcbRef::current();
    u.set_bdr(0);
    u.set_br(0, item::single_cap(slot));
    u.set_br(1, 0);
    call(CapIdx::FACTORY, proto::FACTORY, words, items)
}

fn run_on(th: CapIdx, cpu: u64, prio: u64) -> Result<(), i64> {
    call(
        CapIdx::SCHEDULER,
        proto::SCHEDULER,
        &[scheduler::RUN_THREAD, cpu, 1, prio, 0],
        &[cap(th)],
    )
}

fn set_pager(pager: CapIdx) -> Result<(), i64> {
    let words = [thread::CONTROL | thread::SET_PAGER, pager.raw(), 0, 0, 0, 0];
    call(CapIdx::THREAD, proto::THREAD, &words, &[])
}

/// The server: answers calls with nothing and faults with [`FRAME`].
pub fn serve() -> ! {
    let mut got = invoke(CapIdx::INVALID, syscall::WAIT, 0, &[], &[]);
    loop {
        let addr = UtcbRef::current().mr(0) >> 12 << 12;
        let frame = SendItem::mem(addr, Caching::Cached, Fpage::mem(FRAME, 12, MemRights::RW));
        let items: &[SendItem] = if got.0.label() == proto::PAGE_FAULT {
            &[frame]
        } else {
            &[]
        };
        got = invoke(CapIdx::INVALID, syscall::REPLY_AND_WAIT, 0, &[], items);
    }
}

/// Runs the script in the root task's first thread; windows come in the order of [`WINDOWS`].
///
/// # Errors
/// The first result that was an error, as its label (below -1000: an IPC error).
pub fn run(stage: &impl Stage) -> Result<(), i64> {
    run_on(CapIdx::THREAD, 0, CLIENT_PRIO)?;
    let u = UtcbRef::current();
    u.set_bdr(0);
    u.set_br(0, ITEM_MAP);
    u.set_br(1, Fpage::whole_space().0);
    let frame = Fpage::mem(FRAME, 12, MemRights::RWX);
    call(CapIdx::PAGER, proto::SIGMA0, &[sigma0::RAM, frame.0], &[])?;
    let area = Fpage::mem(UTCBS, 12, MemRights::RW);
    call(CapIdx::TASK, proto::TASK, &[task::ADD_KU_MEM, area.0], &[])?;
    create(SERVER, &[proto::THREAD as u64], &[])?;
    let flags = thread::CONTROL | thread::BIND_TASK | thread::SET_PAGER;
    let words = [flags, CapIdx::PAGER.raw(), 0, 0, 0, UTCBS];
    call(SERVER, proto::THREAD, &words, &[cap(CapIdx::TASK)])?;
    create(GATE, &[0, varg::UMWORD | 8 << 16, 0x40], &[cap(SERVER)])?;
    let (ip, sp) = stage.server();
    call(SERVER, proto::THREAD, &[thread::EX_REGS, ip, sp], &[])?;
    for cpu in 0..2 {
        run_on(SERVER, cpu, SERVER_PRIO)?;
        // Once for nothing: code and stack of both are there afterwards.
        round(stage, 1, false)?;
        round(stage, ROUNDS, true)?;
    }
    Ok(())
}

fn round(stage: &impl Stage, n: u64, counted: bool) -> Result<(), i64> {
    let window = |open: bool| match (counted, open) {
        (false, _) => {}
        (true, true) => stage.open(),
        (true, false) => stage.close(),
    };
    window(true);
    for _ in 0..n {
        call(GATE, 1, &[7, 8], &[])?;
    }
    window(false);
    set_pager(GATE)?;
    window(true);
    for i in 0..n {
        stage.touch(AREA + i * 4096);
    }
    window(false);
    set_pager(CapIdx::PAGER)?;
    window(true);
    for i in 0..n {
        let f = Fpage::mem(AREA + i * 4096, 12, MemRights::RWX);
        call(
            CapIdx::TASK,
            proto::TASK,
            &[task::UNMAP, task::ALL_SPACES, f.0],
            &[],
        )?;
    }
    window(false);
    Ok(())
}
