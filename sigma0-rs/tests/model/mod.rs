//! A plain model of the region map, and the driver that runs both side by side.
//!
//! The model keeps one state per unit of a small universe and finds runs by scanning: nothing in it
//! is shared with the tree but the words for states. [`drive`] decodes a trace from bytes, so that
//! property tests, fixed seeds and the fuzzer all run the same body.
// Each user compiles this module for itself and needs only a part of it.
#![allow(dead_code)]

use sigma0_rs::map::{
    MapError, MapId, NODE_BYTES, NodeSlot, OwnerId, PAGE_BYTES, Range, Regions, Rights, State,
};
use std::cell::RefCell;
use std::ptr::NonNull;

/// Units in the universe of a driven trace.
pub const UNITS: usize = 256;

thread_local! {
    /// Pages the map under test has taken (physical addresses), and the memory they stand for.
    static TAKEN: RefCell<(Vec<u64>, Vec<NonNull<u8>>)> = const { RefCell::new((Vec::new(), Vec::new())) };
}

/// Slots and stand-in pages in one allocation, so that they are in reach of each other.
#[repr(C, align(4096))]
struct Page([NodeSlot; PAGE_BYTES / NODE_BYTES]);

/// Memory for a map under test; freed when dropped, so it has to outlive the map.
pub struct Memory(*mut [Page]);

impl Drop for Memory {
    fn drop(&mut self) {
        TAKEN.with_borrow_mut(|t| *t = (Vec::new(), Vec::new()));
        // SAFETY: the pointer is `memory`'s box. Every user declares the map behind its memory, so
        // the map and with it all references are gone.
        drop(unsafe { Box::from_raw(self.0) });
    }
}

/// Makes memory for `slots` static nodes and for `pages` pages to grow by. Bind the second part first.
pub fn memory(slots: usize, pages: usize) -> (Memory, &'static mut [NodeSlot]) {
    let per = PAGE_BYTES / NODE_BYTES;
    let own = slots.div_ceil(per);
    let all: Box<[Page]> = (0..own + pages)
        .map(|_| Page([const { NodeSlot::EMPTY }; 8]))
        .collect();
    let all = Box::into_raw(all);
    let first = all.cast::<Page>();
    TAKEN.with_borrow_mut(|t| {
        t.0.clear();
        // SAFETY: the box has `own + pages` pages.
        t.1 = (own..own + pages)
            .filter_map(|i| NonNull::new(unsafe { first.add(i) }.cast()))
            .collect();
    });
    // SAFETY: the first `own` pages are at least `slots` nodes, used by nobody else, and live as long
    // as `Memory`.
    let nodes = unsafe { std::slice::from_raw_parts_mut(first.cast::<NodeSlot>(), slots) };
    (Memory(all), nodes)
}

/// The window of a growing map: each page is given one of the leaked stand-ins.
pub fn window(phys: u64) -> Option<NonNull<u8>> {
    TAKEN.with_borrow_mut(|t| {
        let p = t.1.pop()?;
        t.0.push(phys);
        Some(p)
    })
}

/// Pages taken since the last call.
pub fn taken() -> Vec<u64> {
    TAKEN.with_borrow_mut(|t| std::mem::take(&mut t.0))
}

/// One state per unit.
#[derive(Clone)]
pub struct Model {
    /// First address.
    pub base: u64,
    /// log2 of the unit.
    pub shift: u8,
    /// The states; everything outside is absent.
    pub cells: Vec<State>,
}

impl Model {
    /// All absent.
    pub fn new(base: u64, shift: u8, units: usize) -> Model {
        Model {
            base,
            shift,
            cells: vec![State::ABSENT; units],
        }
    }

    /// Address of a unit.
    pub fn addr(&self, unit: usize) -> u64 {
        self.base.wrapping_add((unit as u64) << self.shift)
    }

    /// Units a..=b as addresses.
    pub fn range(&self, a: usize, b: usize) -> Range {
        Range::new(self.addr(a), self.addr(b) + ((1 << self.shift) - 1)).unwrap()
    }

    /// First and last unit with the state of `u` around it.
    pub fn run(&self, u: usize) -> (usize, usize) {
        let s = self.cells[u];
        let a = (0..u)
            .rev()
            .take_while(|&i| self.cells[i] == s)
            .last()
            .unwrap_or(u);
        let b = (u + 1..self.cells.len())
            .take_while(|&i| self.cells[i] == s)
            .last()
            .unwrap_or(u);
        (a, b)
    }

    fn uniform(&self, a: usize, b: usize) -> bool {
        // One run, where "kept for pagers" makes no difference.
        self.cells[a..=b]
            .iter()
            .all(|&c| plain(c) == plain(self.cells[a]))
    }

    fn claimable(&self, a: usize, b: usize, owner: OwnerId) -> bool {
        let s = self.cells[a];
        !s.is_absent() && self.uniform(a, b) && (s.is_free() || s.owner() == Some(owner))
    }

    fn paint(&mut self, a: usize, b: usize, f: impl Fn(State) -> State) {
        for c in &mut self.cells[a..=b] {
            *c = f(*c);
        }
    }

    /// See `Regions::claim`.
    pub fn claim(&mut self, a: usize, b: usize, owner: OwnerId, rights: Rights) -> bool {
        let ok = self.claimable(a, b, owner);
        if ok {
            self.paint(a, b, |c| own(c, owner, rights));
        }
        ok
    }

    /// See `Regions::claim_keeping`.
    pub fn claim_keeping(
        &mut self,
        a: usize,
        b: usize,
        owner: OwnerId,
        need: Rights,
    ) -> Option<Rights> {
        let rights = self.cells[a].rights();
        let ok = self.claimable(a, b, owner) && rights.contains(need);
        if ok {
            self.paint(a, b, |c| own(c, owner, rights));
        }
        ok.then_some(rights)
    }

    /// See `Regions::alloc_in`.
    pub fn alloc_in(
        &mut self,
        (a, b): (usize, usize),
        order: u8,
        owner: OwnerId,
        rights: Rights,
        kept: bool,
    ) -> Option<usize> {
        let size = 1usize << order.checked_sub(self.shift)?.min(40);
        let fits = |u: usize| {
            self.addr(u).is_multiple_of((size as u64) << self.shift)
                && u + size - 1 <= b
                && self.cells[u..u + size].iter().all(|c| {
                    c.is_free() && c.is_reserved() == kept && c.rights() == self.cells[u].rights()
                })
        };
        let u = (a..=b).find(|&u| fits(u))?;
        self.paint(u, u + size - 1, |c| own(c, owner, rights));
        Some(u)
    }

    /// See `Regions::release`.
    pub fn release(&mut self, a: usize, b: usize, owner: OwnerId, rights: Rights) -> bool {
        let ok = self.cells[a..=b].iter().all(|c| c.owner() == Some(owner));
        if ok {
            self.paint(a, b, |c| free(c, rights));
        }
        ok
    }

    /// See `Regions::add_free`.
    pub fn add_free(&mut self, a: usize, b: usize, rights: Rights) {
        let a = if self.cells[a].is_absent() {
            a
        } else {
            self.run(a).0
        };
        let b = if self.cells[b].is_absent() {
            b
        } else {
            self.run(b).1
        };
        self.paint(a, b, |_| State::free(rights));
    }

    /// See `Regions::reserve_for`: unit by unit.
    pub fn reserve_for(&mut self, a: usize, b: usize, owner: OwnerId, rights: Rights) -> bool {
        if self.cells[a..=b]
            .iter()
            .any(|c| c.owner().is_some_and(|o| o != owner))
        {
            return false;
        }
        let sticks_out = |u: usize| {
            let (x, y) = self.run(u);
            self.cells[u].owner().is_some() && (x < a || y > b)
        };
        let change: Vec<usize> = (a..=b).filter(|&u| !sticks_out(u)).collect();
        let new = if owner == OwnerId::SIGMA0 {
            State::ABSENT
        } else {
            State::owned(owner, rights)
        };
        for u in change {
            self.cells[u] = new;
        }
        true
    }

    /// Stored runs as (first unit, last unit, state).
    pub fn runs(&self) -> Vec<(usize, usize, State)> {
        let mut v = Vec::new();
        let mut u = 0;
        while u < self.cells.len() {
            let (_, b) = self.run(u);
            if !self.cells[u].is_absent() {
                v.push((u, b, self.cells[u]));
            }
            u = b + 1;
        }
        v
    }
}

fn plain(c: State) -> State {
    if c.is_free() {
        State::free(c.rights())
    } else if let Some(o) = c.owner() {
        State::owned(o, c.rights())
    } else {
        c
    }
}

fn own(c: State, owner: OwnerId, rights: Rights) -> State {
    State::owned(owner, rights).with_reserved(c.is_reserved())
}

fn free(c: State, rights: Rights) -> State {
    State::free(rights).with_reserved(c.is_reserved())
}

/// Bytes to choices; zeros when the bytes have run out.
pub struct Bytes<'a>(pub &'a [u8]);

impl Bytes<'_> {
    fn byte(&mut self) -> u8 {
        let Some((&b, rest)) = self.0.split_first() else {
            return 0;
        };
        self.0 = rest;
        b
    }

    fn below(&mut self, n: usize) -> usize {
        (self.byte() as usize | (self.byte() as usize) << 8) % n
    }
}

/// What a trace met, to prove that the traces reach what they are for.
#[derive(Clone, Copy, Default, Debug)]
pub struct Met {
    /// Operations that did what was asked.
    pub done: u32,
    /// Operations refused for the client's reasons.
    pub refused: u32,
    /// Operations refused for want of nodes.
    pub no_nodes: u32,
    /// Pages turned into nodes.
    pub pages: u32,
}

/// Runs one trace on the map and the model, and compares results and content after each step.
/// Panics where they differ.
pub fn drive(data: &[u8]) -> Met {
    let mut met = Met::default();
    let mut b = Bytes(data);
    let kind = b.byte();
    // Where the universe lies: the bottom, the top, somewhere; the ports with unit 1.
    let (map, base, shift) = match kind % 4 {
        0 => (MapId::Ram, 0, 12),
        1 => (MapId::Ram, 0u64.wrapping_sub((UNITS as u64) << 12), 12),
        2 => (MapId::Ports, 0xff00 - 7, 0),
        _ => (MapId::Ram, 0x1_0000_5000, 12),
    };
    let slots = sigma0_rs::map::MIN_SLOTS + (kind as usize / 4) % 16;
    let grows = kind & 0x80 != 0;
    let (_memory, nodes) = memory(slots, if grows { 4 } else { 0 });
    let mut maps = Regions::new(nodes).unwrap();
    if grows {
        // SAFETY: `window` gives leaked memory that nothing else uses.
        unsafe { maps.set_growth(window) };
    }
    let mut model = Model::new(base, shift, UNITS);
    while !b.0.is_empty() {
        step(&mut b, map, &mut maps, &mut model, &mut met);
        compare(map, &maps, &model);
    }
    met
}

fn rights(n: u8) -> Rights {
    [Rights::RWX, Rights::RW, Rights::RX, Rights::R][n as usize % 4]
}

fn step(b: &mut Bytes<'_>, map: MapId, maps: &mut Regions, model: &mut Model, met: &mut Met) {
    let op = b.byte();
    let who = b.byte();
    let owner = OwnerId::new(u16::from(who % 3) + 4).unwrap();
    let r = rights(who / 3);
    let x = b.below(UNITS);
    let len = match who >> 6 {
        0 => 1,
        1 => 1 + b.byte() as usize % 4,
        _ => 1 + b.byte() as usize % UNITS,
    };
    let y = (x + len - 1).min(UNITS - 1);
    let order = model.shift + op / 16 % 6;
    let range = model.range(x, y);
    let mut trial = model.clone();
    let before = maps.totals(map);
    let (got, want) = match op % 16 {
        0..=3 => (
            maps.claim(map, range, owner, r).map(|()| 0),
            trial.claim(x, y, owner, r).then_some(0),
        ),
        4..=5 => (
            maps.claim_keeping(map, model.range(x, x), owner, r)
                .map(|r| u64::from(r.bits())),
            trial
                .claim_keeping(x, x, owner, r)
                .map(|r| u64::from(r.bits())),
        ),
        6..=7 => (
            maps.alloc(map, order, owner, r).map(|a| a.start()),
            trial
                .alloc_in((0, UNITS - 1), order, owner, r, false)
                .map(|u| trial.addr(u)),
        ),
        8 => (
            maps.alloc_in(map, range, order, owner, r, who & 1 == 0)
                .map(|a| a.start()),
            trial
                .alloc_in((x, y), order, owner, r, who & 1 == 0)
                .map(|u| trial.addr(u)),
        ),
        9..=11 => {
            // Half of the time exactly one own run, which random borders seldom hit.
            let (x, y) = if who & 32 != 0 { model.run(x) } else { (x, y) };
            let owner = if who & 16 != 0 {
                model.cells[x].owner().unwrap_or(owner)
            } else {
                owner
            };
            (
                maps.release(map, model.range(x, y), owner, Rights::RWX)
                    .map(|()| 0),
                trial.release(x, y, owner, Rights::RWX).then_some(0),
            )
        }
        12 => {
            trial.add_free(x, y, r);
            (maps.add_free(map, range, r).map(|()| 0), Some(0))
        }
        13 => {
            let owner = if who & 1 == 0 { owner } else { OwnerId::SIGMA0 };
            (
                maps.reserve_for(map, range, owner, r).map(|()| 0),
                trial.reserve_for(x, y, owner, r).then_some(0),
            )
        }
        14 => {
            let kept = who & 1 == 0;
            for u in x..=y {
                if trial.cells[u].is_free() {
                    trial.cells[u] = trial.cells[u].with_reserved(kept);
                }
            }
            (maps.set_kept(map, range, kept).map(|()| 0), Some(0))
        }
        _ => {
            let s = if who & 1 == 0 {
                State::free(r)
            } else {
                State::ABSENT
            };
            for u in x..=y {
                trial.cells[u] = s;
            }
            (maps.set(map, range, s).map(|()| 0), Some(0))
        }
    };
    let grown = taken();
    met.pages += grown.len() as u32;
    match got {
        Ok(_) => met.done += 1,
        Err(MapError::NoNodes) => met.no_nodes += 1,
        Err(_) => met.refused += 1,
    }
    let multi_step = op % 16 == 14;
    match got {
        Err(MapError::NoNodes) if multi_step => {
            // Run by run: what was done stays, and it is a prefix.
            let done = (x..=y).take_while(|&u| state_at(maps, map, &trial, u) == trial.cells[u]);
            let done = done.count();
            model.cells[x..x + done].copy_from_slice(&trial.cells[x..x + done]);
        }
        Err(MapError::NoNodes) => {
            if grown.is_empty() {
                assert_eq!(maps.totals(map), before);
            }
        }
        Ok(v) => {
            assert_eq!(Some(v), want, "op {op} who {who} {x}..={y}");
            *model = trial;
        }
        Err(_) => assert_eq!(None, want, "op {op} who {who} {x}..={y}: {got:?}"),
    }
    for page in grown {
        // Taken pages were free and are gone; the operation's own range was not touched.
        let u = ((page - model.base) >> model.shift) as usize;
        assert!(
            model.cells[u].is_free(),
            "took unit {u}: {:?}",
            model.cells[u]
        );
        model.cells[u] = State::ABSENT;
    }
}

fn state_at(maps: &Regions, map: MapId, model: &Model, u: usize) -> State {
    maps.lookup(map, model.addr(u)).state
}

/// Content, look-ups, sums and invariants.
pub fn compare(map: MapId, maps: &Regions, model: &Model) {
    maps.validate().unwrap();
    let want = model.runs();
    let got: Vec<_> = maps.runs(map).map(|r| (r.range, r.state)).collect();
    let want_ranges: Vec<_> = want
        .iter()
        .map(|&(a, b, s)| (model.range(a, b), s))
        .collect();
    assert_eq!(got, want_ranges);
    for &(a, b, s) in &want {
        for u in [a, (a + b) / 2, b] {
            let run = maps.lookup(map, model.addr(u));
            assert_eq!((run.range, run.state), (model.range(a, b), s));
            assert_eq!(maps.inside(map, model.range(u, b)), Some(s));
        }
        if b + 1 < model.cells.len() {
            assert_eq!(maps.inside(map, model.range(a, b + 1)), None);
        }
    }
    let t = maps.totals(map);
    let sum = |f: &dyn Fn(State) -> bool| {
        (model.cells.iter().filter(|&&c| f(c)).count() as u64) << model.shift
    };
    assert_eq!(t.free, sum(&|c| c.is_free() && !c.is_reserved()));
    assert_eq!(t.kept, sum(&|c| c.is_free() && c.is_reserved()));
    assert_eq!(t.owned, sum(&|c| c.owner().is_some()));
    assert_eq!(t.runs as usize, want.len());
}
