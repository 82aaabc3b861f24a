//! The fixed script (`bench/model-script`) on the model, against the record of a run on the kernel.
//!
//! `tests/data/real-kernel.csv` says which kernel; where a tree exists,
//! `percore count bench-model --cpus 2 --out fiasco-model/tests/data/real-kernel.csv` renews it.

use std::sync::{Arc, Mutex};

use bench_model::{ROUNDS, Stage, WINDOWS, run, serve};
use fiasco_model::{Counters, End, Machine, Model, Options, kit, user};

/// Sums of a window: system calls, page faults, interrupts to other CPUs.
type Sums = (u64, u64, u64);

fn record() -> Vec<Sums> {
    let text = include_str!("data/real-kernel.csv");
    let mut lines = text.lines().filter(|l| !l.starts_with('#'));
    let names: Vec<&str> = lines.next().expect("a header").split(',').collect();
    let column = |n: &str| names.iter().position(|x| *x == n).expect("a known column");
    let columns = [column("syscalls"), column("page_faults"), column("ipis")];
    let mut sums = vec![(0, 0, 0); 2 * WINDOWS.len()];
    for l in lines {
        let fields: Vec<u64> = l.split(',').map(|f| f.parse().unwrap_or(0)).collect();
        let s: &mut Sums = &mut sums[fields[0] as usize - 1];
        *s = (
            s.0 + fields[columns[0]],
            s.1 + fields[columns[1]],
            s.2 + fields[columns[2]],
        );
    }
    sums
}

struct Here(Arc<Mutex<Vec<Counters>>>);

impl Stage for Here {
    fn open(&self) {
        self.0.lock().unwrap().push(user::totals());
    }

    fn close(&self) {
        self.open();
    }

    fn touch(&self, addr: u64) {
        user::touch(addr, true);
    }

    fn server(&self) -> (u64, u64) {
        (l4_sys::host::entry(Box::new(|_| serve())), 0)
    }
}

fn modelled() -> Vec<Counters> {
    let marks = Arc::new(Mutex::new(Vec::new()));
    let stage = Here(marks.clone());
    let mut m = Model::new(&Options::new(Machine::uniform(1, 2, 512))).unwrap();
    m.boot(
        |kip| {
            let storage = Box::leak(Box::new(sigma0_rs::Storage::new()));
            // SAFETY: this is the first thread of the model's sigma0 task, which has all memory.
            unsafe { sigma0_rs::run(kip, storage) }
        },
        move |_| {
            run(&stage).expect("the script runs");
            kit::sleep();
        },
    );
    assert_eq!(m.run(1_000_000), End::Quiet);
    assert!(m.violations().is_empty(), "{}", m.violations()[0]);
    let marks = marks.lock().unwrap();
    marks.chunks(2).map(|w| w[1] - w[0]).collect()
}

#[test]
fn counts_are_those_of_the_kernel() {
    let (real, model) = (record(), modelled());
    assert_eq!(real.len(), model.len());
    for (i, (r, m)) in real.iter().zip(&model).enumerate() {
        let name = format!("{}, server on CPU {}", WINDOWS[i % 3], i / 3);
        println!(
            "{name}: kernel {r:?}, model ({}, {}, {})",
            m.syscalls, m.faults, m.ipis
        );
        assert_eq!((m.syscalls, m.faults, m.ipis), *r, "{name}");
    }
    let messages = |m: &Counters| m.ipc_local + m.ipc_remote;
    assert_eq!(messages(&model[0]), 2 * ROUNDS);
    assert_eq!((model[1].maps, model[2].unmaps), (ROUNDS, ROUNDS));
}
