//! Kernel objects: factories and quotas, interrupts, deletion notices, scheduler, faults.

mod common;

use common::{Report, grab, options, run};
use fiasco_model::{Costs, Machine, Misuse, Options, kit, user};
use l4_sys::item::{Caching, SendItem};
use l4_sys::memdesc::MemType;
use l4_sys::ops::task::{ALL_SPACES, DELETE_OBJ};
use l4_sys::{CapIdx, CapRights, Errno, Fpage, MemRights, UtcbRef, kip::Kip, proto, syscall};

const NEW: CapIdx = CapIdx::from_slot(0x50);
const TASK: CapIdx = CapIdx::from_slot(0x30);

#[test]
fn factories_give_upstreams_errors() {
    let (_, got) = run(&options(1), |r: Report<i64>| {
        let word = |w: i64| w as u64;
        r.add(kit::create(CapIdx::FACTORY, NEW, &[word(-999)], &[]).label());
        r.add(kit::create(CapIdx::FACTORY, NEW, &[word(proto::TASK)], &[]).label());
        r.add(kit::create(CapIdx::FACTORY, NEW, &[word(proto::FACTORY), 1], &[]).label());
        let log = kit::cap_item(CapIdx::LOG, CapRights::RWS);
        r.add(kit::create(CapIdx::FACTORY, NEW, &[0, 0, 0], &[log]).label());
        let me = kit::cap_item(CapIdx::THREAD, CapRights::RWS);
        r.add(kit::create(CapIdx::FACTORY, NEW, &[0, 0, 5], &[me]).label());
        r.add(kit::call(CapIdx::FACTORY, proto::TASK, &[0], &[]).label());
    });
    let e = |e: Errno| e.label();
    let expect = [
        Errno::NoDev,
        Errno::Inval,
        Errno::MsgTooShort,
        Errno::Inval,
        Errno::Inval,
    ];
    assert_eq!(got[..5], expect.map(e));
    assert_eq!(got[5], e(Errno::BadProto));
}

#[test]
fn a_quota_is_exact_and_comes_back() {
    let (m, got) = run(&options(1), |r: Report<i64>| {
        let word = |w: i64| w as u64;
        kit::create(CapIdx::FACTORY, NEW, &[word(proto::FACTORY), 0, 9000], &[]);
        for i in 1..4 {
            r.add(kit::create(NEW, NEW.offset(i), &[word(proto::THREAD)], &[]).label());
        }
        let thread = Fpage::obj(NEW.offset(1), 0, CapRights::RWSD);
        kit::unmap(CapIdx::TASK, DELETE_OBJ, &[thread]);
        r.add(kit::create(NEW, NEW.offset(1), &[word(proto::THREAD)], &[]).label());
        for i in 0..4 {
            kit::unmap(
                CapIdx::TASK,
                DELETE_OBJ,
                &[Fpage::obj(NEW.offset(i), 0, CapRights::RWSD)],
            );
        }
    });
    assert_eq!(got, [0, 0, -12, 0]);
    assert!(m.leaks().is_empty());
}

#[test]
fn kernel_memory_fails_at_the_chosen_operation_and_stays_consistent() {
    for n in 1..40 {
        let o = Options {
            fail_alloc: Some(n),
            ..options(1)
        };
        let (m, got) = run(&o, |r: Report<bool>| {
            let p = kit::Program {
                slot: TASK,
                cpu: 0,
                prio: 2,
                pager: Some(CapIdx::PAGER),
            };
            let ok = p.start(&[], || user::write_u64(0x30_0000, 1)).is_ok();
            r.add(ok);
        });
        // Whatever failed, the failure was told or did not concern the starter.
        assert_eq!(got.len(), 1, "allocation {n}");
        m.check().unwrap();
    }
}

#[test]
fn a_deleted_gate_raises_the_interrupt_of_its_thread() {
    let (_, got) = run(&options(1), |r: Report<(i64, u64)>| {
        let (gate, irq) = (NEW, NEW.offset(1));
        kit::create_gate(gate, CapIdx::THREAD, 0x40);
        kit::create_irq(irq);
        kit::bind_irq(irq, CapIdx::THREAD, 0xd00);
        let register = [l4_sys::ops::thread::REGISTER_DELETE_IRQ];
        let item = kit::cap_item(irq, CapRights::RWS);
        r.add((
            kit::call(CapIdx::THREAD, proto::THREAD, &register, &[item]).label(),
            0,
        ));
        kit::unmap(
            CapIdx::TASK,
            ALL_SPACES,
            &[Fpage::obj(gate, 0, CapRights::RWSD)],
        );
        let (t, label) = kit::wait();
        r.add((t.label(), label));
    });
    assert_eq!(got, [(0, 0), (0, 0xd00)]);
}

#[test]
fn an_interrupt_waits_once_however_often_it_comes() {
    let (_, got) = run(&options(1), |r: Report<(bool, u64)>| {
        kit::create_irq(NEW);
        kit::trigger(NEW);
        kit::bind_irq(NEW, CapIdx::THREAD, 0x70);
        kit::trigger(NEW);
        kit::trigger(NEW);
        for _ in 0..2 {
            let t = l4_sys::Timeouts::ZERO;
            let (t, label) = kit::invoke(CapIdx::INVALID, syscall::WAIT, 0, &[], &[], t);
            r.add((t.has_error(), if t.has_error() { 0 } else { label }));
        }
    });
    assert_eq!(got, [(false, 0x70), (true, 0)]);
}

#[test]
fn threads_run_where_the_scheduler_was_told() {
    let (_, got) = run(&options(4), |r: Report<(u32, u32)>| {
        for cpu in [3, 1] {
            let r = r.clone();
            let p = kit::Program {
                slot: TASK.offset(u64::from(cpu) * 2),
                cpu,
                prio: 2,
                pager: None,
            };
            p.start(&[], move || r.add((user::cpu(), l4_sys::cpu::apic_id())))
                .unwrap();
        }
        kit::sleep();
    });
    assert!(got.contains(&(3, 3)) && got.contains(&(1, 1)), "{got:?}");
}

#[test]
fn scheduler_info_lists_the_cpus() {
    let (_, got) = run(&options(5), |r: Report<(i64, u64, u64)>| {
        let t = kit::call(CapIdx::SCHEDULER, proto::SCHEDULER, &[0, 0], &[]);
        r.add((t.label(), kit::utcb().mr(0), t.words() as u64));
        let t = kit::call(CapIdx::SCHEDULER, proto::SCHEDULER, &[0, 5000], &[]);
        r.add((t.label(), 0, 0));
        let t = kit::run_on(CapIdx::THREAD, 0, 0);
        r.add((t.label(), 0, 0));
    });
    assert_eq!(got, [(0, 0b11111, 3), (-34, 0, 0), (-22, 0, 0)]);
}

#[test]
fn a_fault_goes_to_the_pager_with_address_and_kind() {
    let (m, got) = run(&options(1), |r: Report<(i64, u64)>| {
        grab(0x200_0000, 21);
        let gate = NEW;
        kit::create_gate(gate, CapIdx::THREAD, 0x880);
        let p = kit::Program {
            slot: TASK,
            cpu: 0,
            prio: 2,
            pager: Some(gate),
        };
        let r2 = r.clone();
        p.start(&[], move || {
            kit::utcb().set_mr(0, 0x1111);
            kit::utcb().set_br(0, 0x2222);
            user::write_u64(0x5008, 99);
            // The fault message left the program's registers alone.
            r2.add((kit::utcb().mr(0) as i64, kit::utcb().br(0)));
            r2.add((user::read_u64(0x5008) as i64, user::read_u64(0x7000)));
        })
        .unwrap();
        let (mut t, mut label) = kit::wait();
        for frame in 0..2 {
            assert_eq!(label, 0x883);
            r.add((t.label(), kit::utcb().mr(0)));
            let fault = kit::utcb().mr(0) >> 12 << 12;
            let page = Fpage::mem(0x200_0000 + frame * 4096, 12, MemRights::RW);
            let item = SendItem::mem(fault, Caching::Cached, page);
            (t, label) = kit::reply_and_wait(0, &[], &[item]);
        }
    });
    assert_eq!(got, [(-2, 0x500a), (0x1111, 0x2222), (-2, 0x7000), (99, 0)]);
    assert_eq!(m.totals().faults, 2);
}

#[test]
fn a_refused_fault_becomes_an_exception_and_then_a_report() {
    let (m, got) = run(&options(1), |r: Report<(i64, u64)>| {
        let gate = NEW;
        kit::create_gate(gate, CapIdx::THREAD, 0x880);
        let p = kit::Program {
            slot: TASK,
            cpu: 0,
            prio: 2,
            pager: Some(gate),
        };
        p.start(&[], || user::write_u64(0x5000, 1)).unwrap();
        let (t, _) = kit::wait();
        r.add((t.label(), t.words() as u64));
        let (t, _) = kit::reply_and_wait(-14, &[], &[]);
        r.add((t.label(), kit::utcb().mr(11)));
        kit::sleep();
    });
    assert_eq!(got, [(-2, 2), (-5, 0x5000)]);
    assert_eq!(m.totals().exceptions, 1);
    let (m, _) = run(&options(1), |_: Report<()>| {
        let p = kit::Program {
            slot: TASK,
            cpu: 0,
            prio: 2,
            pager: None,
        };
        p.start(&[], || user::write_u64(0x5000, 1)).unwrap();
        kit::sleep();
    });
    assert_eq!(
        m.violations()[0].misuse,
        Misuse::UnhandledFault { addr: 0x5000 }
    );
}

#[test]
fn remote_faults_cost_five_interrupts() {
    let (m, _) = run(&options(2), |_: Report<()>| {
        grab(0x200_0000, 21);
        kit::create_gate(NEW, CapIdx::THREAD, 0x880);
        let p = kit::Program {
            slot: TASK,
            cpu: 1,
            prio: 2,
            pager: Some(NEW),
        };
        p.start(&[], || {
            for page in 1..11 {
                user::write_u64(page * 0x1000, 1);
            }
        })
        .unwrap();
        let (_, _) = kit::wait();
        for frame in 0..10 {
            let fault = kit::utcb().mr(0) >> 12 << 12;
            let page = Fpage::mem(0x200_0000 + frame * 4096, 12, MemRights::RW);
            let item = SendItem::mem(fault, Caching::Cached, page);
            let _ = kit::reply_and_wait(0, &[], &[item]);
        }
    });
    // One to start the program, then five a fault: message 2, reply with a mapping 3.
    assert_eq!((m.totals().faults, m.totals().ipis), (10, 51));
}

#[test]
fn labels_of_waiting_senders_can_be_changed() {
    let (_, got) = run(&options(1), |r: Report<u64>| {
        kit::create_gate(NEW, CapIdx::THREAD, 0x40);
        let p = kit::Program {
            slot: TASK,
            cpu: 0,
            prio: 2,
            pager: None,
        };
        p.start(&[(NEW, NEW, CapRights::RWS)], || {
            kit::call(NEW, 1, &[], &[]);
        })
        .unwrap();
        let op = l4_sys::ops::thread::MODIFY_SENDER;
        kit::call(
            CapIdx::THREAD,
            proto::THREAD,
            &[op, !3, 0x40, !0, 0xff0],
            &[],
        );
        r.add(kit::wait().1);
    });
    assert_eq!(got, [0xff0]);
}

#[test]
fn the_information_page_and_the_tables_are_there() {
    let o = Options {
        costs: Costs::opteron(),
        ..Options::new(Machine::opteron(128))
    };
    let (_, got) = run(&o, |r: Report<(bool, u64, u64)>| {
        grab(fiasco_model::KIP, 12);
        // SAFETY: the page was just mapped one to one and stays.
        let kip = unsafe { Kip::from_addr(fiasco_model::KIP) };
        let ram: u64 = kip
            .mem_descs()
            .iter()
            .filter(|d| d.kind() == MemType::Conventional && !d.is_virtual())
            .map(|d| d.end() - d.start() + 1)
            .sum();
        let rsdp = kip.acpi_rsdp_addr;
        grab(rsdp, 12);
        r.add((
            kip.is_fiasco() && kip.has_feature("mapdb"),
            ram,
            user::read_u64(rsdp),
        ));
    });
    assert!(got[0].0);
    // All but the BIOS's 384 KiB.
    assert_eq!(got[0].1, (1024 << 20) - (384 << 10));
    assert_eq!(got[0].2, u64::from_le_bytes(*b"RSD PTR "));
}

#[test]
fn threads_of_one_priority_share_their_cpu() {
    let (_, got) = run(&options(1), |r: Report<u64>| {
        // This thread must get to start both.
        kit::run_on(CapIdx::THREAD, 0, 50);
        let flag = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(0));
        let f = flag.clone();
        let p = kit::Program {
            slot: TASK,
            cpu: 0,
            prio: 7,
            pager: None,
        };
        // Spins until the other one, of the same priority, has run.
        p.start(&[], move || {
            while f.load(std::sync::atomic::Ordering::SeqCst) == 0 {
                user::compute(1_000_000);
            }
            r.add(user::now());
        })
        .unwrap();
        let p = kit::Program {
            slot: TASK.offset(2),
            ..p
        };
        p.start(&[], move || {
            flag.store(1, std::sync::atomic::Ordering::SeqCst)
        })
        .unwrap();
        kit::sleep();
    });
    // The spinner was first; its slice of 10 ms ended at 10^7 cycles of 1 GHz.
    assert!((10_000_000..13_000_000).contains(&got[0]), "{got:?}");
    assert_eq!(got.len(), 1);
}

#[test]
fn text_reaches_the_log() {
    let (m, _) = run(&options(1), |_: Report<()>| {
        let u: UtcbRef = kit::utcb();
        u.set_mr(2, u64::from_le_bytes(*b"hello wo"));
        u.set_mr(3, u64::from_le_bytes(*b"rld\n\0\0\0\0"));
        u.set_mr(0, 0);
        u.set_mr(1, 12);
        let tag = l4_sys::MsgTag::plain(proto::LOG, 4, 0);
        // SAFETY: a message without items.
        let _ =
            unsafe { syscall::invoke(CapIdx::LOG, syscall::SEND, 0, tag, l4_sys::Timeouts::NEVER) };
    });
    assert_eq!(m.log(), "hello world\n");
}

#[test]
fn kernel_memory_comes_back_when_tasks_go() {
    let used = |rounds: u64| {
        let (m, _) = run(&options(1), move |_: Report<()>| {
            grab(0x200_0000, 21);
            for _ in 0..rounds {
                let p = kit::Program {
                    slot: TASK,
                    cpu: 0,
                    prio: 2,
                    pager: None,
                };
                p.start(&[], kit::sleep).unwrap();
                kit::create_gate(NEW, TASK.offset(1), 0x40);
                kit::create_irq(NEW.offset(1));
                for order in [12, 16, 21] {
                    let f = Fpage::mem(0x200_0000, order, MemRights::RW);
                    kit::map_into(TASK, 0x4000_0000 << (order - 12), f);
                }
                let both = [
                    Fpage::obj(TASK, 1, CapRights::RWSD),
                    Fpage::obj(NEW, 1, CapRights::RWSD),
                ];
                kit::unmap(CapIdx::TASK, DELETE_OBJ, &both);
            }
        });
        assert!(
            m.leaks().is_empty(),
            "{:?}",
            m.leaks().first().map(ToString::to_string)
        );
        m.kernel_memory().0
    };
    assert_eq!(used(2), used(40));
}

#[test]
fn a_thousand_cpus_run_a_program_each() {
    let o = Options {
        costs: Costs::unit(),
        ..Options::new(Machine::uniform(32, 32, 64))
    };
    let (m, got) = run(&o, |r: Report<u32>| {
        for cpu in 0..1024 {
            let p = kit::Program {
                slot: CapIdx::from_slot(0x100 + u64::from(cpu) * 2),
                cpu,
                prio: 2,
                pager: None,
            };
            let r = r.clone();
            p.start(&[], move || r.add(user::cpu())).unwrap();
        }
    });
    let mut cpus = got;
    cpus.sort_unstable();
    assert!(cpus.into_iter().eq(0..1024));
    m.check().unwrap();
}
