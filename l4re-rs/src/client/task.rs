//! Tasks: what is mapped where.

use l4_sys::item::{ITEM_MAP, SendItem};
use l4_sys::ops::task;
use l4_sys::{CapRights, Fpage, MsgTag, UtcbRef, proto};

use super::ipc;
use crate::cap::{Cap, kind};
use crate::error::{Error, Result};
use crate::msg::Writer;

/// Most flexpages that one unmap request can name.
pub const UNMAP_BATCH: usize = l4_sys::utcb::MESSAGE_REGISTERS - 2;

impl Cap<kind::Task> {
    /// Maps `fpage` of task `from` into this task at `base`.
    ///
    /// # Errors
    /// The kernel's; `Refused(NoMem)` when it has no memory for the mapping.
    ///
    /// # Safety
    /// When this is the caller's own task: nothing that Rust uses is at the destination.
    pub unsafe fn map(self, from: Cap<kind::Task>, fpage: Fpage, base: u64) -> Result<MsgTag> {
        let tag = Writer::new(UtcbRef::current())
            .u64(task::MAP)
            .u64(base)
            .u64(fpage.0)
            .item(SendItem::plain(from.fpage(CapRights::RWS)))
            .finish(proto::TASK)
            .map_err(|_| Error::NoRoom)?;
        ipc::call(self, tag)
    }

    /// Copies the capability in slot `from` of this task to slot `to` of it, counted: the object
    /// lives as long as the copy, too. What was in `to` is replaced.
    ///
    /// # Errors
    /// The kernel's; `Refused(NoMem)` when it has no memory for the slot.
    pub fn copy<K>(self, from: Cap<K>, to: Cap<K>, rights: CapRights) -> Result<()> {
        // For a capability the send base is the slot.
        let base = to.idx().raw() | ITEM_MAP;
        // SAFETY: object slots are no memory.
        unsafe { self.map(self, from.fpage(rights), base) }.map(|_| ())
    }

    /// Gives this task memory of the kernel's at `area` (2^12 to below 2^21 bytes), which UTCBs can be
    /// in.
    ///
    /// # Errors
    /// The kernel's: `Refused(NoMem)`, `Refused(Exist)` when something is there.
    ///
    /// # Safety
    /// When this is the caller's own task: nothing that Rust uses lies in `area`.
    pub unsafe fn add_ku_mem(self, area: Fpage) -> Result<()> {
        let tag = Writer::new(UtcbRef::current())
            .u64(task::ADD_KU_MEM)
            .u64(area.0)
            .finish(proto::TASK)
            .map_err(|_| Error::NoRoom)?;
        ipc::call(self, tag).map(|_| ())
    }

    /// Takes away from all other tasks what they got, directly or not, from this task's `pages`
    /// (at most [`UNMAP_BATCH`] at once); this task keeps its own. Flushes once per flexpage.
    ///
    /// # Errors
    /// `NoRoom` for too many pages; the kernel's.
    pub fn unmap_from_others(self, pages: &[Fpage]) -> Result<()> {
        self.unmap_with(pages, task::OTHER_SPACES)
    }

    /// [`Cap::unmap_from_others`] for pages that come one by one; those beyond [`UNMAP_BATCH`] are left
    /// out. Writes them where they are sent from: the short way for a server that does it often.
    ///
    /// # Errors
    /// The kernel's.
    #[inline]
    pub fn unmap_each_from_others(self, pages: impl Iterator<Item = Fpage>) -> Result<()> {
        let utcb = UtcbRef::current();
        utcb.set_mr(0, task::UNMAP);
        utcb.set_mr(1, task::OTHER_SPACES);
        let mut words = 2;
        for page in pages.take(UNMAP_BATCH) {
            utcb.set_mr(words, page.0);
            words += 1;
        }
        ipc::call(self, MsgTag::plain(proto::TASK, words, 0)).map(|_| ())
    }

    /// Takes `pages` away from this task and from everybody who got them from here.
    ///
    /// # Errors
    /// As [`Cap::unmap_from_others`].
    ///
    /// # Safety
    /// When this is the caller's own task: nothing that Rust uses lies in memory pages named.
    pub unsafe fn unmap(self, pages: &[Fpage]) -> Result<()> {
        self.unmap_with(pages, task::ALL_SPACES)
    }

    /// Empties a slot of this task; the object dies when this was the last counted capability.
    ///
    /// # Errors
    /// The kernel's.
    pub fn release<K>(self, cap: Cap<K>) -> Result<()> {
        self.unmap_with(&[cap.fpage(CapRights::RWSD)], task::ALL_SPACES)
    }

    /// Deletes the object behind a slot of this task (needs the D right) and empties the slot.
    ///
    /// # Errors
    /// The kernel's.
    pub fn delete<K>(self, cap: Cap<K>) -> Result<()> {
        self.unmap_with(&[cap.fpage(CapRights::RWSD)], task::DELETE_OBJ)
    }

    /// [`Cap::delete`] for all slots of an object flexpage. Deleting objects waits until no CPU uses
    /// them any more; here the wait is one for all.
    ///
    /// # Errors
    /// The kernel's.
    pub fn delete_slots(self, slots: Fpage) -> Result<()> {
        let all = slots.with_rights(CapRights::RWSD.bits());
        self.unmap_with(&[all], task::DELETE_OBJ)
    }

    fn unmap_with(self, pages: &[Fpage], flags: u64) -> Result<()> {
        let mut w = Writer::new(UtcbRef::current()).u64(task::UNMAP).u64(flags);
        for p in pages {
            w = w.u64(p.0);
        }
        let tag = w.finish(proto::TASK).map_err(|_| Error::NoRoom)?;
        ipc::call(self, tag).map(|_| ())
    }

    /// Whether a slot of this task holds a capability.
    #[must_use]
    pub fn is_valid<K>(self, cap: Cap<K>) -> bool {
        let w = Writer::new(UtcbRef::current())
            .u64(task::CAP_INFO)
            .u64(cap.idx().raw());
        match w.finish(proto::TASK) {
            Ok(tag) => ipc::call(self, tag).is_ok_and(|t| t.label() > 0),
            Err(_) => false,
        }
    }

    /// Whether two slots of this task hold capabilities for one object.
    #[must_use]
    pub fn is_same<K, L>(self, a: Cap<K>, b: Cap<L>) -> bool {
        let w = Writer::new(UtcbRef::current())
            .u64(task::CAP_INFO)
            .u64(a.idx().raw())
            .u64(b.idx().raw());
        match w.finish(proto::TASK) {
            Ok(tag) => ipc::call(self, tag).is_ok_and(|t| t.label() == 1),
            Err(_) => false,
        }
    }
}
