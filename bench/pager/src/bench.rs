//! The windows.

use l4re_rs::start::aux::Process;

use crate::bare::{self, Bare};
use crate::board::Board;
use crate::memory::{Memory, PAGE, Piece, intact, touch};
use crate::server::Server;

/// Pages of a dataspace of the small windows.
pub const PAGES: u64 = 256;
/// Dataspaces in a window.
const PIECES: usize = 4;
/// Bytes touched one after the other.
const SEQUENTIAL: u64 = 8 << 20;
/// Bytes of the dataspaces whose end is counted.
pub const LARGE: u64 = 64 << 20;
/// Single faults, each in a window of its own.
const SINGLE: u64 = 200;

/// State of one program.
#[derive(Debug)]
pub struct Bench {
    pub process: &'static Process,
    pub memory: Memory,
    pub server: Server,
    pub board: Board,
    /// Number of the last window, as the plugin counts them.
    number: u64,
}

/// Entry.
pub fn main(process: &'static Process) -> i64 {
    let mut args = process.args().skip(1).map(number);
    let (index, count) = (args.next().unwrap_or(0), args.next().unwrap_or(1));
    match process.args().nth(3) {
        Some(b"churn") => return crate::churn::main(Memory::new(process), index),
        Some(b"quota") => return crate::churn::report(process),
        _ => {}
    }
    let board = match Board::open(process, index, count) {
        Ok(board) => board,
        Err(e) => {
            l4re_rs::println!("bench-pager: FAILED: board: {e:?}");
            return 1;
        }
    };
    let mut b = Bench {
        process,
        memory: Memory::new(process),
        server: Server::find(process, board.count),
        board,
        number: 0,
    };
    let outcome = match process.args().nth(3) {
        Some(b"api") => b.api(),
        Some(b"stalls") => b.stalls(),
        Some(b"fault") => b.fault(),
        Some(b"scaling") => b.scaling(),
        _ => b.run(),
    };
    if let Err(e) = outcome {
        l4re_rs::println!("bench-pager: FAILED: program {index}: {e:?}");
        return 1;
    }
    if index == 0 {
        l4re_rs::println!("bench-pager: done");
    }
    0
}

/// A decimal number; anything else is all ones.
fn number(text: &[u8]) -> u64 {
    text.iter()
        .try_fold(0u64, |n, c| match c {
            b'0'..=b'9' => n.checked_mul(10)?.checked_add(u64::from(c - b'0')),
            _ => None,
        })
        .unwrap_or(u64::MAX)
}

impl Bench {
    /// Runs `work` in all programs at once, as a window.
    pub fn window<T>(
        &mut self,
        ops: u64,
        unit: &str,
        name: &str,
        work: impl FnOnce(&mut Memory) -> T,
    ) -> T {
        self.number += 1;
        if self.board.index == 0 {
            l4re_rs::println!("count-window {} {ops} {unit} {name}", self.number);
        }
        let memory = &mut self.memory;
        self.board.window(|| work(memory))
    }

    /// The same, but first all servers come to rest, so that every CPU begins with the same in every run.
    fn rested<T>(
        &mut self,
        ops: u64,
        unit: &str,
        name: &str,
        work: impl FnOnce(&mut Memory) -> l4re_rs::Result<T>,
    ) -> l4re_rs::Result<T> {
        self.server.rest(&mut self.memory)?;
        self.window(ops, unit, name, work)
    }

    /// The windows that every number of programs has, and those of one program alone.
    fn run(&mut self) -> l4re_rs::Result<()> {
        self.board.gather();
        // Once without counting: code and tables of all concerned are mapped then.
        self.warm_up()?;
        self.single_pages()?;
        self.first_touch()?;
        self.sequential()?;
        self.sparse()?;
        self.bare()?;
        if self.board.count == 1 {
            self.faults()?;
            self.large()?;
            self.scattered()?;
        }
        Ok(())
    }

    /// What is compared between numbers of programs.
    fn scaling(&mut self) -> l4re_rs::Result<()> {
        self.board.gather();
        self.warm_up()?;
        self.single_pages()?;
        self.first_touch()?;
        self.bare()
    }

    /// The kernel alone.
    fn bare(&mut self) -> l4re_rs::Result<()> {
        let size = bare::PAGES * PAGE;
        let ds = self.memory.create(size, 0)?;
        let p = self.memory.attach(ds, size)?;
        touch(p, 1);
        let bare = Bare::new(self.process, &mut self.memory, p.at)?;
        // Once without counting: the task's page tables are there then.
        bare.run()?;
        self.rested(
            bare::PAGES,
            "page",
            "bare kernel: map and unmap a page",
            |_| bare.run(),
        )?;
        bare.end(&mut self.memory);
        self.memory.detach(p)?;
        self.memory.delete(ds);
        Ok(())
    }

    pub fn warm_up(&mut self) -> l4re_rs::Result<()> {
        for _ in 0..2 {
            let ds = self.memory.create(PAGES * PAGE, 0)?;
            let p = self.memory.attach(ds, PAGES * PAGE)?;
            touch(p, 1);
            ds.allocate(0, PAGE)?;
            // SAFETY: no Rust object is in the bench's memory.
            unsafe { ds.clear(0, PAGE)? };
            self.memory.detach(p)?;
            self.memory.delete(ds);
            self.server.settle(&mut self.memory)?;
        }
        Ok(())
    }

    /// Allocate and clear by single-page requests.
    fn single_pages(&mut self) -> l4re_rs::Result<()> {
        let ds = self.memory.create(PAGES * PAGE, 0)?;
        self.rested(PAGES, "page", "allocate by single-page requests", |_| {
            (0..PAGES).try_for_each(|i| ds.allocate(i * PAGE, PAGE))
        })?;
        self.rested(
            PAGES,
            "page",
            "free (clear) by single-page requests",
            |_| {
                // SAFETY: no Rust object is in the bench's memory.
                (0..PAGES).try_for_each(|i| unsafe { ds.clear(i * PAGE, PAGE) })
            },
        )?;
        self.memory.delete(ds);
        Ok(())
    }

    /// Attach, touch, detach, destroy dataspaces of 256 pages.
    fn first_touch(&mut self) -> l4re_rs::Result<()> {
        const OPS: u64 = PAGES * PIECES as u64;
        let mut ds = [l4re_rs::Cap::new(l4re_rs::CapIdx::INVALID); PIECES];
        for place in &mut ds {
            *place = self.memory.create(PAGES * PAGE, 0)?;
        }
        let mut pieces: [Option<Piece>; PIECES] = [None; PIECES];
        self.rested(OPS, "page", "first touch of 256-page dataspaces", |m| {
            for (place, ds) in pieces.iter_mut().zip(ds) {
                let p = m.attach(ds, PAGES * PAGE)?;
                touch(p, 1);
                *place = Some(p);
            }
            l4re_rs::Result::Ok(())
        })?;
        let whole = pieces.iter().flatten().all(|p| intact(*p, 1));
        if !whole {
            l4re_rs::println!("bench-pager: FAILED: contents lost");
            return Err(l4re_rs::Error::BadReply);
        }
        let server = self.server;
        self.rested(OPS, "page", "detach and destroy them", |m| {
            for p in pieces.iter().flatten() {
                m.detach(*p)?;
                m.delete(p.ds);
            }
            server.settle(m)
        })
    }

    /// 8 MiB touched in order.
    fn sequential(&mut self) -> l4re_rs::Result<()> {
        let ds = self.memory.create(SEQUENTIAL, 0)?;
        let p = self.memory.attach(ds, SEQUENTIAL)?;
        let name = "sequential first touch of 8 MiB (M10)";
        self.rested(SEQUENTIAL / PAGE, "page", name, |_| {
            touch(p, 1);
            Ok(())
        })?;
        let server = self.server;
        self.rested(
            SEQUENTIAL / PAGE,
            "page",
            "destroy 8 MiB touched in order",
            |m| {
                m.delete(ds);
                m.detach(p)?;
                server.settle(m)
            },
        )
    }

    /// One page in 61 of 16 MiB: what is brought and not asked for.
    fn sparse(&mut self) -> l4re_rs::Result<()> {
        let size = SEQUENTIAL * 2;
        let ds = self.memory.create(size, 0)?;
        let p = self.memory.attach(ds, size)?;
        let touched = size / PAGE / 61 + 1;
        let name = "sparse first touch, one page in 61";
        self.rested(touched, "page", name, |_| {
            touch(p, 61);
            Ok(())
        })?;
        self.memory.detach(p)?;
        self.memory.delete(ds);
        Ok(())
    }

    /// Faults one by one, for the median.
    fn faults(&mut self) -> l4re_rs::Result<()> {
        let size = SINGLE * 61 * PAGE;
        let ds = self.memory.create(size, 0)?;
        let p = self.memory.attach(ds, size)?;
        for i in 0..SINGLE {
            let one = Piece {
                at: p.at + i * 61 * PAGE,
                size: PAGE,
                ..p
            };
            self.window(1, "fault", "single fault (M4)", |_| touch(one, 1));
        }
        self.memory.detach(p)?;
        self.memory.delete(ds);
        Ok(())
    }

    /// The end of a large contiguous dataspace that was mapped whole.
    fn large(&mut self) -> l4re_rs::Result<()> {
        let ds = self.window(1, "dataspace", "create 64 MiB, contiguous", |m| {
            m.create(LARGE, 5)
        })?;
        let p = self.memory.attach_fresh(ds, LARGE)?;
        self.window(LARGE / PAGE, "page", "touch 64 MiB, contiguous", |_| {
            touch(p, 1)
        });
        // While it is still mapped.
        self.destroy(LARGE / PAGE, "destroy 64 MiB, contiguous (M9)", ds)?;
        self.memory.detach(p)
    }

    /// Destroys a dataspace, until its frames are unmapped and free.
    pub fn destroy(
        &mut self,
        pages: u64,
        name: &str,
        ds: l4re_rs::Cap<l4re_rs::cap::kind::Dataspace>,
    ) -> l4re_rs::Result<()> {
        let server = self.server;
        server.settle(&mut self.memory)?;
        let (before, _) = server.figures()?;
        self.window(pages, "page", name, |m| {
            m.delete(ds);
            server.settle(m)
        })?;
        let (after, _) = server.figures()?;
        if server.pager.is_some() {
            l4re_rs::println!(
                "count-note {name}: {} unmap system calls, {} flexpages for {pages} pages",
                after.unmap_calls - before.unmap_calls,
                after.unmapped - before.unmapped
            );
        }
        Ok(())
    }

    /// The end of a dataspace whose pages lie scattered.
    fn scattered(&mut self) -> l4re_rs::Result<()> {
        const STEP: u64 = 61;
        let ds = self.memory.create(LARGE, 0)?;
        let p = self.memory.attach(ds, LARGE)?;
        touch(p, STEP);
        let pages = LARGE / PAGE / STEP + 1;
        self.destroy(pages, "destroy 269 scattered pages (M9)", ds)?;
        self.memory.detach(p)
    }
}
