//! Dataspaces of several clients and their contents as plain bytes, side by side.

use std::collections::BTreeMap;

use l4_sys::Errno;
use percore_pager::engine::ds::{
    self, Ask, ContiguousAlign, Death, Ds, Kind as DsKind, Progress, Source, Work, flag,
};
use percore_pager::engine::kernel::Foreign;
use percore_pager::engine::rm::Range;
use percore_pager::engine::{Account, Ref, Store, slabs};
use percore_pager::frames::{FrameNo, Kind, Run};

use crate::machine::{BASE, Machine, PAGE, STATIC_FRAMES, accounts, foreign_byte, machine};

#[path = "ds_check.rs"]
mod check;
#[path = "ds_op.rs"]
mod op;

pub use op::Op;

pub const FRAMES: u64 = 400;

struct Object {
    at: Ref<Ds>,
    account: usize,
    bytes: Vec<u8>,
    size: u64,
    align: u64,
    /// Whether its account shared nothing when it was made.
    private: bool,
    /// Its client's address space.
    client: u64,
}

pub struct Rig {
    m: Machine,
    own: Ref<Account>,
    accounts: Vec<(Ref<Account>, bool)>,
    objects: Vec<Object>,
    deaths: Vec<Death>,
    /// Clients whose object is gone, and its account.
    ghosts: BTreeMap<u64, usize>,
    next: u64,
    whole: u64,
    /// Calls are turns: see `Pool::begin_turn`.
    turns: bool,
}

impl Rig {
    pub fn new(kind: Kind, turns: bool) -> Self {
        let mut m = machine(FRAMES, kind);
        let (own, account) = accounts(&mut m, FRAMES * PAGE);
        let uses = m.uses();
        Rig {
            whole: uses.free + uses.meta,
            m,
            own,
            accounts: vec![(account, true)],
            objects: vec![],
            deaths: vec![],
            ghosts: BTreeMap::new(),
            next: 1,
            turns,
        }
    }

    /// A call, in turns as long as memory can be made free for it.
    fn in_turns<T>(
        &mut self,
        mut call: impl FnMut(&mut Self) -> Result<T, Errno>,
    ) -> Result<T, Errno> {
        for turn in 0.. {
            if self.turns {
                self.m.begin_turn();
            }
            let before = self.m.uses();
            let unmaps = self.m.kernel.unmaps;
            let got = call(self);
            let now = self.m.uses();
            if self.turns {
                // What the request itself handles comes to what is given back.
                let handled = before.kept.saturating_sub(now.kept)
                    + before.waiting.saturating_sub(now.waiting);
                assert!(handled <= 3 * 64, "{handled} frames in a turn");
                assert!(self.m.kernel.unmaps - unmaps <= 8 + 64 + 3);
            }
            if got.is_ok() || !self.turns || !self.m.is_short() {
                return got;
            }
            assert!(turn < 400, "it ends");
        }
        unreachable!()
    }

    fn pick(&self, which: u8) -> Option<usize> {
        (!self.objects.is_empty()).then(|| usize::from(which) % self.objects.len())
    }

    fn open_account(&self, which: u8) -> usize {
        let open: Vec<usize> = (0..self.accounts.len())
            .filter(|n| self.accounts[*n].1)
            .collect();
        open[usize::from(which) % open.len()]
    }

    fn add(&mut self, at: Ref<Ds>, account: usize, size: u64, align: u64, fill: Option<u64>) {
        let pages = size.next_multiple_of(align) / PAGE;
        let mut bytes = vec![0; (pages * PAGE) as usize];
        if let Some(first) = fill {
            for (n, page) in bytes.chunks_mut(PAGE as usize).enumerate() {
                page.copy_from_slice(self.m.kernel.page(FrameNo(first + n as u64)));
            }
        }
        let client = self.next;
        self.next += 1;
        let private = self.m.arena().get(self.accounts[account].0).is_private();
        self.objects.push(Object {
            at,
            account,
            private,
            bytes,
            size,
            align,
            client,
        });
    }

    /// Runs work to its end and checks the bound of each turn.
    fn finish(&mut self, work: Result<Work, Errno>) -> Result<(), Errno> {
        let mut work = work?;
        for turn in 0.. {
            assert!(turn < 4000, "it ends");
            self.m.kernel.work = 0;
            let progress = self.in_turns(|rig| work.step(&mut rig.m));
            // A page that is made and then copied to counts twice.
            assert!(
                self.m.kernel.work <= 2 * (64 << 10),
                "{} in a turn",
                self.m.kernel.work
            );
            if progress? == Progress::Done {
                return Ok(());
            }
        }
        Ok(())
    }

    fn map(&mut self, n: usize, ask: Ask) {
        let object = &self.objects[n];
        let it = *self.m.arena().get(object.at);
        let before = self.m.uses();
        let got = self.in_turns(|rig| ds::map(&mut rig.m, rig.objects[n].at, ask));
        let object = &self.objects[n];
        let allowed = if ask.writable {
            it.info(true)
        } else {
            it.info(false)
        }
        .flags
            & 7;
        let rounded = object.size.next_multiple_of(object.align);
        if ask.flags & 3 & !allowed != 0 {
            assert_eq!(got, Err(Errno::Perm));
            return;
        }
        if ask.offset >= rounded {
            assert_eq!(got, Err(Errno::Range));
            return;
        }
        let Ok(mapped) = got else {
            assert_eq!((got, it.kind()), (Err(Errno::NoMem), DsKind::OnDemand));
            let account = self.m.arena().get(self.accounts[object.account].0);
            let full = account.limit() - account.reserved() < 3 * PAGE;
            let uses = self.m.uses();
            assert!(full || uses.free < 3 || before.free < 3, "{uses:?}");
            return;
        };
        assert!(mapped.work <= 16);
        assert_eq!(
            (mapped.rights, mapped.base),
            (ask.flags & allowed, ask.spot & !(PAGE - 1))
        );
        // The flexpage holds the page that was asked for, at its place, and the frames around it are
        // the pages around it.
        let pages = u64::from(mapped.order.frames());
        let page = ask.offset / PAGE;
        let spot = mapped.base / PAGE;
        let mut frames = BTreeMap::new();
        ds::census(self.m.arena(), object.at, |page, frame, _| {
            frames.insert(page, frame.0);
        });
        let first = spot & !(pages - 1);
        for n in 0..pages {
            let (shown, place) = (mapped.start.0 + n, first + n);
            let meant = (page + place).wrapping_sub(spot);
            assert_eq!(
                frames.get(&meant),
                Some(&shown),
                "page {meant:#x} of {mapped:?}"
            );
        }
        if let Some(window) = ask.window {
            let inside = first * PAGE >= window.start()
                && (((first + pages - 1) * PAGE) | (PAGE - 1)) <= window.end();
            assert!(inside || pages == 1);
        }
        // Clients show an object at one place, so that a page can be compared.
        let client = object.client;
        if spot == page {
            self.m.kernel.receive(client, &mapped, (0, u64::MAX));
        }
    }

    fn write(&mut self, n: usize, page: u64, value: u8) {
        let object = &self.objects[n];
        let pages = object.bytes.len() as u64 / PAGE;
        let page = page % pages;
        let key = (object.client, page);
        if !self.m.kernel.maps.get(&key).is_some_and(|m| m.write) {
            let flags = flag::R | flag::W;
            let (offset, spot) = (page * PAGE, page * PAGE);
            self.map(
                n,
                Ask {
                    offset,
                    spot,
                    window: None,
                    flags,
                    writable: true,
                },
            );
        }
        if let Some(mapping) = self.m.kernel.maps.get(&key).filter(|m| m.write) {
            let frame = FrameNo(mapping.frame);
            let within = usize::from(value) * 16 % PAGE as usize;
            self.m.kernel.page(frame)[within] = value;
            self.objects[n].bytes[page as usize * PAGE as usize + within] = value;
        }
    }

    pub fn step(&mut self, op: Op) {
        match op {
            Op::OnDemand { account, size } => {
                let account = self.open_account(account);
                let limit = self.accounts[account].0;
                let made = self.in_turns(|rig| ds::create_on_demand(&mut rig.m, limit, size));
                if let Ok(at) = made {
                    self.add(at, account, size, PAGE, None);
                }
            }
            Op::Contiguous {
                account,
                size,
                align,
            } => {
                let account = self.open_account(account);
                let align = ContiguousAlign::new(align.into(), false).expect("small");
                let limit = self.accounts[account].0;
                let made =
                    self.in_turns(|rig| ds::create_contiguous(&mut rig.m, limit, size, align));
                if let Ok(at) = made {
                    while !ds::zero_some(&mut self.m, at) {}
                    let unit = self.m.arena().get(at).rounded_size() / PAGE;
                    let align = if unit * PAGE >= size.next_multiple_of(PAGE) {
                        // The size's multiple, as the object says it.
                        unit * PAGE
                    } else {
                        PAGE
                    };
                    self.add(at, account, size, align, None);
                }
            }
            Op::Static { size, flags } => {
                let first = BASE + 1 + FRAMES;
                let run = Run::new(FrameNo(first), STATIC_FRAMES).expect("a run");
                let size = size.min(STATIC_FRAMES * PAGE);
                let flags = flags & 5;
                if let Ok(at) = ds::create_static(&mut self.m, self.own, run, size, flags) {
                    self.add(at, 0, size, PAGE, Some(first));
                }
            }
            Op::Delete { which } => {
                if let Some(n) = self.pick(which) {
                    self.delete(n);
                }
            }
            Op::Map {
                which,
                offset,
                spot,
                window,
                flags,
                writable,
            } => {
                if let Some(n) = self.pick(which) {
                    let window = window.and_then(|(a, b)| Range::new(a, b | (PAGE - 1)));
                    self.map(
                        n,
                        Ask {
                            offset,
                            spot,
                            window,
                            flags,
                            writable,
                        },
                    );
                }
            }
            Op::Write { which, page, value } => {
                if let Some(n) = self.pick(which) {
                    self.write(n, page, value);
                }
            }
            Op::Clear {
                which,
                offset,
                size,
                writable,
            } => {
                if let Some(n) = self.pick(which) {
                    self.clear(n, offset, size, writable);
                }
            }
            Op::Allocate {
                which,
                offset,
                size,
            } => {
                if let Some(n) = self.pick(which) {
                    self.allocate(n, offset, size);
                }
            }
            Op::Copy {
                to,
                from,
                offset,
                source,
                size,
                pages,
            } => {
                if let (Some(to), Some(from)) = (self.pick(to), self.pick(from)) {
                    let cut = |v: u64| if pages { v & !(PAGE - 1) } else { v };
                    let source = (Source::Own(self.objects[from].at), cut(source));
                    let data = self.objects[from].bytes.clone();
                    self.copy(to, cut(offset), source, cut(size), |at| {
                        data.get(at as usize).copied()
                    });
                }
            }
            Op::CopyForeign {
                to,
                offset,
                source,
                size,
                fail,
            } => {
                if let Some(to) = self.pick(to) {
                    let from = (Source::Foreign(Foreign(7), 100 * PAGE + 5), source);
                    self.m.kernel.foreign = if fail { Err(Errno::Access) } else { Ok(()) };
                    let byte = |at| (at < 100 * PAGE + 5).then(|| foreign_byte(at));
                    self.copy(to, offset, from, size, byte);
                }
            }
            Op::StepDeaths => {
                let m = &mut self.m;
                self.deaths.retain_mut(|death| !death.step(m));
            }
            Op::Idle => {
                self.m.idle();
            }
            Op::OpenAccount { parent, pages } => {
                let parent = self.accounts[self.open_account(parent)].0;
                if let Ok(account) = slabs::open(&mut self.m, parent, pages * PAGE) {
                    self.accounts.push((account, true));
                }
            }
            Op::CloseAccount { which } => {
                let n = self.open_account(which);
                if n > 0 {
                    self.close(n);
                }
            }
            Op::Reach(which, reach) => {
                let account = self.accounts[self.open_account(which)].0;
                self.m.arena_mut().get_mut(account).set_reach(reach);
            }
            Op::Private(which, on) => {
                let account = self.accounts[self.open_account(which)].0;
                if on {
                    self.m.set_private(account);
                } else {
                    self.m.end_private(account);
                }
            }
        }
    }

    fn delete(&mut self, n: usize) {
        let object = self.objects.swap_remove(n);
        self.deaths.push(Death::begin(&mut self.m, object.at));
        self.ghosts.insert(object.client, object.account);
    }

    /// Closes an account and deletes what was made from it; those below it stay open here.
    fn close(&mut self, n: usize) {
        self.accounts[n].1 = false;
        while let Some(k) = self.objects.iter().position(|o| o.account == n) {
            self.delete(k);
        }
        slabs::close(&mut self.m, self.accounts[n].0);
    }

    fn clear(&mut self, n: usize, offset: u64, size: u64, writable: bool) {
        let at = self.objects[n].at;
        let length = self.objects[n].bytes.len() as u64;
        let may = self.m.arena().get(at).may_write(writable);
        let work = Work::clear(&self.m, at, offset, size, writable);
        if !may || offset >= length {
            let error = if may { Errno::Range } else { Errno::Access };
            assert_eq!(work.err(), Some(error));
            return;
        }
        let got = self.finish(work);
        let range = offset as usize..(offset + size.min(length - offset)) as usize;
        self.settle(n, got, range.clone());
        if got.is_ok() {
            self.objects[n].bytes[range].fill(0);
        }
    }

    fn allocate(&mut self, n: usize, offset: u64, size: u64) {
        let (at, exact) = (self.objects[n].at, self.objects[n].size);
        let on_demand = self.m.arena().get(at).kind() == DsKind::OnDemand;
        let work = Work::allocate(&self.m, at, offset, size, true);
        if on_demand && (offset >= exact || size > exact - offset) {
            assert_eq!(work.err(), Some(Errno::Range));
            return;
        }
        if self.finish(work).is_ok() && on_demand {
            let mut there = vec![];
            ds::census(self.m.arena(), at, |page, _, _| there.push(page));
            let pages = offset / PAGE..(offset + size).div_ceil(PAGE);
            assert!(size == 0 || pages.clone().all(|page| there.contains(&page)));
        }
    }

    fn copy(
        &mut self,
        n: usize,
        offset: u64,
        source: (Source, u64),
        size: u64,
        byte: impl Fn(u64) -> Option<u8>,
    ) {
        let at = self.objects[n].at;
        let work = Work::copy_in(&self.m, at, offset, source, size, true);
        if !self.m.arena().get(at).may_write(true) {
            assert_eq!(work.err(), Some(Errno::Access));
            return;
        }
        let got = self.finish(work);
        let room = self.objects[n].size.saturating_sub(offset).min(size);
        let new: Vec<u8> = (0..room)
            .map_while(|k| byte(source.1.checked_add(k)?))
            .collect();
        let start = offset.min(self.objects[n].size) as usize;
        let range = start..start + new.len();
        self.settle(n, got, range.clone());
        if got.is_ok() {
            self.objects[n].bytes[range].copy_from_slice(&new);
        }
    }
}
