//! The kernel's own memory for what it maps (M20), by what the kernel's debugger object prints before
//! and after: `percore count` takes the difference, which is exact.
//!
//! Nothing is given up until the end, and addresses and frames are used for the first time: what is freed
//! stays in the kernel's pools, and the next figure would be too small.

use l4re_rs::Result;

use crate::api::fresh;
use crate::bench::{Bench, LARGE};
use crate::memory::{Piece, touch};
use crate::server::reach;

/// Dataspaces of 1 MiB, and large ones.
const SMALL: usize = 16;
const PIECES: usize = SMALL + 5;
/// Bytes of a small one.
const MIB: u64 = 1 << 20;

/// What is mapped.
#[derive(Debug)]
struct Pieces {
    all: [Option<Piece>; PIECES],
    used: usize,
}

impl Bench {
    /// Each use once.
    ///
    /// # Errors
    /// The server's.
    pub fn heap(&mut self) -> Result<()> {
        let mut pieces = Pieces {
            all: [None; PIECES],
            used: 0,
        };
        let it = &mut pieces;
        self.heap_of("1 MiB dataspaces touched in order", it, SMALL, MIB, 0)?;
        self.heap_of("64 MiB touched in order", it, 1, LARGE, 0)?;
        self.heap_of("64 MiB, contiguous, touched", it, 1, LARGE, 5)?;
        let mut factories = [None; 2];
        if self.server.pager.is_some() {
            for (place, (name, order)) in factories.iter_mut().zip([
                ("64 MiB by 64 KiB a fault (REACH 4)", 4),
                ("64 MiB by 2 MiB a fault (REACH 9)", 9),
            ]) {
                let factory = self.memory.sub_factory(2 * LARGE)?;
                reach(factory, order)?;
                let before = self.memory.use_factory(factory);
                self.heap_of(name, it, 1, LARGE, 0)?;
                self.memory.use_factory(before);
                *place = Some(factory);
            }
        }
        for p in pieces.all.into_iter().flatten() {
            self.memory.delete(p.ds);
            self.memory.detach(p)?;
        }
        for factory in factories.into_iter().flatten() {
            self.memory.delete(factory);
        }
        self.server.settle(&mut self.memory)
    }

    fn heap_of(
        &mut self,
        name: &str,
        pieces: &mut Pieces,
        count: usize,
        size: u64,
        flags: u64,
    ) -> Result<()> {
        let first = pieces.used;
        let places = pieces.all.iter_mut().skip(first).take(count);
        for place in places {
            *place = Some(fresh(&mut self.memory, size, flags)?);
            pieces.used += 1;
        }
        self.server.settle(&mut self.memory)?;
        self.server.print_kernel_memory();
        let new = pieces.all.iter().skip(first).flatten();
        new.for_each(|p| touch(*p, 1));
        self.server.print_kernel_memory();
        let kib = size * count as u64 >> 10;
        l4re_rs::println!("count-heap {kib} {name}");
        Ok(())
    }
}
