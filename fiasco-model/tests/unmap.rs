//! Taking memory and capabilities back.

mod common;

use common::{Report, grab, options, run};
use fiasco_model::{Model, kit};
use l4_sys::ops::task::{ALL_SPACES, DELETE_OBJ, OTHER_SPACES};
use l4_sys::{CapIdx, CapRights, Fpage, MemRights};

const A: CapIdx = CapIdx::from_slot(0x30);
const B: CapIdx = CapIdx::from_slot(0x34);
const RAM: u64 = 0x200_0000;

/// Two empty programs' tasks at [`A`] and [`B`].
fn tasks() {
    for slot in [A, B] {
        let p = kit::Program {
            slot,
            cpu: 0,
            prio: 1,
            pager: None,
        };
        p.start(&[], kit::sleep).unwrap();
    }
}

fn at(m: &Model, phys: u64) -> Vec<(u64, u8, u8)> {
    let mut v: Vec<_> = m
        .pages()
        .into_iter()
        .filter(|p| p.2 <= phys && phys < p.2 + (1 << p.3))
        .map(|p| (p.1, p.3, p.4))
        .collect();
    v.sort_unstable();
    v
}

#[test]
fn others_lose_it_and_the_owner_keeps_it() {
    let (m, _) = run(&options(1), |_: Report<()>| {
        tasks();
        grab(RAM, 12);
        let page = Fpage::mem(RAM, 12, MemRights::RWX);
        kit::map_into(A, 0x1000, page);
        kit::map_into(B, 0x2000, page);
        kit::unmap(CapIdx::TASK, OTHER_SPACES, &[page]);
    });
    assert_eq!(at(&m, RAM), [(RAM, 12, 7)]);
    assert_eq!((m.totals().unmaps, m.totals().unmap_calls), (2, 1));
}

#[test]
fn without_r_only_rights_go() {
    let (m, _) = run(&options(1), |_: Report<()>| {
        tasks();
        grab(RAM, 12);
        kit::map_into(A, 0x1000, Fpage::mem(RAM, 12, MemRights::RWX));
        kit::unmap(
            CapIdx::TASK,
            OTHER_SPACES,
            &[Fpage::mem(RAM, 12, MemRights::W)],
        );
    });
    assert_eq!(at(&m, RAM), [(0x1000, 12, 5), (RAM, 12, 7)]);
}

#[test]
fn one_small_page_of_a_large_mapping_goes_alone() {
    let (m, _) = run(&options(1), |_: Report<()>| {
        tasks();
        grab(RAM, 21);
        // Small pages in A, a superpage in B.
        kit::map_into(A, 0x1_0000, Fpage::mem(RAM, 16, MemRights::RW));
        kit::unmap(
            CapIdx::TASK,
            OTHER_SPACES,
            &[Fpage::mem(RAM + 0x3000, 12, MemRights::RWX)],
        );
    });
    assert_eq!(at(&m, RAM + 0x3000), [(RAM, 21, 7)]);
    assert_eq!(at(&m, RAM + 0x4000), [(0x1_4000, 12, 6), (RAM, 21, 7)]);
    assert_eq!(m.totals().unmaps, 1);
}

#[test]
fn a_child_of_the_same_size_goes_whole() {
    let (m, _) = run(&options(1), |_: Report<()>| {
        tasks();
        grab(RAM, 21);
        kit::map_into(B, 0x4000_0000, Fpage::mem(RAM, 21, MemRights::RW));
        kit::unmap(
            CapIdx::TASK,
            OTHER_SPACES,
            &[Fpage::mem(RAM + 0x3000, 12, MemRights::RWX)],
        );
    });
    assert_eq!(at(&m, RAM + 0x10_0000), [(RAM, 21, 7)]);
}

#[test]
fn grandchildren_go_with_the_child() {
    let (m, _) = run(&options(1), |_: Report<()>| {
        tasks();
        grab(RAM, 21);
        kit::map_into(A, 0x8000, Fpage::mem(RAM + 0x5000, 12, MemRights::RW));
        // From A's page into B: the root task may map between tasks it has.
        let words = [
            l4_sys::ops::task::MAP,
            0x9000,
            Fpage::mem(0x8000, 12, MemRights::RW).0,
        ];
        let t = kit::call(
            B,
            l4_sys::proto::TASK,
            &words,
            &[kit::cap_item(A, CapRights::RWS)],
        );
        assert_eq!(t.label(), 0);
        kit::unmap(
            CapIdx::TASK,
            OTHER_SPACES,
            &[Fpage::mem(RAM, 21, MemRights::RWX)],
        );
    });
    assert_eq!(at(&m, RAM + 0x5000), [(RAM, 21, 7)]);
}

#[test]
fn the_own_mapping_goes_whole_even_for_a_part() {
    let (m, _) = run(&options(1), |_: Report<()>| {
        grab(RAM, 21);
        kit::unmap(
            CapIdx::TASK,
            ALL_SPACES,
            &[Fpage::mem(RAM + 0x3000, 12, MemRights::RWX)],
        );
    });
    assert_eq!(at(&m, RAM), []);
}

#[test]
fn several_flexpages_in_one_call_count_one_each() {
    let (m, _) = run(&options(1), |_: Report<()>| {
        tasks();
        grab(RAM, 21);
        kit::map_into(A, 0x1_0000, Fpage::mem(RAM, 16, MemRights::RW));
        let pages: Vec<Fpage> = (0..16)
            .map(|i| Fpage::mem(RAM + i * 0x1000, 12, MemRights::RWX))
            .collect();
        let t = kit::unmap(CapIdx::TASK, OTHER_SPACES, &pages);
        assert_eq!(t.words(), 18);
    });
    assert_eq!((m.totals().unmaps, m.totals().unmap_calls), (16, 16));
}

#[test]
fn a_space_that_ran_elsewhere_costs_an_interrupt_on_unmap() {
    let flushes = |cpu| {
        let (m, _) = run(&options(2), move |_: Report<()>| {
            let p = kit::Program {
                slot: A,
                cpu,
                prio: 5,
                pager: None,
            };
            p.start(&[], kit::sleep).unwrap();
            grab(RAM, 12);
            kit::map_into(A, 0x1000, Fpage::mem(RAM, 12, MemRights::RW));
            // Let the other CPU get there.
            fiasco_model::user::compute(1_000_000);
            kit::unmap(
                CapIdx::TASK,
                OTHER_SPACES,
                &[Fpage::mem(RAM, 12, MemRights::RWX)],
            );
        });
        (m.totals().flush_local, m.totals().flush_remote)
    };
    assert_eq!(flushes(0), (1, 0));
    assert_eq!(flushes(1), (0, 1));
}

#[test]
fn a_frame_again_for_the_same_place_is_an_upgrade_not_a_second_mapping() {
    let (m, _) = run(&options(1), |_: Report<()>| {
        tasks();
        grab(RAM, 12);
        kit::map_into(A, 0x1000, Fpage::mem(RAM, 12, MemRights::R));
        kit::map_into(A, 0x1000, Fpage::mem(RAM, 12, MemRights::RW));
    });
    assert_eq!(at(&m, RAM), [(0x1000, 12, 6), (RAM, 12, 7)]);
    assert_eq!(m.totals().unmaps, 0);
}

#[test]
fn another_frame_for_the_same_place_replaces_the_first() {
    let (m, _) = run(&options(1), |_: Report<()>| {
        tasks();
        grab(RAM, 12);
        grab(RAM + 0x1000, 12);
        kit::map_into(A, 0x1000, Fpage::mem(RAM, 12, MemRights::RW));
        kit::map_into(A, 0x1000, Fpage::mem(RAM + 0x1000, 12, MemRights::RW));
    });
    assert_eq!(at(&m, RAM), [(RAM, 12, 7)]);
    assert_eq!(
        at(&m, RAM + 0x1000),
        [(0x1000, 12, 6), (RAM + 0x1000, 12, 7)]
    );
}

#[test]
fn the_last_counted_capability_takes_the_object_along() {
    let (m, got) = run(&options(1), |r: Report<bool>| {
        let gate = CapIdx::from_slot(0x60);
        kit::create_gate(gate, CapIdx::THREAD, 0x40);
        kit::give(CapIdx::TASK, gate, gate.offset(1), CapRights::RWS);
        kit::unmap(
            CapIdx::TASK,
            ALL_SPACES,
            &[Fpage::obj(gate, 0, CapRights::RWSD)],
        );
        r.add(kit::is_valid(gate.offset(1)));
        kit::unmap(
            CapIdx::TASK,
            ALL_SPACES,
            &[Fpage::obj(gate.offset(1), 0, CapRights::RWSD)],
        );
        r.add(kit::is_valid(gate.offset(1)));
    });
    assert_eq!(got, [true, false]);
    assert!(m.leaks().is_empty(), "{:?}", m.leaks());
}

#[test]
fn an_uncounted_capability_does_not_keep_the_object() {
    let (_, got) = run(&options(1), |r: Report<bool>| {
        let gate = CapIdx::from_slot(0x60);
        kit::create_gate(gate, CapIdx::THREAD, 0x40);
        let weak = gate.offset(1).raw() | l4_sys::item::OBJ_NO_REF_CNT;
        kit::map_into(CapIdx::TASK, weak, Fpage::obj(gate, 0, CapRights::RWS));
        r.add(kit::is_valid(gate.offset(1)));
        kit::unmap(
            CapIdx::TASK,
            ALL_SPACES,
            &[Fpage::obj(gate, 0, CapRights::RWSD)],
        );
        r.add(kit::is_valid(gate.offset(1)));
    });
    assert_eq!(got, [true, false]);
}

#[test]
fn deleting_needs_the_right_for_it() {
    let (_, got) = run(&options(1), |r: Report<bool>| {
        let gate = CapIdx::from_slot(0x60);
        kit::create_gate(gate, CapIdx::THREAD, 0x40);
        // Without D in the mapping.
        kit::give(CapIdx::TASK, gate, gate.offset(1), CapRights::RWS);
        kit::unmap(
            CapIdx::TASK,
            DELETE_OBJ,
            &[Fpage::obj(gate.offset(1), 0, CapRights::RWSD)],
        );
        r.add(kit::is_valid(gate));
        kit::give(CapIdx::TASK, gate, gate.offset(1), CapRights::RWSD);
        kit::unmap(
            CapIdx::TASK,
            DELETE_OBJ,
            &[Fpage::obj(gate.offset(1), 0, CapRights::RWSD)],
        );
        r.add(kit::is_valid(gate));
    });
    assert_eq!(got, [true, false]);
}

#[test]
fn a_leaked_capability_is_reported_with_its_history() {
    let (m, _) = run(&options(1), |_: Report<()>| {
        kit::create_gate(CapIdx::from_slot(0x60), CapIdx::THREAD, 0x40);
    });
    let leaks = m.leaks();
    assert_eq!(leaks.len(), 1);
    assert!(leaks[0].to_string().contains("CapabilityLeak"));
    assert!(!leaks[0].history.is_empty());
}
