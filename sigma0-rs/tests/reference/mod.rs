//! The root pager in the plainest words: one entry a page, one a port, no cleverness.

pub mod driver;

use std::collections::{BTreeMap, VecDeque};

use l4_sys::{Errno, Fpage, FpageType};

pub const PAGE: u64 = 4096;
/// Owner of memory that waits to be zeroed.
const WAITING: u16 = 1;
/// Pages zeroed in one idle turn.
const TURN: u64 = 16;
/// Most ranges that wait.
const QUEUE: usize = 32;

/// What a reply maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mapped {
    Nothing,
    Memory {
        address: u64,
        order: u32,
        rights: u8,
        cached: bool,
    },
    Ports {
        first: u64,
        order: u32,
    },
    Gate {
        slot: u64,
    },
}

pub type Reply = Result<Mapped, Errno>;

/// A message as a client sends it.
#[derive(Clone, Copy, Debug)]
pub struct Message {
    pub owner: u16,
    pub may_create: bool,
    pub label: i64,
    pub words: usize,
    pub mr: [u64; 4],
}

pub struct Reference {
    /// Page number to (owner, rights); absent pages are not RAM.
    pub ram: BTreeMap<u64, (u16, u8)>,
    /// Page numbers that are I/O memory, as inclusive ranges.
    pub io: Vec<(u64, u64)>,
    ports: Vec<u16>,
    waiting: VecDeque<(u64, u64)>,
    pub next_gate: u64,
    pub kip: u64,
    /// Whether the kernel refuses the next call of the server.
    pub kernel_fails: bool,
}

impl Reference {
    pub fn new(ram: BTreeMap<u64, (u16, u8)>, io: Vec<(u64, u64)>, kip: u64) -> Self {
        Reference {
            ram,
            io,
            ports: vec![0; 0x10000],
            waiting: VecDeque::new(),
            next_gate: 12,
            kip,
            kernel_fails: false,
        }
    }

    pub fn answer(&mut self, m: &Message) -> Reply {
        match m.label {
            -2 => self.page_fault(m),
            -6 => self.sigma0(m),
            -8 => self.port_fault(m),
            -15 => self.factory(m),
            0x5050 => self.own_protocol(m),
            _ => Err(Errno::BadProto),
        }
    }

    /// One turn of zeroing.
    pub fn idle(&mut self) {
        let mut left = TURN;
        while left > 0 {
            match self.piece(left) {
                0 => return,
                pages => left -= pages,
            }
        }
    }

    /// Frees up to `limit` pages of the oldest range that waits; how many it were.
    fn piece(&mut self, limit: u64) -> u64 {
        let Some((first, last)) = self.waiting.pop_front() else {
            return 0;
        };
        let end = last.min(first + limit - 1);
        for p in first..=end {
            self.ram.insert(p, (0, 7));
        }
        if end < last {
            self.waiting.push_front((end + 1, last));
        }
        end - first + 1
    }

    pub fn is_idle(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Tries again after each piece that is zeroed, as long as `helps` says that it may help.
    fn retry<T>(
        &mut self,
        helps: impl Fn(&Self) -> bool,
        mut op: impl FnMut(&mut Self) -> Option<T>,
    ) -> Result<T, Errno> {
        loop {
            if let Some(v) = op(self) {
                return Ok(v);
            }
            if self.waiting.is_empty() || !helps(self) {
                return Err(Errno::NoMem);
            }
            self.piece(TURN);
        }
    }

    /// Whether what stands in the way of a claim is somebody's, and a part of the range waits. What
    /// is not there at all never helps, and the first obstacle decides.
    fn claim_waits(&self, (first, last): (u64, u64), owner: u16) -> bool {
        let waits = self.waiting.iter().any(|w| w.0 <= last && first <= w.1);
        let Some(&state) = self.ram.get(&first) else {
            return false;
        };
        if state.0 != 0 && state.0 != owner {
            return waits;
        }
        let other = (first + 1..=last).find(|p| self.ram.get(p) != Some(&state));
        other.is_some_and(|p| self.ram.contains_key(&p)) && waits
    }

    /// Pages of an aligned block, or the error; misalignment first.
    fn block(fpage: Fpage) -> Result<(u64, u64), Errno> {
        let (address, order) = (fpage.address(), fpage.order());
        if address % (1u64 << order) != 0 || order < 12 {
            return Err(Errno::Inval);
        }
        let first = address / PAGE;
        Ok((first, first + ((1u64 << order) / PAGE - 1)))
    }

    /// State of all pages of a range if it is the same for all; at most one million are looked at,
    /// more are never there.
    fn uniform(&self, (first, last): (u64, u64)) -> Option<(u16, u8)> {
        if last - first > 1 << 20 {
            return None;
        }
        let state = *self.ram.get(&first)?;
        (first..=last)
            .all(|p| self.ram.get(&p) == Some(&state))
            .then_some(state)
    }

    fn set(&mut self, (first, last): (u64, u64), owner: u16, rights: u8) {
        for p in first..=last {
            self.ram.insert(p, (owner, rights));
        }
    }

    fn page_fault(&mut self, m: &Message) -> Reply {
        if m.words < 1 {
            return Err(Errno::MsgTooShort);
        }
        let mut need = 4;
        if m.mr[0] & 2 != 0 {
            need |= 2;
        }
        if m.mr[0] & 4 != 0 {
            need |= 1;
        }
        let page = m.mr[0] / PAGE;
        let waits = |s: &Self| s.claim_waits((page, page), m.owner);
        let rights = self.retry(waits, |s| {
            let (owner, rights) = *s.ram.get(&page)?;
            ((owner == 0 || owner == m.owner) && rights & need == need).then_some(rights)
        })?;
        self.set((page, page), m.owner, rights);
        Ok(Mapped::Memory {
            address: page * PAGE,
            order: 12,
            rights,
            cached: true,
        })
    }

    fn sigma0(&mut self, m: &Message) -> Reply {
        if m.words < 1 {
            return Err(Errno::MsgTooShort);
        }
        if m.mr[0] | 0xff != u64::MAX {
            return Err(Errno::NoSys);
        }
        let id = m.mr[0] >> 4 & 0xf;
        match id {
            6..=9 if m.words < 2 => Err(Errno::MsgTooShort),
            6 => {
                let fpage = Fpage(m.mr[1]);
                let range = Self::block(fpage)?;
                let waits = |s: &Self| s.claim_waits(range, m.owner);
                self.retry(waits, |s| {
                    let (owner, _) = s.uniform(range)?;
                    (owner == 0 || owner == m.owner).then_some(())
                })?;
                self.set(range, m.owner, 7);
                let (address, order) = (fpage.address(), fpage.order());
                Ok(Mapped::Memory {
                    address,
                    order,
                    rights: 7,
                    cached: true,
                })
            }
            7 | 8 => {
                let fpage = Fpage(m.mr[1]);
                let (first, last) = Self::block(fpage)?;
                if !self.io.iter().any(|(a, b)| *a <= first && last <= *b) {
                    return Err(Errno::NoMem);
                }
                let (address, order) = (fpage.address(), fpage.order());
                Ok(Mapped::Memory {
                    address,
                    order,
                    rights: 6,
                    cached: id == 8,
                })
            }
            9 => {
                let order = Fpage(m.mr[1]).order();
                if order < 12 {
                    return Err(Errno::Inval);
                }
                let first = self.retry(|_| true, |s| s.free_block(order, 0, u64::MAX / PAGE))?;
                self.set((first, first + (1 << (order - 12)) - 1), m.owner, 7);
                Ok(Mapped::Memory {
                    address: first * PAGE,
                    order,
                    rights: 7,
                    cached: true,
                })
            }
            10 => Ok(Mapped::Memory {
                address: self.kip,
                order: 12,
                rights: 5,
                cached: true,
            }),
            12 => Ok(Mapped::Nothing),
            _ => Err(Errno::NoSys),
        }
    }

    /// First page of the lowest aligned free block inside a range of pages.
    fn free_block(&self, order: u32, from: u64, to: u64) -> Option<u64> {
        let pages = 1u64 << (order - 12);
        let candidates = self.ram.keys().filter(|p| *p % pages == 0);
        candidates
            .copied()
            .filter(|p| *p >= from && p.checked_add(pages - 1).is_some_and(|l| l <= to))
            .find(|p| {
                self.uniform((*p, *p + pages - 1))
                    .is_some_and(|(o, _)| o == 0)
            })
    }

    fn port_fault(&mut self, m: &Message) -> Reply {
        if m.words < 1 {
            return Err(Errno::MsgTooShort);
        }
        let f = Fpage(m.mr[0]);
        if f.kind() != FpageType::Io {
            return Err(Errno::Inval);
        }
        if f.order() > 16 {
            return Err(Errno::NoMem);
        }
        let (first, n) = (f.number(), 1u64 << f.order());
        if first % n != 0 {
            return Err(Errno::Inval);
        }
        if first + n > 0x10000 {
            return Err(Errno::NoMem);
        }
        let ports = &mut self.ports[first as usize..(first + n) as usize];
        let owner = ports[0];
        if ports.iter().any(|o| *o != owner) || (owner != 0 && owner != m.owner) {
            return Err(Errno::NoMem);
        }
        ports.fill(m.owner);
        Ok(Mapped::Ports {
            first,
            order: f.order(),
        })
    }

    fn factory(&mut self, m: &Message) -> Reply {
        if !m.may_create {
            return Err(Errno::Perm);
        }
        if m.words < 1 {
            return Err(Errno::MsgTooShort);
        }
        if m.mr[0] as i64 != -6 {
            return Err(Errno::NoDev);
        }
        if self.kernel_fails || self.next_gate > 0xfff {
            return Err(Errno::NoMem);
        }
        self.next_gate += 1;
        Ok(Mapped::Gate {
            slot: self.next_gate - 1,
        })
    }

    /// Only what changes something: RAM by node (there is one node) and release.
    fn own_protocol(&mut self, m: &Message) -> Reply {
        if m.words < 1 {
            return Err(Errno::MsgTooShort);
        }
        match m.mr[0] as u32 {
            5 => {
                if m.words < 2 {
                    return Err(Errno::MsgTooShort);
                }
                let node = (m.mr[0] >> 32) as u32;
                let (order, flags) = (m.mr[1] as u32, (m.mr[1] >> 32) as u32);
                if node != 0 {
                    return Err(Errno::Range);
                }
                if !(12..=63).contains(&order) || flags & !3 != 0 {
                    return Err(Errno::Inval);
                }
                if flags & 1 != 0 {
                    // There is no reserve in these tests.
                    if !m.may_create {
                        return Err(Errno::Perm);
                    }
                    return self
                        .retry(|_| true, |_| None::<()>)
                        .map(|()| Mapped::Nothing);
                }
                let first = self.retry(|_| true, |s| s.free_block(order, 0, u64::MAX / PAGE))?;
                self.set((first, first + (1 << (order - 12)) - 1), m.owner, 7);
                Ok(Mapped::Memory {
                    address: first * PAGE,
                    order,
                    rights: 7,
                    cached: true,
                })
            }
            6 => {
                if m.words < 2 {
                    return Err(Errno::MsgTooShort);
                }
                let range = Self::block(Fpage(m.mr[1]))?;
                let all_mine = range.1 - range.0 <= 1 << 20
                    && (range.0..=range.1)
                        .all(|p| self.ram.get(&p).is_some_and(|(o, _)| *o == m.owner));
                if !all_mine {
                    return Err(Errno::NoMem);
                }
                if self.waiting.len() == QUEUE {
                    self.piece(TURN);
                    if self.waiting.len() == QUEUE {
                        return Err(Errno::Again);
                    }
                }
                if self.kernel_fails {
                    return Err(Errno::NoMem);
                }
                self.set(range, WAITING, 7);
                self.waiting.push_back(range);
                Ok(Mapped::Nothing)
            }
            _ => Err(Errno::NoSys),
        }
    }
}
