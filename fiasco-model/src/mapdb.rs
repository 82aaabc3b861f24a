//! The mapping database: who got each page from whom.
//!
//! A mapping hangs below the mapping it was made from. Children of the parent's own size are in
//! its list; smaller ones are in tables of sub-frames (1 GiB to 2 MiB to 4 KiB), so that taking
//! back one page of a gigabyte looks at that page only. The root of every tree is sigma0, which
//! has all of physical memory without mappings of its own.
//!
//! Rule taken from the kernel: when part of a mapping is taken back, children of the *same size*
//! as the mapping go whole, smaller ones only where they overlap.

use std::collections::HashMap;

use crate::object::ObjId;

/// Index of a mapping; valid until the mapping is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MapId(pub u32);

/// No mapping: sigma0's view of a page.
pub(crate) const ROOT: MapId = MapId(u32::MAX);

const NIL: u32 = u32::MAX;

/// Head of a list of mappings of one frame, and the table of its sub-frames.
#[derive(Clone, Copy, Debug)]
struct Slot {
    head: u32,
    sub: u32,
}

impl Slot {
    const EMPTY: Slot = Slot {
        head: NIL,
        sub: NIL,
    };
}

#[derive(Clone, Copy, Debug)]
enum Place {
    Root(u64),
    Below(u32),
    Sub(u32, u16),
}

/// One mapping.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mapping {
    pub task: ObjId,
    /// Address in the task.
    pub addr: u64,
    /// Physical address.
    pub phys: u64,
    pub order: u8,
    /// The mapping it was made from, [`ROOT`] for sigma0.
    pub parent: MapId,
    kids: Slot,
    place: Place,
    prev: u32,
    next: u32,
}

/// The database.
#[derive(Debug, Default)]
pub(crate) struct Mapdb {
    nodes: Vec<Option<Mapping>>,
    free_nodes: Vec<u32>,
    subs: Vec<Box<[Slot; 512]>>,
    free_subs: Vec<u32>,
    root: HashMap<u64, Slot>,
}

fn below(order: u8) -> u8 {
    if order > 21 { 21 } else { 12 }
}

impl Mapdb {
    pub fn get(&self, id: MapId) -> Option<&Mapping> {
        self.nodes.get(id.0 as usize)?.as_ref()
    }

    fn slot(&self, p: Place) -> Slot {
        match p {
            Place::Root(f) => self.root.get(&f).copied().unwrap_or(Slot::EMPTY),
            Place::Below(n) => self.nodes[n as usize].map_or(Slot::EMPTY, |n| n.kids),
            Place::Sub(s, i) => self.subs[s as usize][i as usize],
        }
    }

    fn set_slot(&mut self, p: Place, slot: Slot) {
        match p {
            Place::Root(f) => {
                self.root.insert(f, slot);
            }
            Place::Below(n) => {
                if let Some(n) = &mut self.nodes[n as usize] {
                    n.kids = slot;
                }
            }
            Place::Sub(s, i) => self.subs[s as usize][i as usize] = slot,
        }
    }

    /// Number of sub-frame tables that [`Mapdb::insert`] would make.
    pub fn tables_needed(&self, parent: MapId, phys: u64, order: u8) -> u64 {
        let (mut place, mut at) = self.start(parent, phys);
        let mut missing = 0;
        while at > order {
            let sub = self.slot(place).sub;
            if sub == NIL {
                missing += 1 + u64::from(below(at) > order);
                return missing;
            }
            at = below(at);
            place = Place::Sub(sub, (phys >> at) as u16 & 511);
        }
        missing
    }

    fn start(&self, parent: MapId, phys: u64) -> (Place, u8) {
        match self.get(parent) {
            Some(p) => (Place::Below(parent.0), p.order),
            None => (Place::Root(phys >> 30), 30),
        }
    }

    /// Adds a mapping of `2^order` bytes at `phys` below `parent`.
    pub fn insert(&mut self, parent: MapId, task: ObjId, addr: u64, phys: u64, order: u8) -> MapId {
        let (mut place, mut at) = self.start(parent, phys);
        while at > order {
            let mut slot = self.slot(place);
            if slot.sub == NIL {
                slot.sub = match self.free_subs.pop() {
                    Some(s) => {
                        *self.subs[s as usize] = [Slot::EMPTY; 512];
                        s
                    }
                    None => {
                        self.subs.push(Box::new([Slot::EMPTY; 512]));
                        self.subs.len() as u32 - 1
                    }
                };
                self.set_slot(place, slot);
            }
            at = below(at);
            place = Place::Sub(slot.sub, (phys >> at) as u16 & 511);
        }
        let mut slot = self.slot(place);
        let node = Mapping {
            task,
            addr,
            phys,
            order,
            parent,
            kids: Slot::EMPTY,
            place,
            prev: NIL,
            next: slot.head,
        };
        let id = match self.free_nodes.pop() {
            Some(i) => {
                self.nodes[i as usize] = Some(node);
                i
            }
            None => {
                self.nodes.push(Some(node));
                self.nodes.len() as u32 - 1
            }
        };
        if let Some(Some(n)) = self.nodes.get_mut(slot.head as usize) {
            n.prev = id;
        }
        slot.head = id;
        self.set_slot(place, slot);
        MapId(id)
    }

    /// Moves a mapping to another task and address; what was made from it stays below it.
    pub fn grant(&mut self, id: MapId, task: ObjId, addr: u64) {
        if let Some(Some(n)) = self.nodes.get_mut(id.0 as usize) {
            n.task = task;
            n.addr = addr;
        }
    }

    /// Everything below `id` that overlaps `phys..end`, parents before children.
    ///
    /// `frame` says which gigabyte is meant when `id` is [`ROOT`].
    pub fn descendants(&self, id: MapId, phys: u64, end: u64, found: &mut Vec<MapId>) {
        match self.get(id) {
            Some(n) => self.collect(n.kids, n.order, n.phys, phys, end, found),
            None => {
                let slot = self.slot(Place::Root(phys >> 30));
                self.collect(slot, 30, phys >> 30 << 30, phys, end, found);
            }
        }
    }

    fn collect(&self, slot: Slot, order: u8, base: u64, from: u64, end: u64, out: &mut Vec<MapId>) {
        let mut n = slot.head;
        while let Some(Some(node)) = self.nodes.get(n as usize) {
            out.push(MapId(n));
            let all = node.phys + (1 << node.order);
            self.collect(node.kids, node.order, node.phys, node.phys, all, out);
            n = node.next;
        }
        if slot.sub == NIL {
            return;
        }
        let sub_order = below(order);
        let first = from.saturating_sub(base) >> sub_order;
        let last = (end.min(base + (1 << order)) - base).div_ceil(1 << sub_order);
        for i in first..last {
            let s = self.subs[slot.sub as usize][i as usize];
            if s.head != NIL || s.sub != NIL {
                self.collect(s, sub_order, base + (i << sub_order), from, end, out);
            }
        }
    }

    /// Removes one mapping, whose children must be gone; returns it and how many sub-frame tables
    /// went with it.
    pub fn remove(&mut self, id: MapId) -> Option<(Mapping, u64)> {
        let node = self.nodes.get_mut(id.0 as usize)?.take()?;
        if let Some(Some(p)) = self.nodes.get_mut(node.prev as usize) {
            p.next = node.next;
        } else {
            let mut slot = self.slot(node.place);
            slot.head = node.next;
            self.set_slot(node.place, slot);
        }
        if let Some(Some(n)) = self.nodes.get_mut(node.next as usize) {
            n.prev = node.prev;
        }
        self.free_nodes.push(id.0);
        let tables = self.drop_sub(node.kids.sub);
        Some((node, tables))
    }

    fn drop_sub(&mut self, sub: u32) -> u64 {
        if sub == NIL {
            return 0;
        }
        let mut gone = 1;
        for i in 0..512 {
            gone += self.drop_sub(self.subs[sub as usize][i].sub);
        }
        self.free_subs.push(sub);
        gone
    }

    /// Whether `ancestor` is `id` or above it.
    pub fn is_ancestor(&self, ancestor: MapId, id: MapId) -> bool {
        let mut n = id;
        loop {
            if n == ancestor {
                return true;
            }
            match self.get(n) {
                Some(m) => n = m.parent,
                None => return false,
            }
        }
    }

    /// Number of mappings.
    pub fn len(&self) -> usize {
        self.nodes.len() - self.free_nodes.len()
    }
}
