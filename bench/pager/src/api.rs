//! Windows of one program for what a client does by the pager API: frames that come back to it (M9b),
//! faults on request (M10), half-busy use (M12), who owns a frame (M18), the kernel's memory (M20).
//! What a server without the API can do is done there too.

use core::arch::asm;

use l4_sys::Timeout;
use l4re_rs::Result;
use l4re_rs::client::ipc;
use percore_pager::api::flag;
use percore_pager::client::{Pager, Shape};

use crate::bench::{Bench, LARGE, PAGES};
use crate::memory::{Memory, PAGE, intact, touch};
use crate::server::{nonsense, reach};

/// Dataspaces that follow each other in M9b.
const LIVES: usize = 16;
/// Requests of M18.
const ASKED: u64 = 256;
/// Long enough for a server to do all that it does ahead.
const REST: u64 = 2_000_000;
/// log2 of the frames of 2 MiB.
const BLOCK: u32 = 9;

/// The processor's clock.
fn now() -> u64 {
    let (low, high): (u32, u32);
    // SAFETY: only reads the clock.
    unsafe { asm!("rdtsc", out("eax") low, out("edx") high, options(nomem, nostack)) };
    u64::from(high) << 32 | u64::from(low)
}

impl Bench {
    /// All of them.
    ///
    /// # Errors
    /// The server's.
    pub fn api(&mut self) -> Result<()> {
        self.board.gather();
        self.warm_up()?;
        // First: what is freed later leaves room in the kernel's pools.
        self.heap()?;
        self.recycled()?;
        if let Some(pager) = self.server.pager {
            self.on_request()?;
            self.half_busy(pager, 1, 64)?;
            self.half_busy(pager, 8, 8)?;
            self.owner(pager)?;
        }
        Ok(())
    }

    /// Dataspaces that follow each other in a factory whose client shares nothing. Nothing is detached
    /// meanwhile: that the client takes memory from itself is its own affair.
    fn recycled(&mut self) -> Result<()> {
        let factory = self.memory.sub_factory(LARGE)?;
        let before = self.memory.use_factory(factory);
        if self.server.pager.is_some() {
            Pager::new(factory).state(flag::SHARES_NOTHING, 0)?;
        }
        let mut ds = self.memory.create(PAGES * PAGE, 0)?;
        let first = self.memory.attach(ds, PAGES * PAGE)?;
        touch(first, 1);
        let mut pieces = [first; LIVES];
        let name = "dataspaces of 256 pages one after the other (M9b)";
        let outcome = self.window(PAGES * LIVES as u64, "page", name, |m| {
            for place in &mut pieces {
                m.delete(ds);
                ds = m.create(PAGES * PAGE, 0)?;
                *place = m.attach(ds, PAGES * PAGE)?;
                touch(*place, 1);
            }
            Result::Ok(())
        });
        outcome?;
        let last = pieces.last().is_some_and(|p| intact(*p, 1));
        if !last {
            l4re_rs::println!("bench-pager: FAILED: contents lost");
            return Err(l4re_rs::Error::BadReply);
        }
        self.memory.delete(ds);
        self.memory.use_factory(before);
        self.memory.detach(first)?;
        pieces
            .iter()
            .try_for_each(|piece| self.memory.detach(*piece))?;
        self.memory.delete(factory);
        self.server.settle(&mut self.memory)
    }

    /// 2 MiB with every fault, as a factory asks for it.
    fn on_request(&mut self) -> Result<()> {
        let factory = self.memory.sub_factory(2 * LARGE)?;
        reach(factory, BLOCK)?;
        let before = self.memory.use_factory(factory);
        // At rest the server zeroes ahead, an eighth of its memory at most.
        for (name, size, rest) in [
            ("touch 64 MiB, 2 MiB on request (M10)", LARGE, false),
            (
                "touch 16 MiB, 2 MiB on request, rested (M10)",
                LARGE / 4,
                true,
            ),
        ] {
            if rest {
                ipc::sleep(Timeout::from_us(REST));
            }
            let p = fresh(&mut self.memory, size, 0)?;
            self.window(size >> 20, "MiB", name, |_| touch(p, 1));
            self.memory.delete(p.ds);
            self.memory.detach(p)?;
        }
        self.memory.use_factory(before);
        self.memory.delete(factory);
        self.server.settle(&mut self.memory)
    }

    /// A client that works and rests as long: how much of what it takes was zeroed while it rested.
    fn half_busy(&mut self, pager: Pager, mib: u64, rounds: u64) -> Result<()> {
        let size = mib << 20;
        let before = pager.counters()?;
        let mut ended = now();
        for _ in 0..rounds {
            let begun = ended;
            let ds = self.memory.create(size, 0)?;
            let p = self.memory.attach(ds, size)?;
            touch(p, 1);
            self.memory.detach(p)?;
            self.memory.delete(ds);
            let worked = now() - begun;
            ended = now();
            while now() - ended < worked {
                ipc::sleep(Timeout::from_us(100));
            }
            ended = now();
        }
        let after = pager.counters()?;
        let pieces = after.pieces - before.pieces;
        let ahead = after.pieces_zeroed - before.pieces_zeroed;
        l4re_rs::println!(
            "count-note M12, {mib} MiB taken, touched and given up, and as long a rest, {rounds} times: \
             {pieces} pieces of memory taken, {ahead} of them zeroed ahead ({} %); frames zeroed while the \
             client waited {}, ahead {}",
            ahead * 100 / pieces.max(1),
            after.zeroed_now - before.zeroed_now,
            after.zeroed_ahead - before.zeroed_ahead,
        );
        Ok(())
    }

    /// The ledger's answer, beside the least that a message of this protocol costs.
    fn owner(&mut self, pager: Pager) -> Result<()> {
        let mut handles = [0; 1];
        pager.alloc_unmapped(Shape::order(0), &mut handles)?;
        let mut address = 0;
        pager.runs(0, |run| address = run.address)?;
        // Once without counting.
        let mine = pager.owner(address, false)?;
        if mine.state != percore_pager::api::state::MEMORY {
            l4re_rs::println!("bench-pager: FAILED: the frame is state {}", mine.state);
            return Err(l4re_rs::Error::BadReply);
        }
        self.window(ASKED, "request", "OWNER of a frame in use (M18)", |_| {
            (0..ASKED).try_for_each(|_| pager.owner(address, false).map(|_| ()))
        })?;
        self.window(ASKED, "request", "OWNER of no frame", |_| {
            (0..ASKED).try_for_each(|_| pager.owner(0, false).map(|_| ()))
        })?;
        self.window(ASKED, "request", "INFO", |_| {
            (0..ASKED).try_for_each(|_| pager.info().map(|_| ()))
        })?;
        let factory = self.memory.factory();
        self.window(ASKED, "request", "no such operation", |_| {
            (0..ASKED).for_each(|_| nonsense(factory));
        });
        // SAFETY: it was never mapped.
        unsafe { pager.free(&handles, false) }
    }
}

/// A dataspace that is attached where nothing was before, and not touched.
///
/// # Errors
/// The server's.
pub fn fresh(m: &mut Memory, size: u64, flags: u64) -> Result<crate::memory::Piece> {
    let ds = m.create(size, flags)?;
    m.attach_fresh(ds, size)
}
