//! The front thread: the service capability.
//!
//! The program's first thread makes the others and then serves the gate that clients of the service
//! have. It makes nothing itself: a request goes to the thread of the core that it names, and the
//! answer back. Nobody waits meanwhile: each caller is kept in a reply slot of its own. Only the
//! thread that was called can answer in this kernel, which is why the answer goes this way too.
//!
//! | request | |
//! | --- | --- |
//! | factory: type `-15`, `[int quota]`, `["core=N" or "node=N"]` | a factory on that core |
//! | Meta | a factory, and the pager's own protocol |
//! | `0x5051`: the pager's own protocol | as the thread of the core that it names answers |

use l4_sys::{CapIdx, Errno, Fpage, IpcError, MsgTag, Timeout, Timeouts, UtcbRef, proto, syscall};
use l4re_rs::Cap;
use l4re_rs::cap::kind;
use l4re_rs::reply::ReplySlot;
use l4re_rs::varg::{ArgReader, RawArg};

use crate::engine::proto::meta;
use crate::server::api::{self, CoreAt, Where};

use super::args::number;
use super::cpus::Cpus;
use super::mailbox::{DEPTH, Head, Kind, Mailbox};

/// Label of the service gate.
pub const SERVICE: u64 = 0x100;
/// Label of the interrupt that pager threads raise.
pub const ANSWERS: u64 = 0x200;
/// Reply slots: one to wait with, the others for callers whose request is under way.
pub const REPLY_SLOTS: u32 = 64;
/// Longest text of an argument that is looked at.
const TEXT: usize = 32;

/// Where a thread is reached.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    /// Its mailbox.
    pub mailbox: &'static Mailbox,
    /// To wake it.
    pub irq: Cap<kind::Irq>,
    /// The served processors, in the thread's own memory.
    pub processors: &'static [CoreAt],
}

/// See the [module](self).
#[derive(Debug)]
pub struct Front<'a> {
    /// The served CPUs.
    pub cpus: &'a Cpus,
    /// The threads, by number.
    pub peers: &'a [Option<Peer>],
    /// First of its reply slots.
    pub first_reply: u32,
    task: Cap<kind::Task>,
    place: Where<'a>,
    free: u64,
    current: u32,
    /// For each reply slot, which thread its request is at.
    at: [u32; REPLY_SLOTS as usize],
}

/// Where and how large a factory is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Bytes; 0 is all of the thread's memory.
    pub quota: u64,
    /// Index of the thread.
    pub worker: u32,
}

/// Reads a factory request.
///
/// # Errors
/// `NoDev` another type, or a core or node that is not served; `Inval` an argument of the wrong kind, a
/// quota of 0 or less, or a text that says nothing known; `Range` a number that no core can have;
/// `MsgTooShort`, `MsgTooLong`.
pub fn wanted(utcb: UtcbRef, tag: MsgTag, cpus: &Cpus) -> Result<Wanted, Errno> {
    if tag.words() == 0 || !tag.fits() {
        return Err(Errno::MsgTooShort);
    }
    if utcb.mr(0).cast_signed() != proto::FACTORY {
        return Err(Errno::NoDev);
    }
    let mut args = ArgReader::new(utcb, tag);
    let mut wanted = Wanted {
        quota: 0,
        worker: 0,
    };
    let mut next = args.next_arg()?;
    if let RawArg::Int(quota) = next {
        if quota.cast_signed() <= 0 {
            return Err(Errno::Inval);
        }
        wanted.quota = quota;
        next = args.next_arg()?;
    }
    if let RawArg::Bytes { at, len } = next {
        let mut text = [0; TEXT];
        if len > TEXT {
            return Err(Errno::Inval);
        }
        let used = args.bytes(at, len, &mut text);
        let text = text.get(..used).unwrap_or(&[]);
        wanted.worker = place(text.strip_suffix(b"\0").unwrap_or(text), cpus)?;
        next = args.next_arg()?;
    }
    if next == RawArg::Nil {
        Ok(wanted)
    } else {
        Err(Errno::Inval)
    }
}

/// The thread that a text names.
fn place(text: &[u8], cpus: &Cpus) -> Result<u32, Errno> {
    let value = |digits| {
        let value = number(digits).ok_or(Errno::Inval)?;
        u32::try_from(value).map_err(|_| Errno::Range)
    };
    if text.is_empty() {
        return Ok(0);
    }
    if let Some(core) = text.strip_prefix(b"core=") {
        let core = value(core)?;
        if core >= super::cpus::MAX_CPUS {
            return Err(Errno::Range);
        }
        return cpus.worker_of_cpu(core).ok_or(Errno::NoDev);
    }
    if let Some(node) = text.strip_prefix(b"node=") {
        return cpus.worker_of_node(value(node)?).ok_or(Errno::NoDev);
    }
    Err(Errno::Inval)
}

impl<'a> Front<'a> {
    /// Nothing is under way.
    pub fn new(
        cpus: &'a Cpus,
        peers: &'a [Option<Peer>],
        first_reply: u32,
        task: Cap<kind::Task>,
        place: Where<'a>,
    ) -> Self {
        Front {
            cpus,
            peers,
            first_reply,
            task,
            place,
            free: !1,
            current: 0,
            at: [u32::MAX; REPLY_SLOTS as usize],
        }
    }

    /// Waits for one message; tag and label, or `None` when there was none.
    fn receive(
        &self,
        answer: Option<MsgTag>,
        patience: Timeout,
        utcb: UtcbRef,
    ) -> Result<(MsgTag, u64), u64> {
        utcb.set_bdr(0);
        utcb.set_br(0, 0);
        let slot = ReplySlot(self.first_reply + self.current);
        let timeouts = Timeouts::new(Timeout::ZERO, patience);
        // SAFETY: there are no receive buffers.
        let (tag, label) = unsafe {
            match answer {
                Some(tag) => slot.answer_and_wait(tag, timeouts),
                None => slot.wait(timeouts),
            }
        };
        if tag.has_error() {
            Err(syscall::error_code(utcb))
        } else {
            Ok((tag, label))
        }
    }

    /// Whether the kernel has explicit reply slots.
    pub fn has_reply_slots(&self) -> bool {
        let tried = self.receive(None, Timeout::ZERO, UtcbRef::current());
        tried != Err(IpcError::NoReplyCap as u64)
    }

    /// Waits until `done` says so, which is asked after each interrupt of a pager thread.
    pub fn wait_until(&self, done: impl Fn() -> bool) {
        while !done() {
            let _ = self.receive(None, Timeout::NEVER, UtcbRef::current());
        }
    }

    /// Serves for ever.
    pub fn serve(&mut self) -> ! {
        let utcb = UtcbRef::current();
        let mut answer = None;
        loop {
            answer = match self.receive(answer, Timeout::NEVER, utcb) {
                Ok((_, ANSWERS)) => {
                    self.collect(utcb);
                    None
                }
                Ok((tag, label)) if label & !3 == SERVICE => match self.request(tag, label, utcb) {
                    Ok(answer) => answer,
                    Err(error) => Some(MsgTag::plain(error.label(), 0, 0)),
                },
                Ok(_) | Err(_) => None,
            };
        }
    }

    /// Handles a client's request: the answer, or `None` when it is under way.
    fn request(&mut self, tag: MsgTag, label: u64, utcb: UtcbRef) -> Result<Option<MsgTag>, Errno> {
        match tag.label() {
            proto::META => meta::answer(meta::Class::Service, utcb, tag).map(Some),
            proto::FACTORY => {
                if label & 2 == 0 {
                    return Err(Errno::Perm);
                }
                let wanted = wanted(utcb, tag, self.cpus)?;
                utcb.set_mr(0, wanted.quota);
                let tag = MsgTag::plain(0, 1, 0);
                let head = Head {
                    kind: Kind::Create,
                    ticket: 0,
                    rights: label & 3,
                    tag,
                };
                self.forward(wanted.worker, head, utcb).map(|()| None)
            }
            crate::api::PROTOCOL => {
                let core = api::target(utcb, tag, &self.place)?;
                let head = Head {
                    kind: Kind::Request,
                    ticket: 0,
                    rights: label & 3,
                    tag,
                };
                self.forward(core, head, utcb).map(|()| None)
            }
            _ => Err(Errno::BadProto),
        }
    }

    /// Sends a request on; the caller stays in its slot. `NoMem` when too many are under way.
    fn forward(&mut self, worker: u32, head: Head, utcb: UtcbRef) -> Result<(), Errno> {
        let peer = self
            .peers
            .get(worker as usize)
            .copied()
            .flatten()
            .ok_or(Errno::NoDev)?;
        let free = self.free.trailing_zeros();
        let under_way = self.at.iter().filter(|at| **at == worker).count();
        // As many as there are places for answers.
        if free >= REPLY_SLOTS || under_way >= DEPTH {
            return Err(Errno::NoMem);
        }
        let head = Head {
            ticket: self.current,
            ..head
        };
        if !peer.mailbox.requests.put(head, utcb) {
            return Err(Errno::NoMem);
        }
        if let Some(at) = self.at.get_mut(self.current as usize) {
            *at = worker;
        }
        self.free &= !(1 << free);
        self.current = free;
        peer.irq.trigger();
        Ok(())
    }

    /// Passes on the answers that have come.
    fn collect(&mut self, utcb: UtcbRef) {
        for peer in self.peers.iter().flatten() {
            while let Some(head) = peer.mailbox.answers.take(utcb) {
                let slot = head.ticket;
                if let Some(at) = self.at.get_mut(slot as usize) {
                    *at = u32::MAX;
                }
                self.free |= 1u64.checked_shl(slot).unwrap_or(0);
                let words = head.tag.words();
                let item = Fpage(utcb.mr((words + 1).min(l4_sys::utcb::MESSAGE_REGISTERS - 1)));
                let sent = ReplySlot(self.first_reply + slot).answer(head.tag);
                if sent.has_error() && head.tag.items() > 0 {
                    // Nobody has the new object (BUG-23). Its thread hears that its gate has gone.
                    let gate: Cap<kind::Gate> = Cap::new(CapIdx::from_slot(item.number()));
                    let _ = self.task.delete(gate);
                }
            }
        }
    }
}
