//! The table of counts and the one cell that translated code increments.
//!
//! Everything here is atomic with relaxed loads and stores, no read-modify-write: with
//! `thread=single` only one CPU runs at a time, so plain moves suffice and the hot path stays short.
//! With more threads the figures would be wrong, never the memory; the plugin detects that and
//! says so.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

/// What is counted. The discriminant is the column of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Metric {
    /// Instructions, without those with a repeat prefix and without markers.
    Instructions,
    /// Bytes stored by `rep stos`.
    RepStosBytes,
    /// Bytes stored by `rep movs`.
    RepMovsBytes,
    /// Bytes stored by code that is reported apart, by other than `rep` instructions.
    ApartBytes,
    /// `syscall` instructions.
    Syscalls,
    /// Entries into the page-fault handler.
    PageFaults,
    /// Writes to CR3.
    Cr3Writes,
    /// `invlpg` instructions.
    Invlpg,
    /// `invpcid` instructions.
    Invpcid,
    /// Writes to the local APIC's interrupt command register (low half).
    Ipis,
    /// `wrmsr` instructions.
    Wrmsr,
    /// `hlt` instructions.
    Halts,
    /// Pages entered into a page table.
    Maps,
    /// Pages removed from a page table, or diminished.
    Unmaps,
    /// Flushes of address spaces, one for each CPU.
    Flushes,
    /// Messages that went from thread to thread.
    Messages,
    /// Messages that began on another CPU than the receiver's.
    CrossSends,
}

/// Number of metrics.
pub const METRICS: usize = Metric::CrossSends as usize + 1;

impl Metric {
    /// All metrics in the order of their columns.
    pub const ALL: [Metric; METRICS] = [
        Metric::Instructions,
        Metric::RepStosBytes,
        Metric::RepMovsBytes,
        Metric::ApartBytes,
        Metric::Syscalls,
        Metric::PageFaults,
        Metric::Cr3Writes,
        Metric::Invlpg,
        Metric::Invpcid,
        Metric::Ipis,
        Metric::Wrmsr,
        Metric::Halts,
        Metric::Maps,
        Metric::Unmaps,
        Metric::Flushes,
        Metric::Messages,
        Metric::CrossSends,
    ];

    /// What is counted by the entries into functions of the kernel, with the names that arguments
    /// and output have for it.
    pub const ENTERED: [(&str, Metric); 6] = [
        ("page_faults", Metric::PageFaults),
        ("maps", Metric::Maps),
        ("unmaps", Metric::Unmaps),
        ("flushes", Metric::Flushes),
        ("messages", Metric::Messages),
        ("cross_sends", Metric::CrossSends),
    ];

    /// The one of [`Metric::ENTERED`] with this name.
    pub fn entered(name: &str) -> Option<Metric> {
        Self::ENTERED
            .iter()
            .find(|(n, _)| *n == name)
            .map(|(_, metric)| *metric)
    }

    /// The name of one of [`Metric::ENTERED`].
    pub fn entered_name(self) -> Option<&'static str> {
        Self::ENTERED
            .iter()
            .find(|(_, metric)| *metric == self)
            .map(|(name, _)| *name)
    }
}

/// One row of counts.
pub type Row = [u64; METRICS];

/// Index of a kind of code that is counted on its own: half, page and part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SlotId(pub u32);

/// Slots that the table has room for.
pub const SLOTS: u32 = 8192;

/// The table: one row of metrics for each CPU and slot (1.1 MiB for each CPU).
#[derive(Debug)]
pub struct Counters {
    cells: Vec<AtomicU64>,
    vcpus: u32,
    /// Incremented by the translated code at each instruction.
    pub started: AtomicU64,
    /// Whether a window is open.
    pub armed: AtomicBool,
    /// `started` when it was last given to somebody.
    given: AtomicU64,
    /// Who runs: CPU in the upper half, slot in the lower.
    running: AtomicU64,
}

impl Counters {
    /// A table for `vcpus` CPUs, all zero and not armed.
    pub fn new(vcpus: u32) -> Self {
        let cells = vcpus as usize * SLOTS as usize * METRICS;
        let cells = (0..cells).map(|_| AtomicU64::new(0)).collect();
        Counters {
            cells,
            vcpus,
            started: AtomicU64::new(0),
            armed: AtomicBool::new(false),
            given: AtomicU64::new(0),
            running: AtomicU64::new(0),
        }
    }

    /// Number of CPUs.
    pub fn vcpus(&self) -> u32 {
        self.vcpus
    }

    fn cell(&self, vcpu: u32, slot: SlotId, metric: Metric) -> Option<&AtomicU64> {
        if vcpu >= self.vcpus || slot.0 >= SLOTS {
            return None;
        }
        let row = vcpu as usize * SLOTS as usize + slot.0 as usize;
        self.cells.get(row * METRICS + metric as usize)
    }

    /// Adds `n`. A CPU or slot outside the table is left out.
    #[inline]
    pub fn add(&self, vcpu: u32, slot: SlotId, metric: Metric, n: u64) {
        if let Some(cell) = self.cell(vcpu, slot, metric) {
            cell.store(cell.load(Relaxed).wrapping_add(n), Relaxed);
        }
    }

    /// A block of `slot` begins on `vcpu`: what ran since the last call belongs to the block before.
    /// Gives that block's CPU and slot, and how much it was.
    #[inline]
    pub fn enter(&self, vcpu: u32, slot: SlotId) -> ((u32, SlotId), u64) {
        let ran = self.settle();
        self.running
            .store(u64::from(vcpu) << 32 | u64::from(slot.0), Relaxed);
        ran
    }

    /// Gives the instructions since the last call to the code that ran, and says whose how many were.
    #[inline]
    pub fn settle(&self) -> ((u32, SlotId), u64) {
        let started = self.started.load(Relaxed);
        let ran = started.wrapping_sub(self.given.load(Relaxed));
        self.given.store(started, Relaxed);
        let running = self.running.load(Relaxed);
        let (vcpu, slot) = ((running >> 32) as u32, SlotId(running as u32));
        self.add(vcpu, slot, Metric::Instructions, ran);
        ((vcpu, slot), ran)
    }

    /// Counting begins, in the middle of a block of `slot` on `vcpu`: what ran before is nobody's.
    pub fn open(&self, vcpu: u32, slot: SlotId) {
        self.given.store(self.started.load(Relaxed), Relaxed);
        self.running
            .store(u64::from(vcpu) << 32 | u64::from(slot.0), Relaxed);
        self.armed.store(true, Relaxed);
    }

    /// Counting ends: settles, and takes all rows that are not zero out of the table, of the first
    /// `slots` slots.
    pub fn close(&self, slots: u32) -> Vec<(u32, SlotId, Row)> {
        self.settle();
        self.armed.store(false, Relaxed);
        let mut rows = Vec::new();
        for vcpu in 0..self.vcpus {
            for slot in (0..slots.min(SLOTS)).map(SlotId) {
                let row = Metric::ALL.map(|metric| {
                    let cell = self.cell(vcpu, slot, metric);
                    cell.map_or(0, |cell| cell.load(Relaxed))
                });
                if row == [0; METRICS] {
                    continue;
                }
                for cell in Metric::ALL.iter().filter_map(|m| self.cell(vcpu, slot, *m)) {
                    cell.store(0, Relaxed);
                }
                rows.push((vcpu, slot, row));
            }
        }
        rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(counters: &Counters, n: u64) {
        counters.started.fetch_add(n, Relaxed);
    }

    fn instructions(n: u64) -> Row {
        let mut row = [0; METRICS];
        row[0] = n;
        row
    }

    #[test]
    fn gives_to_the_block_that_ran() {
        let counters = Counters::new(2);
        let (a, b) = (SlotId(1), SlotId(2));
        run(&counters, 1000);
        counters.open(0, a);
        run(&counters, 3);
        assert_eq!(counters.enter(0, b), ((0, a), 3));
        run(&counters, 5);
        assert_eq!(counters.enter(1, a), ((0, b), 5));
        run(&counters, 7);
        assert_eq!(counters.enter(0, b), ((1, a), 7));
        run(&counters, 11);
        let rows = counters.close(3);
        assert_eq!(
            rows,
            [
                (0, a, instructions(3)),
                (0, b, instructions(16)),
                (1, a, instructions(7))
            ]
        );
        assert!(!counters.armed.load(Relaxed));
    }

    #[test]
    fn a_window_starts_from_nothing() {
        let counters = Counters::new(1);
        counters.open(0, SlotId(0));
        run(&counters, 4);
        counters.add(0, SlotId(0), Metric::Syscalls, 2);
        assert_eq!(counters.close(1).len(), 1);
        run(&counters, 99);
        counters.open(0, SlotId(0));
        run(&counters, 1);
        assert_eq!(counters.close(1), [(0, SlotId(0), instructions(1))]);
    }

    #[test]
    fn outside_the_table_is_left_out() {
        let counters = Counters::new(1);
        counters.add(1, SlotId(0), Metric::Halts, 1);
        counters.add(0, SlotId(SLOTS), Metric::Halts, 1);
        assert_eq!(counters.close(SLOTS + 1), []);
    }
}
