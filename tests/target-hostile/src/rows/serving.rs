//! What l4re-rs gives to servers, on the real kernel: a helper thread serves, we are its client.

use core::sync::atomic::{AtomicU64, Ordering};

use l4_sys::item::{ITEM_MAP, Received, SendItem, single_cap_or_label};
use l4_sys::{CapIdx, CapRights, Errno, Fpage, MemRights, PAGE_SHIFT, Timeout, UtcbRef, proto};
use l4re_rs::cap::{Cap, kind};
use l4re_rs::client::ipc;
use l4re_rs::client::thread::Binding;
use l4re_rs::msg::{Reader, Writer};
use l4re_rs::server::{Incoming, Outcome, Service, serve};
use l4re_rs::varg::{Arg, ArgReader, RawArg};
use test_sigma0::context::{Context, OWN_TASK};
use test_sigma0::tap::Tap;

use crate::helper;

/// Label of the server's gate, of another gate of its, and of its deletion interrupt.
const GATE: u64 = 0x100;
const OTHER_GATE: u64 = 0x2340;
const DELETED: u64 = 0x200;
/// Protocol of the server.
const PROTOCOL: i64 = 0x7001;
/// Operations: echo an array, mixed numbers, counters, what an item arrives as.
const ECHO: u32 = 0;
const MIXED: u32 = 1;
const COUNTERS: u32 = 2;
const ITEM: u32 = 3;
/// Type of the object that the server's factory makes.
const OBJECT: i64 = 0x4321;
/// Slot that the server receives capabilities in.
static RECEIVE: AtomicU64 = AtomicU64::new(0);

#[derive(Default)]
struct Server {
    idle: u64,
    deleted: u64,
    failed: u64,
}

impl Server {
    fn answer(&mut self, msg: Incoming) -> Result<l4_sys::MsgTag, Errno> {
        if msg.tag.label() == proto::FACTORY {
            return create(msg);
        }
        if msg.tag.label() != PROTOCOL {
            return Err(Errno::BadProto);
        }
        let mut r = Reader::new(msg.utcb, msg.tag);
        match r.u32()? {
            ECHO => {
                let mut text = [0; 512];
                let n = r.array(&mut text)?;
                Writer::new(msg.utcb)
                    .array(text.get(..n).unwrap_or(&[]))
                    .finish(n as i64)
            }
            MIXED => {
                let (a, b, c, d) = (r.u8()?, r.u64()?, r.u16()?, r.u32()?);
                Writer::new(msg.utcb).u32(d).u16(c).u64(b).u8(a).finish(0)
            }
            COUNTERS => Writer::new(msg.utcb)
                .u64(self.idle)
                .u64(self.deleted)
                .u64(self.failed)
                .finish(0),
            ITEM => {
                let (what, data) = match r.item()? {
                    Received::Mapped { .. } => (1, 0),
                    Received::OwnGate(label) => (2, label),
                    Received::OwnFpage(f) => (3, f.number()),
                    Received::Nothing => (4, 0),
                };
                Writer::new(msg.utcb).u64(what).u64(data).finish(0)
            }
            _ => Err(Errno::NoSys),
        }
    }
}

/// A factory request with all kinds of arguments; the answer brings the log.
fn create(msg: Incoming) -> Result<l4_sys::MsgTag, Errno> {
    if msg.utcb.mr(0).cast_signed() != OBJECT {
        return Err(Errno::NoDev);
    }
    let mut args = ArgReader::new(msg.utcb, msg.tag);
    let number = args.next_arg()? == RawArg::Int((-5i64).cast_unsigned());
    let RawArg::Bytes { at, len } = args.next_arg()? else {
        return Err(Errno::Inval);
    };
    let mut text = [0; 32];
    let n = args.bytes(at, len, &mut text);
    let page = args.next_arg()? == RawArg::Fpage(Fpage::io(0x3f8, 3));
    let last = args.next_arg()? == RawArg::Int(77) && args.next_arg()? == RawArg::Nil;
    if !(number && text.get(..n) == Some(b"an argument\0") && page && last) {
        return Err(Errno::Inval);
    }
    let log: Cap<kind::Log> = Cap::new(CapIdx::LOG);
    Writer::new(msg.utcb)
        .item(SendItem::plain(log.fpage(CapRights::RWS)))
        .finish(0)
}

impl Service for Server {
    fn handle(&mut self, msg: Incoming) -> Outcome {
        if msg.label == DELETED {
            self.deleted += 1;
            return Outcome::Nothing;
        }
        match self.answer(msg) {
            Ok(tag) => Outcome::Reply(tag),
            Err(e) => Outcome::error(e),
        }
    }

    fn prepare(&mut self, utcb: UtcbRef) {
        let slot = CapIdx::from_raw(RECEIVE.load(Ordering::Relaxed));
        utcb.set_bdr(0);
        utcb.set_br(0, single_cap_or_label(slot));
        utcb.set_br(1, 0);
    }

    fn patience(&self) -> Timeout {
        Timeout::from_us(2000)
    }

    fn idle(&mut self) {
        self.idle += 1;
    }

    fn ipc_failed(&mut self, _: u64) {
        self.failed += 1;
    }
}

extern "C" fn server() -> ! {
    // SAFETY: the only receive buffer is a capability slot.
    unsafe { serve(&mut Server::default()) }
}

type Gate = Cap<kind::Gate>;

fn echo(gate: Gate, text: &[u8]) -> Option<bool> {
    let u = UtcbRef::current();
    let tag = Writer::new(u).u32(ECHO).array(text).finish(PROTOCOL).ok()?;
    let tag = ipc::call(gate, tag).ok()?;
    let mut back = [0; 512];
    let n = Reader::new(u, tag).array(&mut back).ok()?;
    Some(tag.label() == text.len() as i64 && back.get(..n) == Some(text))
}

fn mixed(gate: Gate) -> Option<(u32, u16, u64, u8)> {
    let u = UtcbRef::current();
    let tag = Writer::new(u).u32(MIXED).u8(0xab).u64(1 << 63).u16(0xcdef);
    let tag = ipc::call(gate, tag.u32(0x8765_4321).finish(PROTOCOL).ok()?).ok()?;
    let mut r = Reader::new(u, tag);
    Some((r.u32().ok()?, r.u16().ok()?, r.u64().ok()?, r.u8().ok()?))
}

/// Idle turns, deletion notices, failed IPCs.
fn counters(gate: Gate) -> [u64; 3] {
    let u = UtcbRef::current();
    let ask = || {
        let tag = Writer::new(u).u32(COUNTERS).finish(PROTOCOL).ok()?;
        let mut r = Reader::new(u, ipc::call(gate, tag).ok()?);
        Some([r.u64().ok()?, r.u64().ok()?, r.u64().ok()?])
    };
    ask().unwrap_or([u64::MAX; 3])
}

/// What a capability arrives as at the server.
fn item<K>(gate: Gate, cap: Cap<K>, rights: CapRights) -> (u64, u64) {
    let u = UtcbRef::current();
    let ask = || {
        let item = SendItem::plain(cap.fpage(rights));
        let tag = Writer::new(u).u32(ITEM).item(item).finish(PROTOCOL).ok()?;
        let mut r = Reader::new(u, ipc::call(gate, tag).ok()?);
        Some((r.u64().ok()?, r.u64().ok()?))
    };
    ask().unwrap_or((0, 0))
}

/// All of it.
pub fn run(t: &mut Tap, c: &mut Context) {
    let (thread, gate): (Cap<kind::Thread>, Gate) = (c.slot(), c.slot());
    let receive: Cap<kind::Any> = c.slot();
    RECEIVE.store(receive.idx().raw(), Ordering::Relaxed);
    let cpu = 1 % helper::cpus(c);
    let Some(helper) = helper::start(c, thread, 0, cpu, server) else {
        return t.result("SERVER start", false, format_args!("no helper thread"));
    };
    let made = c.factory.create_gate(GATE, thread, gate);
    t.equal("SERVER a gate bound to its thread", made, Ok(()));
    let text = [0x5a; 480];
    t.each("SERVER strings there and back", 0..=480, Some(true), |n| {
        echo(gate, &text[..n])
    });
    let want = (0x8765_4321, 0xcdef, 1 << 63, 0xab);
    t.equal("SERVER numbers of all sizes", mixed(gate), Some(want));
    let slot: Cap<kind::Log> = c.slot();
    let args = [
        Arg::Int(-5),
        Arg::Bytes(b"an argument\0"),
        Arg::Fpage(Fpage::io(0x3f8, 3)),
        Arg::Uint(77),
    ];
    let factory = gate.cast::<kind::Factory>();
    t.equal(
        "SERVER factory arguments, and a capability back",
        (
            factory.create(OBJECT, &args, slot),
            OWN_TASK.is_same(slot, Cap::<kind::Log>::new(CapIdx::LOG)),
        ),
        (Ok(()), true),
    );
    t.equal(
        "SERVER an argument is missing",
        factory.create(OBJECT, &args[..2], slot),
        Err(l4re_rs::Error::Refused(Errno::Inval)),
    );
    c.drop_slot(slot);
    items(t, c, thread, gate);
    let before = counters(gate)[0];
    // How often the guest's timer ticks is the host's matter, and each look ends the server's wait.
    let turns = (0..30).any(|_| {
        ipc::sleep(Timeout::from_us(300_000));
        counters(gate)[0] > before + 4
    });
    t.equal("SERVER idle turns while nobody asks", turns, true);
    deletion(t, c, thread, gate);
    t.equal("SERVER ends", helper.kill(), true);
    c.drop_slot(gate);
    c.drop_slot(receive);
    c.drop_slot(thread);
}

/// A gate of the server dies, and the server hears of it.
fn deletion(t: &mut Tap, c: &mut Context, thread: Cap<kind::Thread>, gate: Gate) {
    let (irq, dying): (Cap<kind::Irq>, Gate) = (c.slot(), c.slot());
    let ready = c
        .factory
        .create_irq(irq)
        .and_then(|()| irq.bind_irq(thread, DELETED))
        .and_then(|()| thread.register_delete_irq(irq))
        .and_then(|()| c.factory.create_gate(OTHER_GATE, thread, dying));
    t.equal("SERVER deletion interrupt", ready, Ok(()));
    let before = counters(gate)[1];
    let deleted = OWN_TASK.delete(dying);
    let heard = (0..1000).any(|_| {
        ipc::sleep(Timeout::from_us(1000));
        counters(gate)[1] == before + 1
    });
    t.equal(
        "SERVER hears of a deleted gate",
        (deleted, heard),
        (Ok(()), true),
    );
    c.drop_slot(dying);
    c.drop_slot(irq);
}

/// What the other task's thread saw: pairs of `item`, and a one when it is done.
static SEEN: [AtomicU64; 5] = [const { AtomicU64::new(0) }; 5];
/// Slots of the other task.
const ITS_GATE: CapIdx = CapIdx::from_slot(0x20);
const ITS_OTHER_GATE: CapIdx = CapIdx::from_slot(0x21);
/// Its UTCBs.
const ITS_UTCBS: u64 = 1 << 40;

extern "C" fn other_task() -> ! {
    let gate = Gate::new(ITS_GATE);
    let own = item(gate, Gate::new(ITS_OTHER_GATE), CapRights::RW);
    let foreign = item(gate, Cap::<kind::Log>::new(CapIdx::LOG), CapRights::RW);
    for (seen, value) in SEEN.iter().zip([own.0, own.1, foreign.0, foreign.1, 1]) {
        seen.store(value, Ordering::Release);
    }
    l4re_rs::panic::stop()
}

/// Capabilities from the server's own task and from another one.
fn items(t: &mut Tap, c: &mut Context, server: Cap<kind::Thread>, gate: Gate) {
    let (other, task, thread): (Gate, Cap<kind::Task>, Cap<kind::Thread>) =
        (c.slot(), c.slot(), c.slot());
    let _ = c.factory.create_gate(OTHER_GATE, server, other);
    t.equal(
        "SERVER a capability of its own task comes as flexpage",
        item(gate, other, CapRights::RW),
        (3, other.idx().slot()),
    );
    let utcbs = Fpage::mem(ITS_UTCBS, PAGE_SHIFT, MemRights::RW);
    let give = |from: CapIdx, to: CapIdx| {
        let fpage = Fpage::obj(from, 0, CapRights::RWS);
        // SAFETY: another task's object space.
        unsafe { task.map(OWN_TASK, fpage, to.raw() | ITEM_MAP) }.map(|_| ())
    };
    let ready = c
        .factory
        .create_task(utcbs, task)
        .and_then(|()| give(CapIdx::PAGER, CapIdx::PAGER))
        .and_then(|()| give(CapIdx::LOG, CapIdx::LOG))
        .and_then(|()| give(gate.idx(), ITS_GATE))
        .and_then(|()| give(other.idx(), ITS_OTHER_GATE));
    t.equal("SERVER another task", ready, Ok(()));
    let binding = Binding {
        task,
        utcb: ITS_UTCBS,
        pager: CapIdx::PAGER,
        exception_handler: CapIdx::PAGER,
    };
    let started = helper::start_as(c, thread, 1, 0, other_task, binding);
    let done = (0..5000).any(|_| {
        ipc::sleep(Timeout::from_us(1000));
        SEEN[4].load(Ordering::Acquire) == 1
    });
    let seen = |i: usize| SEEN[i].load(Ordering::Acquire);
    t.equal(
        "SERVER a gate of its own comes as label, with the rights that were sent",
        (started.is_some() && done, seen(0), seen(1)),
        (true, 2, OTHER_GATE | 1),
    );
    t.equal("SERVER any other capability is mapped", seen(2), 1);
    let _ = OWN_TASK.delete(thread);
    let _ = OWN_TASK.delete(task);
    let _ = OWN_TASK.delete(other);
    c.drop_slot(thread);
    c.drop_slot(task);
    c.drop_slot(other);
}
