//! Drives the whole server and the reference side by side: the stand-in kernel, the test machine, and
//! one step of the comparison.

use std::cell::Cell;
use std::collections::BTreeMap;

use l4_sys::host::{self, Kernel};
use l4_sys::{CapIdx, Errno, Fpage, FpageType, MsgTag, Timeouts, Utcb, UtcbRef};
use l4re_rs::log::LineLog;
use l4re_rs::server::{Incoming, Outcome, Service};
use sigma0_rs::map::{MapId, NodeSlot, OwnerId, Range, Regions, Rights};
use sigma0_rs::server::Sigma0;
use sigma0_rs::topology::Topology;

use super::{Mapped, Message, PAGE, Reference, Reply};

const KIP: u64 = 0x2000;

/// Answers the server's own calls (gate creation, unmap) with success or "out of memory".
pub struct StubKernel {
    utcb: std::cell::UnsafeCell<[u64; 128]>,
    /// Whether the server's own calls are refused.
    pub fails: Cell<bool>,
    /// Calls that the server made.
    pub calls: Cell<u32>,
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

pub fn machine() -> (Sigma0, Reference) {
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
pub fn reply_of(utcb: UtcbRef, outcome: Outcome) -> Reply {
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

/// Labels that the reference leaves to tests of their own.
pub fn is_modelled(m: &Message) -> bool {
    let op = m.mr[0] as u32;
    m.label != -21 && (m.label != 0x5050 || m.words == 0 || matches!(op, 5 | 6) || op > 8)
}

pub fn check(server: &Sigma0, reference: &Reference) {
    server.maps().validate().expect("the maps are consistent");
    let mut pages = BTreeMap::new();
    for run in server.maps().runs(MapId::Ram) {
        let owner = run.state.owner().map_or(0, OwnerId::get);
        let (a, b) = (run.range.start() / PAGE, run.range.end() / PAGE);
        pages.extend((a..=b).map(|p| (p, (owner, run.state.rights().bits()))));
    }
    assert_eq!(pages, reference.ram);
}

impl StubKernel {
    /// Accepts everything.
    pub fn new() -> Self {
        StubKernel {
            utcb: std::cell::UnsafeCell::new([0; 128]),
            fails: Cell::new(false),
            calls: Cell::new(0),
        }
    }

    /// Runs `body` with this kernel answering the calls of this thread.
    pub fn run<R>(&self, body: impl FnOnce() -> R) -> R {
        // SAFETY: `self` outlives `body`, and the kernel before it is put back. A panic of `body` ends
        // the test, which makes no more calls.
        let old = unsafe { host::enter(Some(std::ptr::from_ref(self) as *const dyn Kernel)) };
        let result = body();
        // SAFETY: what was installed before lives as long as it did.
        unsafe { host::enter(old) };
        result
    }
}

/// Sends one message to both and compares the answers; messages outside the reference are left out.
pub fn send(server: &mut Sigma0, reference: &mut Reference, m: &Message) {
    if !is_modelled(m) {
        return;
    }
    let utcb = UtcbRef::current();
    for (i, w) in m.mr.iter().enumerate() {
        utcb.set_mr(i, *w);
    }
    let label = u64::from(m.owner) << 4 | if m.may_create { 2 } else { 0 };
    let tag = MsgTag::plain(m.label, m.words, 0);
    let outcome = server.handle(Incoming { label, tag, utcb });
    assert_eq!(reply_of(utcb, outcome), reference.answer(m), "{m:?}");
}

/// The fuzzer's body: bytes as a sequence of messages, 19 bytes each. All kinds of message are
/// reachable; the bytes of a message decide its words directly, so nothing well-formed is assumed.
pub fn drive(data: &[u8]) {
    let kernel = StubKernel::new();
    kernel.run(|| {
        let (mut server, mut reference) = machine();
        for step in data.chunks_exact(19) {
            let [kind, form, words, rest @ ..] = step else {
                return;
            };
            let word = |at: usize| {
                let bytes = rest.get(at..at + 8).and_then(|b| b.try_into().ok());
                bytes.map_or(0, u64::from_le_bytes)
            };
            let (mut a, mut b) = (word(0), word(8));
            let label = [-2, -6, -8, -15, 0x5050, -5, -6, -6][usize::from(form & 7)];
            // Half of the messages are bent towards memory that is there.
            if form & 8 != 0 {
                let near = |w: u64| (w % 0x340 * PAGE) | (w >> 10 & 0xf80) | (w >> 40 & 0x7f);
                match label {
                    -2 => a = near(a),
                    -6 => (a, b) = (!0xff | a & 0xff, near(b)),
                    -15 => a = (-6i64).cast_unsigned(),
                    0x5050 if a & 1 == 0 => (a, b) = (6, near(b)),
                    0x5050 => (a, b) = (5 | (b & 1) << 32, b >> 8 & 0x1f | (b >> 13 & 7) << 32),
                    _ => {}
                }
            }
            match kind & 0xf {
                0 => {
                    server.idle();
                    reference.idle();
                }
                1 => {
                    let fails = form & 1 != 0;
                    kernel.fails.set(fails);
                    reference.kernel_fails = fails;
                }
                _ => {
                    let owner = [4, 12, 13][usize::from(kind >> 4) % 3];
                    let words = if words & 0xf0 == 0 {
                        usize::from(words & 3)
                    } else {
                        2
                    };
                    let m = Message {
                        owner,
                        may_create: form & 16 != 0,
                        label,
                        words,
                        mr: [a, b, 0, 0],
                    };
                    send(&mut server, &mut reference, &m);
                }
            }
            check(&server, &reference);
        }
    });
}
