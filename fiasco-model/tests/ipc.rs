//! Messages: calls, replies, queues, timeouts, labels.

mod common;

use common::{Report, options, run};
use fiasco_model::{Misuse, kit};
use l4_sys::{CapIdx, CapRights, IpcError, Timeout, Timeouts, proto, syscall};

const GATE: CapIdx = CapIdx::from_slot(0x20);
const TASK: CapIdx = CapIdx::from_slot(0x30);
const SERVER: CapIdx = CapIdx::from_slot(0x40);

/// Starts `client` with the gate to the root task's thread in slot 0x40, with `rights`.
fn client(slot: u64, cpu: u32, rights: CapRights, run: impl FnOnce() + Send + 'static) {
    let p = kit::Program {
        slot: TASK.offset(slot * 2),
        cpu,
        prio: 2,
        pager: Some(CapIdx::PAGER),
    };
    p.start(&[(GATE, SERVER, rights)], run)
        .expect("the client starts");
}

fn error() -> u64 {
    syscall::error_code(kit::utcb())
}

#[test]
fn a_call_brings_words_label_and_rights_and_gets_its_answer() {
    let (_, got) = run(&options(1), |r: Report<(i64, u64, u64)>| {
        kit::create_gate(GATE, CapIdx::THREAD, 0x1230);
        let r2 = r.clone();
        client(0, 0, CapRights::RW, move || {
            let t = kit::call(SERVER, 77, &[5, 6], &[]);
            r2.add((t.label(), kit::utcb().mr(0), t.words() as u64));
        });
        let (t, label) = kit::wait();
        r.add((t.label(), label, kit::utcb().mr(1)));
        kit::reply(3, &[11], &[]);
    });
    // W (1) but not S (2) came with the label.
    assert_eq!(got, [(77, 0x1231, 6), (3, 11, 1)]);
}

#[test]
fn a_reply_works_once() {
    let (m, got) = run(&options(1), |r| {
        kit::create_gate(GATE, CapIdx::THREAD, 0x40);
        client(0, 0, CapRights::RWS, || {
            kit::call(SERVER, 1, &[], &[]);
        });
        let _ = kit::wait();
        r.add((kit::reply(0, &[], &[]).has_error(), 0));
        let t = kit::reply(0, &[], &[]);
        r.add((t.has_error(), error()));
    });
    assert_eq!(
        got,
        [
            (false, 0),
            (true, u64::from(IpcError::NotExistent.number()))
        ]
    );
    let v = m.violations();
    assert_eq!(v.len(), 1);
    assert_eq!(v[0].misuse, Misuse::RepliedTwice);
    assert!(!v[0].history.is_empty());
}

#[test]
fn reply_and_wait_without_a_caller_fails_and_does_not_wait() {
    let (_, got) = run(&options(1), |r| {
        let (t, _) = kit::reply_and_wait(0, &[], &[]);
        r.add((t.has_error(), error()));
    });
    assert_eq!(got, [(true, u64::from(IpcError::NotExistent.number()))]);
}

#[test]
fn a_send_timeout_of_zero_needs_a_waiting_receiver() {
    let (_, got) = run(&options(1), |r: Report<u64>| {
        kit::create_gate(GATE, CapIdx::THREAD, 0x40);
        let r2 = r.clone();
        client(0, 0, CapRights::RWS, move || {
            let (t, _) = kit::invoke(SERVER, syscall::SEND, 1, &[], &[], Timeouts::ZERO);
            r2.add(if t.has_error() { error() } else { 0 });
        });
        // The client has the higher priority: it ran when this thread was not waiting.
        r.add(100);
        let us = Timeouts::new(Timeout::NEVER, Timeout::from_us(50));
        let (t, _) = kit::invoke(CapIdx::INVALID, syscall::WAIT, 0, &[], &[], us);
        r.add(if t.has_error() { error() } else { 0 });
    });
    let timeout = |e: IpcError| u64::from(e.number());
    assert_eq!(
        got,
        [
            timeout(IpcError::SendTimeout),
            100,
            timeout(IpcError::ReceiveTimeout)
        ]
    );
}

#[test]
fn a_client_that_does_not_wait_loses_its_answer_and_the_server_goes_on() {
    let (_, got) = run(&options(1), |r: Report<(bool, u64)>| {
        kit::create_gate(GATE, CapIdx::THREAD, 0x40);
        let r2 = r.clone();
        client(0, 0, CapRights::RWS, move || {
            // A call that gives up at once leaves no reply capability behind.
            let t = Timeouts::new(Timeout::NEVER, Timeout::ZERO);
            let (t, _) = kit::invoke(SERVER, syscall::CALL, 1, &[], &[], t);
            r2.add((t.has_error(), error()));
        });
        client(1, 0, CapRights::RWS, || {
            let t = kit::call(SERVER, 2, &[], &[]);
            assert_eq!(t.label(), 7);
        });
        let (t, _) = kit::wait();
        r.add((t.has_error(), t.label() as u64));
        let (t, _) = kit::reply_and_wait(5, &[], &[]);
        r.add((t.has_error(), error()));
        let (t, _) = kit::wait();
        r.add((t.has_error(), t.label() as u64));
        kit::reply(7, &[], &[]);
    });
    let none = u64::from(IpcError::NotExistent.number());
    let late = u64::from(IpcError::ReceiveTimeout.number());
    // The client's report comes when it runs, before the server's own.
    assert_eq!(got, [(true, late), (false, 1), (true, none), (false, 2)]);
}

#[test]
fn senders_queue_by_priority_then_by_arrival() {
    let (_, got) = run(&options(1), |r: Report<u64>| {
        kit::create_gate(GATE, CapIdx::THREAD, 0x40);
        for (i, prio) in [(0, 3), (1, 5), (2, 3), (3, 9)] {
            let p = kit::Program {
                slot: TASK.offset(i * 2),
                cpu: 0,
                prio,
                pager: Some(CapIdx::PAGER),
            };
            p.start(&[(GATE, SERVER, CapRights::RWS)], move || {
                kit::call(SERVER, i as i64, &[], &[]);
            })
            .unwrap();
        }
        let (mut t, _) = kit::wait();
        for _ in 0..4 {
            r.add(t.label() as u64);
            if r.len() == 4 {
                break;
            }
            t = kit::reply_and_wait(0, &[], &[]).0;
        }
    });
    assert_eq!(got, [3, 1, 0, 2]);
}

#[test]
fn a_receive_timeout_passes_in_simulated_time() {
    let (_, got) = run(&options(1), |r| {
        let us = Timeouts::new(Timeout::NEVER, Timeout::from_us(1000));
        let before = fiasco_model::user::now();
        let (t, _) = kit::invoke(CapIdx::INVALID, syscall::RECV, 0, &[], &[], us);
        r.add((t.has_error(), fiasco_model::user::now() - before));
    });
    assert!(got[0].0);
    // 1000 us at 1000 MHz, rounded up by the timeout's 10 bits.
    assert!((1_000_000..1_010_000).contains(&got[0].1), "{got:?}");
}

#[test]
fn an_invalid_slot_does_not_exist() {
    let (_, got) = run(&options(1), |r| {
        let t = kit::call(CapIdx::from_slot(0x99), 0, &[], &[]);
        r.add((t.has_error(), error()));
        let t = kit::call(CapIdx::from_slot(1 << 30), 0, &[], &[]);
        r.add((t.has_error(), error()));
    });
    assert_eq!(got, [(true, 4), (true, 4)]);
}

#[test]
fn a_deleted_receiver_aborts_its_senders() {
    let (_, got) = run(&options(1), |r: Report<u64>| {
        // A second program owns a gate to its own thread and never receives.
        let other = CapIdx::from_slot(0x60);
        let p = kit::Program {
            slot: other,
            cpu: 0,
            prio: 2,
            pager: Some(CapIdx::PAGER),
        };
        p.start(&[], kit::sleep).unwrap();
        kit::create_gate(GATE, other.offset(1), 0x40);
        let r2 = r.clone();
        client(0, 0, CapRights::RWS, move || {
            let t = kit::call(SERVER, 1, &[], &[]);
            r2.add(if t.has_error() { error() } else { 0 });
        });
        let all = [l4_sys::Fpage::obj(other, 1, CapRights::RWSD)];
        kit::unmap(CapIdx::TASK, l4_sys::ops::task::DELETE_OBJ, &all);
    });
    assert_eq!(got, [u64::from(IpcError::SendCancelled.number())]);
}

#[test]
fn a_gate_without_thread_holds_its_senders_until_bound() {
    let (_, got) = run(&options(1), |r: Report<(i64, u64)>| {
        kit::create(CapIdx::FACTORY, GATE, &[0], &[]);
        client(0, 0, CapRights::RWS, || {
            assert_eq!(kit::call(SERVER, 9, &[1], &[]).label(), 4);
        });
        let words = [l4_sys::ops::endpoint::BIND, 0x770];
        let t = kit::call(
            GATE,
            proto::KOBJECT,
            &words,
            &[kit::cap_item(CapIdx::THREAD, CapRights::RWS)],
        );
        assert_eq!(t.label(), 0);
        let (t, label) = kit::wait();
        r.add((t.label(), label));
        kit::reply(4, &[], &[]);
    });
    assert_eq!(got, [(9, 0x773)]);
}

#[test]
fn only_the_creators_capability_can_bind_a_gate() {
    let (_, got) = run(&options(1), |r: Report<i64>| {
        kit::create_gate(GATE, CapIdx::THREAD, 0x40);
        client(0, 0, CapRights::RWS, move || {
            // Mapped without the server attribute: the operation is a message to the thread.
            let words = [l4_sys::ops::endpoint::BIND, 0x770];
            let own = kit::cap_item(CapIdx::THREAD, CapRights::RWS);
            kit::call(SERVER, proto::KOBJECT, &words, &[own]);
        });
        kit::receive_cap(CapIdx::from_slot(0x50));
        let (t, _) = kit::wait();
        r.add(t.label());
        kit::reply(0, &[], &[]);
        let own = kit::cap_item(CapIdx::THREAD, CapRights::RWS);
        let t = kit::call(
            GATE,
            proto::KOBJECT,
            &[l4_sys::ops::endpoint::BIND, 0x771],
            &[own],
        );
        r.add(t.label());
    });
    assert_eq!(got, [proto::KOBJECT, -22]);
}

#[test]
fn cross_core_messages_cost_interrupts() {
    let (m, _) = run(&options(2), |_: Report<()>| {
        kit::create_gate(GATE, CapIdx::THREAD, 0x40);
        client(0, 1, CapRights::RWS, || {
            let before = fiasco_model::user::now();
            kit::call(SERVER, 1, &[], &[]);
            assert!(fiasco_model::user::now() > before);
        });
        let _ = kit::wait();
        kit::reply(0, &[], &[]);
    });
    let t = m.totals();
    assert_eq!(t.ipc_remote, 2);
    // Start on the other CPU 1; request 2; reply without items 2.
    assert_eq!(t.ipis, 5, "{t:?}");
}

#[test]
fn a_label_cannot_be_forged_through_a_gate() {
    let (_, got) = run(&options(1), |r: Report<u64>| {
        kit::create_gate(GATE, CapIdx::THREAD, 0x1230);
        client(0, 0, CapRights::RW, || {
            let tag = l4_sys::MsgTag::plain(5, 0, 0);
            // SAFETY: a message without items.
            let _ =
                unsafe { syscall::invoke(SERVER, syscall::CALL, 0xdead0, tag, Timeouts::NEVER) };
        });
        r.add(kit::wait().1);
    });
    assert_eq!(got, [0x1231]);
}
