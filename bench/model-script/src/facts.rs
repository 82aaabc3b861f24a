//! Results and error codes of calls that need no partner, as kernel and model must both give them.
//!
//! Expectations are read from the kernel's sources; a run on the kernel proves the reading, a run on
//! the model the model. A new semantic of the model gets its facts here.

use l4_sys::cap::REPLY_CAP_BIT;
use l4_sys::item::{self, SendItem};
use l4_sys::ops::{endpoint, irq, scheduler, task, thread};
use l4_sys::{
    CapIdx, CapRights, Errno, Fpage, IpcError, MemRights, Timeout, Timeouts, UtcbRef, proto,
    syscall,
};

use crate::script::{cap, create, invoke_within};

const SEM: CapIdx = CapIdx::from_slot(0x60);
const IRQ: CapIdx = CapIdx::from_slot(0x61);
const GATE: CapIdx = CapIdx::from_slot(0x63);
const THREAD: CapIdx = CapIdx::from_slot(0x64);
const EMPTY: CapIdx = CapIdx::from_slot(0x6f);
/// A UTCB of the script's area that nobody else uses.
const UTCB: u64 = crate::script::UTCBS + 3 * l4_sys::utcb::UTCB_SIZE;
/// First explicit reply slot that does not exist.
const NO_SLOT: u64 = 512 * 512;
/// IPC errors are told as this plus their code, results as the label of the answer.
const IPC: i64 = 1 << 20;

fn ipc(e: IpcError) -> i64 {
    IPC + i64::from(e.number())
}

/// One system call's outcome.
fn outcome(
    to: CapIdx,
    flags: u64,
    label: i64,
    words: &[u64],
    items: &[SendItem],
    timeouts: Timeouts,
) -> i64 {
    let (tag, _) = invoke_within(to, flags, label, words, items, timeouts);
    if tag.has_error() {
        IPC + (UtcbRef::current().error() & l4_sys::error::IPC_ERROR_MASK) as i64
    } else {
        tag.label()
    }
}

fn call(to: CapIdx, label: i64, words: &[u64], items: &[SendItem]) -> i64 {
    let flags = syscall::CALL;
    outcome(to, flags, label, words, items, Timeouts::ZERO)
}

fn made(slot: CapIdx, kind: i64) -> i64 {
    create(slot, &[kind as u64], &[]).map_or_else(|e| e, |()| 0)
}

fn delete(slot: CapIdx) -> i64 {
    let page = Fpage::obj(slot, 0, CapRights::RWSD);
    let words = [task::UNMAP, task::DELETE_OBJ, page.0];
    call(CapIdx::TASK, proto::TASK, &words, &[])
}

/// Compares, one after the other; the first that differs ends it.
struct Facts {
    number: i64,
    wrong: Option<(i64, i64)>,
}

impl Facts {
    fn is(&mut self, got: i64, expected: i64) {
        self.number += 1;
        if got != expected && self.wrong.is_none() {
            self.wrong = Some((self.number, got));
        }
    }

    fn err(&mut self, got: i64, expected: Errno) {
        self.is(got, expected.label());
    }

    fn ipc(&mut self, got: i64, expected: IpcError) {
        self.is(got, ipc(expected));
    }
}

fn semaphores(f: &mut Facts) {
    let sem = proto::SEMAPHORE;
    f.is(made(SEM, sem), 0);
    f.ipc(call(SEM, sem, &[0], &[]), IpcError::ReceiveTimeout);
    let flags = syscall::SEND;
    f.is(
        outcome(SEM, flags, proto::IRQ, &[irq::TRIGGER], &[], Timeouts::ZERO),
        proto::IRQ,
    );
    f.is(call(SEM, sem, &[0], &[]), 0);
    f.ipc(call(SEM, sem, &[0], &[]), IpcError::ReceiveTimeout);
    f.err(call(SEM, sem, &[], &[]), Errno::Inval);
    f.err(call(SEM, sem, &[1], &[]), Errno::NoSys);
    f.err(call(SEM, proto::IRQ_SENDER, &[1], &[]), Errno::BadProto);
    f.is(delete(SEM), 0);
    f.ipc(call(SEM, sem, &[0], &[]), IpcError::NotExistent);
}

fn notices(f: &mut Facts) {
    let register = |irq: CapIdx| {
        let words = [thread::REGISTER_DELETE_IRQ];
        call(CapIdx::THREAD, proto::THREAD, &words, &[cap(irq)])
    };
    f.is(made(IRQ, proto::IRQ_SENDER), 0);
    f.is(made(IRQ.offset(1), proto::SEMAPHORE), 0);
    f.err(register(CapIdx::LOG), Errno::Inval);
    f.is(register(IRQ), 0);
    f.err(register(IRQ.offset(1)), Errno::Busy);
    f.err(register(IRQ), Errno::Busy);
    // With the object goes the registration. A semaphore does as well, and counts.
    f.is(delete(IRQ), 0);
    f.is(register(IRQ.offset(1)), 0);
    f.is(made(GATE, 0), 0);
    // Of the first thread, so that its deletion is noticed.
    let bind = [endpoint::BIND, 0x70];
    f.is(call(GATE, proto::KOBJECT, &bind, &[cap(CapIdx::THREAD)]), 0);
    f.is(delete(GATE), 0);
    f.is(call(IRQ.offset(1), proto::SEMAPHORE, &[0], &[]), 0);
    f.is(delete(IRQ.offset(1)), 0);
}

fn replies(f: &mut Facts) {
    let wait = |slot: u64| {
        let flags = syscall::WAIT | REPLY_CAP_BIT;
        outcome(CapIdx::from_slot(slot), flags, 0, &[], &[], Timeouts::ZERO)
    };
    let reply = |flags: u64| outcome(CapIdx::from_slot(9), flags, 0, &[], &[], Timeouts::ZERO);
    f.ipc(wait(NO_SLOT), IpcError::NoReplyCap);
    f.ipc(wait(NO_SLOT - 1), IpcError::ReceiveTimeout);
    f.ipc(wait(9), IpcError::ReceiveTimeout);
    let send = syscall::SEND | syscall::REPLY;
    f.ipc(reply(send | REPLY_CAP_BIT), IpcError::NotExistent);
    f.ipc(reply(send), IpcError::NotExistent);
    f.ipc(
        reply(syscall::REPLY_AND_WAIT | REPLY_CAP_BIT),
        IpcError::NotExistent,
    );
    // A point in time that has passed.
    UtcbRef::current().set_br(5, 1);
    let past = Timeouts::new(Timeout::NEVER, Timeout::from_raw(0x8005));
    let got = outcome(CapIdx::INVALID, syscall::RECV, 0, &[], &[], past);
    f.ipc(got, IpcError::ReceiveTimeout);
}

fn gates(f: &mut Facts) {
    f.is(made(GATE, 0), 0);
    // Without a thread there is nobody to wait for.
    f.ipc(call(GATE, 5, &[], &[]), IpcError::SendTimeout);
    let kobject = |words: &[u64]| call(GATE, proto::KOBJECT, words, &[cap(CapIdx::THREAD)]);
    f.err(kobject(&[]), Errno::Inval);
    f.err(kobject(&[99]), Errno::NoSys);
    f.err(kobject(&[endpoint::BIND]), Errno::MsgTooShort);
    f.err(kobject(&[endpoint::BIND, 0x71]), Errno::Inval);
    f.is(kobject(&[endpoint::BIND, 0x70]), 0);
    f.is(kobject(&[endpoint::GATE_INFO]), 0);
    f.is(UtcbRef::current().mr(0) as i64, 0x70);
    f.err(kobject(&[0]), Errno::Inval);
    f.is(kobject(&[0, 1]), 0);
    f.is(UtcbRef::current().mr(0) as i64, 0);
    let valid = |slot: CapIdx| {
        call(
            CapIdx::TASK,
            proto::TASK,
            &[task::CAP_INFO, slot.raw()],
            &[],
        )
    };
    f.is(valid(GATE), 1);
    f.is(delete(GATE), 0);
    f.is(valid(GATE), 0);
}

fn threads(f: &mut Facts) {
    let control = thread::CONTROL | thread::BIND_TASK;
    let bind = |utcb: u64, of: CapIdx| {
        let words = [control, 0, 0, 0, 0, utcb];
        call(THREAD, proto::THREAD, &words, &[cap(of)])
    };
    f.is(made(THREAD, proto::THREAD), 0);
    f.ipc(call(THREAD, 1, &[], &[]), IpcError::NotExistent);
    f.err(bind(0x1000, CapIdx::TASK), Errno::Inval);
    f.err(bind(UTCB + 8, CapIdx::TASK), Errno::Inval);
    f.err(bind(UTCB, CapIdx::LOG), Errno::Inval);
    f.err(
        call(THREAD, proto::THREAD, &[control, 0, 0, 0, 0], &[]),
        Errno::Inval,
    );
    f.is(bind(UTCB, CapIdx::TASK), 0);
    f.err(bind(UTCB, CapIdx::TASK), Errno::Inval);
    // Bound, but never started: nobody to send to.
    f.ipc(call(THREAD, 1, &[], &[]), IpcError::NotExistent);
    f.err(
        call(THREAD, proto::THREAD, &[thread::EX_REGS, 0], &[]),
        Errno::Inval,
    );
    f.err(call(THREAD, proto::THREAD, &[0xff], &[]), Errno::NoSys);
    let run = |cpus: u64, prio: u64| {
        let words = [scheduler::RUN_THREAD, 0, cpus, prio, 0];
        call(CapIdx::SCHEDULER, proto::SCHEDULER, &words, &[cap(THREAD)])
    };
    f.err(run(1, 0), Errno::Inval);
    f.is(run(1, 3), 0);
    f.err(
        call(CapIdx::SCHEDULER, proto::SCHEDULER, &[99], &[]),
        Errno::NoSys,
    );
    f.is(delete(THREAD), 0);
}

fn objects(f: &mut Facts) {
    f.ipc(call(EMPTY, 1, &[], &[]), IpcError::NotExistent);
    // Neither sends nor receives.
    let idle = outcome(CapIdx::THREAD, 0, 1, &[], &[], Timeouts::ZERO);
    f.ipc(idle, IpcError::NotExistent);
    f.err(call(CapIdx::TASK, proto::TASK, &[99], &[]), Errno::NoSys);
    f.err(
        call(CapIdx::TASK, proto::THREAD, &[0], &[]),
        Errno::BadProto,
    );
    // Memory that is not there: all is well, and nothing is mapped.
    let nothing = Fpage::mem(0x70_0000_0000, 12, MemRights::RW);
    let words = [task::MAP, 0x71_0000_0000, nothing.0];
    f.is(
        call(CapIdx::TASK, proto::TASK, &words, &[cap(CapIdx::TASK)]),
        0,
    );
    let create = |words: &[u64]| call(CapIdx::FACTORY, proto::FACTORY, words, &[]);
    let window = |on: bool| {
        let u = UtcbRef::current();
        u.set_bdr(0);
        u.set_br(0, if on { item::single_cap(EMPTY) } else { 0 });
        u.set_br(1, 0);
    };
    window(false);
    f.ipc(create(&[proto::SEMAPHORE as u64]), IpcError::ReceiveMsgCut);
    window(true);
    f.err(create(&[-99_i64 as u64]), Errno::NoDev);
    f.err(create(&[]), Errno::MsgTooShort);
    f.err(create(&[proto::TASK as u64]), Errno::Inval);
    f.err(create(&[proto::FACTORY as u64]), Errno::MsgTooShort);
    f.err(
        call(CapIdx::FACTORY, proto::TASK, &[0], &[]),
        Errno::BadProto,
    );
}

/// Tries all facts.
///
/// # Errors
/// Number of the first one that is not so (from 1), and what was found instead.
pub fn check() -> Result<i64, (i64, i64)> {
    let mut f = Facts {
        number: 0,
        wrong: None,
    };
    semaphores(&mut f);
    notices(&mut f);
    replies(&mut f);
    gates(&mut f);
    threads(&mut f);
    objects(&mut f);
    match f.wrong {
        None => Ok(f.number),
        Some(wrong) => Err(wrong),
    }
}
