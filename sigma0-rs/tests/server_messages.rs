//! Random messages to the whole server, against a reference that keeps one entry a page.
//!
//! Every answer must be the reference's to the last bit that matters, the maps must hold their
//! invariants after each step, and no byte of RAM may appear or vanish. The kernel is a stand-in
//! that accepts everything, or refuses everything when the test says so.

mod reference;

use std::cell::Cell;
use std::collections::BTreeMap;

use l4_sys::host::{self, Kernel};
use l4_sys::item::SendItem;
use l4_sys::{CapIdx, Errno, Fpage, FpageType, MsgTag, Timeouts, Utcb, UtcbRef};
use l4re_rs::log::LineLog;
use l4re_rs::server::{Incoming, Outcome, Service};
use proptest::prelude::*;
use reference::{Mapped, Message, PAGE, Reference};
use sigma0_rs::map::{MapId, NodeSlot, OwnerId, Range, Regions, Rights};
use sigma0_rs::server::Sigma0;
use sigma0_rs::topology::Topology;

const KIP: u64 = 0x2000;

/// Answers the server's own calls (gate creation, unmap) with success or "out of memory".
struct StubKernel {
    utcb: std::cell::UnsafeCell<[u64; 128]>,
    fails: Cell<bool>,
    calls: Cell<u32>,
}

impl Kernel for StubKernel {
    fn invoke(&self, _: CapIdx, _: u64, _: u64, tag: MsgTag, _: Timeouts) -> (MsgTag, u64) {
        self.calls.set(self.calls.get() + 1);
        if self.fails.get() {
            return (MsgTag::plain(Errno::NoMem.label(), 0, 0), 0);
        }
        // A factory answers with the capability that it put into the slot.
        let items = usize::from(tag.label() == l4_sys::proto::FACTORY);
        UtcbRef::current().set_mr(0, 0x38);
        (MsgTag::plain(0, 0, items), 0)
    }

    fn utcb(&self) -> *mut Utcb {
        self.utcb.get().cast()
    }

    fn at(&self, _: u64) -> *mut u8 {
        panic!("the server touches no memory in this test")
    }

    fn zero(&self, _: u64, _: u64) {
        panic!("the test zeroes by itself")
    }

    fn apic_id(&self) -> u32 {
        0
    }

    fn entry(&self, _: Box<dyn FnOnce(u64) + Send>) -> u64 {
        panic!("the server starts no threads")
    }
}

/// RAM of the test machine as (first page, last page, owner, rights).
const RAM: [(u64, u64, u16, u8); 5] = [
    (0x00, 0x9e, 0, 7),
    (0x100, 0x13f, 0, 7),
    (0x140, 0x147, 4, 5),
    (0x148, 0x14f, 4, 6),
    (0x150, 0x2ff, 0, 7),
];
const IO: [(u64, u64); 2] = [(0x9f, 0xff), (0x300, u64::MAX / PAGE)];

fn nothing(_: Range) {}

fn machine() -> (Sigma0, Reference) {
    let mut maps =
        Regions::new(Vec::leak((0..256).map(|_| NodeSlot::EMPTY).collect())).expect("slots");
    let mut ram = BTreeMap::new();
    let range = |a: u64, b: u64| Range::new(a * PAGE, b * PAGE + (PAGE - 1)).expect("a range");
    for (first, last, owner, rights) in RAM {
        let r = Rights::from_bits(rights);
        match OwnerId::new(owner) {
            Some(o) => maps
                .reserve_for(MapId::Ram, range(first, last), o, r)
                .expect("room"),
            None => maps
                .add_free(MapId::Ram, range(first, last), r)
                .expect("room"),
        }
        ram.extend((first..=last).map(|p| (p, (owner, rights))));
    }
    for (first, last) in IO {
        maps.add_free(MapId::Io, range(first, last), Rights::RW)
            .expect("room");
    }
    let ports = Range::new(0, 0xffff).expect("a range");
    maps.add_free(MapId::Ports, ports, Rights::RW)
        .expect("room");
    let topology: &'static Topology = Box::leak(Box::new(Topology::new()));
    let server = Sigma0::new(maps, topology, LineLog::disabled(), KIP, nothing);
    (server, Reference::new(ram, IO.to_vec(), KIP))
}

/// Reads what the server answered.
fn reply_of(utcb: UtcbRef, outcome: Outcome) -> reference::Reply {
    let Outcome::Reply(tag) = outcome else {
        panic!("every message is answered")
    };
    if tag.label() < 0 {
        assert_eq!(
            (tag.words(), tag.items()),
            (0, 0),
            "an error carries nothing"
        );
        return Err(Errno::from_label(tag.label()).expect("a known error"));
    }
    if tag.items() == 0 {
        return Ok(Mapped::Nothing);
    }
    let (control, fpage) = (utcb.mr(tag.words()), Fpage(utcb.mr(tag.words() + 1)));
    Ok(match fpage.kind() {
        FpageType::Memory => {
            assert_eq!(control & !0xfff, fpage.address(), "identity mapping");
            let cached = match control & 0xfff {
                0x38 => true,
                0x18 => false,
                other => panic!("control bits {other:#x}"),
            };
            let (address, order) = (fpage.address(), fpage.order());
            Mapped::Memory {
                address,
                order,
                rights: fpage.rights(),
                cached,
            }
        }
        FpageType::Io => {
            assert_eq!((control, fpage.rights()), (8, 6));
            Mapped::Ports {
                first: fpage.number(),
                order: fpage.order(),
            }
        }
        FpageType::Obj => {
            assert_eq!((control, fpage.order(), fpage.rights()), (8, 0, 7));
            Mapped::Gate {
                slot: fpage.number(),
            }
        }
        FpageType::Special => panic!("a special flexpage in an answer"),
    })
}

/// A flexpage near the test machine's memory, often aligned, sometimes absurd.
fn fpage() -> impl Strategy<Value = u64> {
    let near = (0u64..0x340, 10u32..23).prop_map(|(page, order)| {
        let size = 1u64 << order.saturating_sub(12);
        Fpage::mem(page / size * size * PAGE, order, l4_sys::MemRights::empty()).0
    });
    let crooked = (0u64..0x340, 0u32..64)
        .prop_map(|(page, order)| Fpage::mem(page * PAGE, order, l4_sys::MemRights::RWX).0);
    let ports = (0u64..0x10010, 0u32..18).prop_map(|(p, o)| Fpage::io(p >> o << o, o).0);
    prop_oneof![8 => near, 2 => crooked, 1 => ports, 1 => any::<u64>()]
}

#[derive(Clone, Debug)]
enum Step {
    Send(Message),
    /// Idle turns of the server.
    Idle(u8),
    /// The kernel refuses the server's calls from now on, or no more.
    KernelFails(bool),
}

fn message() -> impl Strategy<Value = Message> {
    let owner = prop_oneof![Just(4u16), Just(12), Just(13)];
    let body = prop_oneof![
        6 => (0u64..0x340, 0u64..4096, Just(()))
            .prop_map(|(p, low, ())| (-2i64, (p * PAGE) | low, 0)),
        1 => any::<u64>().prop_map(|a| (-2i64, a, 0)),
        10 => (0u64..16, 0u64..16, fpage())
            .prop_map(|(id, low, f)| (-6, !0xff | id << 4 | low, f)),
        10 => (6u64..10, fpage()).prop_map(|(id, f)| (-6, !0xff | id << 4, f)),
        1 => (any::<u64>(), fpage()).prop_map(|(w, f)| (-6, w, f)),
        3 => fpage().prop_map(|f| (-8, f, 0)),
        2 => prop_oneof![Just(-6i64), any::<i64>()].prop_map(|t| (-15, t as u64, 0)),
        6 => (0u64..2, 11u64..20, 0u64..5)
            .prop_map(|(n, o, f)| (0x5050, 5 | n << 32, o | f << 32)),
        10 => fpage().prop_map(|f| (0x5050, 6, f)),
        1 => (9u32..).prop_map(|op| (0x5050, u64::from(op), 0)),
        1 => any::<i64>().prop_map(|l| (l >> 16, 0, 0)),
    ];
    let words = prop_oneof![12 => Just(2usize), 1 => 0usize..4, 1 => Just(63)];
    (owner, any::<bool>(), body, words).prop_map(|(owner, may_create, (label, a, b), words)| {
        Message {
            owner,
            may_create,
            label,
            words,
            mr: [a, b, 0, 0],
        }
    })
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        30 => message().prop_map(Step::Send),
        3 => (0u8..4).prop_map(Step::Idle),
        1 => prop::bool::weighted(0.3).prop_map(Step::KernelFails),
    ]
}

/// Labels that the reference leaves to tests of their own.
fn is_modelled(m: &Message) -> bool {
    let op = m.mr[0] as u32;
    m.label != -21 && (m.label != 0x5050 || m.words == 0 || matches!(op, 5 | 6) || op > 8)
}

fn check(server: &Sigma0, reference: &Reference) {
    server.maps().validate().expect("the maps are consistent");
    let mut pages = BTreeMap::new();
    for run in server.maps().runs(MapId::Ram) {
        let owner = run.state.owner().map_or(0, OwnerId::get);
        let (a, b) = (run.range.start() / PAGE, run.range.end() / PAGE);
        pages.extend((a..=b).map(|p| (p, (owner, run.state.rights().bits()))));
    }
    assert_eq!(pages, reference.ram);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]
    #[test]
    fn answers_and_maps_are_the_reference_s(steps in prop::collection::vec(step(), 1..200)) {
        let kernel = StubKernel {
            utcb: std::cell::UnsafeCell::new([0; 128]),
            fails: Cell::new(false),
            calls: Cell::new(0),
        };
        // SAFETY: `kernel` outlives the test body, which puts the old one back.
        let old = unsafe { host::enter(Some(&raw const kernel as *const dyn Kernel)) };
        let (mut server, mut reference) = machine();
        for step in &steps {
            match step {
                Step::Send(m) if is_modelled(m) => {
                    let utcb = UtcbRef::current();
                    for (i, w) in m.mr.iter().enumerate() {
                        utcb.set_mr(i, *w);
                    }
                    let label = u64::from(m.owner) << 4 | if m.may_create { 2 } else { 0 };
                    let tag = MsgTag::plain(m.label, m.words, 0);
                    let outcome = server.handle(Incoming { label, tag, utcb });
                    prop_assert_eq!(reply_of(utcb, outcome), reference.answer(m), "{:?}", m);
                }
                Step::Send(_) => {}
                Step::Idle(n) => {
                    for _ in 0..*n {
                        let idle = server.patience() == l4_sys::Timeout::NEVER;
                        prop_assert_eq!(idle, reference.is_idle());
                        server.idle();
                        reference.idle();
                    }
                }
                Step::KernelFails(f) => {
                    kernel.fails.set(*f);
                    reference.kernel_fails = *f;
                }
            }
            check(&server, &reference);
        }
        // SAFETY: what was installed before lives as long as it did.
        unsafe { host::enter(old) };
    }
}

/// Senders that sigma0 cannot know, and items where none belong.
#[test]
fn odd_messages_change_nothing() {
    let kernel = StubKernel {
        utcb: std::cell::UnsafeCell::new([0; 128]),
        fails: Cell::new(false),
        calls: Cell::new(0),
    };
    // SAFETY: `kernel` outlives its use; tests of one thread run one after the other.
    unsafe { host::enter(Some(&raw const kernel as *const dyn Kernel)) };
    let (mut server, reference) = machine();
    let utcb = UtcbRef::current();
    let item = SendItem::plain(Fpage::INVALID);
    for label in [0, 3, 1 << 20, u64::MAX] {
        utcb.set_mr(0, !0xff | 0x90);
        utcb.set_mr(1, 12 << 6);
        utcb.set_mr(2, item.control);
        let msg = Incoming {
            label,
            tag: MsgTag::plain(-6, 2, 1),
            utcb,
        };
        assert_eq!(
            server.handle(msg),
            Outcome::error(Errno::Perm),
            "label {label:#x}"
        );
    }
    check(&server, &reference);
    assert_eq!(kernel.calls.get(), 0);
    // SAFETY: nothing was installed before in this test's thread.
    unsafe { host::enter(None) };
}
