//! The root pager's requests beyond upstream's: topology, RAM by node, giving memory back.
//!
//! `docs/sigma0-protocol.md` is the specification. Upstream's sigma0 answers all of them
//! `Refused(BadProto)`.

use l4_sys::item::Received;
use l4_sys::{Fpage, MemRights, UtcbRef};

use super::ipc;
use crate::cap::{Cap, kind};
use crate::error::{Error, Result};
use crate::msg::{Reader, Writer};

/// Protocol number (label) of these requests.
pub const PROTOCOL: i64 = 0x5050;

/// Operation numbers: 32 bits at byte 0.
pub mod op {
    /// How many nodes, memory ranges and CPUs.
    pub const TOPOLOGY: u32 = 0;
    /// One node.
    pub const NODE: u32 = 1;
    /// One memory range.
    pub const RANGE: u32 = 2;
    /// Distances from one node to all.
    pub const DISTANCES: u32 = 3;
    /// CPUs and their nodes.
    pub const CPUS: u32 = 4;
    /// RAM of a node.
    pub const RAM: u32 = 5;
    /// Give RAM back.
    pub const RELEASE: u32 = 6;
    /// Who owns an address.
    pub const OWNER: u32 = 7;
    /// Sums and counters.
    pub const STATISTICS: u32 = 8;

    /// CPUs in one answer to [`CPUS`].
    pub const CPUS_PER_REPLY: usize = 48;
}

/// Flags of requests and answers.
pub mod flag {
    /// [`super::op::RAM`]: from the pagers' reserve; needs the S right.
    pub const RESERVE: u32 = 1;
    /// [`super::op::RAM`]: from the next nearest node when this one has none.
    pub const NEAR: u32 = 2;
    /// All request flags.
    pub const ALL: u32 = RESERVE | NEAR;
    /// Answer to [`super::op::OWNER`]: the address is RAM.
    pub const IS_RAM: u32 = 0x10;
    /// Answer to [`super::op::OWNER`]: it belongs to the pagers' reserve.
    pub const IS_RESERVE: u32 = 0x20;
}

/// How large the machine is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// NUMA nodes, at least one.
    pub nodes: u32,
    /// Memory ranges with a known node.
    pub ranges: u32,
    /// CPUs that the firmware lists.
    pub cpus: u32,
    /// Whether the firmware's tables said so; otherwise it is the one-node default.
    pub from_firmware: bool,
}

/// One node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Node {
    /// The firmware's proximity domain.
    pub domain: u32,
    /// Its CPUs.
    pub cpus: u32,
    /// Bytes of RAM that clients have or could have.
    pub ram: u64,
    /// Bytes free for everybody.
    pub free: u64,
    /// Bytes free in the pagers' reserve.
    pub kept: u64,
}

/// Who has a stretch of RAM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owned {
    /// First address of the stretch.
    pub start: u64,
    /// Last address of the stretch.
    pub end: u64,
    /// Number of the owner; 0 is nobody, 1 waits to be zeroed, 4 is the root task.
    pub owner: u32,
    /// Rights in the low bits, and [`flag::IS_RAM`], [`flag::IS_RESERVE`].
    pub flags: u32,
}

/// Sums over all RAM, and counters since start. Sizes in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Statistics {
    /// RAM that clients have or could have.
    pub ram: u64,
    /// Free for everybody.
    pub free: u64,
    /// Free in the pagers' reserve.
    pub kept: u64,
    /// What the caller has.
    pub mine: u64,
    /// Given back and not yet zeroed.
    pub waiting: u64,
    /// Pages that sigma0 took for its own bookkeeping.
    pub bookkeeping: u64,
    /// Runs of the RAM map.
    pub runs: u64,
    /// Clients made.
    pub clients: u64,
    /// Messages answered without an error.
    pub served: u64,
    /// Messages answered with an error.
    pub refused: u64,
    /// Bytes zeroed.
    pub zeroed: u64,
}

fn request(w: Writer) -> Result<l4_sys::MsgTag> {
    w.finish(PROTOCOL).map_err(|_| Error::NoRoom)
}

impl Cap<kind::Sigma0> {
    fn ask(self, op: u32, arg: u32) -> Result<Reader> {
        let u = UtcbRef::current();
        let tag = request(Writer::new(u).u32(op).u32(arg))?;
        Ok(Reader::new(u, ipc::call(self, tag)?))
    }

    /// How large the machine is.
    ///
    /// # Errors
    /// `Refused(BadProto)` from a root pager without these requests.
    pub fn topology(self) -> Result<Size> {
        let mut r = self.ask(op::TOPOLOGY, 0)?;
        let mut next = || r.u32().map_err(|_| Error::BadReply);
        Ok(Size {
            nodes: next()?,
            ranges: next()?,
            cpus: next()?,
            from_firmware: next()? != 0,
        })
    }

    /// One node. Takes the server time with the number of runs in it.
    ///
    /// # Errors
    /// `Refused(Range)` no such node.
    pub fn node(self, node: u32) -> Result<Node> {
        let mut r = self.ask(op::NODE, node)?;
        let domain = r.u32().map_err(|_| Error::BadReply)?;
        let cpus = r.u32().map_err(|_| Error::BadReply)?;
        let mut next = || r.u64().map_err(|_| Error::BadReply);
        Ok(Node {
            domain,
            cpus,
            ram: next()?,
            free: next()?,
            kept: next()?,
        })
    }

    /// Memory range `index`: first and last address, and its node.
    ///
    /// # Errors
    /// `Refused(Range)` no such range.
    pub fn node_range(self, index: u32) -> Result<(u64, u64, u32)> {
        let mut r = self.ask(op::RANGE, index)?;
        match (r.u64(), r.u64(), r.u32()) {
            (Ok(start), Ok(end), Ok(node)) => Ok((start, end, node)),
            _ => Err(Error::BadReply),
        }
    }

    /// Distances from `node` to each node, 10 being near; returns how many were stored in `out`.
    ///
    /// # Errors
    /// `Refused(Range)` no such node.
    pub fn distances(self, node: u32, out: &mut [u8]) -> Result<usize> {
        let mut r = self.ask(op::DISTANCES, node)?;
        let mut n = 0;
        for o in out.iter_mut() {
            let Ok(d) = r.u8() else { break };
            *o = d;
            n += 1;
        }
        Ok(n)
    }

    /// CPUs from number `first` of the firmware's list on: APIC id and node; returns how many were
    /// stored in `out`, 0 at the end of the list.
    ///
    /// # Errors
    /// As [`Cap::topology`].
    pub fn node_cpus(self, first: u32, out: &mut [(u32, u32)]) -> Result<usize> {
        let u = UtcbRef::current();
        let tag = ipc::call(self, request(Writer::new(u).u32(op::CPUS).u32(first))?)?;
        let mut r = Reader::new(u, tag);
        let n = (tag.label() as usize).min(out.len());
        for o in out.iter_mut().take(n) {
            *o = (
                r.u32().map_err(|_| Error::BadReply)?,
                r.u32().map_err(|_| Error::BadReply)?,
            );
        }
        Ok(n)
    }

    /// Maps `2^order` bytes of RAM of `node` into `window`; the answer tells which, and the node
    /// that it came from.
    ///
    /// # Errors
    /// `Refused(Range)` no such node, `Refused(Inval)` order or flags, `Refused(Perm)` reserve
    /// without S, `Refused(NoMem)`.
    ///
    /// # Safety
    /// Nothing that Rust uses lies in `window`, or where free RAM would be mapped in it.
    pub unsafe fn node_ram(
        self,
        node: u32,
        order: u32,
        flags: u32,
        window: Fpage,
    ) -> Result<(Fpage, u32)> {
        let u = UtcbRef::current();
        let tag = request(Writer::new(u).u32(op::RAM).u32(node).u32(order).u32(flags))?;
        // SAFETY: the caller's promise.
        let tag = unsafe { ipc::call_for_memory(self, tag, window) }?;
        let mut r = Reader::new(u, tag);
        match (r.u32(), r.item()) {
            (Ok(node), Ok(Received::Mapped { order, base, .. })) => {
                Ok((Fpage::mem(base, order, MemRights::RWX), node))
            }
            _ => Err(Error::BadReply),
        }
    }

    /// Gives RAM back: it is taken from everybody who has it mapped, zeroed, and free again.
    ///
    /// # Errors
    /// `Refused(Inval)` misaligned or below a page, `Refused(NoMem)` not all of it the caller's,
    /// `Refused(Again)` too much waits to be zeroed.
    ///
    /// # Safety
    /// Nothing that Rust uses lies in that memory.
    pub unsafe fn release(self, block: Fpage) -> Result<()> {
        let tag = request(
            Writer::new(UtcbRef::current())
                .u32(op::RELEASE)
                .u64(block.0),
        )?;
        ipc::call(self, tag).map(|_| ())
    }

    /// Who has the RAM at `address`.
    ///
    /// # Errors
    /// As [`Cap::topology`].
    pub fn owner_of(self, address: u64) -> Result<Owned> {
        let u = UtcbRef::current();
        let tag = request(Writer::new(u).u32(op::OWNER).u64(address))?;
        let mut r = Reader::new(u, ipc::call(self, tag)?);
        match (r.u64(), r.u64(), r.u32(), r.u32()) {
            (Ok(start), Ok(end), Ok(owner), Ok(flags)) => Ok(Owned {
                start,
                end,
                owner,
                flags,
            }),
            _ => Err(Error::BadReply),
        }
    }

    /// Sums and counters. Takes the server time with the number of runs.
    ///
    /// # Errors
    /// As [`Cap::topology`].
    pub fn statistics(self) -> Result<Statistics> {
        let mut r = self.ask(op::STATISTICS, 0)?;
        let mut next = || r.u64().map_err(|_| Error::BadReply);
        Ok(Statistics {
            ram: next()?,
            free: next()?,
            kept: next()?,
            mine: next()?,
            waiting: next()?,
            bookkeeping: next()?,
            runs: next()?,
            clients: next()?,
            served: next()?,
            refused: next()?,
            zeroed: next()?,
        })
    }
}
