//! The server: from a message to its answer.
//!
//! One thread, one message at a time, no state between messages but the maps, the number of the
//! next client, and the memory that waits to be zeroed. The paths that programs take often (page
//! fault, RAM, I/O memory) do nothing but decode, look up, and fill in one item.

use l4_sys::item::{Caching, SendItem};
use l4_sys::{CapIdx, CapRights, Errno, Fpage, MemRights, MsgTag, Timeout, UtcbRef, proto};
use l4re_rs::Cap;
use l4re_rs::cap::kind;
use l4re_rs::fault::PageFault;
use l4re_rs::log::LineLog;
use l4re_rs::server::{Incoming, Outcome, Service};

use crate::clients::Clients;
use crate::map::{MapError, MapId, OwnerId, Range, Regions, Rights, Run};
use crate::request::{Block, Request};
use crate::scrub::{Scrubber, Zero};
use crate::topology::Topology;
use crate::{dump, ext, meta, ports};

/// Right bit in a label: the caller's capability has W.
pub const LABEL_W: u64 = 1;
/// Right bit in a label: the caller's capability has S.
pub const LABEL_S: u64 = 2;

/// Sleep between two turns of zeroing: with 64 KiB a turn, about 1 % of the CPU's time.
const BETWEEN_TURNS: Timeout = Timeout::from_us(1000);

/// Everything that sigma0 knows.
pub struct Sigma0 {
    pub(crate) maps: Regions,
    pub(crate) topology: &'static Topology,
    pub(crate) scrubber: Scrubber,
    pub(crate) clients: Clients,
    pub(crate) log: LineLog,
    pub(crate) kip: u64,
    /// The run of I/O memory that was asked for last. The I/O map never changes once it is built:
    /// nobody owns I/O memory.
    last_io: Option<Run>,
    /// The answer that was made last carries the gate that was made last.
    gate_on_its_way: bool,
    /// Messages answered without an error, and with one.
    pub(crate) served: u64,
    pub(crate) refused: u64,
}

/// Who sent a message, and what the capability it came through allows.
#[derive(Clone, Copy)]
pub(crate) struct Sender {
    pub(crate) owner: OwnerId,
    label: u64,
}

impl Sender {
    /// The low four bits of a label are rights and zero, the rest is the owner number. Labels are
    /// sigma0's own numbers, made by `clients` or by the kernel for the root task.
    #[inline(always)]
    fn from_label(label: u64) -> Option<Sender> {
        let number = u16::try_from(label >> 4).ok()?;
        Some(Sender {
            owner: OwnerId::new(number)?,
            label,
        })
    }

    /// Whether the capability carries the right to create.
    pub(crate) fn may_create(self) -> bool {
        self.label & LABEL_S != 0
    }
}

/// What one message comes to: the tag of the answer that is in the UTCB, or an error.
pub(crate) type Answer = Result<MsgTag, Errno>;

/// An answer of one item and no words.
#[inline(always)]
fn item(utcb: UtcbRef, item: SendItem) -> MsgTag {
    utcb.set_mr(0, item.control);
    utcb.set_mr(1, item.fpage.0);
    MsgTag::plain(0, 0, 1)
}

/// Memory at its own address: what every mapping of sigma0 is (CL-09).
#[inline(always)]
pub(crate) fn memory(address: u64, order: u32, rights: Rights, caching: Caching) -> SendItem {
    let rights = MemRights::from_bits_retain(rights.bits());
    SendItem::mem(address, caching, Fpage::mem(address, order, rights))
}

impl Sigma0 {
    /// A root pager over finished maps. `kip` is the address of the kernel information page, `zero`
    /// zeroes physical memory.
    #[must_use]
    pub fn new(
        maps: Regions,
        topology: &'static Topology,
        log: LineLog,
        kip: u64,
        zero: Zero,
    ) -> Self {
        Sigma0 {
            maps,
            topology,
            scrubber: Scrubber::new(zero),
            clients: Clients::new(),
            log,
            kip,
            last_io: None,
            gate_on_its_way: false,
            served: 0,
            refused: 0,
        }
    }

    /// The maps, for whoever checks them.
    #[must_use]
    pub fn maps(&self) -> &Regions {
        &self.maps
    }

    /// Runs `op` on the maps; if it fails for lack of memory that only waits to be zeroed, makes some
    /// of that free and tries again. `wanted` is what `op` names, `None` if any memory would do.
    #[inline(always)]
    pub(crate) fn with_all_memory<T>(
        &mut self,
        wanted: Option<Range>,
        mut op: impl FnMut(&mut Regions) -> Result<T, MapError>,
    ) -> Result<T, Errno> {
        // One place for `op`, so that its code is there once. Ends, since each turn leaves less.
        loop {
            match op(&mut self.maps) {
                Ok(v) => return Ok(v),
                Err(e) if self.reclaim(e, wanted) => {}
                Err(_) => return Err(Errno::NoMem),
            }
        }
    }

    /// Makes a piece of waiting memory free, if that can help against `e`: a client that asks for
    /// what it cannot have must not make all others wait.
    #[cold]
    #[inline(never)]
    fn reclaim(&mut self, e: MapError, wanted: Option<Range>) -> bool {
        let helps = match (e, wanted) {
            (MapError::NoNodes, _) | (MapError::NotFound, None) => true,
            (MapError::Conflict, Some(range)) => self.scrubber.waits_in(range),
            _ => false,
        };
        helps && self.scrubber.turn(&mut self.maps)
    }

    #[inline(always)]
    fn page_fault(&mut self, utcb: UtcbRef, tag: MsgTag, from: Sender) -> Answer {
        if tag.words() < 1 {
            return Err(Errno::MsgTooShort);
        }
        let fault = PageFault::decode(utcb.mr(0));
        let need = Rights::from_bits(fault.access.bits());
        let page = fault.address & !(l4_sys::PAGE_SIZE - 1);
        let range = Range::block(page, l4_sys::PAGE_SHIFT as u8).ok_or(Errno::NoMem)?;
        let rights = self.with_all_memory(Some(range), |maps| {
            maps.claim_keeping(MapId::Ram, range, from.owner, need)
        })?;
        Ok(item(
            utcb,
            memory(page, l4_sys::PAGE_SHIFT, rights, Caching::Cached),
        ))
    }

    #[inline(always)]
    fn sigma0_request(&mut self, utcb: UtcbRef, tag: MsgTag, from: Sender) -> Answer {
        match Request::decode(utcb, tag)? {
            Request::Ram(block) => {
                self.with_all_memory(Some(block.range()), |maps| {
                    maps.claim(MapId::Ram, block.range(), from.owner, Rights::RWX)
                })?;
                Ok(item(
                    utcb,
                    self.block_item(block, Rights::RWX, Caching::Cached),
                ))
            }
            Request::IoMemory { block, cached } => {
                let rights = self.io_rights(block.range())?;
                let caching = if cached {
                    Caching::Cached
                } else {
                    Caching::Uncached
                };
                Ok(item(utcb, self.block_item(block, rights, caching)))
            }
            Request::AnyRam { order } => {
                let block = self.with_all_memory(None, |maps| {
                    maps.alloc(MapId::Ram, order, from.owner, Rights::RWX)
                })?;
                let order = u32::from(order);
                Ok(item(
                    utcb,
                    memory(block.start(), order, Rights::RWX, Caching::Cached),
                ))
            }
            Request::Kip => Ok(item(
                utcb,
                memory(self.kip, l4_sys::PAGE_SHIFT, Rights::RX, Caching::Cached),
            )),
            Request::Dump => {
                let _ = dump::pool(&mut self.log, &self.maps);
                let _ = dump::maps(&mut self.log, &self.maps);
                Ok(MsgTag::plain(0, 0, 0))
            }
        }
    }

    /// Rights of I/O memory that lies in one run. Drivers ask for one device's pages in a row, so
    /// the last run is tried first.
    #[inline(always)]
    fn io_rights(&mut self, range: Range) -> Result<Rights, Errno> {
        match self.last_io {
            Some(run) if run.range.contains(range) => Ok(run.state.rights()),
            _ => self.find_io(range),
        }
    }

    #[inline(never)]
    fn find_io(&mut self, range: Range) -> Result<Rights, Errno> {
        let run = self.maps.lookup(MapId::Io, range.start());
        if run.state.is_absent() || !run.range.contains(range) {
            return Err(Errno::NoMem);
        }
        self.last_io = Some(run);
        Ok(run.state.rights())
    }

    #[inline(always)]
    fn block_item(&self, block: Block, rights: Rights, caching: Caching) -> SendItem {
        memory(block.range().start(), block.order(), rights, caching)
    }

    fn factory_request(&mut self, utcb: UtcbRef, tag: MsgTag, from: Sender) -> Answer {
        if !from.may_create() {
            return Err(Errno::Perm);
        }
        if tag.words() < 1 {
            return Err(Errno::MsgTooShort);
        }
        if utcb.mr(0).cast_signed() != proto::SIGMA0 {
            return Err(Errno::NoDev);
        }
        let gate = self.clients.create()?;
        self.gate_on_its_way = true;
        Ok(item(utcb, SendItem::plain(gate.fpage(CapRights::RWS))))
    }

    fn port_fault(&mut self, utcb: UtcbRef, tag: MsgTag, from: Sender) -> Answer {
        if tag.words() < 1 {
            return Err(Errno::MsgTooShort);
        }
        let fpage = Fpage(utcb.mr(0));
        ports::claim(&mut self.maps, fpage, from.owner)?;
        Ok(item(
            utcb,
            SendItem::plain(Fpage::io(fpage.number(), fpage.order())),
        ))
    }

    fn rare(&mut self, utcb: UtcbRef, tag: MsgTag, from: Sender) -> Answer {
        match tag.label() {
            proto::FACTORY => self.factory_request(utcb, tag, from),
            proto::IO_PAGE_FAULT => self.port_fault(utcb, tag, from),
            proto::META => meta::answer(utcb, tag),
            ext::PROTOCOL => ext::answer(self, utcb, tag, from),
            _ => Err(Errno::BadProto),
        }
    }

    #[inline(always)]
    fn answer(&mut self, msg: Incoming) -> Answer {
        let from = Sender::from_label(msg.label).ok_or(Errno::Perm)?;
        match msg.tag.label() {
            proto::PAGE_FAULT => self.page_fault(msg.utcb, msg.tag, from),
            proto::SIGMA0 => self.sigma0_request(msg.utcb, msg.tag, from),
            _ => self.rare(msg.utcb, msg.tag, from),
        }
    }
}

impl Service for Sigma0 {
    #[inline(always)]
    fn handle(&mut self, msg: Incoming) -> Outcome {
        // This message came, so the answer before it has gone.
        self.gate_on_its_way = false;
        match self.answer(msg) {
            Ok(tag) => {
                self.served += 1;
                Outcome::Reply(tag)
            }
            Err(e) => {
                self.refused += 1;
                Outcome::error(e)
            }
        }
    }

    /// While memory waits to be zeroed, sigma0 sleeps between the turns: it runs above everybody,
    /// so polling would stop the CPU for all others.
    #[inline(always)]
    fn patience(&self) -> Timeout {
        if self.scrubber.is_idle() {
            Timeout::NEVER
        } else {
            BETWEEN_TURNS
        }
    }

    fn idle(&mut self) {
        self.scrubber.idle_turn(&mut self.maps);
    }

    /// A reply that could not be delivered. If it carried a new client's gate, nobody has that.
    fn ipc_failed(&mut self, code: u64) {
        if code & 1 == 0 && self.gate_on_its_way {
            self.clients.take_back();
        }
        self.gate_on_its_way = false;
    }
}

/// The task that sigma0 runs in, for unmapping what it gave away.
pub(crate) const OWN_TASK: Cap<kind::Task> = Cap::new(CapIdx::TASK);
