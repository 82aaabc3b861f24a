//! Clients that share nothing send whatever they like: no byte of one may show in another's memory, no message
//! may take long, and when all are gone everything is back.

use std::collections::BTreeMap;

use arbitrary::{Arbitrary, Unstructured};
use l4_sys::{CapRights, Errno, Fpage, FpageType, MsgTag, proto};
use l4re_rs::msg::Writer;
use l4re_rs::varg::Arg;
use percore_pager::frames::FrameNo;

use super::ops::Op;
use super::{Cap, Item, Manner, Outcome, Reply, Rig, Shape};
use crate::machine::{Mapping, PAGE};

const CLIENTS: usize = 3;
/// Longest trace made of an input.
const STEPS: usize = 250;
/// Addresses of region maps that are used, in pages.
const SPAN: u64 = 80;

#[derive(Default)]
struct Client {
    caps: Vec<Cap>,
    /// The factory that it has from the service.
    factory: Option<Cap>,
}

/// Where the answer of a parked call goes.
#[derive(Clone, Copy)]
struct Waiting {
    client: usize,
    /// The address space that a memory item would be put into.
    space: u64,
}

struct Trace {
    rig: Rig,
    clients: Vec<Client>,
    waiting: BTreeMap<u32, Waiting>,
    service: Cap,
}

const PROTOCOLS: [i64; 12] = [
    proto::DATASPACE,
    proto::RM,
    proto::FACTORY,
    proto::META,
    proto::MEM_ALLOC,
    proto::DEBUG,
    proto::PAGE_FAULT,
    proto::IO_PAGE_FAULT,
    proto::EXCEPTION,
    proto::IRQ,
    0x5051,
    0,
];

/// Runs the trace that `bytes` stand for; panics when something shows that must not.
pub fn run(bytes: &[u8]) {
    let mut input = Unstructured::new(bytes);
    let mut trace = Trace::new();
    for step in 0..STEPS {
        if input.is_empty() {
            break;
        }
        let Ok(op) = Op::arbitrary(&mut input) else {
            break;
        };
        trace.step(op);
        if step % 16 == 15 {
            trace.look_at_everything();
        }
    }
    trace.end();
}

impl Trace {
    fn new() -> Self {
        let rig = Rig::shaped(Shape {
            entries: 40,
            // Enough for all: without a place a call is refused.
            places: STEPS + 20,
            ..Shape::USUAL
        });
        let service = rig.root;
        let mut trace = Trace {
            rig,
            clients: (0..CLIENTS).map(|_| Client::default()).collect(),
            waiting: BTreeMap::new(),
            service,
        };
        for client in 0..CLIENTS {
            trace.equip(client);
        }
        trace
    }

    /// A client begins with a factory, a dataspace and a region map.
    fn equip(&mut self, client: usize) {
        let words = self
            .rig
            .create_words(proto::FACTORY, &[Arg::Uint(250 * PAGE)]);
        let service = self.service;
        self.send(client, service, proto::FACTORY, &words, &[]);
        let factory = self.clients[client].caps.first().copied();
        self.clients[client].factory = factory;
        let Some(factory) = factory else { return };
        for (kind, args) in [
            (proto::DATASPACE, &[Arg::Uint(60 * PAGE)][..]),
            (proto::RM, &[]),
        ] {
            let words = self.rig.create_words(kind, args);
            self.send(client, factory, proto::FACTORY, &words, &[]);
        }
    }

    fn pick(&self, client: usize, n: u8) -> Option<Cap> {
        let caps = &self.clients[client].caps;
        caps.get(usize::from(n) % caps.len().max(1)).copied()
    }

    fn send(&mut self, client: usize, cap: Cap, protocol: i64, words: &[u64], items: &[Item]) {
        let space = client as u64 * 1_000_000 + cap.id;
        let outcome = self.rig.send(cap, protocol, words, items);
        self.outcome(outcome, Waiting { client, space });
    }

    fn outcome(&mut self, outcome: Outcome, to: Waiting) {
        match outcome {
            Outcome::Answer(reply) => self.answer(&reply, to),
            Outcome::Parked(ticket) => {
                self.waiting.insert(ticket.0, to);
            }
            Outcome::Gone | Outcome::Nothing => {}
        }
    }

    /// What the kernel does with an answer's items.
    fn answer(&mut self, reply: &Reply, to: Waiting) {
        if reply.label == i64::MIN {
            return;
        }
        if reply.label < 0 {
            assert!(reply.error().is_some(), "{reply:?} is no error");
        }
        for (_, word) in &reply.items {
            match Fpage(*word).kind() {
                FpageType::Memory => self.show(reply, to),
                FpageType::Obj => {
                    let cap = self.rig.receive(reply).expect("it is one");
                    self.clients[to.client].caps.push(cap);
                }
                other => panic!("an answer brings {other:?}"),
            }
        }
    }

    /// Memory appears in an address space: every byte of it is zero or its client's.
    fn show(&mut self, reply: &Reply, to: Waiting) {
        let (base, address, order, rights) = reply.memory();
        if rights == 0 {
            return;
        }
        let pages = 1u64 << (order - 12);
        let first = (base / PAGE) & !(pages - 1);
        for n in 0..pages {
            let frame = address / PAGE + n;
            self.check_page(to.client, frame);
            let key = (to.space, first + n);
            let maps = &mut self.rig.tables().fake.maps;
            let same = maps
                .get(&key)
                .is_some_and(|old| old.frame == frame && old.write);
            let write = rights & 2 != 0 || same;
            maps.insert(key, Mapping { frame, write });
        }
    }

    fn check_page(&mut self, client: usize, frame: u64) {
        let page = self.rig.tables().fake.page(FrameNo(frame));
        let own = client as u8 + 1;
        let strange = page.iter().find(|byte| **byte != 0 && **byte != own);
        assert_eq!(strange, None, "client {client} sees it in frame {frame}");
    }

    fn look_at_everything(&mut self) {
        let maps: Vec<(u64, u64)> = self
            .rig
            .tables()
            .fake
            .maps
            .iter()
            .map(|((space, _), mapping)| (*space, mapping.frame))
            .collect();
        for (space, frame) in maps {
            self.check_page((space / 1_000_000) as usize, frame);
        }
    }

    /// Another server answers a question; `false` when there is none.
    fn fetch(&mut self) -> bool {
        let asked = self.rig.tables().fetch_once();
        if asked {
            self.rig.core.foreign_ready();
        }
        asked
    }

    fn collect(&mut self) {
        for (ticket, reply) in std::mem::take(&mut self.rig.answers) {
            let to = self.waiting.remove(&ticket).expect("somebody waits");
            self.answer(&reply, to);
        }
    }

    fn step(&mut self, op: Op) {
        match op {
            Op::Create {
                client,
                factory,
                kind,
                size,
                flags,
            } => {
                let client = usize::from(client) % CLIENTS;
                let Some(cap) = self.pick(client, factory) else {
                    return self.equip(client);
                };
                let bytes = u64::from(size) * 577;
                let (kind, args) = match kind % 8 {
                    0..3 => (proto::DATASPACE, vec![Arg::Uint(bytes % (90 * PAGE))]),
                    3 => {
                        let flags = Arg::Uint(u64::from(flags));
                        (
                            proto::DATASPACE,
                            vec![Arg::Uint(bytes % (60 * PAGE)), flags],
                        )
                    }
                    4 => (
                        proto::DATASPACE,
                        vec![Arg::Int(-(bytes as i64)), Arg::Uint(1)],
                    ),
                    5 => (proto::FACTORY, vec![Arg::Uint(bytes)]),
                    6 => (proto::RM, vec![]),
                    _ => (proto::DATASPACE, vec![Arg::Uint(bytes << 16)]),
                };
                let words = self.rig.create_words(kind, &args);
                self.send(client, cap, proto::FACTORY, &words, &[]);
            }
            Op::Dataspace {
                client,
                cap,
                op,
                numbers,
                flags,
                source,
            } => {
                let client = usize::from(client) % CLIENTS;
                let (Some(cap), Some(source)) = (self.pick(client, cap), self.pick(client, source))
                else {
                    return;
                };
                let [a, b, c] = numbers.map(|n| u64::from(n) * 1024);
                let (words, items) = match op % 8 {
                    0..4 => (vec![0, a, a & !0xfff, u64::from(flags)], vec![]),
                    4 => (vec![1, a, b], vec![]),
                    5 => (vec![4, a, b], vec![]),
                    6 => {
                        // A server of the client's own, which has the client's bytes.
                        let mine = Manner::Filled(client as u8 + 1);
                        (vec![3, a, b, c], vec![Item::Foreign(90 * 1024, mine)])
                    }
                    _ => (vec![3, a, b, c], vec![Item::Gate(source)]),
                };
                self.send(client, cap, proto::DATASPACE, &words, &items);
            }
            Op::RegionMap {
                client,
                cap,
                op,
                start,
                size,
                flags,
                object,
                offset,
            } => {
                let client = usize::from(client) % CLIENTS;
                let (Some(cap), Some(object)) = (self.pick(client, cap), self.pick(client, object))
                else {
                    return;
                };
                let start = (1 + u64::from(start) % SPAN) * PAGE;
                let size = u64::from(size) * 1024;
                let words = match op % 8 {
                    0..4 => self.attach_words(start, size, flags, offset),
                    4 | 5 => vec![1, start, size, u64::from(flags % 3)],
                    6 => vec![10, start, start + size, u64::from(flags % 8)],
                    _ => vec![3 + u64::from(flags % 7), start, size, u64::from(offset)],
                };
                if matches!(op % 8, 4 | 5) {
                    // The client unmaps what it detaches.
                    let space = client as u64 * 1_000_000 + cap.id;
                    let maps = &mut self.rig.tables().fake.maps;
                    maps.retain(|(at, _), _| *at != space);
                }
                self.send(client, cap, proto::RM, &words, &[Item::Gate(object)]);
            }
            Op::Fault {
                client,
                cap,
                page,
                bits,
            } => {
                let client = usize::from(client) % CLIENTS;
                let Some(cap) = self.pick(client, cap) else {
                    return;
                };
                let word = ((1 + u64::from(page) % SPAN) * PAGE) | u64::from(bits);
                self.send(client, cap, proto::PAGE_FAULT, &[word, 5], &[]);
            }
            Op::Raw { .. } => self.raw(op),
            Op::Write { client, which } => {
                let client = usize::from(client) % CLIENTS;
                let first = client as u64 * 1_000_000;
                let range = (first, 0)..(first + 1_000_000, 0);
                let maps = &self.rig.tables().fake.maps;
                let mine: Vec<u64> = maps
                    .range(range)
                    .filter(|(_, mapping)| mapping.write)
                    .map(|(_, mapping)| mapping.frame)
                    .collect();
                if let Some(frame) = mine.get(usize::from(which) % mine.len().max(1)) {
                    let page = self.rig.tables().fake.page(FrameNo(*frame));
                    page.fill(client as u8 + 1);
                }
            }
            Op::Weaken { client, cap } => {
                let client = usize::from(client) % CLIENTS;
                if let Some(mut cap) = self.pick(client, cap)
                    && self.rig.tables().gate(cap.id).is_some()
                {
                    cap.rights = CapRights::R;
                    self.rig.tables().refer(cap.id, true);
                    self.clients[client].caps.push(cap);
                }
            }
            Op::Drop { client, cap } | Op::Delete { client, cap } => {
                let client = usize::from(client) % CLIENTS;
                let count = self.clients[client].caps.len();
                if count == 0 {
                    return;
                }
                let cap = self.clients[client].caps.remove(usize::from(cap) % count);
                if matches!(op, Op::Delete { .. }) && cap.rights.contains(CapRights::D) {
                    self.rig.tables().delete(cap.id);
                } else {
                    self.rig.drop_cap(cap);
                }
            }
            Op::Die { client } => {
                let client = usize::from(client) % CLIENTS;
                self.die(client);
                self.equip(client);
            }
            Op::Turn(count) => {
                for _ in 0..count % 32 {
                    self.rig.turn();
                    self.collect();
                }
            }
            Op::Idle(count) => {
                for _ in 0..count % 8 {
                    self.rig.core.idle();
                    self.fetch();
                }
            }
            Op::Fuse(count) => {
                self.rig.tables().fuse = (count < 200).then_some(u32::from(count % 16));
            }
            Op::Deaf => self.rig.deaf = true,
        }
    }

    fn attach_words(&mut self, start: u64, size: u64, flags: u8, offset: u8) -> Vec<u64> {
        let bits = u32::from(flags & 7)
            | u32::from(flags >> 3 & 3) << 12
            | u32::from(flags >> 5 & 3) << 17
            | u32::from(flags >> 7) << 11;
        let utcb = self.rig.utcb();
        let tag = Writer::new(utcb)
            .u32(0)
            .u64(start)
            .u64(size)
            .u32(bits)
            .u64(u64::from(offset) * 1024)
            .u8(12)
            .u64(1)
            .array(b"x\0")
            .u64(0)
            .finish(proto::RM)
            .expect("it fits");
        (0..tag.words()).map(|n| utcb.mr(n)).collect()
    }

    /// Any message through a capability, or with a label that means nothing.
    fn raw(&mut self, op: Op) {
        let Op::Raw {
            client,
            cap,
            protocol,
            words,
            count,
            items,
            item,
            label,
        } = op
        else {
            return;
        };
        let client = usize::from(client) % CLIENTS;
        let protocol = PROTOCOLS[usize::from(protocol) % PROTOCOLS.len()];
        let tag = MsgTag::plain(protocol, usize::from(count), usize::from(items));
        // What the kernel would have written: a label comes only from a capability.
        let object = self.pick(client, item[0] as u8);
        let item = match (item[1] % 4, object) {
            (0, Some(cap)) => Item::Gate(cap),
            (1, _) => Item::Foreign(item[0], Manner::Refuses(Errno::BadProto)),
            (2, _) => Item::Raw(item[0] & !6, item[1]),
            _ => Item::Void,
        };
        let item = match item {
            // Of what the kernel writes, this is not a capability that was received.
            Item::Raw(control, data) => Item::Raw(control & !8, data),
            other => other,
        };
        let send = [item, item];
        let send = &send[..usize::from(items).min(2)];
        let words = &words[..usize::from(count).min(5)];
        let to = |cap: Cap| Waiting {
            client,
            space: client as u64 * 1_000_000 + cap.id,
        };
        match self.pick(client, cap) {
            Some(cap) if self.rig.tables().gate(cap.id).is_some() => {
                let rights = u64::from(cap.rights.bits()) & 3;
                let outcome = self.rig.deliver(cap.label | rights, tag, words, send);
                self.outcome(outcome, to(cap));
            }
            _ => {
                let known = self.rig.core.objects.find(label).is_some();
                if !known {
                    let outcome = self.rig.deliver(label, tag, words, send);
                    assert!(
                        matches!(outcome, Outcome::Answer(ref reply) if reply.items.is_empty())
                    );
                }
            }
        }
    }

    /// A client ends: its address spaces and all its capabilities go.
    fn die(&mut self, client: usize) {
        let first = client as u64 * 1_000_000;
        let maps = &mut self.rig.tables().fake.maps;
        maps.retain(|(space, _), _| !(first..first + 1_000_000).contains(space));
        for cap in std::mem::take(&mut self.clients[client].caps) {
            self.rig.drop_cap(cap);
        }
        self.clients[client].factory = None;
        // Answers that are still to come reach nobody.
        for waiting in self.waiting.values_mut().filter(|w| w.client == client) {
            waiting.space = first;
        }
    }

    fn end(&mut self) {
        self.rig.tables().fuse = None;
        self.rig.deaf = false;
        self.look_at_everything();
        // Calls that wait are answered, and what they bring is dropped, too.
        loop {
            while self.rig.turn() {
                self.collect();
            }
            if !self.fetch() {
                break;
            }
        }
        assert!(self.waiting.is_empty(), "somebody waits for ever");
        for client in 0..CLIENTS {
            self.die(client);
        }
        self.rig.check_empty();
    }
}
