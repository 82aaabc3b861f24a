//! A pager thread's core with clients around it: capabilities with counted gates, messages as the
//! kernel would deliver them, answers as it would hand them over.

#![allow(dead_code)] // Each test program uses a part of it.

pub mod answers;
pub mod cases;
pub mod isolation;
pub mod model;
pub mod ops;
pub mod requests;
pub mod steps;
pub mod traces;
pub mod world;

use std::collections::BTreeMap;
use std::mem::ManuallyDrop;

use l4_sys::{CapRights, Errno, Fpage, FpageType, MsgTag, UtcbRef, proto};
use l4re_rs::msg::Writer;
use l4re_rs::server::Incoming;
use l4re_rs::varg::Arg;
use percore_pager::engine::Uses;
use percore_pager::engine::objects::{Entry, Objects};
use percore_pager::engine::rm::Range;
use percore_pager::frames::{FrameNo, Kind, Live};
use percore_pager::server::{Core, Parked, Setting, Ticket, Turn, Verdict};

pub use world::{GATES, Manner, Tables};

use crate::machine::{PAGE, machine_in};

/// Most bytes that one message or turn may zero or copy: 64 KiB and a page.
pub const TURN_BYTES: u64 = 17 * PAGE;
/// Range that the kernel keeps in every region map.
pub const KERNEL: (u64, u64) = (0x7000_0000, 0x7000_ffff);
/// Last address of a region map.
pub const HIGHEST: u64 = 0x7fff_ffff;

/// A client's capability for a gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cap {
    pub id: u64,
    pub label: u64,
    pub rights: CapRights,
}

/// An item that a client sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Item {
    /// One of the server's gates.
    Gate(Cap),
    /// A foreign dataspace of so many bytes.
    Foreign(u64, Manner),
    /// Nothing was behind it.
    Void,
    /// Any two words.
    Raw(u64, u64),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    pub label: i64,
    pub words: Vec<u64>,
    pub items: Vec<(u64, u64)>,
}

impl Reply {
    pub fn error(&self) -> Option<Errno> {
        Errno::from_label(self.label)
    }

    /// The memory item: send base, first frame's address, log2 of the bytes, rights.
    pub fn memory(&self) -> (u64, u64, u32, u8) {
        let [(control, word)] = self.items[..] else {
            panic!("not one item: {self:?}")
        };
        let page = Fpage(word);
        assert_eq!((control & 8, page.kind()), (8, FpageType::Memory));
        (
            control >> 12 << 12,
            page.address(),
            page.order(),
            page.rights(),
        )
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The gate is gone: the kernel refuses.
    Gone,
    Answer(Reply),
    /// No answer ever.
    Nothing,
    Parked(Ticket),
}

pub type TestCore = Core<'static, Live<'static>, Tables>;

pub struct Rig {
    /// Never dropped: a policy's trees lie in the memory that is given back before.
    pub core: ManuallyDrop<TestCore>,
    block: Box<[u64; 128]>,
    pub next_ticket: u32,
    /// Answers of parked calls.
    pub answers: BTreeMap<u32, Reply>,
    /// The next answers cannot be delivered.
    pub deaf: bool,
    pub start: Uses,
    pub root: Cap,
    /// Whether a message may take a turn's work only.
    bounded: bool,
}

/// How a rig is made.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    pub frames: u64,
    pub entries: usize,
    pub places: usize,
    pub inline_work: bool,
    pub first_label: u32,
}

impl Shape {
    pub const USUAL: Shape = Shape {
        frames: 1024,
        entries: 64,
        places: 8,
        inline_work: false,
        first_label: 128,
    };
}

impl Rig {
    pub fn new() -> Self {
        Self::shaped(Shape::USUAL)
    }

    pub fn shaped(shape: Shape) -> Self {
        let mut block = Box::new([0xdead_beef_dead_beef; 128]);
        // SAFETY: a UTCB-sized block that lives as long as the rig and is used by its thread only.
        let utcb = unsafe { UtcbRef::from_ptr(block.as_mut_ptr().cast()) };
        let mut pool = machine_in(shape.frames, Kind::Bitmap, |fake| Tables::new(fake, utcb));
        let loans = &mut pool.kernel.fake.loans;
        let entries = loans.lend(Entry::EMPTY, shape.entries);
        let objects = Objects::numbered(entries, shape.first_label);
        let reserved = loans.lend(Range::new(KERNEL.0, KERNEL.1).expect("a range"), 1);
        let places = loans.lend(Parked::EMPTY, shape.places);
        let setting = Setting {
            limits: Range::new(0x1000, HIGHEST).expect("a range"),
            reserved,
            inline_work: shape.inline_work,
        };
        let mut core = Core::new(objects, pool, places, setting);
        let root = core.open_root().expect("memory");
        let entry = core.objects.number(root);
        let root = Cap {
            id: core.pool.kernel.gates[&entry].id,
            label: root.word(),
            rights: CapRights::W | CapRights::S | CapRights::R,
        };
        let mut rig = Rig {
            core: ManuallyDrop::new(core),
            block,
            next_ticket: 1,
            answers: BTreeMap::new(),
            deaf: false,
            start: Uses {
                free: 0,
                held: 0,
                meta: 0,
                data: 0,
                kept: 0,
                waiting: 0,
            },
            root,
            bounded: !shape.inline_work && shape.places > 0,
        };
        rig.core.pool.kernel.refer(rig.root.id, true);
        rig.start = rig.core.pool.uses();
        rig
    }

    pub fn utcb(&mut self) -> UtcbRef {
        // SAFETY: as in `shaped`.
        unsafe { UtcbRef::from_ptr(self.block.as_mut_ptr().cast()) }
    }

    pub fn tables(&mut self) -> &mut Tables {
        &mut self.core.pool.kernel
    }

    /// The kernel's deletion notice, which comes before any other message.
    fn notice(&mut self) {
        if std::mem::take(&mut self.core.pool.kernel.deleted) {
            self.core.gates_deleted();
        }
    }

    /// Sends a message through a capability.
    pub fn send(&mut self, cap: Cap, protocol: i64, words: &[u64], items: &[Item]) -> Outcome {
        if self.core.pool.kernel.gate(cap.id).is_none() {
            return Outcome::Gone;
        }
        let rights = u64::from(cap.rights.bits()) & 3;
        self.raw(cap.label | rights, protocol, words, items)
    }

    /// Delivers a message with any label.
    pub fn raw(&mut self, label: u64, protocol: i64, words: &[u64], items: &[Item]) -> Outcome {
        let tag = MsgTag::plain(protocol, words.len(), items.len());
        self.deliver(label, tag, words, items)
    }

    pub fn deliver(&mut self, label: u64, tag: MsgTag, words: &[u64], items: &[Item]) -> Outcome {
        self.notice();
        let utcb = self.utcb();
        for (n, word) in words.iter().enumerate() {
            utcb.set_mr(n, *word);
        }
        for (n, item) in items.iter().enumerate() {
            let (control, data) = match *item {
                Item::Gate(cap) => match self.core.pool.kernel.gate(cap.id) {
                    Some(_) => (0x3c, cap.label | u64::from(cap.rights.bits()) & 3),
                    None => (0x3a, 0),
                },
                Item::Foreign(size, manner) => {
                    self.core.pool.kernel.received = Some((size, manner));
                    (0x38, 0)
                }
                Item::Void => (0x3a, 0),
                Item::Raw(control, data) => (control, data),
            };
            let at = words.len() + 2 * n;
            if at < 62 {
                utcb.set_mr(at, control);
                utcb.set_mr(at + 1, data);
            }
        }
        let ticket = Ticket(self.next_ticket);
        self.next_ticket += 1;
        self.core.pool.kernel.fake.work = 0;
        let verdict = self.core.handle(Incoming { label, tag, utcb }, ticket);
        if self.bounded {
            let work = self.core.pool.kernel.fake.work;
            assert!(work <= TURN_BYTES, "a message took {work:#x} bytes of work");
        }
        match verdict {
            Verdict::Answer(tag) => Outcome::Answer(self.take(tag)),
            Verdict::Nothing => Outcome::Nothing,
            Verdict::Parked => Outcome::Parked(ticket),
        }
    }

    /// Takes the answer that is in the UTCB to its caller.
    pub fn take(&mut self, tag: MsgTag) -> Reply {
        assert!(tag.fits() && !tag.has_error());
        let utcb = self.utcb();
        let words = (0..tag.words()).map(|n| utcb.mr(n)).collect();
        let at = |n: usize| tag.words() + 2 * n;
        let items: Vec<(u64, u64)> = (0..tag.items())
            .map(|n| (utcb.mr(at(n)), utcb.mr(at(n) + 1)))
            .collect();
        if tag.label() < 0 {
            assert_eq!(
                (tag.words(), tag.items()),
                (0, 0),
                "an error is only a label"
            );
        }
        if std::mem::take(&mut self.deaf) {
            self.core.answer_failed();
            return Reply {
                label: i64::MIN,
                words: vec![],
                items: vec![],
            };
        }
        Reply {
            label: tag.label(),
            words,
            items,
        }
    }

    /// One turn; `false` when there was nothing to do.
    pub fn turn(&mut self) -> bool {
        self.notice();
        let utcb = self.utcb();
        let had_work = self.core.has_work();
        self.core.pool.kernel.fake.work = 0;
        let turn = self.core.turn(utcb);
        let work = self.core.pool.kernel.fake.work;
        assert!(work <= TURN_BYTES, "a turn took {work:#x} bytes of work");
        assert_eq!(had_work, turn != Turn::Idle);
        match turn {
            Turn::Idle => false,
            Turn::More => true,
            Turn::Answer(ticket, tag) => {
                let reply = self.take(tag);
                let old = self.answers.insert(ticket.0, reply);
                assert!(old.is_none(), "a call was answered twice");
                true
            }
        }
    }

    /// Turns until there is nothing to do.
    pub fn run(&mut self) {
        let mut turns = 0;
        while self.turn() {
            turns += 1;
            assert!(turns < 100_000, "turns without an end");
        }
    }

    /// A call to its answer, with nobody else in between.
    pub fn call(&mut self, cap: Cap, protocol: i64, words: &[u64], items: &[Item]) -> Reply {
        match self.send(cap, protocol, words, items) {
            Outcome::Answer(reply) => reply,
            Outcome::Parked(ticket) => {
                self.run();
                self.answers.remove(&ticket.0).expect("answered")
            }
            other => panic!("no answer: {other:?}"),
        }
    }

    /// The capability that an answer brings.
    pub fn receive(&mut self, reply: &Reply) -> Result<Cap, Errno> {
        if let Some(error) = reply.error() {
            return Err(error);
        }
        assert_eq!((reply.label, reply.words.len()), (0, 0));
        let [(control, word)] = reply.items[..] else {
            panic!("not one item: {reply:?}")
        };
        let page = Fpage(word);
        assert_eq!(
            (control, page.kind(), page.rights()),
            (8, FpageType::Obj, 15)
        );
        let entry = (page.number() - GATES) as u32;
        let gate = self.core.pool.kernel.gates[&entry];
        self.core.pool.kernel.refer(gate.id, true);
        Ok(Cap {
            id: gate.id,
            label: gate.label,
            rights: CapRights::all(),
        })
    }

    /// A factory request's words.
    pub fn create_words(&mut self, kind: i64, args: &[Arg<'_>]) -> Vec<u64> {
        let utcb = self.utcb();
        let writer = Writer::new(utcb).u64(kind.cast_unsigned());
        let tag = args
            .iter()
            .fold(writer, |writer, arg| writer.varg(*arg))
            .finish(proto::FACTORY)
            .expect("it fits");
        (0..tag.words()).map(|n| utcb.mr(n)).collect()
    }

    pub fn create(&mut self, factory: Cap, kind: i64, args: &[Arg<'_>]) -> Result<Cap, Errno> {
        let words = self.create_words(kind, args);
        let reply = self.call(factory, proto::FACTORY, &words, &[]);
        self.receive(&reply)
    }

    pub fn factory(&mut self, of: Cap, pages: u64) -> Cap {
        let quota = Arg::Uint(pages * PAGE);
        self.create(of, proto::FACTORY, &[quota])
            .expect("a factory")
    }

    pub fn dataspace(&mut self, of: Cap, bytes: u64) -> Cap {
        let size = Arg::Uint(bytes);
        self.create(of, proto::DATASPACE, &[size])
            .expect("a dataspace")
    }

    pub fn contiguous(&mut self, of: Cap, bytes: u64) -> Cap {
        let args = [Arg::Uint(bytes), Arg::Uint(1)];
        self.create(of, proto::DATASPACE, &args)
            .expect("a dataspace")
    }

    pub fn map(&mut self, of: Cap) -> Cap {
        self.create(of, proto::RM, &[]).expect("a region map")
    }

    /// A client drops a capability.
    pub fn drop_cap(&mut self, cap: Cap) {
        self.core.pool.kernel.refer(cap.id, false);
    }

    /// Maps a page of a dataspace.
    pub fn map_page(&mut self, ds: Cap, page: u64, flags: u64) -> Reply {
        self.call(
            ds,
            proto::DATASPACE,
            &[0, page * PAGE, page * PAGE, flags],
            &[],
        )
    }

    /// The bytes of the page at a memory answer's send base.
    pub fn bytes(&mut self, reply: &Reply) -> &mut [u8] {
        let (base, address, order, _) = reply.memory();
        let page = address + (base & ((1 << order) - 1));
        self.core.pool.kernel.fake.page(FrameNo(page / PAGE))
    }

    /// Bytes of memory that an account of a factory has left.
    pub fn info(&mut self, factory: Cap) -> [u64; 5] {
        let reply = self.call(factory, proto::MEM_ALLOC, &[0], &[]);
        reply.words.try_into().expect("five words")
    }

    /// Everything is as at the start: nothing but the root is there.
    pub fn check_empty(&mut self) {
        self.run();
        while self.core.idle() {}
        let uses = self.core.pool.uses();
        assert_eq!(
            (uses.meta, uses.data),
            (self.start.meta, 0),
            "memory is lost"
        );
        assert_eq!((uses.kept, uses.waiting), (0, 0));
        assert_eq!(self.core.objects.live(), 1);
        let tables = self.tables();
        assert_eq!((tables.gates.len(), tables.held.len()), (1, 0));
        assert!(tables.foreign.is_empty() && tables.fake.maps.is_empty());
        assert!(tables.open.is_empty() && tables.kept.is_empty() && tables.shown.is_empty());
        assert!(tables.fetch.rests(), "nobody asks any more");
        let root = self.root;
        let [quota, reserved, _, committed, _] = self.info(root);
        assert_eq!((reserved, committed), (0, 0), "of a quota of {quota}");
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        // SAFETY: the core, the only user of the memory, is not used any more and not dropped.
        unsafe { self.tables().release() }
    }
}
