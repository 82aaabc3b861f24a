//! The project's own root pager, linked unchanged, on the model.

mod common;

use std::sync::{Arc, Mutex};

use common::grab;
use fiasco_model::{Costs, End, Machine, Model, Options, kit, user};
use l4_sys::ops::sigma0;
use l4_sys::{CapIdx, Fpage, MemRights, proto};

fn boot(machine: Machine, root: impl FnOnce() + Send + 'static) -> Model {
    let o = Options {
        costs: Costs::unit(),
        ..Options::new(machine)
    };
    let mut m = Model::new(&o).expect("a model");
    let server = |kip| {
        let storage = Box::leak(Box::new(sigma0_rs::Storage::new()));
        // SAFETY: this is the first thread of the model's sigma0 task, which has all memory.
        unsafe { sigma0_rs::run(kip, storage) }
    };
    m.boot(server, move |_| root());
    assert_eq!(m.run(1_000_000), End::Quiet, "{}", m.log());
    m.check().expect("tables agree");
    assert!(m.violations().is_empty(), "{}", m.violations()[0]);
    m
}

#[test]
fn it_boots_and_prints_its_maps() {
    let m = boot(Machine::uniform(2, 2, 256), || {});
    let log = m.log();
    assert!(
        log.contains("SIGMA0") && log.contains("KIP at 400000"),
        "{log}"
    );
}

#[test]
fn it_hands_out_memory_and_answers_faults() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let s = seen.clone();
    let m = boot(Machine::uniform(1, 1, 256), move || {
        grab(0x200_0000, 21);
        user::write_u64(0x200_0000, 5);
        // A fault in memory that was not asked for.
        user::write_u64(0x300_0000, 6);
        s.lock()
            .unwrap()
            .push(user::read_u64(0x200_0000) + user::read_u64(0x300_0000));
        // Memory of the kernel is refused.
        let kernel = Fpage::mem(0x40_0000, 12, MemRights::empty());
        kit::receive_memory(Fpage::whole_space());
        let t = kit::call(CapIdx::PAGER, proto::SIGMA0, &[sigma0::RAM, kernel.0], &[]);
        s.lock().unwrap().push(t.label() as u64);
    });
    assert_eq!(*seen.lock().unwrap(), [11, -12i64 as u64]);
    assert_eq!(m.totals().faults, 1);
    assert!(m.pages().iter().any(|p| p.1 == 0x200_0000 && p.3 == 21));
}

#[test]
fn it_finds_the_nodes_of_the_papers_machine() {
    let m = boot(Machine::opteron(128), || {});
    let log = m.log();
    assert!(
        log.contains("8 node(s)") && log.contains("48 CPU(s)"),
        "{log}"
    );
}
