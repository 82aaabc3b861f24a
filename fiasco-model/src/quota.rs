//! Kernel memory: who pays for what the kernel keeps.
//!
//! Every factory has a limit that is part of its parent's. All of them draw from the kernel heap,
//! whose size is the machine's. Sizes are this model's (listed below): they have the order of the
//! kernel's own, so that exhaustion happens at about the same load, but they are not its exact
//! numbers. The n-th allocation can be made to fail ([`Quotas::fail_after`]).

/// Index of a quota; quotas live as long as the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct QuotaId(pub(crate) u32);

/// Bytes charged for a page table of any level.
pub(crate) const PAGE_TABLE: u64 = 4096;
/// Bytes charged for a page of capability slots.
pub(crate) const CAP_PAGE: u64 = 4096;
/// Bytes charged for each table of explicit reply slots: the first level, and each page of slots.
pub(crate) const REPLY_PAGE: u64 = 4096;
/// Bytes charged for an entry of the mapping database.
pub(crate) const MAPPING: u64 = 32;
/// Bytes charged for a table of 512 sub-frames of the mapping database.
pub(crate) const SUBMAP: u64 = 512 * 16 + 64;
/// Bytes charged for a task without its tables.
pub(crate) const TASK: u64 = 512;
/// Bytes charged for a thread with its kernel stack.
pub(crate) const THREAD: u64 = 4096;
/// Bytes charged for a gate.
pub(crate) const GATE: u64 = 128;
/// Bytes charged for an interrupt object.
pub(crate) const IRQ: u64 = 192;
/// Bytes charged for a factory on top of its limit.
pub(crate) const FACTORY: u64 = 64;

#[derive(Debug)]
struct Quota {
    used: u64,
    /// 0: no limit of its own.
    limit: u64,
    closed: bool,
}

/// All quotas and the kernel heap.
#[derive(Debug)]
pub(crate) struct Quotas {
    list: Vec<Quota>,
    heap: u64,
    heap_used: u64,
    heap_peak: u64,
    allocations: u64,
    /// The allocation with this number fails (counted from 1), then none; 0 for never.
    fail_at: u64,
}

impl Quotas {
    /// The root quota: no limit of its own, `heap` bytes in all.
    pub const ROOT: QuotaId = QuotaId(0);

    pub fn new(heap: u64) -> Self {
        Quotas {
            list: vec![Quota {
                used: 0,
                limit: 0,
                closed: false,
            }],
            heap,
            heap_used: 0,
            heap_peak: 0,
            allocations: 0,
            fail_at: 0,
        }
    }

    /// Takes `bytes`; `false` when the quota, the heap or an injected fault says no.
    pub fn alloc(&mut self, q: QuotaId, bytes: u64) -> bool {
        self.allocations += 1;
        if self.allocations == self.fail_at || self.heap_used + bytes > self.heap {
            return false;
        }
        if !self.reserve(q, bytes) {
            return false;
        }
        self.heap_used += bytes;
        self.heap_peak = self.heap_peak.max(self.heap_used);
        true
    }

    pub fn free(&mut self, q: QuotaId, bytes: u64) {
        self.heap_used -= bytes;
        self.unreserve(q, bytes);
    }

    /// A quota of `limit` bytes inside `parent`; the limit is taken from the parent at once.
    pub fn create(&mut self, parent: QuotaId, limit: u64) -> Option<QuotaId> {
        if limit == 0 || limit >= (1 << 63) - 1 || !self.reserve(parent, limit) {
            return None;
        }
        let id = QuotaId(u32::try_from(self.list.len()).ok()?);
        self.list.push(Quota {
            used: 0,
            limit,
            closed: false,
        });
        Some(id)
    }

    /// Closes a quota whose factory is gone and gives its limit back once nothing uses it.
    pub fn close(&mut self, parent: QuotaId, q: QuotaId) {
        let quota = &mut self.list[q.0 as usize];
        quota.closed = true;
        if quota.used == 0 {
            let limit = quota.limit;
            self.unreserve(parent, limit);
        }
    }

    fn reserve(&mut self, q: QuotaId, bytes: u64) -> bool {
        let quota = &mut self.list[q.0 as usize];
        if quota.limit == 0 {
            return true;
        }
        match quota.used.checked_add(bytes) {
            Some(n) if n <= quota.limit && !quota.closed => {
                quota.used = n;
                true
            }
            _ => false,
        }
    }

    fn unreserve(&mut self, q: QuotaId, bytes: u64) {
        let quota = &mut self.list[q.0 as usize];
        if quota.limit != 0 {
            quota.used -= bytes;
        }
    }

    /// Bytes of the kernel heap in use, and the most there were.
    pub fn heap(&self) -> (u64, u64) {
        (self.heap_used, self.heap_peak)
    }

    /// From now on the allocation with the number `n`, counted from 1, fails.
    pub fn fail_after(&mut self, n: Option<u64>) {
        self.fail_at = n.map_or(0, |n| self.allocations + n);
    }
}
