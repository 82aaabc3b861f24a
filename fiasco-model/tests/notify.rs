//! What wakes a thread without a call: semaphores, interrupt objects, deletion notices, points in
//! time, cancelled waits.

mod common;

use common::{Report, options, run};
use fiasco_model::{kit, user};
use l4_sys::ops::task::{ALL_SPACES, DELETE_OBJ};
use l4_sys::ops::thread;
use l4_sys::{CapIdx, CapRights, Errno, Fpage, IpcError, Timeout, Timeouts, proto, syscall};

const SEM: CapIdx = CapIdx::from_slot(0x20);
const IRQ: CapIdx = CapIdx::from_slot(0x22);
const GATE: CapIdx = CapIdx::from_slot(0x24);
const PEER: CapIdx = CapIdx::from_slot(0x30);
const UTCBS: u64 = 0x50_0000_0000;

fn error() -> u64 {
    syscall::error_code(kit::utcb())
}

fn code(e: IpcError) -> u64 {
    u64::from(e.number())
}

fn within(us: u64) -> Timeouts {
    Timeouts::new(Timeout::NEVER, Timeout::from_us(us))
}

#[test]
fn a_semaphore_counts() {
    let (_, got) = run(&options(1), |r: Report<(i64, u64)>| {
        r.add((kit::create_semaphore(SEM).label(), 0));
        kit::trigger(SEM);
        kit::trigger(SEM);
        for _ in 0..3 {
            let t = kit::down(SEM, Timeouts::ZERO);
            r.add((t.label(), if t.has_error() { error() } else { 0 }));
        }
        let before = user::now();
        let t = kit::down(SEM, within(100));
        r.add((i64::from(t.has_error()), error()));
        assert!(user::now() - before >= 100_000);
    });
    let late = code(IpcError::ReceiveTimeout);
    assert_eq!(got, [(0, 0), (0, 0), (0, 0), (0, late), (1, late)]);
}

#[test]
fn a_trigger_lets_the_best_waiting_thread_go_on() {
    let (_, got) = run(&options(2), |r: Report<u64>| {
        kit::create_semaphore(SEM);
        for (n, prio) in [(0, 3), (1, 9), (2, 3)] {
            let r = r.clone();
            let slot = PEER.offset(n);
            kit::start_thread(slot, UTCBS + n * 4096, (1, prio), move || {
                assert_eq!(kit::down(SEM, Timeouts::NEVER).label(), 0);
                r.add(n);
            })
            .expect("a thread");
        }
        // They get to wait on their CPU before this one raises three times.
        let _ = kit::invoke(CapIdx::INVALID, syscall::RECV, 0, &[], &[], within(1000));
        for _ in 0..3 {
            kit::trigger(SEM);
            let _ = kit::invoke(CapIdx::INVALID, syscall::RECV, 0, &[], &[], within(1000));
        }
    });
    assert_eq!(got, [1, 0, 2]);
}

#[test]
fn a_semaphore_that_goes_tells_who_waits() {
    let (m, got) = run(&options(1), |r: Report<u64>| {
        kit::create_semaphore(SEM);
        let r2 = r.clone();
        kit::start_thread(PEER, UTCBS, (0, 9), move || {
            let t = kit::down(SEM, Timeouts::NEVER);
            r2.add(if t.has_error() { error() } else { 0 });
        })
        .expect("a thread");
        kit::unmap(
            CapIdx::TASK,
            DELETE_OBJ,
            &[Fpage::obj(SEM, 0, CapRights::RWSD)],
        );
    });
    assert_eq!(got, [code(IpcError::NotExistent)]);
    assert!(m.violations().is_empty());
}

#[test]
fn semaphores_give_upstreams_errors() {
    let (_, got) = run(&options(1), |r: Report<i64>| {
        kit::create_semaphore(SEM);
        let weak = SEM.offset(1);
        kit::give(CapIdx::TASK, SEM, weak, CapRights::RW);
        r.add(kit::down(weak, Timeouts::ZERO).label());
        r.add(kit::call(SEM, proto::SEMAPHORE, &[], &[]).label());
        r.add(kit::call(SEM, proto::SEMAPHORE, &[1], &[]).label());
        r.add(kit::call(SEM, proto::IRQ, &[9], &[]).label());
        r.add(kit::call(SEM, proto::IRQ_SENDER, &[1], &[]).label());
    });
    let e = [
        Errno::Perm,
        Errno::Inval,
        Errno::NoSys,
        Errno::NoSys,
        Errno::BadProto,
    ];
    assert_eq!(got, e.map(|e| e.label()));
}

#[test]
fn an_interrupt_wakes_a_peer_on_another_cpu() {
    let (m, got) = run(&options(2), |r: Report<(u32, u64)>| {
        kit::create_irq(IRQ);
        let r2 = r.clone();
        kit::start_thread(PEER, UTCBS, (1, 9), move || {
            let (t, label) = kit::wait();
            assert_eq!((t.label(), t.words(), t.items()), (0, 0, 0));
            r2.add((user::cpu(), label));
        })
        .expect("a thread");
        assert_eq!(kit::bind_irq(IRQ, PEER, 0xbee0).label(), 0);
        let before = user::totals();
        kit::trigger(IRQ);
        let sent = user::totals() - before;
        // One interrupt, and nobody waits for an answer.
        assert_eq!((sent.ipis, sent.syscalls), (1, 1));
    });
    assert_eq!(got, [(1, 0xbee0)]);
    assert_eq!(m.totals().irqs, 1);
}

#[test]
fn a_thread_has_one_deletion_notice_and_an_interrupt_one_thread() {
    let (_, got) = run(&options(1), |r: Report<i64>| {
        kit::create_irq(IRQ);
        kit::create_irq(IRQ.offset(1));
        kit::start_thread(PEER, UTCBS, (0, 1), kit::sleep).expect("a thread");
        let weak = CapIdx::from_slot(0x40);
        kit::give(CapIdx::TASK, IRQ, weak, CapRights::from_bits_retain(4));
        // Items carry the rights of the sender's capability: without W it is refused.
        r.add(kit::notice_deletions(CapIdx::THREAD, weak).label());
        r.add(kit::notice_deletions(CapIdx::THREAD, CapIdx::THREAD).label());
        r.add(kit::notice_deletions(CapIdx::THREAD, IRQ).label());
        r.add(kit::notice_deletions(CapIdx::THREAD, IRQ.offset(1)).label());
        // The other thread takes the interrupt over; then the first has none.
        r.add(kit::notice_deletions(PEER, IRQ).label());
        r.add(kit::notice_deletions(CapIdx::THREAD, IRQ.offset(1)).label());
        // With the object goes the registration.
        let gone = Fpage::obj(IRQ.offset(1), 0, CapRights::RWSD);
        kit::unmap(CapIdx::TASK, DELETE_OBJ, &[gone]);
        kit::create_irq(IRQ.offset(1));
        r.add(kit::notice_deletions(CapIdx::THREAD, IRQ.offset(1)).label());
    });
    let e = |e: Errno| e.label();
    let busy = e(Errno::Busy);
    assert_eq!(got, [e(Errno::Perm), e(Errno::Inval), 0, busy, 0, 0, 0]);
}

#[test]
fn deletions_of_gates_go_to_the_thread_that_they_are_bound_to() {
    let (_, got) = run(&options(2), |r: Report<(u32, u64)>| {
        // A gate of this thread is bound to a peer: the peer's notice is raised, not this one's.
        kit::create_irq(IRQ);
        kit::bind_irq(IRQ, CapIdx::THREAD, 0x100);
        kit::notice_deletions(CapIdx::THREAD, IRQ);
        let r2 = r.clone();
        kit::start_thread(PEER, UTCBS, (1, 9), move || {
            let (_, label) = kit::wait();
            r2.add((user::cpu(), label));
        })
        .expect("a thread");
        kit::create_irq(IRQ.offset(1));
        kit::bind_irq(IRQ.offset(1), PEER, 0x200);
        kit::notice_deletions(PEER, IRQ.offset(1));
        kit::create_gate(GATE, CapIdx::THREAD, 0x40);
        let words = [l4_sys::ops::endpoint::BIND, 0x80];
        let peer = kit::cap_item(PEER, CapRights::RWS);
        assert_eq!(kit::call(GATE, proto::KOBJECT, &words, &[peer]).label(), 0);
        kit::unmap(
            CapIdx::TASK,
            ALL_SPACES,
            &[Fpage::obj(GATE, 0, CapRights::RWSD)],
        );
        let (t, _) = kit::invoke(CapIdx::INVALID, syscall::WAIT, 0, &[], &[], within(1000));
        assert!(t.has_error(), "nothing came here");
    });
    assert_eq!(got, [(1, 0x200)]);
}

#[test]
fn a_semaphore_reports_deletions_too() {
    let (_, got) = run(&options(1), |r: Report<i64>| {
        kit::create_semaphore(SEM);
        r.add(kit::notice_deletions(CapIdx::THREAD, SEM).label());
        kit::create_gate(GATE, CapIdx::THREAD, 0x40);
        kit::unmap(
            CapIdx::TASK,
            ALL_SPACES,
            &[Fpage::obj(GATE, 0, CapRights::RWSD)],
        );
        r.add(kit::down(SEM, Timeouts::ZERO).label());
    });
    assert_eq!(got, [0, 0]);
}

/// A receive timeout that is the point in time in buffer register `n`.
fn at(n: u16) -> Timeouts {
    Timeouts::new(Timeout::NEVER, Timeout::from_raw(0x8000 | n))
}

#[test]
fn points_in_time_are_on_the_clock_of_the_cpu() {
    let (_, got) = run(&options(1), |r: Report<(bool, u64)>| {
        let receive = |t: Timeouts| {
            let before = user::now();
            let (tag, _) = kit::invoke(CapIdx::INVALID, syscall::RECV, 0, &[], &[], t);
            assert_eq!(error(), code(IpcError::ReceiveTimeout));
            (tag.has_error(), user::now() - before)
        };
        // 1000 cycles are a microsecond with these costs.
        let clock = user::now() / 1000;
        kit::utcb().set_br(5, clock + 700);
        let (failed, _) = receive(at(5));
        r.add((failed, user::now() / 1000 - clock));
        // The past, and a register beyond the last one, which stands for the last one.
        let (failed, passed) = receive(at(5));
        r.add((failed, passed / 1000));
        kit::utcb().set_br(57, user::now() / 1000 + 50);
        let (failed, passed) = receive(at(63));
        r.add((failed, passed / 1000));
    });
    assert_eq!((got[0].0, got[1].0, got[2].0), (true, true, true));
    assert!((700..702).contains(&got[0].1), "{got:?}");
    assert_eq!(got[1].1, 0);
    assert!((49..52).contains(&got[2].1), "{got:?}");
}

#[test]
fn a_wait_can_be_cancelled_from_another_cpu() {
    let (_, got) = run(&options(2), |r: Report<(bool, u64)>| {
        kit::create_semaphore(SEM);
        kit::create(CapIdx::FACTORY, GATE, &[0], &[]);
        let r2 = r.clone();
        kit::start_thread(PEER, UTCBS, (1, 9), move || {
            let (t, _) = kit::wait();
            r2.add((t.has_error(), error()));
            let t = kit::call(GATE, 1, &[], &[]);
            r2.add((t.has_error(), error()));
            let t = kit::down(SEM, Timeouts::NEVER);
            r2.add((t.has_error(), error()));
        })
        .expect("a thread");
        let words = [thread::EX_REGS | thread::EX_REGS_CANCEL, u64::MAX, u64::MAX];
        for _ in 0..3 {
            let _ = kit::invoke(CapIdx::INVALID, syscall::RECV, 0, &[], &[], within(1000));
            assert_eq!(kit::call(PEER, proto::THREAD, &words, &[]).label(), 0);
        }
    });
    let (s, r) = (
        code(IpcError::SendCancelled),
        code(IpcError::ReceiveCancelled),
    );
    assert_eq!(got, [(true, r), (true, s), (true, r)]);
}
