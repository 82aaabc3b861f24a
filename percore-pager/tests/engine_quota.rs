//! Accounts and small objects against a plain model: every figure after every step.

mod engine_support;

use std::collections::BTreeMap;

use engine_support::{Pages, runner};
use percore_pager::engine::{Account, Figures, NoMemory, Ref, Store, quota, slabs};
use proptest::prelude::*;

const PAGE: u64 = 4096;

#[derive(Clone, Copy, Debug)]
enum Op {
    Open { parent: usize, limit: u64 },
    Close { which: usize },
    Put { account: usize, bytes: usize },
    Free { which: usize },
    Charge { account: usize, bytes: u64 },
    Settle { which: usize },
    Fuse { pages: Option<u32> },
}

fn op() -> impl Strategy<Value = Op> {
    let which = || 0usize..64;
    let limit = prop_oneof![
        4 => (1u64..40).prop_map(|pages| pages * PAGE),
        1 => Just(1), 1 => Just(u64::MAX), 1 => Just(u64::MAX - PAGE), 1 => any::<u64>()
    ];
    prop_oneof![
        3 => (which(), limit).prop_map(|(parent, limit)| Op::Open { parent, limit }),
        2 => which().prop_map(|which| Op::Close { which }),
        8 => (which(), prop_oneof![1usize..1100, Just(16), Just(1024), Just(600)])
            .prop_map(|(account, bytes)| Op::Put { account, bytes }),
        8 => which().prop_map(|which| Op::Free { which }),
        4 => (which(), prop_oneof![(0u64..9).prop_map(|n| n * PAGE), any::<u64>()])
            .prop_map(|(account, bytes)| Op::Charge { account, bytes }),
        3 => which().prop_map(|which| Op::Settle { which }),
        1 => proptest::option::of(0u32..3).prop_map(|pages| Op::Fuse { pages }),
    ]
}

/// What the model knows of an account.
#[derive(Debug)]
struct Model {
    at: Ref<Account>,
    parent: Option<usize>,
    limit: u64,
    open: bool,
    /// Slots in use by size class and page.
    pages: BTreeMap<(usize, u32), u32>,
    charged: u64,
}

struct Rig {
    pages: Pages,
    accounts: BTreeMap<usize, Model>,
    objects: Vec<(usize, usize, Ref<[u64; 0]>)>,
    charges: Vec<(usize, u64)>,
    next: usize,
}

fn class(bytes: usize) -> usize {
    bytes.max(16).next_power_of_two().trailing_zeros() as usize - 4
}

impl Rig {
    fn pick(&self, n: usize, open: bool) -> Option<usize> {
        let fit: Vec<_> = self
            .accounts
            .iter()
            .filter(|(_, a)| a.open || !open)
            .collect();
        (!fit.is_empty()).then(|| *fit[n % fit.len()].0)
    }

    fn own(&self, id: usize) -> u64 {
        let account = &self.accounts[&id];
        account.pages.len() as u64 * PAGE + account.charged
    }

    fn children(&self, id: usize) -> Vec<usize> {
        let of = |(n, a): (&usize, &Model)| (a.parent == Some(id)).then_some(*n);
        self.accounts.iter().filter_map(of).collect()
    }

    fn committed(&self, id: usize) -> u64 {
        let below: u64 = self.children(id).iter().map(|c| self.committed(*c)).sum();
        self.own(id) + below
    }

    /// What an account takes out of its parent's.
    fn share(&self, id: usize) -> u64 {
        let account = &self.accounts[&id];
        if account.open {
            account.limit
        } else {
            self.reserved(id)
        }
    }

    fn reserved(&self, id: usize) -> u64 {
        let below: u64 = self.children(id).iter().map(|c| self.share(*c)).sum();
        self.own(id) + below
    }

    /// Removes accounts that are over, and their objects from their parents' pages.
    fn bury(&mut self) {
        loop {
            let over = |id: &usize| !self.accounts[id].open && self.reserved(*id) == 0;
            let Some(id) = self.accounts.keys().copied().find(over) else {
                return;
            };
            let gone = self.accounts.remove(&id).expect("just found");
            if let Some(parent) = gone.parent {
                self.drop_slot(parent, 2, gone.at.page().0);
            }
        }
    }

    fn drop_slot(&mut self, id: usize, class: usize, page: u32) {
        let pages = &mut self.accounts.get_mut(&id).expect("alive").pages;
        let used = pages.get_mut(&(class, page)).expect("a page of this size");
        *used -= 1;
        if *used == 0 {
            pages.remove(&(class, page));
        }
    }

    fn add_slot(&mut self, id: usize, class: usize, page: u32) {
        let pages = &mut self.accounts.get_mut(&id).expect("alive").pages;
        *pages.entry((class, page)).or_default() += 1;
    }

    /// Whether one more object needs a page, by the model.
    fn needs_page(&self, id: usize, class: usize) -> bool {
        let room = [254, 127, 63, 31, 15, 7, 3][class];
        let full = |((c, _), used): (&(usize, u32), &u32)| *c != class || *used == room;
        self.accounts[&id].pages.iter().all(full)
    }

    fn room(&self, id: usize) -> u64 {
        let account = &self.accounts[&id];
        if account.limit == 0 {
            return u64::MAX;
        }
        self.share(id) - self.reserved(id)
    }

    fn has_pages(&self) -> bool {
        self.pages.fuse != Some(0) && self.pages.used() < 60
    }

    fn step(&mut self, op: Op) {
        match op {
            Op::Open { parent, limit } => self.open(parent, limit),
            Op::Close { which } => {
                // Never the first two, the server's own.
                if let Some(id) = self.pick(which, true).filter(|id| *id > 1) {
                    self.accounts.get_mut(&id).expect("alive").open = false;
                    let at = self.accounts[&id].at;
                    slabs::close(&mut self.pages, at);
                    self.bury();
                }
            }
            Op::Put { account, bytes } => {
                let Some(id) = self.pick(account, false) else {
                    return;
                };
                let fits = bytes <= 1024;
                let may = fits
                    && (!self.needs_page(id, class(bytes))
                        || self.room(id) >= PAGE && self.has_pages());
                match slabs::take(&mut self.pages, self.accounts[&id].at, bytes) {
                    Ok(at) => {
                        assert!(may, "an object beyond the limit");
                        let clash = self.objects.iter().any(|o| o.2 == at);
                        assert!(!clash, "two objects in one place");
                        self.add_slot(id, class(bytes), at.page().0);
                        self.objects.push((id, class(bytes), at));
                    }
                    Err(NoMemory) => assert!(!may, "refused with room left"),
                }
            }
            Op::Free { which } if !self.objects.is_empty() => {
                let n = which % self.objects.len();
                let (id, class, at) = self.objects.swap_remove(n);
                slabs::free(&mut self.pages, at);
                self.drop_slot(id, class, at.page().0);
                self.bury();
            }
            Op::Charge { account, bytes } => {
                let Some(id) = self.pick(account, true) else {
                    return;
                };
                if id == 0 && bytes > 1 << 40 {
                    return;
                }
                let done = quota::charge(self.pages.arena_mut(), self.accounts[&id].at, bytes);
                assert_eq!(done, bytes <= self.room(id));
                if done {
                    self.accounts.get_mut(&id).expect("alive").charged += bytes;
                    self.charges.push((id, bytes));
                }
            }
            Op::Settle { which } if !self.charges.is_empty() => {
                let n = which % self.charges.len();
                let (id, bytes) = self.charges.swap_remove(n);
                // The account may be over, and gone, already when nothing was charged.
                if bytes > 0 {
                    slabs::settle(&mut self.pages, self.accounts[&id].at, bytes);
                    self.accounts.get_mut(&id).expect("alive").charged -= bytes;
                    self.bury();
                }
            }
            Op::Fuse { pages } => self.pages.fuse = pages,
            Op::Free { .. } | Op::Settle { .. } => {}
        }
    }

    fn open(&mut self, parent: usize, limit: u64) {
        let Some(id) = self.pick(parent, true) else {
            return;
        };
        let page = if self.needs_page(id, 2) { PAGE } else { 0 };
        let may = (page == 0 || self.has_pages())
            && self
                .room(id)
                .checked_sub(page)
                .is_some_and(|room| limit <= room);
        match slabs::open(&mut self.pages, self.accounts[&id].at, limit) {
            Ok(at) => {
                assert!(may && limit > 0, "a child beyond its parent's limit");
                self.add_slot(id, 2, at.page().0);
                let model = Model {
                    at,
                    parent: Some(id),
                    limit,
                    open: true,
                    pages: BTreeMap::new(),
                    charged: 0,
                };
                self.accounts.insert(self.next, model);
                self.next += 1;
            }
            Err(NoMemory) => assert!(!may, "refused with room left"),
        }
    }

    fn check(&self) {
        for (id, model) in &self.accounts {
            let account = self.pages.arena().get(model.at);
            if model.limit != 0 {
                assert_eq!(
                    account.committed(),
                    self.committed(*id),
                    "committed of {id}"
                );
                assert_eq!(account.reserved(), self.reserved(*id), "reserved of {id}");
                assert_eq!(account.limit(), self.share(*id), "limit of {id}");
            }
            assert_eq!(account.is_closing(), !model.open);
        }
        let objects: usize = self.accounts.values().map(|a| a.pages.len()).sum();
        // One page more: the first account's own.
        assert_eq!(self.pages.used(), objects as u64 + 1, "a page was lost");
    }
}

fn rig() -> Rig {
    let mut pages = Pages::new(60);
    let own = slabs::root(&mut pages, 0).expect("the first page");
    let model = |at, parent, limit| Model {
        at,
        parent,
        limit,
        open: true,
        pages: BTreeMap::new(),
        charged: 0,
    };
    let mut accounts = BTreeMap::from([(0, model(own, None, 0))]);
    let limit = 48 * PAGE;
    let all = slabs::open(&mut pages, own, limit).expect("no limit");
    accounts.insert(1, model(all, Some(0), limit));
    let mut rig = Rig {
        pages,
        accounts,
        objects: vec![],
        charges: vec![],
        next: 2,
    };
    rig.add_slot(0, 2, all.page().0);
    rig
}

#[test]
fn figures_are_exact_after_every_step() {
    let traces = proptest::collection::vec(op(), 1..250);
    runner(400)
        .run(&traces, |ops| {
            let mut rig = rig();
            rig.check();
            for op in ops {
                rig.step(op);
                rig.check();
            }
            Ok(())
        })
        .unwrap_or_else(|e| panic!("{e}"));
}

#[test]
fn a_child_cannot_have_all_of_its_parent() {
    let mut pages = Pages::new(8);
    let own = slabs::root(&mut pages, 0).expect("a page");
    let parent = slabs::open(&mut pages, own, 5 * PAGE).expect("no limit");
    assert_eq!(slabs::open(&mut pages, parent, 5 * PAGE), Err(NoMemory));
    assert_eq!(slabs::open(&mut pages, parent, 0), Err(NoMemory));
    assert_eq!(pages.arena().get(parent).reserved(), 0);
    let child = slabs::open(&mut pages, parent, 4 * PAGE).expect("a page is left for it");
    assert_eq!(pages.arena().get(parent).reserved(), 5 * PAGE);
    assert_eq!(pages.arena().get(parent).committed(), PAGE);
    assert!(quota::charge(pages.arena_mut(), child, 4 * PAGE));
    assert!(!quota::charge(pages.arena_mut(), child, 1));
    assert_eq!(pages.arena().get(parent).committed(), 5 * PAGE);
    let figures = pages.arena().get(child).figures(3 * PAGE, 2 * PAGE);
    let expected = Figures {
        quota: 4 * PAGE,
        reserved: 4 * PAGE,
        memory: 3 * PAGE,
        committed: 4 * PAGE,
        free: 0,
    };
    assert_eq!(figures, expected);
}

#[test]
fn an_account_outlives_its_factory_until_its_last_page_is_dropped() {
    let mut pages = Pages::new(8);
    let own = slabs::root(&mut pages, 0).expect("a page");
    let parent = slabs::open(&mut pages, own, 100 * PAGE).expect("no limit");
    let child = slabs::open(&mut pages, parent, 50 * PAGE).expect("room");
    assert!(quota::charge(pages.arena_mut(), child, 3 * PAGE));
    slabs::close(&mut pages, child);
    assert_eq!(
        pages.arena().get(parent).reserved(),
        4 * PAGE,
        "the rest is back at once"
    );
    assert!(
        !quota::charge(pages.arena_mut(), child, 1),
        "it takes nothing any more"
    );
    slabs::settle(&mut pages, child, PAGE);
    assert_eq!(pages.arena().get(parent).reserved(), 3 * PAGE);
    // The parent goes first; the grandchild's end then clears both.
    slabs::close(&mut pages, parent);
    slabs::settle(&mut pages, child, 2 * PAGE);
    assert_eq!(pages.used(), 1, "only the root's page is left");
}

/// Accounts inside one another: as many as are promised, what the deepest uses counts in all of them, and
/// the last end clears them all, with figures that add up on the way.
#[test]
fn accounts_lie_inside_one_another_up_to_a_bound() {
    let deepest = u64::from(quota::DEEPEST);
    let mut pages = Pages::new(2 * deepest as u32 + 8);
    let own = slabs::root(&mut pages, 0).expect("a page");
    let top = slabs::open(&mut pages, own, 1000 * PAGE).expect("no limit");
    let mut chain = vec![top];
    for n in 1..deepest {
        let above = chain[chain.len() - 1];
        assert_eq!(u64::from(pages.arena().get(above).depth()), n);
        chain.push(slabs::open(&mut pages, above, (1000 - 2 * n) * PAGE).expect("room"));
    }
    let last = chain[chain.len() - 1];
    let before: Vec<_> = chain.iter().map(|at| *pages.arena().get(*at)).collect();
    assert_eq!(slabs::open(&mut pages, last, PAGE), Err(NoMemory));
    assert!(quota::charge(pages.arena_mut(), last, 3 * PAGE));
    for (at, before) in chain.iter().zip(&before) {
        let now = pages.arena().get(*at);
        assert_eq!(now.committed(), before.committed() + 3 * PAGE);
        let own = if *at == last { 3 * PAGE } else { 0 };
        assert_eq!(now.reserved(), before.reserved() + own);
    }
    // Beside the account below, each has an object: its page goes with it.
    let object = slabs::take(&mut pages, chain[40], 200).expect("room");
    // From the top, as a factory's end does it: what is charged keeps them.
    for (n, at) in chain.iter().enumerate() {
        slabs::close(&mut pages, *at);
        let left = pages.arena().get(top);
        let below = deepest - 1 - n as u64;
        assert_eq!(
            left.committed(),
            (deepest - 1 + 3 + 1) * PAGE,
            "{below} below"
        );
    }
    assert_eq!(
        pages.arena().get(top).reserved(),
        (deepest - 1 + 3 + 1) * PAGE
    );
    slabs::settle(&mut pages, last, 3 * PAGE);
    // The end stops at the account that has the object.
    assert_eq!(pages.arena().get(chain[40]).reserved(), PAGE);
    for at in &chain[..40] {
        assert_eq!(
            pages.arena().get(*at).committed(),
            (40 - depth_in(&chain, *at) + 1) * PAGE
        );
    }
    slabs::free(&mut pages, object);
    assert_eq!(pages.used(), 1, "only the server's page is left");
}

fn depth_in(chain: &[Ref<Account>], at: Ref<Account>) -> u64 {
    chain.iter().position(|other| *other == at).expect("in it") as u64
}

/// MOE-QUO-07: the server's own account has no limit and counts nothing; no other is without one.
#[test]
fn only_the_servers_own_account_has_no_limit() {
    let mut pages = Pages::new(40);
    let own = slabs::root(&mut pages, 0).expect("a page");
    for bytes in [1, PAGE, 1 << 62, u64::MAX] {
        assert!(quota::charge(pages.arena_mut(), own, bytes));
        assert!(quota::reserve(pages.arena_mut(), own, bytes));
    }
    let objects: Vec<_> = (0..20)
        .map(|_| slabs::take(&mut pages, own, 1024).expect("a page"))
        .collect();
    let child = slabs::open(&mut pages, own, u64::MAX).expect("no limit");
    let figures = |pages: &Pages, at| {
        let it = pages.arena().get::<Account>(at);
        (it.limit(), it.reserved(), it.committed())
    };
    assert_eq!(figures(&pages, own), (0, 0, 0));
    // A client cannot make one: 0 bytes are refused, wherever it asks.
    assert_eq!(slabs::open(&mut pages, own, 0), Err(NoMemory));
    assert_eq!(slabs::open(&mut pages, child, 0), Err(NoMemory));
    assert!(quota::charge(pages.arena_mut(), child, PAGE));
    assert_eq!(figures(&pages, child), (u64::MAX, PAGE, PAGE));
    assert!(!quota::charge(pages.arena_mut(), child, u64::MAX));
    // A limit that shrinks to nothing, because its account is closing, is none, either.
    slabs::settle(&mut pages, child, PAGE);
    assert!(quota::charge(pages.arena_mut(), child, 2 * PAGE));
    slabs::close(&mut pages, child);
    assert_eq!(figures(&pages, child).0, 2 * PAGE);
    assert!(!quota::charge(pages.arena_mut(), child, 1));
    slabs::settle(&mut pages, child, 2 * PAGE);
    for object in objects {
        slabs::free(&mut pages, object);
    }
    assert_eq!(pages.used(), 1);
    assert_eq!(figures(&pages, own), (0, 0, 0));
}
