//! What clients may see, as plain tables: byte values of dataspaces by the KiB, pages of region maps, who has
//! capabilities for what. It knows nothing of frames, sharing, runs, turns or quotas.

use std::collections::{BTreeMap, BTreeSet};

/// KiB of a page.
pub const UNITS: u64 = 4;

/// A page of a region map.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shown {
    pub ds: u64,
    pub page: u64,
    pub rights: u8,
    /// Memory of the region's own.
    pub own: bool,
}

#[derive(Clone, Debug)]
pub enum Kind {
    Factory,
    Map(BTreeMap<u64, Shown>),
    /// Exact size in KiB, and the byte in each KiB up to the end of the last page; `None` after an error
    /// that leaves open how far a request got.
    Ds(u64, Vec<Option<u8>>),
}

#[derive(Clone, Debug)]
pub struct Object {
    pub kind: Kind,
    pub parent: u64,
    /// Capabilities of clients; memory of a region's own has none.
    pub refs: u32,
    pub deleted: bool,
}

/// Objects by the identity of their gate.
#[derive(Default)]
pub struct Model {
    pub objects: BTreeMap<u64, Object>,
    next_own: u64,
}

impl Model {
    pub fn add(&mut self, id: u64, parent: u64, kind: Kind) {
        let object = Object {
            kind,
            parent,
            refs: 1,
            deleted: false,
        };
        assert!(self.objects.insert(id, object).is_none());
    }

    /// A dataspace of so many KiB, of zeros.
    pub fn zeros(kib: u64) -> Kind {
        let units = kib.div_ceil(UNITS) * UNITS;
        Kind::Ds(kib, vec![Some(0); units as usize])
    }

    /// Memory of a region's own.
    pub fn add_own(&mut self, map: u64, bytes: Vec<Option<u8>>) -> u64 {
        self.next_own += 1;
        let id = 1 << 40 | self.next_own;
        let object = Object {
            kind: Kind::Ds(bytes.len() as u64, bytes),
            parent: map,
            refs: 0,
            deleted: false,
        };
        self.objects.insert(id, object);
        id
    }

    /// Whether an object is there: not deleted, its factory there, and somebody has it.
    pub fn alive(&self, id: u64) -> bool {
        let Some(object) = self.objects.get(&id) else {
            return false;
        };
        let above = object.parent == 0 || self.alive(object.parent);
        above && !object.deleted && (object.refs > 0 || self.is_shown(id))
    }

    fn is_shown(&self, ds: u64) -> bool {
        self.objects.iter().any(|(id, object)| match &object.kind {
            Kind::Map(pages) => pages.values().any(|s| s.ds == ds) && self.alive(*id),
            _ => false,
        })
    }

    /// A dataspace's exact size in KiB and its bytes.
    pub fn ds(&mut self, id: u64) -> Option<(u64, &mut Vec<Option<u8>>)> {
        match &mut self.objects.get_mut(&id)?.kind {
            Kind::Ds(kib, bytes) => Some((*kib, bytes)),
            _ => None,
        }
    }

    pub fn map(&mut self, id: u64) -> Option<&mut BTreeMap<u64, Shown>> {
        match &mut self.objects.get_mut(&id)?.kind {
            Kind::Map(pages) => Some(pages),
            _ => None,
        }
    }

    /// The bytes of a page.
    pub fn page(&mut self, ds: u64, page: u64) -> Option<[Option<u8>; UNITS as usize]> {
        let (_, bytes) = self.ds(ds)?;
        let first = usize::try_from(page.checked_mul(UNITS)?).ok()?;
        bytes.get(first..first + UNITS as usize)?.try_into().ok()
    }

    /// Copies as copy_in does: cut off at the destination's exact and the source's rounded size.
    pub fn copy(&mut self, to: (u64, u64), from: (u64, u64), units: u64) {
        let Some((_, source)) = self.ds(from.0) else {
            return;
        };
        let source = source.clone();
        let Some((size, target)) = self.ds(to.0) else {
            return;
        };
        let room = size.saturating_sub(to.1);
        let there = (source.len() as u64).saturating_sub(from.1);
        for n in 0..units.min(room).min(there) {
            target[(to.1 + n) as usize] = source[(from.1 + n) as usize];
        }
    }

    /// Sets a range, cut off at the end of the last page.
    pub fn set(&mut self, ds: u64, first: u64, units: u64, byte: Option<u8>) {
        if let Some((_, bytes)) = self.ds(ds) {
            let end = first.saturating_add(units).min(bytes.len() as u64);
            for unit in first..end {
                bytes[unit as usize] = byte;
            }
        }
    }

    /// Forgets what has ended; gives what is left.
    pub fn forget_dead(&mut self) -> BTreeSet<u64> {
        let live: BTreeSet<u64> = self
            .objects
            .keys()
            .copied()
            .filter(|id| self.alive(*id))
            .collect();
        self.objects.retain(|id, _| live.contains(id));
        live
    }
}
