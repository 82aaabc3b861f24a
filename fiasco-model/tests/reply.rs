//! Explicit reply slots: answers that come later, from another thread, or not at all.

mod common;

use common::{Report, options, run};
use fiasco_model::{Misuse, Options, kit};
use l4_sys::cap::REPLY_CAP_BIT;
use l4_sys::{CapIdx, CapRights, IpcError, Timeout, Timeouts, syscall};

const GATE: CapIdx = CapIdx::from_slot(0x20);
const TASK: CapIdx = CapIdx::from_slot(0x30);
const SERVER: CapIdx = CapIdx::from_slot(0x40);
const PEER: CapIdx = CapIdx::from_slot(0x50);
/// UTCBs of further threads of the root task.
const UTCBS: u64 = 0x50_0000_0000;

fn error() -> u64 {
    syscall::error_code(kit::utcb())
}

fn code(e: IpcError) -> u64 {
    u64::from(e.number())
}

/// Starts a client in its own task that calls the gate with `label` and reports the answer.
fn caller(r: &Report<(u64, i64)>, n: u64, timeouts: Timeouts) {
    let r = r.clone();
    let p = kit::Program {
        slot: TASK.offset(n * 2),
        cpu: 0,
        prio: 2,
        pager: None,
    };
    p.start(&[(GATE, SERVER, CapRights::RWS)], move || {
        let (t, _) = kit::invoke(SERVER, syscall::CALL, n as i64, &[], &[], timeouts);
        r.add((
            n,
            if t.has_error() {
                -(error() as i64)
            } else {
                t.label()
            },
        ));
    })
    .expect("the client starts");
}

fn gate() {
    kit::check(kit::create_gate(GATE, CapIdx::THREAD, 0x40)).expect("a gate");
}

#[test]
fn callers_are_answered_in_any_order() {
    let (m, got) = run(&options(1), |r| {
        gate();
        for n in 0..3 {
            caller(&r, n, Timeouts::NEVER);
        }
        let mut slot_of = [0; 3];
        for slot in [7, 5000, 9] {
            let (t, label) = kit::wait_in(slot);
            assert_eq!(label, 0x43);
            slot_of[t.label() as usize] = slot;
        }
        for n in [2, 0, 1] {
            let t = kit::reply_in(slot_of[n], 100 + n as i64, &[], &[]);
            assert!(!t.has_error());
            kit::run_on(CapIdx::THREAD, 0, 1);
        }
    });
    let mut by_number = got.clone();
    by_number.sort_unstable();
    assert_eq!(by_number, [(0, 100), (1, 101), (2, 102)]);
    assert!(m.violations().is_empty());
}

#[test]
fn a_caller_takes_no_answer_from_a_peer() {
    let (m, got) = run(&options(2), |r| {
        gate();
        caller(&r, 4, Timeouts::NEVER);
        let _ = kit::wait_in(3);
        let r2 = r.clone();
        kit::start_thread(PEER, UTCBS, (1, 5), move || {
            let t = kit::reply_in(3, 44, &[], &[]);
            r2.add((1, if t.has_error() { error() as i64 } else { 0 }));
        })
        .expect("a second thread");
        let sleep = Timeouts::new(Timeout::NEVER, Timeout::from_us(500));
        let _ = kit::invoke(CapIdx::INVALID, syscall::RECV, 0, &[], &[], sleep);
        // The slot is used up, so the thread that was called has nothing left either.
        r.add((2, i64::from(kit::reply_in(3, 45, &[], &[]).has_error())));
    });
    assert_eq!(got, [(1, code(IpcError::SendTimeout) as i64), (2, 1)]);
    let found: Vec<_> = m.violations().into_iter().map(|v| v.misuse).collect();
    assert!(matches!(found[0], Misuse::ForeignReply { .. }), "{found:?}");
    assert_eq!(found[1..], [Misuse::RepliedTwice]);
}

#[test]
fn a_slot_answers_once() {
    let (m, got) = run(&options(1), |r| {
        gate();
        caller(&r, 0, Timeouts::NEVER);
        let _ = kit::wait_in(3);
        r.add((10, i64::from(kit::reply_in(3, 1, &[], &[]).has_error())));
        r.add((11, i64::from(kit::reply_in(3, 1, &[], &[]).has_error())));
        r.add((12, error() as i64));
        // A slot that never held anything is no second answer.
        r.add((13, i64::from(kit::reply_in(400, 1, &[], &[]).has_error())));
    });
    let none = code(IpcError::NotExistent) as i64;
    assert_eq!(got[..2], [(0, 1), (10, 0)]);
    assert_eq!(got[2..], [(11, 1), (12, none), (13, 1)]);
    let found: Vec<_> = m.violations().into_iter().map(|v| v.misuse).collect();
    assert_eq!(found, [Misuse::RepliedTwice]);
}

#[test]
fn a_caller_that_gives_up_empties_its_slot() {
    let (m, got) = run(&options(1), |r| {
        gate();
        let us = Timeouts::new(Timeout::NEVER, Timeout::from_us(50));
        caller(&r, 0, us);
        let _ = kit::wait_in(3);
        // Long enough for the client to give up.
        let sleep = Timeouts::new(Timeout::NEVER, Timeout::from_us(500));
        let _ = kit::invoke(CapIdx::INVALID, syscall::RECV, 0, &[], &[], sleep);
        r.add((1, i64::from(kit::reply_in(3, 1, &[], &[]).has_error())));
        r.add((2, error() as i64));
    });
    let (late, none) = (code(IpcError::ReceiveTimeout), code(IpcError::NotExistent));
    assert_eq!(got, [(0, -(late as i64)), (1, 1), (2, none as i64)]);
    assert!(m.violations().is_empty());
}

#[test]
fn a_slot_used_again_forgets_its_caller_and_that_is_told() {
    let (m, got) = run(&options(1), |r| {
        gate();
        caller(&r, 0, Timeouts::NEVER);
        caller(&r, 1, Timeouts::NEVER);
        let _ = kit::wait_in(3);
        let _ = kit::wait_in(3);
        kit::reply_in(3, 55, &[], &[]);
    });
    // The first caller waits for ever; the second has its answer.
    assert_eq!(got, [(1, 55)]);
    let v = m.violations();
    assert_eq!(v.len(), 1);
    assert!(matches!(v[0].misuse, Misuse::CallerForgotten { .. }));
    assert!(!v[0].history.is_empty());
}

#[test]
fn a_call_into_the_threads_own_slot_forgets_the_caller_before() {
    let (m, got) = run(&options(1), |r| {
        gate();
        caller(&r, 0, Timeouts::NEVER);
        caller(&r, 1, Timeouts::NEVER);
        let _ = kit::wait();
        let _ = kit::wait();
        kit::reply(5, &[], &[]);
    });
    assert_eq!(got, [(1, 5)]);
    let v = m.violations();
    assert!(matches!(v[0].misuse, Misuse::CallerForgotten { .. }));
}

#[test]
fn reply_and_wait_uses_one_slot_for_both() {
    let (_, got) = run(&options(1), |r| {
        gate();
        caller(&r, 0, Timeouts::NEVER);
        caller(&r, 1, Timeouts::NEVER);
        let (t, _) = kit::wait_in(8);
        assert_eq!(t.label(), 0);
        let flags = syscall::REPLY_AND_WAIT | REPLY_CAP_BIT;
        let at = CapIdx::from_slot(8);
        let (t, _) = kit::invoke(at, flags, 20, &[], &[], Timeouts::SEND_ZERO);
        assert_eq!(t.label(), 1);
        assert!(!kit::reply_in(8, 21, &[], &[]).has_error());
    });
    assert_eq!(got, [(0, 20), (1, 21)]);
}

#[test]
fn slots_that_cannot_be_are_refused_and_nothing_is_received() {
    let (_, got) = run(&options(1), |r| {
        gate();
        caller(&r, 0, Timeouts::NEVER);
        let (t, _) = kit::wait_in(512 * 512);
        r.add((1, if t.has_error() { error() as i64 } else { -1 }));
        // The caller still waits, and an ordinary wait gets it.
        let (t, _) = kit::wait();
        r.add((2, t.label()));
        kit::reply(7, &[], &[]);
    });
    let none = code(IpcError::NoReplyCap) as i64;
    assert_eq!(got, [(1, none), (2, 0), (0, 7)]);
}

#[test]
fn a_slot_without_kernel_memory_is_refused() {
    // The first allocation after boot that a program of this kind makes is the slot's tables.
    let o = Options {
        fail_alloc: Some(1),
        ..options(1)
    };
    let (_, got) = run(&o, |r: Report<(bool, u64)>| {
        let none = Timeouts::ZERO;
        let flags = syscall::WAIT | REPLY_CAP_BIT;
        for _ in 0..2 {
            let (t, _) = kit::invoke(CapIdx::from_slot(1), flags, 0, &[], &[], none);
            r.add((t.has_error(), error()));
        }
    });
    let (refused, late) = (code(IpcError::NoReplyCap), code(IpcError::ReceiveTimeout));
    assert_eq!(got, [(true, refused), (true, late)]);
}

#[test]
fn a_task_without_threads_holds_no_callers() {
    let (m, got) = run(&options(1), |r| {
        // The server is a task of its own whose gate the root hands out.
        let server = CapIdx::from_slot(0x60);
        let p = kit::Program {
            slot: server,
            cpu: 0,
            prio: 2,
            pager: None,
        };
        p.start(&[], || {
            let _ = kit::wait_in(3);
            kit::sleep();
        })
        .expect("the server starts");
        kit::check(kit::create_gate(GATE, server.offset(1), 0x40)).expect("a gate");
        let us = Timeouts::new(Timeout::NEVER, Timeout::from_us(900));
        caller(&r, 0, us);
        // Its thread goes, the task stays: the caller is not told, its timeout ends the call.
        let gone = l4_sys::Fpage::obj(server.offset(1), 0, CapRights::RWSD);
        kit::unmap(CapIdx::TASK, l4_sys::ops::task::DELETE_OBJ, &[gone]);
    });
    assert_eq!(got, [(0, -(code(IpcError::ReceiveTimeout) as i64))]);
    m.check()
        .expect("no slot names a caller that does not know of it");
}
