//! Requests that take a server long (M11, M17), while other clients fault.
//!
//! Program 0 drives; each other one takes single pages from itself and touches them again, as fast as it
//! can, while it is told to. Nothing of theirs is allocated or freed: each touch is a fault that finds its page.

use core::sync::atomic::Ordering;

use l4_sys::{CapIdx, Fpage, MemRights, Timeout};
use l4re_rs::cap::kind;
use l4re_rs::client::ipc;
use l4re_rs::{Cap, Error, Result};
use percore_pager::api::policy;
use percore_pager::client::Pager;

use crate::api::fresh;
use crate::bench::{Bench, LARGE};
use crate::memory::{Memory, PAGE, Piece, touch};

/// Sums of the board: what the faulting programs are to do, their faults, their failures.
const ORDER: usize = 0;
const FAULTS: usize = 1;
const FAILED: usize = 2;
const READY: usize = 3;
/// What they can be told.
const REST: u64 = 0;
const FAULT: u64 = 1;
const END: u64 = 2;

/// Bytes of a copy that is not of whole pages.
const UNALIGNED: u64 = 4 << 20;
/// Dataspaces of a factory that ends.
const MANY: usize = 64;
/// Pages of a faulting program.
const PAGES: u64 = 64;

impl Bench {
    fn tell(&self, order: u64) {
        self.board.sum(ORDER).store(order, Ordering::Release);
    }

    /// Faults until it is told to end.
    ///
    /// # Errors
    /// The server's.
    pub fn fault(&mut self) -> Result<()> {
        let p = fresh(&mut self.memory, PAGES * PAGE, 0)?;
        touch(p, 1);
        let own = Cap::<kind::Task>::new(CapIdx::TASK);
        self.board.sum(READY).fetch_add(1, Ordering::AcqRel);
        let mut at = p.at;
        loop {
            match self.board.sum(ORDER).load(Ordering::Acquire) {
                FAULT => {}
                END => return Ok(()),
                _ => {
                    ipc::sleep(Timeout::from_us(5_000));
                    continue;
                }
            }
            // SAFETY: no Rust object is in the bench's memory.
            unsafe { own.unmap(&[Fpage::mem(at, 12, MemRights::RWX)])? };
            // SAFETY: attached memory of the bench alone; it has what `touch` stored.
            let found = unsafe { (at as usize as *const u64).read_volatile() };
            if found != at {
                self.board.sum(FAILED).fetch_add(1, Ordering::AcqRel);
            }
            self.board.sum(FAULTS).fetch_add(1, Ordering::AcqRel);
            at += PAGE;
            if at == p.at + p.size {
                at = p.at;
            }
        }
    }

    /// A window while the others fault.
    fn beside<T>(&mut self, name: &str, work: impl FnOnce(&mut Memory) -> Result<T>) -> Result<T> {
        let sum = self.board.sum(FAULTS);
        let faults = || sum.load(Ordering::Acquire);
        self.server.settle(&mut self.memory)?;
        let (start, others) = (faults(), self.board.sum(READY).load(Ordering::Acquire));
        self.tell(FAULT);
        while others > 0 && faults() < start + 8 * others {
            ipc::sleep(Timeout::from_us(1_000));
        }
        let (result, served) = self.window(1, "request", name, |m| {
            let before = faults();
            let result = work(m);
            (result, faults() - before)
        });
        self.tell(REST);
        if others > 0 {
            l4re_rs::println!("count-note {name}: {served} faults of others served meanwhile");
        }
        result
    }

    /// The driver.
    ///
    /// # Errors
    /// The server's.
    pub fn stalls(&mut self) -> Result<()> {
        let others = self.board.count - 1;
        self.board.count = 1;
        l4re_rs::println!("count-programs 1");
        while self.board.sum(READY).load(Ordering::Acquire) < others {
            ipc::sleep(Timeout::from_us(20_000));
        }
        self.warm_up()?;
        self.large_requests()?;
        self.ends()?;
        if let Some(pager) = self.server.pager {
            self.policies(pager)?;
        }
        self.tell(END);
        match self.board.sum(FAILED).load(Ordering::Acquire) {
            0 => Ok(()),
            n => {
                l4re_rs::println!("bench-pager: FAILED: {n} faults brought something else");
                Err(Error::BadReply)
            }
        }
    }

    fn large_requests(&mut self) -> Result<()> {
        let ds = self.beside("create 64 MiB, contiguous", |m| m.create(LARGE, 5))?;
        let p = self.memory.attach_fresh(ds, LARGE)?;
        touch(p, 1);
        let copy = fresh(&mut self.memory, LARGE, 0)?;
        self.beside("allocate 64 MiB", |_| copy.ds.allocate(0, LARGE))?;
        self.beside("clear 64 MiB that are not mapped", |_| {
            // SAFETY: no Rust object is in the bench's memory.
            unsafe { copy.ds.clear(0, LARGE) }
        })?;
        touch(copy, 1);
        self.beside("clear 64 MiB, mapped", |_| {
            // SAFETY: as above.
            unsafe { copy.ds.clear(0, LARGE) }
        })?;
        self.beside("copy_in 64 MiB of whole pages", |_| {
            // SAFETY: as above.
            unsafe { copy.ds.copy_in(0, ds, 0, LARGE) }
        })?;
        self.beside("copy_in 4 MiB, not of whole pages", |_| {
            // SAFETY: as above.
            unsafe { copy.ds.copy_in(64, ds, 128, UNALIGNED) }
        })?;
        self.beside("destroy 64 MiB of copied pages", |m| {
            m.delete(copy.ds);
            Ok(())
        })?;
        self.memory.detach(copy)?;
        self.beside("destroy 64 MiB, contiguous, mapped", |m| {
            m.delete(ds);
            Ok(())
        })?;
        self.memory.detach(p)
    }

    /// Dataspaces and factories that end, and what is put off until the others rest.
    fn ends(&mut self) -> Result<()> {
        let whole = fresh(&mut self.memory, LARGE, 0)?;
        touch(whole, 1);
        let name = "destroy 64 MiB touched in order, mapped";
        self.destroyed(name, "what that put off", whole)?;
        let sparse = fresh(&mut self.memory, LARGE, 0)?;
        touch(sparse, 61);
        let name = "destroy 269 scattered pages";
        self.destroyed(name, "what the scattered pages put off", sparse)?;
        let factory = self.memory.sub_factory(LARGE)?;
        let before = self.memory.use_factory(factory);
        let mut pieces: [Option<Piece>; MANY] = [None; MANY];
        for place in &mut pieces {
            let p = fresh(&mut self.memory, 16 * PAGE, 0)?;
            touch(p, 1);
            *place = Some(p);
        }
        self.memory.use_factory(before);
        let name = "end of a factory with 64 dataspaces of 64 KiB";
        self.beside(name, |m| {
            m.delete(factory);
            Ok(())
        })?;
        self.put_off("what the factory's end put off")?;
        for p in pieces.into_iter().flatten() {
            self.memory.detach(p)?;
            self.memory.delete(p.ds);
        }
        Ok(())
    }

    fn destroyed(&mut self, name: &str, put_off: &str, p: Piece) -> Result<()> {
        self.beside(name, |m| {
            m.delete(p.ds);
            Ok(())
        })?;
        self.put_off(put_off)?;
        self.memory.detach(p)
    }

    /// What the server does when nobody asks it for anything any more.
    fn put_off(&mut self, name: &str) -> Result<()> {
        let server = self.server;
        self.window(1, "request", name, |m| server.settle(m))
    }

    /// Each policy in turn, with memory in use.
    fn policies(&mut self, pager: Pager) -> Result<()> {
        let p = fresh(&mut self.memory, LARGE, 0)?;
        touch(p, 7);
        for (kind, name) in [
            (policy::BUDDY, "switch of policy: bitmap to buddy (M17)"),
            (policy::AVL, "switch of policy: buddy to avl (M17)"),
            (policy::SLAB, "switch of policy: avl to slab (M17)"),
            (policy::BITMAP, "switch of policy: slab to bitmap (M17)"),
        ] {
            self.server.settle(&mut self.memory)?;
            let before = pager.memory()?;
            let switched = self.beside(name, |_| pager.switch(kind))?;
            self.server.settle(&mut self.memory)?;
            let after = pager.memory()?;
            let sum = |m: &percore_pager::api::reply::Memory| {
                m.free + m.held + m.used + m.kept + m.waiting + m.meta
            };
            let kept = before.present == after.present
                && before.used == after.used
                && sum(&after) == after.present;
            l4re_rs::println!(
                "count-note {name}: {} turns; present {} -> {}, used {} -> {}, sum {}: {}",
                switched.turns,
                before.present,
                after.present,
                before.used,
                after.used,
                sum(&after),
                if kept { "nothing lost" } else { "FAILED, lost" }
            );
            if !kept || !crate::memory::intact(p, 7) {
                return Err(Error::BadReply);
            }
        }
        self.memory.delete(p.ds);
        self.memory.detach(p)
    }
}
