//! A task: its capability table, its page tables and its kernel-user memory.

use std::collections::BTreeMap;

use crate::leak::{Held, Origin};
use crate::object::ObjId;
use crate::ptab::PageTables;
use crate::quota::QuotaId;
use crate::thread::ReplySlot;

/// Slots in one page of the capability table.
const CAPS_PER_PAGE: usize = 128;
/// First slot number that does not exist.
pub(crate) const CAP_END: u64 = 1 << 20;

/// Attribute bit of a capability: it counts.
pub(crate) const COUNTED: u8 = 0x10;
/// Attribute bit of a gate's capability: it carries the gate's own operations.
pub(crate) const GATE_SERVER: u8 = 0x20;

/// A capability. Rights: W 1, S 2, D 8 (R is there as long as the capability is); attributes in
/// the upper four bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cap {
    pub obj: ObjId,
    pub rights: u8,
    pub extra: u8,
}

/// Memory that kernel and task share: UTCBs. It stays in place as long as the task.
#[derive(Debug)]
pub(crate) struct KuMem {
    pub addr: u64,
    pub size: u64,
    words: Box<[u64]>,
}

impl KuMem {
    pub fn host(&self, addr: u64) -> *mut u8 {
        // The block is only ever reached through raw pointers, as memory shared with the kernel
        // is; the offset lies inside by `Task::ku_host`'s check.
        self.words
            .as_ptr()
            .cast_mut()
            .cast::<u8>()
            .wrapping_add((addr - self.addr) as usize)
    }
}

type CapPage = Box<[Option<Cap>; CAPS_PER_PAGE]>;

/// A task.
#[derive(Debug)]
pub(crate) struct Task {
    pub quota: QuotaId,
    pub is_sigma0: bool,
    pub pages: PageTables,
    pub ku: Vec<KuMem>,
    caps: Vec<Option<CapPage>>,
    /// CPUs that may have entries of this space in their TLB, one bit each.
    pub active: Vec<u64>,
    /// Explicit reply slots, in the pages of [`crate::reply::SLOTS`] that were ever used.
    pub replies: BTreeMap<u64, Box<[ReplySlot; crate::reply::SLOTS as usize]>>,
    /// Threads bound to it that live.
    pub bound: u32,
    /// How each capability came.
    pub origins: BTreeMap<u64, Origin>,
    /// What was there when the first thread began.
    pub given: Option<Held>,
    /// What was there when the program said that it is at rest.
    pub rest: Option<Held>,
    /// Cycles of its own work for each message that a thread of it waited for.
    pub work: u64,
}

impl Task {
    pub fn new(quota: QuotaId, is_sigma0: bool, cpus: usize) -> Self {
        Task {
            quota,
            is_sigma0,
            pages: PageTables::new(),
            ku: Vec::new(),
            caps: Vec::new(),
            active: vec![0; cpus.div_ceil(64)],
            replies: BTreeMap::new(),
            bound: 0,
            origins: BTreeMap::new(),
            given: None,
            rest: None,
            work: 0,
        }
    }

    #[inline]
    pub fn cap(&self, slot: u64) -> Option<Cap> {
        let page = self.caps.get(slot as usize / CAPS_PER_PAGE)?.as_ref()?;
        page[slot as usize % CAPS_PER_PAGE]
    }

    /// Whether the page that `slot` is in has memory.
    pub fn has_cap_page(&self, slot: u64) -> bool {
        matches!(self.caps.get(slot as usize / CAPS_PER_PAGE), Some(Some(_)))
    }

    /// Sets a slot below [`CAP_END`]; its page is made when missing (the caller pays).
    pub fn set_cap(&mut self, slot: u64, cap: Option<Cap>) {
        let i = slot as usize / CAPS_PER_PAGE;
        if self.caps.len() <= i {
            self.caps.resize_with(i + 1, || None);
        }
        let page = self.caps[i].get_or_insert_with(|| Box::new([None; CAPS_PER_PAGE]));
        page[slot as usize % CAPS_PER_PAGE] = cap;
        if cap.is_none() {
            self.origins.remove(&slot);
        }
    }

    /// Pages of the capability table.
    pub fn cap_pages(&self) -> u64 {
        self.caps.iter().filter(|p| p.is_some()).count() as u64
    }

    /// Occupied slots from `from` up to `end`.
    pub fn caps_between(&self, from: u64, end: u64) -> Vec<(u64, Cap)> {
        let mut found = Vec::new();
        for (i, page) in self.caps.iter().enumerate() {
            let base = (i * CAPS_PER_PAGE) as u64;
            if base >= end || base + CAPS_PER_PAGE as u64 <= from {
                continue;
            }
            if let Some(page) = page {
                for (j, c) in page.iter().enumerate() {
                    let slot = base + j as u64;
                    if let Some(c) = c
                        && slot >= from
                        && slot < end
                    {
                        found.push((slot, *c));
                    }
                }
            }
        }
        found
    }

    /// Adds kernel-user memory; `false` when it overlaps what is there.
    pub fn add_ku(&mut self, addr: u64, size: u64) -> bool {
        if self
            .ku
            .iter()
            .any(|k| addr < k.addr + k.size && k.addr < addr + size)
            || self.pages.page(addr).is_some()
        {
            return false;
        }
        self.ku.push(KuMem {
            addr,
            size,
            words: vec![0u64; size as usize / 8].into_boxed_slice(),
        });
        true
    }

    /// Host address of `size` bytes of kernel-user memory.
    pub fn ku_host(&self, addr: u64, size: u64) -> Option<*mut u8> {
        let k = self.ku.iter().find(|k| {
            addr >= k.addr && addr.checked_add(size).is_some_and(|e| e <= k.addr + k.size)
        })?;
        Some(k.host(addr))
    }

    #[inline]
    pub fn mark_active(&mut self, cpu: u32) {
        self.active[cpu as usize / 64] |= 1 << (cpu % 64);
    }

    pub fn clear_active(&mut self, cpu: u32) {
        self.active[cpu as usize / 64] &= !(1 << (cpu % 64));
    }
}
