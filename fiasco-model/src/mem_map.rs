//! Mapping and unmapping of memory, page by page as the kernel walks.

use crate::map::{MapError, low};
use crate::mapdb::{MapId, ROOT};
use crate::object::ObjId;
use crate::ptab::{Inserted, Leaf, USER_END, Walk};
use crate::quota;
use crate::state::State;
use crate::tlb::Flush;
use crate::trace::What;

/// Orders of pages, largest first.
const ORDERS: [u8; 3] = [30, 21, 12];
/// Caching of memory that nobody said anything about: normal.
const NORMAL: u8 = 0x20;
/// Unmap flag: the task's own mapping too.
const SELF: u64 = 1 << 31;

fn size(order: u8) -> u64 {
    1 << order
}

impl State {
    /// What `task` has at `addr`: sigma0 has everything in pages of 1 GiB.
    fn lookup(&self, task: ObjId, addr: u64) -> Walk {
        match self.objs.task(task) {
            Some(t) if t.is_sigma0 => Walk::Page(Leaf {
                phys: addr >> 30 << 30,
                order: 30,
                rights: 7,
                cache: NORMAL,
                map: ROOT,
            }),
            Some(t) => t.pages.walk(addr),
            None => Walk::Hole(39),
        }
    }

    /// Whether `task` has any page with R and `rights` in `2^order` bytes at `start`.
    pub fn has_memory(&self, task: ObjId, start: u64, order: u32, rights: u8) -> bool {
        let mut at = start;
        let end = start.saturating_add(1 << order.min(62));
        while at < end {
            match self.lookup(task, at) {
                Walk::Page(p) if p.rights & rights & 4 != 0 => return true,
                Walk::Page(p) => at = (at >> p.order << p.order).saturating_add(size(p.order)),
                Walk::Hole(h) => at = (at >> h << h).saturating_add(size(h)),
            }
            if at >= USER_END {
                return false;
            }
        }
        false
    }

    /// Maps `2^order` bytes; `Ok(false)` when the sender had nothing there.
    #[allow(clippy::too_many_arguments)]
    pub fn mem_map(
        &mut self,
        from: ObjId,
        mut src: u64,
        order: u32,
        to: ObjId,
        mut dst: u64,
        grant: bool,
        rights: u8,
        attributes: u8,
    ) -> Result<bool, MapError> {
        let from_end = if from == self.sigma0 {
            u64::MAX
        } else {
            USER_END
        };
        let (dst_start, total) = (dst, 1u64 << order);
        let dst_end = dst_start.saturating_add(total);
        let mut left = total;
        let mut any = false;
        let mut flush = Flush::default();
        let mut outcome = Ok(());
        while left > 0 && dst < USER_END && src < from_end && to != self.sigma0 {
            let page = match self.lookup(from, src) {
                Walk::Page(p) if p.rights & rights & 4 != 0 => p,
                walk => {
                    let hole = match walk {
                        Walk::Hole(h) => h,
                        Walk::Page(p) => p.order,
                    };
                    let step = size(hole) - low(src, u32::from(hole));
                    if step >= left {
                        break;
                    }
                    (src, dst, left) = (src + step, dst + step, left - step);
                    continue;
                }
            };
            any = true;
            let walk = self.lookup(to, dst);
            let room = match walk {
                Walk::Hole(o) => o,
                Walk::Page(p) => p.order,
            };
            let mut grant = grant && from != self.sigma0;
            let step = ORDERS
                .into_iter()
                .find(|o| {
                    *o <= page.order
                        && size(*o) <= left
                        && *o <= room
                        && low(src, u32::from(*o)) == 0
                        && low(dst, u32::from(*o)) == 0
                        && dst + size(*o) <= dst_end
                })
                .unwrap_or(12);
            // A part of a page cannot be moved, only mapped.
            grant &= step == page.order;
            outcome = self.map_page(
                from, src, page, to, dst, step, grant, rights, attributes, walk, &mut flush,
            );
            if outcome.is_err() {
                break;
            }
            let step = size(step);
            (src, dst, left) = (src + step, dst + step, left - step);
        }
        self.flush(flush);
        outcome.map(|()| any)
    }

    #[allow(clippy::too_many_arguments)]
    fn map_page(
        &mut self,
        from: ObjId,
        src: u64,
        page: Leaf,
        to: ObjId,
        dst: u64,
        order: u8,
        grant: bool,
        rights: u8,
        attributes: u8,
        there: Walk,
        flush: &mut Flush,
    ) -> Result<(), MapError> {
        let phys = page.phys + low(src, u32::from(page.order));
        let mut new = Leaf {
            phys,
            order,
            rights: page.rights & rights,
            cache: if attributes & 0x10 != 0 {
                attributes & 0x60
            } else {
                page.cache
            },
            map: ROOT,
        };
        let mut upgrade = false;
        if let Walk::Page(old) = there {
            let child = self
                .mapdb
                .get(old.map)
                .is_some_and(|m| m.parent == page.map);
            let same = old.phys + low(dst, u32::from(old.order)) == phys;
            if child && !grant && same && old.order <= order {
                new.rights |= old.rights;
                new.map = old.map;
                upgrade = true;
            } else {
                let lost = self.mapdb.is_ancestor(old.map, page.map);
                let at = dst - low(dst, u32::from(old.order));
                self.remove_tree(old.map, flush);
                self.note(What::Unmap {
                    task: to,
                    addr: at,
                    order: old.order,
                });
                if lost {
                    return Ok(());
                }
            }
        }
        let Some(task) = self.objs.task_mut(to) else {
            return Ok(());
        };
        let payer = task.quota;
        let quotas = &mut self.quotas;
        let inserted = task
            .pages
            .insert(dst, new, || quotas.alloc(payer, quota::PAGE_TABLE));
        self.charge(self.cost.map_page);
        match inserted {
            Inserted::NoMem => return Err(MapError::NoMem),
            Inserted::Conflict => return Ok(()),
            Inserted::Exists | Inserted::Upgraded if upgrade => {}
            _ => {
                let map = if grant {
                    self.grant_page(from, src, page, to, dst, flush)
                } else {
                    self.new_mapping(page.map, from, to, dst, phys, order)
                };
                let Some(map) = map else {
                    if let Some(t) = self.objs.task_mut(to) {
                        t.pages.delete(dst, 4);
                    }
                    flush.add(to);
                    return Err(MapError::NoMem);
                };
                if let Some(t) = self.objs.task_mut(to) {
                    t.pages.set_map(dst, map);
                }
            }
        }
        self.count().maps += 1;
        self.note(What::Map {
            from,
            to,
            addr: dst,
            order,
        });
        Ok(())
    }

    fn new_mapping(
        &mut self,
        parent: MapId,
        from: ObjId,
        to: ObjId,
        dst: u64,
        phys: u64,
        order: u8,
    ) -> Option<MapId> {
        let tables = self.mapdb.tables_needed(parent, phys, order);
        let sender = self.objs.task(from)?.quota;
        let receiver = self.objs.task(to)?.quota;
        if !self.quotas.alloc(receiver, quota::MAPPING) {
            return None;
        }
        if tables > 0 && !self.quotas.alloc(sender, tables * quota::SUBMAP) {
            self.quotas.free(receiver, quota::MAPPING);
            return None;
        }
        Some(self.mapdb.insert(parent, to, dst, phys, order))
    }

    fn grant_page(
        &mut self,
        from: ObjId,
        src: u64,
        page: Leaf,
        to: ObjId,
        dst: u64,
        flush: &mut Flush,
    ) -> Option<MapId> {
        let old = self.objs.task(from)?.quota;
        let new = self.objs.task(to)?.quota;
        if !self.quotas.alloc(new, quota::MAPPING) {
            return None;
        }
        self.quotas.free(old, quota::MAPPING);
        self.mapdb.grant(page.map, to, dst);
        self.objs.task_mut(from)?.pages.delete(src, 4);
        self.count().unmaps += 1;
        flush.add(from);
        Some(page.map)
    }

    /// Takes back `2^order` bytes at `start`; without R in `rights`, only diminishes.
    pub fn mem_unmap(&mut self, task: ObjId, start: u64, order: u32, rights: u8, mask: u64) {
        let own = mask & SELF != 0;
        let mut end = start.saturating_add(1u64 << order).min(USER_END);
        let mut at = start;
        let mut flush = Flush::default();
        while at < end {
            let page = match self.lookup(task, at) {
                Walk::Hole(h) => {
                    at = (at >> h << h).saturating_add(size(h));
                    continue;
                }
                Walk::Page(p) => p,
            };
            let first = at - low(at, u32::from(page.order));
            let next = first.saturating_add(size(page.order));
            let from = if own {
                end = end.max(next);
                first
            } else {
                at
            };
            let phys = page.phys + (from - first);
            let phys_end = page.phys + (end.min(next) - first);
            self.take_back(page.map, phys, phys_end, own, rights, &mut flush);
            at = next;
        }
        self.flush(flush);
    }

    fn take_back(
        &mut self,
        map: MapId,
        phys: u64,
        end: u64,
        own: bool,
        rights: u8,
        flush: &mut Flush,
    ) {
        let mut found = Vec::new();
        if own && map != ROOT {
            found.push(map);
        }
        self.mapdb.descendants(map, phys, end, &mut found);
        for id in &found {
            let Some(m) = self.mapdb.get(*id).copied() else {
                continue;
            };
            if let Some(t) = self.objs.task_mut(m.task)
                && t.pages.delete(m.addr, rights)
            {
                self.charge(self.cost.unmap_page);
                self.count().unmaps += 1;
                self.note(What::Unmap {
                    task: m.task,
                    addr: m.addr,
                    order: m.order,
                });
            }
            flush.add(m.task);
        }
        if rights & 4 != 0 {
            for id in found.iter().rev() {
                self.forget(*id);
            }
        }
    }

    /// Removes a mapping with everything below it.
    fn remove_tree(&mut self, map: MapId, flush: &mut Flush) {
        let Some(m) = self.mapdb.get(map).copied() else {
            return;
        };
        self.take_back(map, m.phys, m.phys + size(m.order), true, 7, flush);
    }

    fn forget(&mut self, id: MapId) {
        let parent = self.mapdb.get(id).map(|m| m.parent);
        if let Some((m, tables)) = self.mapdb.remove(id)
            && let Some(t) = self.objs.task(m.task)
        {
            let q = t.quota;
            self.quotas.free(q, quota::MAPPING);
            if tables > 0 {
                self.quotas.free(q, tables * quota::SUBMAP);
            }
        }
        debug_assert!(parent.is_some());
    }
}
