//! The script.
//!
//! Each round has windows of one kind of work with the server on CPU 0, and again with it on CPU 1.
//! At the end comes a probe outside of windows: what becomes of a call that a thread answers which
//! did not receive it.

use l4_sys::cap::REPLY_CAP_BIT;
use l4_sys::item::{self, Caching, ITEM_MAP, SendItem};
use l4_sys::ops::{scheduler, sigma0, task, thread, varg};
use l4_sys::utcb::UTCB_SIZE;
use l4_sys::{
    CapIdx, CapRights, Fpage, IpcError, MemRights, MsgTag, Timeout, Timeouts, UtcbRef, proto,
    syscall,
};

/// Rounds of each window.
pub const ROUNDS: u64 = 100;
/// Windows, in their order; each with the server on CPU 0, then all on CPU 1.
pub const WINDOWS: [&str; 6] = ["calls", "faults", "unmaps", "maps", "batches", "slots"];

const SERVER: CapIdx = CapIdx::from_slot(0x20);
const GATE: CapIdx = CapIdx::from_slot(0x21);
const PEER: CapIdx = CapIdx::from_slot(0x22);
const PEER_GATE: CapIdx = CapIdx::from_slot(0x23);
/// Frames of the root task that are mapped again and again: the first one by the server, all of
/// them by the window of maps.
const FRAMES: u64 = 0x1000_0000;
/// Number of them.
const GROUP: u64 = 4;
/// Where the faults are: nobody has anything there.
const AREA: u64 = 0x40_0000_0000;
/// Where the maps go.
const MAPS: u64 = 0x48_0000_0000;
/// UTCBs of the server's thread and its peer's.
pub(crate) const UTCBS: u64 = 0x50_0000_0000;
const CLIENT_PRIO: u64 = 10;
const SERVER_PRIO: u64 = 20;
/// Labels of requests to the server.
const CALL: i64 = 1;
/// From now on callers are put into the explicit reply slot [`SLOT`] ...
const SLOTS_ON: i64 = 2;
/// ... and no longer.
const SLOTS_OFF: i64 = 3;
/// Let the peer try to answer this call.
const PROBE: i64 = 4;
/// The explicit reply slot that the server uses.
const SLOT: CapIdx = CapIdx::from_slot(7);

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
    /// The same for [`serve_peer`].
    fn peer(&self) -> (u64, u64);
}

fn invoke(to: CapIdx, flags: u64, label: i64, words: &[u64], items: &[SendItem]) -> (MsgTag, u64) {
    invoke_within(to, flags, label, words, items, Timeouts::NEVER)
}

pub(crate) fn invoke_within(
    to: CapIdx,
    flags: u64,
    label: i64,
    words: &[u64],
    items: &[SendItem],
    timeouts: Timeouts,
) -> (MsgTag, u64) {
    let u = UtcbRef::current();
    for (i, w) in words.iter().enumerate() {
        u.set_mr(i, *w);
    }
    for (i, it) in items.iter().enumerate() {
        u.set_mr(words.len() + 2 * i, it.control);
        u.set_mr(words.len() + 2 * i + 1, it.fpage.0);
    }
    let tag = MsgTag::plain(label, words.len(), items.len());
    // SAFETY: memory is mapped and taken away in AREA and MAPS only, where no Rust object lies.
    unsafe { syscall::invoke(to, flags, 0, tag, timeouts) }
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

pub(crate) fn cap(c: CapIdx) -> SendItem {
    SendItem::plain(Fpage::obj(c, 0, CapRights::RWS))
}

pub(crate) fn create(slot: CapIdx, words: &[u64], items: &[SendItem]) -> Result<(), i64> {
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

/// What a send of the calling thread came to: 0, or the IPC error.
fn outcome(got: (MsgTag, u64)) -> u64 {
    if got.0.has_error() {
        UtcbRef::current().error()
    } else {
        0
    }
}

/// Answers the caller in [`SLOT`] and does not wait for anything.
fn answer_in_slot() -> u64 {
    let flags = syscall::SEND | syscall::REPLY | REPLY_CAP_BIT;
    outcome(invoke_within(SLOT, flags, 0, &[], &[], Timeouts::ZERO))
}

/// The server: answers calls with nothing and faults with the first of [`FRAMES`].
pub fn serve() -> ! {
    let mut got = invoke(CapIdx::INVALID, syscall::WAIT, 0, &[], &[]);
    let mut slots = false;
    loop {
        let label = got.0.label();
        let addr = UtcbRef::current().mr(0) >> 12 << 12;
        let frame = SendItem::mem(addr, Caching::Cached, Fpage::mem(FRAMES, 12, MemRights::RW));
        let items: &[SendItem] = if label == proto::PAGE_FAULT {
            &[frame]
        } else {
            &[]
        };
        if label == PROBE {
            let _ = invoke(PEER_GATE, syscall::CALL, 1, &[], &[]);
            let codes = [UtcbRef::current().mr(0), answer_in_slot()];
            // The client waits for this thread, however it sends.
            let _ = invoke(CapIdx::THREAD, syscall::SEND, 0, &codes, &[]);
            got = invoke(SLOT, syscall::WAIT | REPLY_CAP_BIT, 0, &[], &[]);
            continue;
        }
        let before = slots;
        slots = (slots || label == SLOTS_ON) && label != SLOTS_OFF;
        got = match (before, slots) {
            (false, false) => invoke(CapIdx::INVALID, syscall::REPLY_AND_WAIT, 0, &[], items),
            (true, true) => {
                let flags = syscall::REPLY_AND_WAIT | REPLY_CAP_BIT;
                invoke(SLOT, flags, 0, &[], items)
            }
            (false, true) => {
                let flags = syscall::SEND | syscall::REPLY;
                let _ = invoke(CapIdx::INVALID, flags, 0, &[], &[]);
                invoke(SLOT, syscall::WAIT | REPLY_CAP_BIT, 0, &[], &[])
            }
            (true, false) => {
                let _ = answer_in_slot();
                invoke(CapIdx::INVALID, syscall::WAIT, 0, &[], &[])
            }
        };
    }
}

/// The server's peer: tries to answer the caller in the server's slot, and says what came of it.
pub fn serve_peer() -> ! {
    let mut got = invoke(CapIdx::INVALID, syscall::WAIT, 0, &[], &[]);
    loop {
        let code = if got.0.has_error() {
            0
        } else {
            answer_in_slot()
        };
        got = invoke(CapIdx::INVALID, syscall::REPLY_AND_WAIT, 0, &[code], &[]);
    }
}

/// Runs the script in the root task's first thread; windows come in the order of [`WINDOWS`].
///
/// # Errors
/// The first result that was an error, as its label (below -1000: an IPC error; from -900 to -999:
/// the probe's two codes, which are not those of the kernel's sources).
pub fn run(stage: &impl Stage) -> Result<(), i64> {
    run_on(CapIdx::THREAD, 0, CLIENT_PRIO)?;
    let u = UtcbRef::current();
    u.set_bdr(0);
    u.set_br(0, ITEM_MAP);
    u.set_br(1, Fpage::whole_space().0);
    let frames = Fpage::mem(FRAMES, 14, MemRights::RWX);
    call(CapIdx::PAGER, proto::SIGMA0, &[sigma0::RAM, frames.0], &[])?;
    let area = Fpage::mem(UTCBS, 12, MemRights::RW);
    call(CapIdx::TASK, proto::TASK, &[task::ADD_KU_MEM, area.0], &[])?;
    start(SERVER, UTCBS, stage.server())?;
    start(PEER, UTCBS + UTCB_SIZE, stage.peer())?;
    let gate = |label: u64| [0, varg::UMWORD | 8 << 16, label];
    create(GATE, &gate(0x40), &[cap(SERVER)])?;
    create(PEER_GATE, &gate(0x80), &[cap(PEER)])?;
    run_on(PEER, 0, SERVER_PRIO)?;
    // Once for nothing: its code and stack come now, and not in a window.
    call(PEER_GATE, CALL, &[], &[])?;
    for cpu in 0..2 {
        run_on(SERVER, cpu, SERVER_PRIO)?;
        // Once for nothing: code and stack of both are there afterwards.
        round(stage, 1, false)?;
        round(stage, ROUNDS, true)?;
    }
    probe()
}

/// Makes a thread of this task that begins at `(ip, sp)` when it gets a CPU.
fn start(th: CapIdx, utcb: u64, (ip, sp): (u64, u64)) -> Result<(), i64> {
    create(th, &[proto::THREAD as u64], &[])?;
    let flags = thread::CONTROL | thread::BIND_TASK | thread::SET_PAGER;
    let words = [flags, CapIdx::PAGER.raw(), 0, 0, 0, utcb];
    call(th, proto::THREAD, &words, &[cap(CapIdx::TASK)])?;
    call(th, proto::THREAD, &[thread::EX_REGS, ip, sp], &[])
}

/// A call that is put into a slot is answered by the peer, in vain, and then by the server, in vain
/// too: the slot is used up. The answer at last is a plain message from the server's thread.
fn probe() -> Result<(), i64> {
    call(GATE, SLOTS_ON, &[], &[])?;
    call(GATE, PROBE, &[], &[])?;
    let (u, wrong) = (UtcbRef::current(), -900);
    let codes = (u.mr(0), u.mr(1));
    let expect = (
        IpcError::SendTimeout.number(),
        IpcError::NotExistent.number(),
    );
    if codes != (u64::from(expect.0), u64::from(expect.1)) {
        return Err(wrong - (codes.0 * 10 + codes.1) as i64);
    }
    Ok(())
}

fn round(stage: &impl Stage, n: u64, counted: bool) -> Result<(), i64> {
    let window = |open: bool| {
        rest();
        match (counted, open) {
            (false, _) => {}
            (true, true) => stage.open(),
            (true, false) => stage.close(),
        }
    };
    window(true);
    for _ in 0..n {
        call(GATE, CALL, &[7, 8], &[])?;
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
    // After the unmaps no other CPU has the space loaded: how often the first batches would interrupt
    // one that is just leaving it depends on the machine.
    maps(n, window)?;
    turn(SLOTS_ON)?;
    window(true);
    for _ in 0..n {
        call(GATE, CALL, &[7, 8], &[])?;
    }
    window(false);
    turn(SLOTS_OFF)?;
    Ok(())
}

/// Sleeps for more than a timer tick, so that the other CPU is through with what it was asked before a
/// window begins or ends: its last interrupt is in the window then, however fast the CPUs run, and
/// when it is idle it has left the space.
fn rest() {
    let ms = Timeouts::new(Timeout::NEVER, Timeout::from_us(3000));
    let _ = invoke_within(CapIdx::INVALID, syscall::RECV, 0, &[], &[], ms);
}

/// Turns the server's use of its slot on or off. It answers and waits in two steps then, and may do
/// the second one later; the call after it is over when it waits as it will in the window.
fn turn(slots: i64) -> Result<(), i64> {
    call(GATE, slots, &[], &[])?;
    call(GATE, CALL, &[7, 8], &[])
}

/// The windows of maps, a group of pages in each call, and of batches of unmaps.
fn maps(n: u64, window: impl Fn(bool)) -> Result<(), i64> {
    window(true);
    for i in 0..n {
        let base = MAPS + i * GROUP * 4096;
        let frames = Fpage::mem(FRAMES, 14, MemRights::RW);
        let words = [task::MAP, base, frames.0];
        call(CapIdx::TASK, proto::TASK, &words, &[cap(CapIdx::TASK)])?;
    }
    window(false);
    window(true);
    for i in 0..n {
        let page = |k: u64| Fpage::mem(MAPS + (i * GROUP + k) * 4096, 12, MemRights::RWX).0;
        let words = [
            task::UNMAP,
            task::ALL_SPACES,
            page(0),
            page(1),
            page(2),
            page(3),
        ];
        call(CapIdx::TASK, proto::TASK, &words, &[])?;
    }
    window(false);
    Ok(())
}
