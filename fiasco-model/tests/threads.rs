//! The same servers on real threads.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use common::options;
use fiasco_model::{End, Machine, Options, ThreadModel, hostile, kit, user};
use l4_sys::{CapIdx, CapRights, proto};

const GATE: CapIdx = CapIdx::from_slot(0x20);

fn sigma0(kip: u64) {
    let storage = Box::leak(Box::new(sigma0_rs::Storage::new()));
    // SAFETY: this is the first thread of the model's sigma0 task, which has all memory.
    unsafe { sigma0_rs::run(kip, storage) }
}

#[test]
fn clients_of_four_cores_call_one_server() {
    let sum = Arc::new(AtomicU64::new(0));
    let s = sum.clone();
    let mut m = ThreadModel::new(&options(4)).unwrap();
    m.boot(common::sigma0, move |_| {
        kit::create_gate(GATE, CapIdx::THREAD, 0x40);
        for i in 0..8 {
            let slot = CapIdx::from_slot(0x100 + 2 * i);
            let p = kit::Program {
                slot,
                cpu: (i % 4) as u32,
                prio: 2,
                pager: None,
            };
            let s = s.clone();
            p.start(&[(GATE, GATE, CapRights::RWS)], move || {
                for n in 0..500 {
                    let t = kit::call(GATE, 1, &[i * 1000 + n], &[]);
                    assert_eq!((t.label(), kit::utcb().mr(0)), (2, i * 1000 + n + 7));
                    s.fetch_add(1, Ordering::SeqCst);
                }
            })
            .unwrap();
        }
        let _ = kit::wait();
        loop {
            let w = kit::utcb().mr(0);
            let _ = kit::reply_and_wait(2, &[w + 7], &[]);
        }
    });
    assert_eq!(m.run(u64::MAX), End::Quiet);
    assert_eq!(sum.load(Ordering::SeqCst), 4000);
    let t = m.totals();
    assert_eq!(t.ipc_local + t.ipc_remote, 8000);
    m.check().unwrap();
    assert!(m.violations().is_empty());
}

#[test]
fn the_root_pager_serves_racing_and_hostile_clients() {
    let good = Arc::new(AtomicU64::new(0));
    let g = good.clone();
    let mut m = ThreadModel::new(&Options::new(Machine::uniform(2, 4, 256))).unwrap();
    m.boot(sigma0, move |_| {
        for i in 0..16 {
            let slot = CapIdx::from_slot(0x100 + i * 8);
            let gate = slot.offset(4);
            kit::receive_cap(gate);
            kit::check(kit::call(
                CapIdx::PAGER,
                proto::FACTORY,
                &[proto::SIGMA0 as u64],
                &[],
            ))
            .unwrap();
            let p = kit::Program {
                slot,
                cpu: (i % 8) as u32,
                prio: 2,
                pager: Some(gate),
            };
            let g = g.clone();
            p.start(
                &[(gate, CapIdx::from_slot(0x40), CapRights::RWS)],
                move || {
                    if i % 2 == 0 {
                        hostile::garbage(i, CapIdx::from_slot(0x40), 300);
                        return;
                    }
                    let base = 0x1000_0000 + i * 0x40_0000;
                    for page in 0..200 {
                        user::write_u64(base + page * 4096, i);
                    }
                    g.fetch_add(1, Ordering::SeqCst);
                },
            )
            .unwrap();
        }
    });
    let end = m.run(5_000_000);
    assert_eq!(end, End::Quiet, "{}", m.log());
    assert_eq!(good.load(Ordering::SeqCst), 8);
    m.check().unwrap();
}

#[test]
fn a_thread_moves_to_another_cpu_while_it_runs() {
    let seen = Arc::new(AtomicU64::new(0));
    let s = seen.clone();
    let mut m = ThreadModel::new(&options(3)).unwrap();
    m.boot(common::sigma0, move |_| {
        for cpu in [2, 1, 0, 2] {
            kit::check(kit::run_on(CapIdx::THREAD, cpu, 5)).unwrap();
            s.store(
                s.load(Ordering::SeqCst) * 10 + u64::from(user::cpu()) + 1,
                Ordering::SeqCst,
            );
        }
    });
    assert_eq!(m.run(u64::MAX), End::Quiet);
    assert_eq!(seen.load(Ordering::SeqCst), 3213);
}

#[test]
fn clients_die_at_any_of_their_steps_and_the_others_are_served() {
    let (rounds, served) = (200, Arc::new(AtomicU64::new(0)));
    let s = served.clone();
    let o = Options {
        seed: 7,
        ..options(4)
    };
    let mut m = ThreadModel::new(&o).unwrap();
    m.boot(common::sigma0, move |_| {
        kit::create_gate(GATE, CapIdx::THREAD, 0x40);
        for i in 0..24 {
            let p = kit::Program {
                slot: CapIdx::from_slot(0x100 + 2 * i),
                cpu: (i % 4) as u32,
                prio: 2,
                pager: None,
            };
            let s = s.clone();
            p.start(&[(GATE, GATE, CapRights::RWS)], move || {
                user::mortal(if i % 3 == 0 { 0 } else { 10_000 });
                for _ in 0..rounds {
                    kit::call(GATE, 1, &[], &[]);
                }
                if i % 3 == 0 {
                    s.fetch_add(1, Ordering::SeqCst);
                }
            })
            .unwrap();
        }
        // Answers whoever is still there; a client that died while it waited has no answer.
        let mut tag = kit::wait().0;
        loop {
            tag = if tag.has_error() {
                kit::wait().0
            } else {
                kit::reply_and_wait(0, &[], &[]).0
            };
        }
    });
    assert_eq!(m.run(u64::MAX), End::Quiet);
    assert_eq!(served.load(Ordering::SeqCst), 8);
    m.check().unwrap();
    // Each of the 16 has a chance of 1 % at each of some 200 steps.
    let left = m.objects("task").len();
    assert!(left < 2 + 24 - 4, "{left} tasks are left");
}

#[test]
fn kernel_memory_fails_at_the_chosen_allocation_on_real_threads_too() {
    let first = |n: Option<u64>| {
        let results = Arc::new(std::sync::Mutex::new(Vec::new()));
        let r = results.clone();
        let o = Options {
            fail_alloc: n,
            ..options(2)
        };
        let mut m = ThreadModel::new(&o).unwrap();
        m.boot(common::sigma0, move |_| {
            for i in 0..3 {
                let slot = CapIdx::from_slot(0x100 + i);
                r.lock().unwrap().push(kit::create_irq(slot).label());
            }
            kit::sleep();
        });
        assert_eq!(m.run(u64::MAX), End::Quiet);
        m.check().unwrap();
        std::mem::take(&mut *results.lock().unwrap())
    };
    assert_eq!(first(None), [0, 0, 0]);
    assert_eq!(first(Some(1)), [-12, 0, 0]);
}

#[test]
fn timeouts_come_while_another_cpu_computes_without_end() {
    let woken = Arc::new(AtomicU64::new(0));
    let w = woken.clone();
    let mut m = ThreadModel::new(&options(2)).unwrap();
    m.boot(common::sigma0, move |_| {
        let p = kit::Program {
            slot: CapIdx::from_slot(0x100),
            cpu: 1,
            prio: 2,
            pager: None,
        };
        let w2 = w.clone();
        p.start(&[], move || {
            while w2.load(Ordering::SeqCst) == 0 {
                user::compute(10_000);
            }
        })
        .unwrap();
        let us = l4_sys::Timeout::from_us(500);
        let t = l4_sys::Timeouts::new(l4_sys::Timeout::NEVER, us);
        let _ = kit::invoke(CapIdx::INVALID, l4_sys::syscall::RECV, 0, &[], &[], t);
        w.store(1, Ordering::SeqCst);
    });
    assert_eq!(m.run(1_000_000), End::Quiet);
    assert_eq!(woken.load(Ordering::SeqCst), 1);
}
