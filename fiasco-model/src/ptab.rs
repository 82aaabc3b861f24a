//! Page tables: four levels of 512 entries, as the processor has them.
//!
//! The shape matters, not only the contents: a superpage cannot be entered where a page table
//! hangs, and what a lookup says about a hole (its size) decides how the kernel clips a mapping.
//! Each leaf names its entry of the mapping database, so that going from an address to the
//! mapping costs one walk.

use crate::mapdb::MapId;

/// Orders of the entries of each level, from the top: 512 GiB, 1 GiB, 2 MiB, 4 KiB.
const LEVEL_ORDERS: [u8; 4] = [39, 30, 21, 12];

/// First address above user level.
pub(crate) const USER_END: u64 = 1 << 47;

/// A page that is mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Leaf {
    /// Physical address of the page's first byte.
    pub phys: u64,
    /// log2 of the size: 12, 21 or 30.
    pub order: u8,
    /// Rights: X 1, W 2, R 4.
    pub rights: u8,
    /// Caching attribute as in items (0x20 normal, 0x40 buffered, 0 uncached).
    pub cache: u8,
    /// Its mapping.
    pub map: MapId,
}

#[derive(Clone, Copy, Debug)]
enum Entry {
    Empty,
    Table(u32),
    Leaf(Leaf),
}

/// What is at an address.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Walk {
    /// Nothing; the hole around the address has at least this order.
    Hole(u8),
    /// A page.
    Page(Leaf),
}

/// Result of an insertion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Inserted {
    /// New entry.
    Ok,
    /// The same page was there with the same or more rights.
    Exists,
    /// The same page was there with fewer rights.
    Upgraded,
    /// Something else is there.
    Conflict,
    /// No kernel memory for a table.
    NoMem,
}

/// The tables of one address space.
#[derive(Debug)]
pub(crate) struct PageTables {
    tables: Vec<Box<[Entry; 512]>>,
}

fn index(addr: u64, level: usize) -> usize {
    (addr >> LEVEL_ORDERS[level]) as usize & 511
}

impl PageTables {
    pub fn new() -> Self {
        PageTables {
            tables: vec![Box::new([Entry::Empty; 512])],
        }
    }

    /// What is mapped at `addr`; an address above user level is a hole.
    #[inline]
    pub fn walk(&self, addr: u64) -> Walk {
        if addr >= USER_END {
            return Walk::Hole(LEVEL_ORDERS[0]);
        }
        let mut table = 0;
        for (level, order) in LEVEL_ORDERS.iter().enumerate() {
            match self.tables[table][index(addr, level)] {
                Entry::Empty => return Walk::Hole(*order),
                Entry::Leaf(l) => return Walk::Page(l),
                Entry::Table(t) => table = t as usize,
            }
        }
        Walk::Hole(12)
    }

    /// The page at `addr`, if any.
    #[inline]
    pub fn page(&self, addr: u64) -> Option<Leaf> {
        match self.walk(addr) {
            Walk::Page(l) => Some(l),
            Walk::Hole(_) => None,
        }
    }

    fn leaf_mut(&mut self, addr: u64) -> Option<&mut Entry> {
        let mut table = 0;
        for level in 0..LEVEL_ORDERS.len() {
            match self.tables[table][index(addr, level)] {
                Entry::Empty => return None,
                Entry::Leaf(_) => return Some(&mut self.tables[table][index(addr, level)]),
                Entry::Table(t) => table = t as usize,
            }
        }
        None
    }

    /// Enters a page; `alloc` is asked before each new table.
    pub fn insert(
        &mut self,
        addr: u64,
        mut leaf: Leaf,
        mut alloc: impl FnMut() -> bool,
    ) -> Inserted {
        let mut table = 0;
        for (level, order) in LEVEL_ORDERS.iter().enumerate() {
            let i = index(addr, level);
            let at_level = *order <= leaf.order;
            match self.tables[table][i] {
                Entry::Leaf(old) => {
                    if !at_level || old.phys != leaf.phys {
                        return Inserted::Conflict;
                    }
                    leaf.rights |= old.rights;
                    leaf.map = old.map;
                    let same = old == leaf;
                    self.tables[table][i] = Entry::Leaf(leaf);
                    return if same {
                        Inserted::Exists
                    } else {
                        Inserted::Upgraded
                    };
                }
                Entry::Table(_) if at_level => return Inserted::Conflict,
                Entry::Table(t) => table = t as usize,
                Entry::Empty if at_level => {
                    self.tables[table][i] = Entry::Leaf(leaf);
                    return Inserted::Ok;
                }
                Entry::Empty => {
                    if !alloc() {
                        return Inserted::NoMem;
                    }
                    let new = self.tables.len() as u32;
                    self.tables.push(Box::new([Entry::Empty; 512]));
                    self.tables[table][i] = Entry::Table(new);
                    table = new as usize;
                }
            }
        }
        Inserted::Conflict
    }

    /// Sets the mapping of a page that was just entered.
    pub fn set_map(&mut self, addr: u64, map: MapId) {
        if let Some(Entry::Leaf(l)) = self.leaf_mut(addr) {
            l.map = map;
        }
    }

    /// Takes rights from the page at `addr`; taking R removes it. Returns whether it was there.
    pub fn delete(&mut self, addr: u64, rights: u8) -> bool {
        let Some(entry) = self.leaf_mut(addr) else {
            return false;
        };
        if rights & 4 != 0 {
            *entry = Entry::Empty;
        } else if let Entry::Leaf(l) = entry {
            l.rights &= !rights;
        }
        true
    }

    /// Number of tables, the root included.
    pub fn tables(&self) -> u64 {
        self.tables.len() as u64
    }

    /// Every page, by address.
    pub fn pages(&self) -> Vec<(u64, Leaf)> {
        let mut found = Vec::new();
        self.collect(0, 0, 0, &mut found);
        found
    }

    fn collect(&self, table: usize, level: usize, base: u64, found: &mut Vec<(u64, Leaf)>) {
        for (i, e) in self.tables[table].iter().enumerate() {
            let addr = base | ((i as u64) << LEVEL_ORDERS[level]);
            match *e {
                Entry::Empty => {}
                Entry::Leaf(l) => found.push((addr, l)),
                Entry::Table(t) => self.collect(t as usize, level + 1, addr, found),
            }
        }
    }
}
