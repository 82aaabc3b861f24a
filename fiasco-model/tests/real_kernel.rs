//! The fixed script (`bench/model-script`) on the model, against the record of a run on the kernel; and
//! its facts, which the same run has tried there.
//!
//! `tests/data/real-kernel.csv` says which kernel; where a tree exists,
//! `percore count bench-model --cpus 2 --out fiasco-model/tests/data/real-kernel.csv` renews it.

use std::sync::{Arc, Mutex};

use bench_model::{ROUNDS, Stage, WINDOWS, facts, run, serve, serve_peer};
use fiasco_model::{Counters, End, Machine, Misuse, Model, Options, kit, user};

/// What is compared: the columns of the record.
const COLUMNS: [&str; 8] = [
    "syscalls",
    "page_faults",
    "ipis",
    "messages",
    "cross_sends",
    "maps",
    "unmaps",
    "flushes",
];
/// Sums of a window in the order of [`COLUMNS`].
type Sums = [u64; COLUMNS.len()];

fn record() -> Vec<Sums> {
    let text = include_str!("data/real-kernel.csv");
    let mut lines = text.lines().filter(|l| !l.starts_with('#'));
    let names: Vec<&str> = lines.next().expect("a header").split(',').collect();
    let columns = COLUMNS.map(|n| names.iter().position(|x| *x == n).expect(n));
    let mut sums = vec![Sums::default(); 2 * WINDOWS.len()];
    for l in lines {
        let fields: Vec<&str> = l.split(',').collect();
        let window: usize = fields[0].parse().expect("a window's number");
        for (sum, column) in sums[window - 1].iter_mut().zip(columns) {
            // A count that the kernel's run did not have is no count of 0.
            *sum += fields[column].parse::<u64>().expect("every count is known");
        }
    }
    sums
}

fn sums(m: &Counters) -> Sums {
    [
        m.syscalls,
        m.faults,
        m.ipis,
        m.ipc_local + m.ipc_remote,
        m.ipc_remote,
        m.maps,
        m.unmaps,
        m.flush_local + m.flush_remote,
    ]
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

    fn peer(&self) -> (u64, u64) {
        (l4_sys::host::entry(Box::new(|_| serve_peer())), 0)
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
            // The record's run printed its last line only because these are so on the kernel.
            let number = facts::check().expect("number of a fact, and what is instead");
            assert!(number > 60);
            kit::sleep();
        },
    );
    assert_eq!(m.run(1_000_000), End::Quiet);
    // The probe at the end, and nothing else.
    let found: Vec<_> = m.violations().into_iter().map(|v| v.misuse).collect();
    assert!(
        matches!(
            found[..],
            [Misuse::ForeignReply { .. }, Misuse::RepliedTwice]
        ),
        "{found:?}"
    );
    let marks = marks.lock().unwrap();
    marks.chunks(2).map(|w| w[1] - w[0]).collect()
}

#[test]
fn counts_are_those_of_the_kernel() {
    let (real, model) = (record(), modelled());
    assert_eq!(real.len(), model.len());
    for (i, (r, m)) in real.iter().zip(&model).enumerate() {
        let (kind, cpu) = (WINDOWS[i % WINDOWS.len()], i / WINDOWS.len());
        println!("{kind}, server on CPU {cpu}: {COLUMNS:?} {r:?}");
        assert_eq!(sums(m), *r, "{kind}, server on CPU {cpu}: {COLUMNS:?}");
    }
}

#[test]
fn the_record_is_of_the_script_as_it_is() {
    let window = |kind: &str| WINDOWS.iter().position(|w| *w == kind).expect("a window");
    let of = |kind: &str, column: &str| {
        let column = COLUMNS.iter().position(|c| *c == column).expect("a column");
        record()[window(kind)][column]
    };
    assert_eq!(of("calls", "messages"), 2 * ROUNDS);
    assert_eq!(of("faults", "page_faults"), ROUNDS);
    assert_eq!(of("unmaps", "flushes"), ROUNDS);
    assert_eq!(of("slots", "messages"), 2 * ROUNDS);
    assert_eq!(of("maps", "maps"), 4 * ROUNDS);
    assert_eq!(of("batches", "unmaps"), 4 * ROUNDS);
}
