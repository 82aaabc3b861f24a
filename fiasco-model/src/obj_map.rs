//! Mapping and unmapping of capabilities. Flat: a capability does not remember whom it came from,
//! so taking back from others only does nothing.

use crate::map::MapError;
use crate::object::{Kind, ObjId};
use crate::quota;
use crate::space::{CAP_END, COUNTED, Cap};
use crate::state::State;

/// Unmap flag: the task's own too.
const SELF: u64 = 1 << 31;
/// Unmap flag: delete the object where the capability has D.
const DELETE: u64 = 1 << 30;

impl State {
    /// Maps `2^order` slots; `Ok(false)` when the sender had no capability there.
    #[allow(clippy::too_many_arguments)]
    pub fn obj_map(
        &mut self,
        from: ObjId,
        src: u64,
        order: u32,
        to: ObjId,
        dst: u64,
        grant: bool,
        rights: u8,
        attributes: u8,
    ) -> Result<bool, MapError> {
        let count = 1u64 << order;
        let Some(task) = self.objs.task(from) else {
            return Ok(false);
        };
        let caps = task.caps_between(src, src.saturating_add(count).min(CAP_END));
        // "Counted" is the absence of the sender's bit; the other attribute bits are rights.
        let extra = (attributes ^ COUNTED) & 0xf0;
        let mut any = false;
        for (slot, cap) in caps {
            let at = dst + (slot - src);
            if at >= CAP_END {
                break;
            }
            if rights & 4 == 0 {
                continue;
            }
            any = true;
            let new = Cap {
                obj: cap.obj,
                rights: cap.rights & rights,
                extra: cap.extra & extra,
            };
            self.set_capability(from, slot, to, at, new, grant)?;
        }
        Ok(any)
    }

    fn set_capability(
        &mut self,
        from: ObjId,
        slot: u64,
        to: ObjId,
        at: u64,
        mut new: Cap,
        grant: bool,
    ) -> Result<(), MapError> {
        let mut gone = Vec::new();
        if let Some(old) = self.objs.task(to).and_then(|t| t.cap(at)) {
            if from == to && slot == at {
                self.remove_cap(to, at, &mut gone);
                self.destroy_all(gone);
                return Ok(());
            }
            // The kernel replaces whatever is there, the same object included.
            self.remove_cap(to, at, &mut gone);
            if old.obj == new.obj && gone.contains(&new.obj) {
                self.destroy_all(gone);
                return Ok(());
            }
        }
        self.destroy_all(gone);
        if self.objs.get(new.obj).is_none() {
            return Ok(());
        }
        if grant {
            // Moving does not change what counts.
            new.extra |= 0;
        }
        if !self.enter_cap(to, at, new) {
            return Err(MapError::NoMem);
        }
        if grant {
            let mut gone = Vec::new();
            self.remove_cap(from, slot, &mut gone);
            self.destroy_all(gone);
        }
        Ok(())
    }

    /// Puts a capability into an empty slot; `false` without kernel memory.
    pub fn enter_cap(&mut self, task: ObjId, slot: u64, cap: Cap) -> bool {
        let Some(t) = self.objs.task(task) else {
            return false;
        };
        if slot >= CAP_END {
            return false;
        }
        if !t.has_cap_page(slot) {
            let q = t.quota;
            if !self.quotas.alloc(q, quota::CAP_PAGE) {
                return false;
            }
        }
        if let Some(t) = self.objs.task_mut(task) {
            t.set_cap(slot, Some(cap));
        }
        if let Some(o) = self.objs.get_mut(cap.obj) {
            o.caps.push((task, slot));
            o.counted += i64::from(cap.extra & COUNTED != 0);
        }
        self.charge(self.cost.cap);
        self.count().cap_maps += 1;
        self.remember_origin(task, slot, cap);
        true
    }

    /// Empties a slot; objects that lose their last counted capability are added to `gone`.
    pub fn remove_cap(&mut self, task: ObjId, slot: u64, gone: &mut Vec<ObjId>) {
        let Some(t) = self.objs.task_mut(task) else {
            return;
        };
        let Some(cap) = t.cap(slot) else { return };
        t.set_cap(slot, None);
        self.charge(self.cost.cap);
        self.count().cap_unmaps += 1;
        let Some(o) = self.objs.get_mut(cap.obj) else {
            return;
        };
        if let Some(i) = o.caps.iter().position(|c| *c == (task, slot)) {
            o.caps.swap_remove(i);
        }
        if cap.extra & COUNTED != 0 {
            o.counted -= 1;
            if o.counted <= 0 {
                self.revoke_all(cap.obj);
                gone.push(cap.obj);
            }
        }
    }

    /// Removes every capability to an object.
    pub fn revoke_all(&mut self, obj: ObjId) {
        let Some(o) = self.objs.get_mut(obj) else {
            return;
        };
        let caps = core::mem::take(&mut o.caps);
        o.counted = 0;
        o.dropped = 0;
        for (task, slot) in caps {
            if let Some(t) = self.objs.task_mut(task) {
                t.set_cap(slot, None);
            }
            self.count().cap_unmaps += 1;
        }
    }

    /// Takes capabilities back; returns the objects that are to go.
    pub fn obj_unmap(
        &mut self,
        task: ObjId,
        first: u64,
        order: u32,
        rights: u8,
        mask: u64,
    ) -> Vec<ObjId> {
        let mut gone = Vec::new();
        if mask & SELF == 0 {
            return gone;
        }
        let end = first.saturating_add(1u64 << order).min(CAP_END);
        let Some(t) = self.objs.task(task) else {
            return gone;
        };
        for (slot, cap) in t.caps_between(first, end) {
            if rights & 4 == 0 {
                if let Some(t) = self.objs.task_mut(task) {
                    let less = Cap {
                        rights: cap.rights & !(rights & 3),
                        ..cap
                    };
                    t.set_cap(slot, Some(less));
                }
                continue;
            }
            // An earlier slot of this call may have taken the object away.
            if self.objs.task(task).and_then(|t| t.cap(slot)).is_none() {
                continue;
            }
            if mask & DELETE != 0 && cap.rights & 8 != 0 && self.deletable(cap.obj) {
                self.revoke_all(cap.obj);
                gone.push(cap.obj);
            } else {
                self.remove_cap(task, slot, &mut gone);
            }
        }
        gone
    }

    /// Kernel objects that exist once are never destroyed.
    fn deletable(&self, obj: ObjId) -> bool {
        obj != self.sigma0
            && !matches!(
                self.objs.get(obj).map(|o| &o.kind),
                Some(Kind::Scheduler | Kind::Log | Kind::Icu | Kind::Debugger) | None
            )
    }
}
