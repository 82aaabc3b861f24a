//! Misuses are reported with how they came about: capabilities that programs leave behind, by
//! themselves at their exit, and memory handed out that was taken back before.

mod common;

use common::{Report, grab, options, run};
use fiasco_model::{Misuse, Model, ThreadModel, Violation, What, kit, user};
use l4_sys::item::{Caching, SendItem};
use l4_sys::ops::task::{ALL_SPACES, DELETE_OBJ};
use l4_sys::{CapIdx, CapRights, Fpage, MemRights, MsgTag, proto};

const GATE: CapIdx = CapIdx::from_slot(0x20);
const TASK: CapIdx = CapIdx::from_slot(0x30);
const SERVER: CapIdx = CapIdx::from_slot(0x40);
const NEW: CapIdx = CapIdx::from_slot(0x50);

fn program(slot: u64) -> kit::Program {
    kit::Program {
        slot: TASK.offset(slot * 2),
        cpu: 0,
        prio: 2,
        pager: Some(CapIdx::PAGER),
    }
}

fn release(cap: CapIdx) -> MsgTag {
    let slot = Fpage::obj(cap, 0, CapRights::RWSD);
    kit::unmap(CapIdx::TASK, ALL_SPACES, &[slot])
}

/// Slot and kind of each leak among the violations; any other violation fails.
fn leaks(found: &[Violation]) -> Vec<(u64, &'static str)> {
    let leak = |v: &Violation| match v.misuse {
        Misuse::CapabilityLeak { slot, kind, .. } => (slot, kind),
        _ => panic!("{v}"),
    };
    found.iter().map(leak).collect()
}

/// The operation or message that the history of a leak begins with.
fn origin(v: &Violation) -> What {
    let arrived = &v.history[1].what;
    assert!(matches!(arrived, What::Cap { .. }), "{v}");
    v.history[0].what
}

#[test]
fn a_program_that_exits_must_have_given_back_what_it_made() {
    let (m, _) = run(&options(1), |_: Report<()>| {
        program(0)
            .start(&[], || {
                kit::create_irq(NEW);
                kit::create_irq(NEW.offset(1));
                release(NEW);
                kit::create_semaphore(NEW.offset(2));
            })
            .unwrap();
    });
    let found = m.violations();
    assert_eq!(leaks(&found), [(0x51, "irq"), (0x52, "semaphore")]);
    for v in &found {
        let What::Called { proto, .. } = origin(v) else {
            panic!("{v}");
        };
        assert_eq!(proto, proto::FACTORY, "{v}");
    }
}

#[test]
fn what_a_program_was_given_is_no_leak() {
    let (m, _) = run(&options(1), |_: Report<()>| {
        kit::create_irq(NEW);
        kit::create_gate(GATE, CapIdx::THREAD, 0x40);
        program(0)
            .start(
                &[(NEW, NEW, CapRights::RWS), (GATE, SERVER, CapRights::RW)],
                || {
                    kit::call(SERVER, 1, &[], &[]);
                },
            )
            .unwrap();
        let _ = kit::wait();
        // Mapped by the starter while the program runs: that one's business.
        kit::give(TASK, NEW, NEW.offset(9), CapRights::RWS);
        kit::reply(0, &[], &[]);
    });
    assert!(m.violations().is_empty(), "{}", m.violations()[0]);
}

#[test]
fn a_capability_from_a_message_is_reported_with_the_message() {
    let (m, _) = run(&options(1), |_: Report<()>| {
        kit::create_irq(NEW);
        kit::create_gate(GATE, CapIdx::THREAD, 0x40);
        program(0)
            .start(&[(GATE, SERVER, CapRights::RW)], || {
                kit::receive_cap(NEW.offset(5));
                kit::call(SERVER, 1, &[], &[]);
            })
            .unwrap();
        let _ = kit::wait();
        kit::reply(77, &[], &[kit::cap_item(NEW, CapRights::RWS)]);
    });
    let found = m.violations();
    assert_eq!(leaks(&found), [(0x55, "irq")]);
    let What::Message { proto, items, .. } = origin(&found[0]) else {
        panic!("{}", found[0]);
    };
    assert_eq!((proto, items), (77, 1));
}

#[test]
fn the_last_thread_of_a_task_is_its_exit() {
    let (m, got) = run(&options(1), |r: Report<u8>| {
        program(0)
            .start(&[], move || {
                kit::create_irq(NEW);
                kit::start_thread(NEW.offset(1), 0x50_0000_0000, (0, 1), move || {
                    // The first thread has returned, and the interrupt is still in use.
                    release(NEW);
                    r.add(1);
                })
                .unwrap();
            })
            .unwrap();
    });
    assert_eq!(got, [1]);
    // The second thread's own capability is what is left.
    assert_eq!(leaks(&m.violations()), [(0x51, "thread")]);
}

#[test]
fn a_task_that_is_destroyed_has_not_exited() {
    let (m, _) = run(&options(1), |_: Report<()>| {
        program(0)
            .start(&[], || {
                kit::create_irq(NEW);
                kit::sleep();
            })
            .unwrap();
        let both = Fpage::obj(TASK, 1, CapRights::RWSD);
        kit::unmap(CapIdx::TASK, DELETE_OBJ, &[both]);
    });
    assert!(m.violations().is_empty());
}

/// A server that keeps every second capability that it is sent, and clients that send `n`.
fn keeper(n: u64) -> Model {
    run(&options(1), move |_: Report<()>| {
        kit::create_gate(GATE, CapIdx::THREAD, 0x40);
        // The clients' tasks are the server's to keep; it says so once they are there.
        for i in 0..n {
            program(i)
                .start(&[(GATE, SERVER, CapRights::RWS)], || {
                    kit::create_irq(NEW);
                    kit::call(SERVER, 5, &[], &[kit::cap_item(NEW, CapRights::RWS)]);
                    release(NEW);
                })
                .unwrap();
        }
        user::settled();
        for i in 0..n {
            kit::receive_cap(NEW.offset(i));
            let _ = kit::wait();
            if i % 2 == 0 {
                release(NEW.offset(i));
            }
            kit::reply(0, &[], &[]);
        }
    })
    .0
}

#[test]
fn a_server_at_rest_must_hold_what_it_held_before() {
    let mut m = keeper(4);
    let found = m.violations();
    assert_eq!(leaks(&found), [(0x51, "irq"), (0x53, "irq")]);
    let What::Message { proto, .. } = origin(&found[0]) else {
        panic!("{}", found[0]);
    };
    assert_eq!(proto, 5);
    // Told once, however often the run goes on.
    m.run(1000);
    assert_eq!(m.violations().len(), 2);
    assert!(keeper(1).violations().is_empty());
}

#[test]
fn the_origin_is_known_however_long_ago_it_was() {
    let (m, _) = run(&options(1), |_: Report<()>| {
        program(0)
            .start(&[], || {
                kit::create_irq(NEW);
                for _ in 0..10_000 {
                    assert!(kit::is_valid(NEW));
                }
            })
            .unwrap();
    });
    let found = m.violations();
    assert_eq!(leaks(&found), [(0x50, "irq")]);
    assert!(matches!(origin(&found[0]), What::Called { .. }));
    let text = found[0].to_string();
    assert!(
        text.contains("CapabilityLeak") && text.contains("Called"),
        "{text}"
    );
}

#[test]
fn exits_are_seen_on_real_threads_too() {
    let mut m = ThreadModel::new(&options(2)).unwrap();
    m.boot(common::sigma0, |_| {
        kit::Program {
            cpu: 1,
            ..program(0)
        }
        .start(&[], || {
            kit::create_irq(NEW);
        })
        .unwrap();
        kit::sleep();
    });
    m.run(100_000);
    assert_eq!(leaks(&m.violations()), [(0x50, "irq")]);
}

const FRAME: u64 = 0x200_0000;

#[test]
fn a_frame_handed_out_that_was_taken_back_long_before_is_reported_with_both() {
    let (m, _) = run(&options(1), |_: Report<()>| {
        grab(FRAME, 21);
        kit::create_gate(GATE, CapIdx::THREAD, 0x40);
        program(0)
            .start(&[(GATE, SERVER, CapRights::RWS)], || {
                kit::receive_memory(Fpage::whole_space());
                kit::call(SERVER, 1, &[], &[]);
            })
            .unwrap();
        let page = Fpage::mem(FRAME, 21, MemRights::RWX);
        kit::unmap(CapIdx::TASK, ALL_SPACES, &[page]);
        for _ in 0..100 {
            assert!(kit::is_valid(CapIdx::TASK));
        }
        let _ = kit::wait();
        let part = Fpage::mem(FRAME + 0x5000, 12, MemRights::RW);
        kit::reply(0, &[], &[SendItem::mem(0x5000, Caching::Cached, part)]);
    });
    let v = &m.violations()[0];
    let addr = FRAME + 0x5000;
    assert_eq!(v.misuse, Misuse::MappedNothing { addr, order: 12 });
    let history: Vec<_> = v.history.iter().map(|e| e.what).collect();
    let of = |w: &What| {
        matches!(
            w,
            What::Map { addr: FRAME, .. } | What::Unmap { addr: FRAME, .. }
        )
    };
    assert!(of(&history[0]) && of(&history[1]), "{v}");
    assert!(matches!(history.last(), Some(What::Message { .. })), "{v}");
}

#[test]
fn mapping_nothing_into_a_task_is_reported_too() {
    let (m, got) = run(&options(1), |r: Report<i64>| {
        program(0).start(&[], kit::sleep).unwrap();
        let page = Fpage::mem(FRAME, 12, MemRights::RW);
        // The kernel says that all is well.
        r.add(kit::map_into(TASK, 0x5000, page).label());
    });
    assert_eq!(got, [0]);
    let found: Vec<_> = m.violations().into_iter().map(|v| v.misuse).collect();
    let (addr, order) = (FRAME, 12);
    assert_eq!(found, [Misuse::MappedNothing { addr, order }]);
}
