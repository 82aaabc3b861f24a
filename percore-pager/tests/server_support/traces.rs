//! Clients that share dataspaces and region maps, beside the [`Model`]: every answer, and after every step
//! every page that a client has mapped, is what the model says.

use std::collections::{BTreeMap, BTreeSet};

use arbitrary::{Arbitrary, Unstructured};
use l4_sys::{CapRights, Errno, proto};
use l4re_rs::varg::Arg;
use percore_pager::frames::FrameNo;

use super::model::{Kind, Model, UNITS};
use super::{Cap, Item, Outcome, Reply, Rig, Shape};
use crate::machine::{Mapping, PAGE};

const STEPS: usize = 160;
const CLIENTS: usize = 2;
pub const SPAN: u64 = 64;
pub const KIB: u64 = 1024;

/// A step: what, by whom, and numbers.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub struct Op {
    pub kind: u8,
    pub client: bool,
    pub cap: u8,
    pub other: u8,
    pub numbers: [u8; 3],
    pub flags: u8,
}

/// What a request does when it succeeds.
#[derive(Clone, Copy, Debug)]
pub enum Effect {
    Create {
        parent: u64,
        kib: Option<u64>,
        kind: i64,
    },
    Map {
        ds: u64,
        page: u64,
        flags: u8,
        write: bool,
    },
    Fault {
        map: u64,
        page: u64,
        write: bool,
        fetch: bool,
    },
    Clear {
        ds: u64,
        at: u64,
        units: u64,
        write: bool,
    },
    Allocate {
        ds: u64,
        at: u64,
        units: u64,
    },
    Copy {
        to: (u64, u64),
        from: (u64, u64),
        units: u64,
        write: bool,
    },
    Attach {
        map: u64,
        start: u64,
        pages: u64,
        ds: Option<u64>,
        page: u64,
        rights: u8,
        own: bool,
        write: bool,
    },
    Detach {
        map: u64,
        start: u64,
        pages: u64,
        whole: bool,
    },
}

pub struct Trace {
    pub(super) rig: Rig,
    pub(super) model: Model,
    pub(super) caps: [Vec<Cap>; CLIENTS],
    pub(super) pending: BTreeMap<u32, (usize, Effect)>,
    /// What each mapped page is: a dataspace's page, by address space and page there.
    pub(super) meaning: BTreeMap<(u64, u64), (u64, u64)>,
    pub(super) stamp: u8,
}

pub fn run(bytes: &[u8]) {
    let mut input = Unstructured::new(bytes);
    let mut trace = Trace::new();
    for _ in 0..STEPS {
        if input.is_empty() {
            break;
        }
        let Ok(op) = Op::arbitrary(&mut input) else {
            break;
        };
        trace.step(op);
        trace.look(false);
    }
    trace.end();
}

/// The byte in each KiB of a page must be what the model says; only some are looked at unless `all`.
fn check(page: &[u8], bytes: [Option<u8>; UNITS as usize], all: bool) -> bool {
    page.chunks(KIB as usize)
        .zip(bytes)
        .all(|(unit, byte)| match byte {
            Some(byte) if all => unit.iter().all(|b| *b == byte),
            Some(byte) => unit[0] == byte && unit[1023] == byte && unit[511] == byte,
            None => true,
        })
}

impl Trace {
    fn new() -> Self {
        let rig = Rig::shaped(Shape {
            entries: 50,
            places: STEPS + 20,
            ..Shape::USUAL
        });
        let mut trace = Trace {
            rig,
            model: Model::default(),
            caps: [vec![], vec![]],
            pending: BTreeMap::new(),
            meaning: BTreeMap::new(),
            stamp: 1,
        };
        let root = trace.rig.root;
        for client in 0..CLIENTS {
            let factory = trace.rig.factory(root, 330);
            trace.model.add(factory.id, 0, Kind::Factory);
            trace.caps[client].push(factory);
            for (kind, kib) in [
                (proto::DATASPACE, Some(90)),
                (proto::DATASPACE, Some(33)),
                (proto::RM, None),
            ] {
                trace.create(client, factory, kind, kib, false);
            }
        }
        trace
    }

    pub(super) fn create(
        &mut self,
        client: usize,
        factory: Cap,
        kind: i64,
        kib: Option<u64>,
        block: bool,
    ) {
        let args = match kib {
            Some(kib) => vec![Arg::Uint(kib * KIB), Arg::Uint(u64::from(block))],
            None if kind == proto::FACTORY => vec![Arg::Uint(40 * PAGE)],
            None => vec![],
        };
        let words = self.rig.create_words(kind, &args);
        if !factory.rights.contains(CapRights::S) {
            let got = self.rig.send(factory, proto::FACTORY, &words, &[]);
            let refused =
                matches!(got, Outcome::Answer(ref reply) if reply.error() == Some(Errno::Perm));
            return assert!(refused || got == Outcome::Gone, "{got:?}");
        }
        let parent = factory.id;
        let effect = Effect::Create { parent, kib, kind };
        self.send(client, factory, proto::FACTORY, &words, None, effect);
    }

    pub(super) fn send(
        &mut self,
        client: usize,
        cap: Cap,
        protocol: i64,
        words: &[u64],
        item: Option<Cap>,
        effect: Effect,
    ) {
        let items: Vec<Item> = item.map(Item::Gate).into_iter().collect();
        match self.rig.send(cap, protocol, words, &items) {
            Outcome::Answer(reply) => self.finish(client, effect, &reply),
            Outcome::Parked(ticket) => {
                self.pending.insert(ticket.0, (client, effect));
            }
            Outcome::Gone => assert!(!self.model.alive(cap.id), "{cap:?} is gone"),
            Outcome::Nothing => panic!("no answer to {effect:?}"),
        }
    }

    pub(super) fn turn(&mut self) -> bool {
        let more = self.rig.turn();
        for (ticket, reply) in std::mem::take(&mut self.rig.answers) {
            let (client, effect) = self.pending.remove(&ticket).expect("somebody waits");
            self.finish(client, effect, &reply);
        }
        more
    }

    /// Dataspaces whose bytes a parked call changes, and those that one reads.
    pub(super) fn busy(&self) -> (BTreeSet<u64>, BTreeSet<u64>) {
        let (mut changed, mut read) = (BTreeSet::new(), BTreeSet::new());
        for (_, effect) in self.pending.values() {
            match *effect {
                Effect::Clear { ds, .. } => {
                    changed.insert(ds);
                }
                Effect::Copy { to, from, .. } => {
                    changed.insert(to.0);
                    read.insert(from.0);
                }
                Effect::Attach {
                    ds: Some(ds),
                    own: true,
                    ..
                } => {
                    read.insert(ds);
                }
                Effect::Detach { map, .. } => {
                    let pages = match self.model.objects.get(&map).map(|o| &o.kind) {
                        Some(Kind::Map(pages)) => pages.values(),
                        _ => continue,
                    };
                    changed.extend(pages.filter(|s| s.own).map(|s| s.ds));
                }
                _ => {}
            }
        }
        (changed, read)
    }

    /// A memory item appears: `first` page of `space` on is what `what` says it is.
    pub(super) fn show(
        &mut self,
        reply: &Reply,
        space: u64,
        mut what: impl FnMut(&mut Model, u64) -> (u64, u64),
    ) {
        let (base, address, order, rights) = reply.memory();
        let pages = 1u64 << (order - 12);
        let first = (base / PAGE) & !(pages - 1);
        let (changed, _) = self.busy();
        for n in 0..pages {
            let (ds, page) = what(&mut self.model, first + n);
            let bytes = self.model.page(ds, page).expect("a page of the dataspace");
            let frame = address / PAGE + n;
            let memory = self.rig.tables().fake.page(FrameNo(frame));
            let right = changed.contains(&ds) || check(memory, bytes, true);
            assert!(right, "page {page} of {ds} is not {bytes:?}");
            if rights == 0 {
                continue;
            }
            let key = (space, first + n);
            let maps = &mut self.rig.tables().fake.maps;
            let same = maps
                .get(&key)
                .is_some_and(|old| old.frame == frame && old.write);
            let write = rights & 2 != 0 || same;
            maps.insert(key, Mapping { frame, write });
            self.meaning.insert(key, (ds, page));
        }
    }

    /// Every page that a client has mapped is what the model says; `quiet`: nothing is ending.
    pub(super) fn look(&mut self, quiet: bool) {
        let (changed, _) = self.busy();
        let maps: Vec<_> = self
            .rig
            .tables()
            .fake
            .maps
            .iter()
            .map(|(k, m)| (*k, m.frame))
            .collect();
        for (key, frame) in maps {
            let (ds, page) = self.meaning[&key];
            assert!(
                !quiet || self.model.objects.contains_key(&ds),
                "{ds} is gone and mapped"
            );
            if changed.contains(&ds) {
                continue;
            }
            let Some(bytes) = self.model.page(ds, page) else {
                continue;
            };
            let memory = self.rig.tables().fake.page(FrameNo(frame));
            assert!(
                check(memory, bytes, false),
                "page {page} of {ds} became other than {bytes:?}"
            );
        }
    }

    /// All calls and ends are done: gates are there exactly for what the model has.
    pub(super) fn settle(&mut self) {
        let mut turns = 0;
        while self.turn() {
            turns += 1;
            assert!(turns < 100_000);
        }
        assert!(self.pending.is_empty(), "somebody waits for ever");
        while self.rig.core.idle() {}
        let live = self.model.forget_dead();
        let mut gates: BTreeSet<u64> = self
            .rig
            .tables()
            .gates
            .values()
            .map(|gate| gate.id)
            .collect();
        let root = self.rig.root.id;
        assert!(gates.remove(&root));
        let named: BTreeSet<u64> = live.iter().copied().filter(|id| *id < 1 << 40).collect();
        assert_eq!(gates, named);
        for caps in &mut self.caps {
            caps.retain(|cap| named.contains(&cap.id));
        }
        self.look(true);
    }

    fn end(&mut self) {
        self.settle();
        for caps in std::mem::take(&mut self.caps) {
            for cap in caps {
                self.rig.drop_cap(cap);
            }
        }
        // The clients' address spaces end, too.
        self.rig.tables().fake.maps.clear();
        self.rig.check_empty();
    }
}
