//! Shared memory of all programs of a run: barriers.

use core::arch::asm;
use core::sync::atomic::{AtomicU64, Ordering};

use l4_sys::{CapRights, Timeout};
use l4re_rs::Cap;
use l4re_rs::cap::kind;
use l4re_rs::client::ipc;
use l4re_rs::client::rm::{Attach, flag};
use l4re_rs::start::aux::Process;

/// The board as one program sees it.
#[derive(Debug)]
pub struct Board {
    cells: &'static [AtomicU64; 64],
    /// This program's number.
    pub index: u64,
    /// Programs in all.
    pub count: u64,
    passed: u64,
}

impl Board {
    /// Attaches the dataspace `board`.
    ///
    /// # Errors
    /// The region map's; `NoRoom` without a board.
    pub fn open(process: &Process, index: u64, count: u64) -> l4re_rs::Result<Self> {
        let ds: Cap<kind::Dataspace> = process.env.get("board").ok_or(l4re_rs::Error::NoRoom)?;
        let at = process.env.rm().attach(Attach {
            start: 0,
            size: 4096,
            flags: flag::R | flag::W | flag::SEARCH_ADDR,
            object: Some((ds, CapRights::RW)),
            offset: 0,
            align: 12,
            name: "board",
        })?;
        Ok(Board {
            // SAFETY: the region is a page of memory that reads as zero at first, stays attached,
            // and is used as atomics by everybody.
            cells: unsafe { &*(at as usize as *const [AtomicU64; 64]) },
            index,
            count,
            passed: 0,
        })
    }

    /// Waits for all programs without keeping the CPU busy: for the start, which takes long.
    pub fn gather(&mut self) {
        self.cells[0].fetch_add(1, Ordering::AcqRel);
        while self.cells[0].load(Ordering::Acquire) < self.count {
            ipc::sleep(Timeout::from_us(20_000));
        }
    }

    /// Waits for all programs.
    pub fn barrier(&mut self) {
        self.passed += 1;
        let want = self.passed * self.count;
        self.cells[8].fetch_add(1, Ordering::AcqRel);
        barrier_wait(&self.cells[8], want);
    }

    /// Runs `work` in all programs at once, in a window of its own when `counted`.
    pub fn window<T>(&mut self, work: impl FnOnce() -> T) -> T {
        self.barrier();
        if self.index == 0 {
            open();
        }
        self.barrier();
        let result = work();
        self.barrier();
        if self.index == 0 {
            close();
        }
        self.barrier();
        result
    }

    /// A number that all programs add to, for sums at the end; `n` below 16.
    #[must_use]
    pub fn sum(&self, n: usize) -> &'static AtomicU64 {
        &self.cells[32 + n % 16]
    }
}

/// Spins; set apart by the counting tool, which knows it by its name.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn barrier_wait(cell: &AtomicU64, want: u64) {
    while cell.load(Ordering::Acquire) < want {
        core::hint::spin_loop();
    }
}

/// Start marker of the counting plugin.
#[inline(always)]
pub fn open() {
    // SAFETY: exchanging a register with itself does nothing.
    unsafe { asm!("xchg rbx, rbx", options(nostack, preserves_flags)) };
}

/// Stop marker of the counting plugin.
#[inline(always)]
pub fn close() {
    // SAFETY: as in `open`.
    unsafe { asm!("xchg rcx, rcx", options(nostack, preserves_flags)) };
}
