//! What a memory server with a thread on each CPU does: memory of its own, gates of its threads,
//! clients that map from dataspaces, batches of unmaps, gates that go with their last user.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use common::{Report, grab, options, run};
use fiasco_model::{kit, user};
use l4_sys::item::{Caching, SendItem};
use l4_sys::ops::{endpoint, task, thread};
use l4_sys::{CapIdx, CapRights, Errno, Fpage, MemRights, proto};
use l4re_rs::Cap;
use l4re_rs::cap::kind;

const RAM: u64 = 0x200_0000;
const GATES: CapIdx = CapIdx::from_slot(0x20);
const THREADS: CapIdx = CapIdx::from_slot(0x28);
const CLIENTS: CapIdx = CapIdx::from_slot(0x30);
const DS: CapIdx = CapIdx::from_slot(0x40);
const UTCBS: u64 = 0x50_0000_0000;
const WINDOW: u64 = 0x10_0000_0000;
const CPUS: u64 = 4;

/// A server thread: a dataspace of a quarter of the server's RAM, mapped page by page.
fn serve(cpu: u64) {
    let mut got = kit::wait();
    loop {
        let (tag, label) = got;
        assert_eq!(u64::from(user::cpu()), cpu);
        // The gate's label, with the client's right to write.
        assert_eq!(label & !3, 0x100 * (cpu + 1));
        let u = kit::utcb();
        let (op, offset, spot) = (u.mr(0) as u32, u.mr(1), u.mr(2));
        got = if (tag.label(), op) != (proto::DATASPACE, 0) || offset >= 0x8_0000 {
            kit::reply_and_wait(Errno::Range.label(), &[], &[])
        } else {
            let frame = RAM + cpu * 0x8_0000 + offset;
            let page = Fpage::mem(frame, 12, MemRights::RW);
            kit::reply_and_wait(0, &[], &[SendItem::mem(spot, Caching::Cached, page)])
        };
    }
}

/// Maps a page of the dataspace at `WINDOW + offset`.
fn map(offset: u64) -> l4re_rs::Result<()> {
    let window = Fpage::mem(WINDOW, 20, MemRights::RW);
    // SAFETY: simulated memory, in which no Rust object lies.
    unsafe { Cap::<kind::Dataspace>::new(DS).map(offset, offset, 7, window) }
}

#[test]
fn a_thread_on_each_cpu_serves_the_clients_of_its_cpu() {
    let (m, got) = run(&options(CPUS as u32), |r: Report<(u64, u64)>| {
        grab(RAM, 21);
        for page in 0..512 {
            user::write_u64(RAM + page * 4096, 1000 + page);
        }
        for cpu in 0..CPUS {
            let th = THREADS.offset(cpu);
            kit::start_thread(th, UTCBS + cpu * 4096, (cpu as u32, 9), move || serve(cpu))
                .expect("a server thread");
            kit::check(kit::create_gate(GATES.offset(cpu), th, 0x100 * (cpu + 1))).expect("a gate");
        }
        for cpu in 0..CPUS {
            let r = r.clone();
            let p = kit::Program {
                slot: CLIENTS.offset(cpu * 2),
                cpu: cpu as u32,
                prio: 3,
                pager: None,
            };
            let gate = GATES.offset(cpu);
            p.start(&[(gate, DS, CapRights::RW)], move || {
                for page in [0, 5, 127] {
                    map(page * 4096).expect("a page");
                    r.add((cpu, user::read_u64(WINDOW + page * 4096)));
                }
                user::write_u64(WINDOW + 5 * 4096, 7000 + cpu);
                assert!(map(0x8_0000).is_err());
                kit::sleep();
            })
            .expect("a client");
        }
        let us = l4_sys::Timeout::from_us(5000);
        let t = l4_sys::Timeouts::new(l4_sys::Timeout::NEVER, us);
        let _ = kit::invoke(CapIdx::INVALID, l4_sys::syscall::RECV, 0, &[], &[], t);
        // The server sees what clients wrote, and takes one page from each in one call.
        for cpu in 0..CPUS {
            assert_eq!(user::read_u64(RAM + (cpu * 128 + 5) * 4096), 7000 + cpu);
        }
        let before = user::totals();
        let taken: Vec<Fpage> = (0..CPUS)
            .map(|cpu| Fpage::mem(RAM + (cpu * 128 + 5) * 4096, 12, MemRights::RWX))
            .collect();
        let t = kit::unmap(CapIdx::TASK, task::OTHER_SPACES, &taken);
        assert_eq!(t.label(), 0);
        let done = user::totals() - before;
        assert_eq!((done.unmaps, done.unmap_calls), (CPUS, CPUS));
        // The server's own mapping is still there.
        assert_eq!(user::read_u64(RAM + 5 * 4096), 7000);
    });
    for cpu in 0..CPUS {
        let of: Vec<u64> = got.iter().filter(|g| g.0 == cpu).map(|g| g.1).collect();
        assert_eq!(of, [0, 5, 127].map(|p| 1000 + cpu * 128 + p));
    }
    assert!(m.violations().is_empty(), "{}", m.violations()[0]);
    let t = m.totals();
    // Calls stay on their CPU.
    assert!(t.ipc_local > 30 && t.ipc_remote < 10, "{t:?}");
}

#[test]
fn a_gate_goes_with_the_last_user_when_its_maker_let_go() {
    let (m, got) = run(&options(1), |r: Report<i64>| {
        let (gate, irq) = (GATES, GATES.offset(1));
        kit::create_irq(irq);
        kit::bind_irq(irq, CapIdx::THREAD, 0x900);
        kit::notice_deletions(CapIdx::THREAD, irq);
        kit::create_gate(gate, CapIdx::THREAD, 0x40);
        r.add(kit::call(gate, proto::KOBJECT, &[0], &[]).label());
        r.add(kit::call(gate, proto::KOBJECT, &[0, 1], &[]).label());
        r.add(kit::utcb().mr(0) as i64);
        assert!(kit::is_valid(gate), "nothing goes by that alone");
        let p = kit::Program {
            slot: CLIENTS,
            cpu: 0,
            prio: 2,
            pager: None,
        };
        p.start(&[(gate, DS, CapRights::RW)], kit::sleep)
            .expect("a client");
        let both = Fpage::obj(CLIENTS, 1, CapRights::RWSD);
        kit::unmap(CapIdx::TASK, task::DELETE_OBJ, &[both]);
        r.add(i64::from(kit::is_valid(gate)));
        let (_, label) = kit::wait();
        r.add(label as i64);
    });
    assert_eq!(got, [Errno::Inval.label(), 0, 0, 0, 0x900]);
    assert!(m.violations().is_empty());
}

#[test]
fn only_the_servers_capability_can_lower_the_count() {
    let (_, got) = run(&options(1), |r: Report<i64>| {
        kit::create_gate(GATES, CapIdx::THREAD, 0x40);
        let p = kit::Program {
            slot: CLIENTS,
            cpu: 0,
            prio: 2,
            pager: None,
        };
        p.start(&[(GATES, DS, CapRights::RWS)], || {
            // The client's capability is not the server's: this is a message to the thread.
            kit::call(DS, proto::KOBJECT, &[0, 1], &[]);
        })
        .expect("a client");
        r.add(kit::wait().0.label());
        kit::reply(0, &[], &[]);
    });
    assert_eq!(got, [proto::KOBJECT]);
}

#[test]
fn a_gate_moves_to_another_thread_while_callers_wait() {
    let (m, got) = run(&options(2), |r: Report<(u64, u32)>| {
        let gate = GATES;
        kit::create_gate(gate, CapIdx::THREAD, 0x40);
        let r2 = r.clone();
        kit::start_thread(THREADS, UTCBS, (1, 9), move || {
            let (_, label) = kit::wait();
            r2.add((label, user::cpu()));
            kit::reply(0, &[], &[]);
        })
        .expect("a thread");
        let words = [endpoint::BIND, 0x80];
        let to = kit::cap_item(THREADS, CapRights::RWS);
        assert_eq!(kit::call(gate, proto::KOBJECT, &words, &[to]).label(), 0);
        let p = kit::Program {
            slot: CLIENTS,
            cpu: 0,
            prio: 2,
            pager: None,
        };
        p.start(&[(gate, DS, CapRights::RW)], || {
            assert_eq!(kit::call(DS, 3, &[], &[]).label(), 0);
        })
        .expect("a client");
    });
    assert_eq!(got, [(0x81, 1)]);
    assert!(m.violations().is_empty());
}

#[test]
fn a_thread_is_made_bound_and_started_once_with_upstreams_errors() {
    let (_, got) = run(&options(2), |r: Report<i64>| {
        let th = THREADS;
        kit::create(CapIdx::FACTORY, th, &[proto::THREAD as u64], &[]);
        let flags = thread::CONTROL | thread::BIND_TASK;
        let own = [kit::cap_item(CapIdx::TASK, CapRights::RWS)];
        let bind = |utcb: u64| kit::call(th, proto::THREAD, &[flags, 0, 0, 0, 0, utcb], &own);
        // No kernel-user memory there, not aligned, too few words, no task.
        r.add(bind(UTCBS).label());
        let area = Fpage::mem(UTCBS, 12, MemRights::RW);
        r.add(kit::call(CapIdx::TASK, proto::TASK, &[task::ADD_KU_MEM, area.0], &[]).label());
        r.add(bind(UTCBS + 8).label());
        r.add(kit::call(th, proto::THREAD, &[flags, 0, 0, 0, 0], &own).label());
        let not = [kit::cap_item(CapIdx::LOG, CapRights::RWS)];
        r.add(kit::call(th, proto::THREAD, &[flags, 0, 0, 0, 0, UTCBS], &not).label());
        r.add(bind(UTCBS + 1024).label());
        // Once only.
        r.add(bind(UTCBS).label());
        // One that was never started does not exist for senders.
        let t = kit::invoke(
            th,
            l4_sys::syscall::SEND,
            1,
            &[],
            &[],
            l4_sys::Timeouts::ZERO,
        );
        r.add(i64::from(t.0.has_error()) + l4_sys::syscall::error_code(kit::utcb()) as i64);
        let ran = Arc::new(AtomicU64::new(0));
        let ran2 = ran.clone();
        let start = move |sp: u64| ran2.store(sp + u64::from(user::cpu()), Ordering::SeqCst);
        let ip = l4_sys::host::entry(Box::new(start));
        r.add(kit::call(th, proto::THREAD, &[thread::EX_REGS, ip], &[]).label());
        r.add(kit::call(th, proto::THREAD, &[thread::EX_REGS, ip, 0x7000], &[]).label());
        // It has no CPU until the scheduler is told.
        assert_eq!(ran.load(Ordering::SeqCst), 0);
        r.add(kit::run_on(th, 1, 200).label());
        let us = l4_sys::Timeout::from_us(100);
        let t = l4_sys::Timeouts::new(l4_sys::Timeout::NEVER, us);
        let _ = kit::invoke(CapIdx::INVALID, l4_sys::syscall::RECV, 0, &[], &[], t);
        r.add(ran.load(Ordering::SeqCst) as i64);
    });
    let inval = Errno::Inval.label();
    assert_eq!(
        got,
        [
            inval, 0, inval, inval, inval, 0, inval, 5, inval, 0, 0, 0x7001
        ]
    );
}

#[test]
fn a_servers_own_work_is_charged_for_each_request_and_nothing_else() {
    let time = |work: u64| {
        let (_, got) = run(&options(1), move |r: Report<u64>| {
            kit::start_thread(THREADS, UTCBS, (0, 9), || {
                let mut got = kit::wait();
                while got.0.label() == 3 {
                    got = kit::reply_and_wait(0, &[], &[]);
                }
            })
            .expect("a thread");
            kit::check(kit::create_gate(GATES, THREADS, 0x40)).expect("a gate");
            let ask = || {
                let start = user::now();
                kit::call(GATES, 3, &[], &[]);
                user::now() - start
            };
            ask();
            r.add(ask());
            // All threads of this program work for their requests; who calls does not.
            user::works(work);
            r.add(ask());
        });
        got[1] - got[0]
    };
    assert_eq!([time(0), time(700), time(90_000)], [0, 700, 90_000]);
}

#[test]
fn zeroing_clears_what_was_written_wherever_it_is_in_a_page() {
    let (_, got) = run(&options(1), |r: Report<u64>| {
        grab(RAM, 21);
        for at in [0, 8, 4088, 4096 + 2048] {
            user::write_u64(RAM + at, 0x0100_0000_0000_0000);
        }
        // SAFETY: simulated memory, in which no Rust object lies.
        unsafe { l4_sys::mem::zero(RAM + 4, 4089 + 4096) };
        for at in [0, 8, 4088, 4096 + 2048] {
            r.add(user::read_u64(RAM + at));
        }
        user::write_u64(RAM, u64::MAX);
        // SAFETY: as above.
        unsafe { l4_sys::mem::zero(RAM + 3, 2) };
        r.add(user::read_u64(RAM));
    });
    assert_eq!(got, [0, 0, 0, 0, !0xff_ff00_0000]);
}
