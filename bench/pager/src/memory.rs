//! Dataspaces and regions of one program, and touching them.

use l4_sys::{CapIdx, CapRights, proto};
use l4re_rs::Cap;
use l4re_rs::cap::{Slots, kind};
use l4re_rs::client::rm::{Attach, flag};
use l4re_rs::start::aux::Process;
use l4re_rs::varg::Arg;

/// First address of what is attached.
const START: u64 = 0x10_0000_0000;
/// First address of what is attached where nothing was before.
const FRESH: u64 = 0x20_0000_0000;
/// Bytes of a page.
pub const PAGE: u64 = l4_sys::PAGE_SIZE;

/// The program's memory.
#[derive(Debug)]
pub struct Memory {
    mem: Cap<kind::Factory>,
    rm: Cap<kind::Rm>,
    slots: Slots<2>,
    /// Where nothing was attached yet.
    fresh: u64,
}

/// An attached dataspace.
#[derive(Clone, Copy, Debug)]
pub struct Piece {
    /// The object.
    pub ds: Cap<kind::Dataspace>,
    /// Where it is attached.
    pub at: u64,
    /// Its size in bytes.
    pub size: u64,
}

impl Memory {
    /// What the boot script gave.
    #[must_use]
    pub fn new(process: &Process) -> Self {
        Memory {
            mem: process.env.mem_alloc(),
            rm: process.env.rm(),
            slots: Slots::new(process.env.first_free()),
            fresh: FRESH,
        }
    }

    /// The factory that memory comes from.
    #[must_use]
    pub fn factory(&self) -> Cap<kind::Factory> {
        self.mem
    }

    /// Takes another factory; gives the one before.
    pub fn use_factory(&mut self, mem: Cap<kind::Factory>) -> Cap<kind::Factory> {
        core::mem::replace(&mut self.mem, mem)
    }

    /// A factory below the one in use, with a limit in bytes.
    ///
    /// # Errors
    /// The memory server's.
    pub fn sub_factory(&mut self, limit: u64) -> l4re_rs::Result<Cap<kind::Factory>> {
        let slot = self.slot()?;
        let made = self
            .mem
            .create(proto::FACTORY, &[Arg::Int(limit.cast_signed())], slot);
        if made.is_err() {
            self.give_back(slot);
        }
        made.map(|()| slot)
    }

    /// A free slot.
    ///
    /// # Errors
    /// `NoRoom`.
    pub fn slot<K>(&mut self) -> l4re_rs::Result<Cap<K>> {
        self.slots.alloc().ok_or(l4re_rs::Error::NoRoom)
    }

    /// Gives a slot back that is empty.
    pub fn give_back<K>(&mut self, slot: Cap<K>) {
        let _ = self.slots.free(slot);
    }

    /// A dataspace; `flags` as the factory has them (1 contiguous).
    ///
    /// # Errors
    /// The memory server's.
    pub fn create(&mut self, size: u64, flags: u64) -> l4re_rs::Result<Cap<kind::Dataspace>> {
        let slot = self.slot()?;
        let args = [Arg::Int(size.cast_signed()), Arg::Uint(flags)];
        let made = self.mem.create(proto::DATASPACE, &args, slot);
        if made.is_err() {
            let _ = self.slots.free(slot);
        }
        made.map(|()| slot)
    }

    /// Attaches a dataspace anywhere; nothing is mapped ahead.
    ///
    /// # Errors
    /// The region map's.
    pub fn attach(&mut self, ds: Cap<kind::Dataspace>, size: u64) -> l4re_rs::Result<Piece> {
        self.attach_from(START, ds, size)
    }

    /// The same at addresses that were never used: the kernel keeps a page table as long as the task lives,
    /// and where there is one a page of 2 MiB is entered as 512 small ones.
    ///
    /// # Errors
    /// The region map's.
    pub fn attach_fresh(&mut self, ds: Cap<kind::Dataspace>, size: u64) -> l4re_rs::Result<Piece> {
        let p = self.attach_from(self.fresh, ds, size)?;
        self.fresh = (p.at + p.size).next_multiple_of(1 << 21);
        Ok(p)
    }

    fn attach_from(
        &mut self,
        start: u64,
        ds: Cap<kind::Dataspace>,
        size: u64,
    ) -> l4re_rs::Result<Piece> {
        let at = self.rm.attach(Attach {
            start,
            size,
            flags: flag::R | flag::W | flag::SEARCH_ADDR | flag::NO_EAGER_MAP,
            object: Some((ds, CapRights::RWS)),
            offset: 0,
            align: 21,
            name: "bench",
        })?;
        Ok(Piece { ds, at, size })
    }

    /// Detaches, and unmaps as the library of an ordinary program does.
    ///
    /// # Errors
    /// The region map's.
    pub fn detach(&mut self, p: Piece) -> l4re_rs::Result<()> {
        // SAFETY: the piece is memory of the bench alone, which no Rust object lies in.
        unsafe { self.rm.detach(p.at, p.size, 2) }.map(|_| ())
    }

    /// Deletes an object of the server, and gives its slot back.
    pub fn delete<K>(&mut self, object: Cap<K>) {
        let _ = Cap::<kind::Task>::new(CapIdx::TASK).delete(object);
        let _ = self.slots.free(object);
    }
}

/// Stores a word in each page, or in each `step`-th.
#[inline(never)]
pub fn touch(p: Piece, step: u64) {
    let mut at = p.at;
    while at < p.at + p.size {
        // SAFETY: attached memory of the bench alone.
        unsafe { (at as usize as *mut u64).write_volatile(at) };
        at += step * PAGE;
    }
}

/// Whether each page has what [`touch`] stored.
#[must_use]
pub fn intact(p: Piece, step: u64) -> bool {
    (p.at..p.at + p.size)
        .step_by((step * PAGE) as usize)
        // SAFETY: as in `touch`.
        .all(|at| unsafe { (at as usize as *const u64).read_volatile() } == at)
}
