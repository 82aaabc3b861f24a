//! The client of the paper's experiment: touches pages one by one, then frees them one by one.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use fiasco_model::{Counters, kit, user};
use l4_sys::CapIdx;

use super::pager::{BASE, FREE};

/// Cycles between two looks at a barrier.
const POLL: u64 = 20_000;
/// Cycles from the last arrival to the common start.
const LEAD: u64 = 100_000;

/// What one client measured, in cycles of its CPU's clock.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    /// The core.
    pub core: u32,
    /// All allocations together.
    pub alloc: u64,
    /// All frees together.
    pub free: u64,
}

/// What the clients of a run share on the host: no simulated time passes for it.
#[derive(Debug, Default)]
pub struct Board {
    arrived: [AtomicU64; 3],
    start: [AtomicU64; 3],
    /// Results.
    pub samples: Mutex<Vec<Sample>>,
    /// Counters of the machine at each barrier.
    pub counters: Mutex<Vec<Counters>>,
    /// Frees that failed.
    pub errors: AtomicU64,
}

impl Board {
    /// Waits until `n` clients are here, and until the common start.
    fn barrier(&self, which: usize, n: u64) {
        if self.arrived[which].fetch_add(1, Ordering::SeqCst) + 1 == n {
            self.counters
                .lock()
                .expect("held for a moment only")
                .push(user::totals());
            self.start[which].store(user::now() + LEAD, Ordering::SeqCst);
        }
        loop {
            let start = self.start[which].load(Ordering::SeqCst);
            let now = user::now();
            if start == 0 {
                user::compute(POLL);
            } else if now < start {
                user::compute(start - now);
            } else {
                return;
            }
        }
    }
}

/// Runs one client of `n`.
pub fn run(board: &Arc<Board>, pages: u32, n: u64) {
    board.barrier(0, n);
    let start = user::now();
    for page in 0..u64::from(pages) {
        user::touch(BASE + page * 4096, true);
    }
    let alloc = user::now() - start;
    board.barrier(1, n);
    let start = user::now();
    for page in 0..u64::from(pages) {
        let t = kit::call(CapIdx::PAGER, FREE, &[BASE + page * 4096], &[]);
        if t.has_error() || t.label() != 0 {
            board.errors.fetch_add(1, Ordering::SeqCst);
        }
    }
    let free = user::now() - start;
    let sample = Sample {
        core: user::cpu(),
        alloc,
        free,
    };
    board
        .samples
        .lock()
        .expect("held for a moment only")
        .push(sample);
    board.barrier(2, n);
    user::stop();
    kit::sleep();
}
