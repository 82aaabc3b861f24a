//! Where the threads' memory comes from.
//!
//! Three sources, in this order; the first that works is used for all threads:
//!
//! 1. *By node*: sigma0-rs gives RAM of a node by one request each. From the pagers' reserve where there
//!    is one, else from what is free for everybody.
//! 2. *Any*: upstream's sigma0 gives any free RAM of an order.
//! 3. *Loader*: the program's own memory allocator gives contiguous dataspaces. This is what is left
//!    below an upstream root task, which takes all RAM for itself when it starts.
//!
//! Memory is asked for in the largest powers of two up to 1 GiB that the share of a thread allows, and
//! never below 2 MiB: so no two threads share a 2 MiB frame, and they share no 1 GiB frame either when
//! each gets 1 GiB or more. A thread has at most [`MAX_REGIONS`] regions, so what is less than a 32nd of
//! its share is not taken: small rests of one node would leave no places for other nodes.
//!
//! # Shares
//!
//! `--memory=AMOUNT` is for all threads together, and each gets the same part of it; a percentage is of
//! what the source has. Without the option: all of the reserve; of other RAM that sigma0 has, half; of
//! the loader's, a quarter. A thread takes from its own node first; what it still lacks comes from
//! the nearest nodes, after all threads had their turn at home.

use core::fmt;

use l4_sys::{Errno, Fpage, MemRights, Timeouts, proto};
use l4re_rs::cap::kind;
use l4re_rs::client::sigma0_ext::flag;
use l4re_rs::varg::Arg;
use l4re_rs::{Cap, Error};

use crate::frames::{FrameNo, Run};

use super::args::Amount;
use super::cpus::Cpus;
use super::place::Places;

/// Most regions of a thread.
pub const MAX_REGIONS: usize = 8;
/// log2 of the smallest and the largest region.
const SMALLEST: u32 = 21;
const LARGEST: u32 = 30;
/// A region is at least so small a part of its thread's share.
const WORTH: u64 = 32;

/// A thread's memory.
#[derive(Clone, Copy, Debug, Default)]
pub struct Regions {
    runs: [Option<Run>; MAX_REGIONS],
    used: usize,
}

impl Regions {
    /// No memory.
    pub const EMPTY: Regions = Regions {
        runs: [None; MAX_REGIONS],
        used: 0,
    };

    fn push(&mut self, block: Fpage) {
        let start = FrameNo(block.address() >> FrameNo::SHIFT);
        let run = Run::new(start, 1 << (block.order() - FrameNo::SHIFT));
        if let (Some(place), Some(run)) = (self.runs.get_mut(self.used), run) {
            *place = Some(run);
            self.used += 1;
        }
    }

    fn is_full(&self) -> bool {
        self.used == MAX_REGIONS
    }

    /// The regions in the order in which they came: the largest first.
    pub fn iter(&self) -> impl Iterator<Item = Run> + '_ {
        self.runs.iter().take(self.used).flatten().copied()
    }

    /// Bytes of all regions.
    pub fn bytes(&self) -> u64 {
        self.iter().map(|run| run.frames() << FrameNo::SHIFT).sum()
    }

    /// The run from the first to the last frame.
    pub fn span(&self) -> Option<Run> {
        let first = self.iter().map(|run| run.start().0).min()?;
        let end = self.iter().map(|run| run.end().0).max()?;
        Run::new(FrameNo(first), end - first)
    }
}

/// Which source is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// RAM by node, from the reserve or not.
    Nodes {
        /// Whether from the reserve.
        reserve: bool,
    },
    /// Any RAM of an order.
    Any,
    /// The program's own allocator.
    Loader,
}

impl Kind {
    /// Its name for people.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Nodes { reserve: true } => "sigma0's reserve, by node",
            Kind::Nodes { reserve: false } => "sigma0, by node",
            Kind::Any => "sigma0",
            Kind::Loader => "the loader's memory allocator",
        }
    }
}

/// Why there is not enough memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shortage {
    /// More bytes are wanted than the source has.
    TooMuch {
        /// What `--memory` says.
        wanted: u64,
        /// What the source has.
        there: u64,
        /// The source.
        of: Kind,
    },
    /// A thread's share is smaller than the smallest region.
    TooLittle {
        /// Bytes of a share.
        share: u64,
        /// Threads.
        threads: usize,
    },
}

impl fmt::Display for Shortage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Shortage::TooMuch { wanted, there, of } => write!(
                f,
                "--memory wants {} MiB; {} has {} MiB",
                wanted >> 20,
                of.name(),
                there >> 20
            ),
            Shortage::TooLittle { share, threads } => write!(
                f,
                "there is too little memory: {} KiB for each of {threads} threads, which need {} KiB (--memory, or \
                 sigma0's --reserve)",
                share >> 10,
                1 << (SMALLEST - 10)
            ),
        }
    }
}

/// What memory is asked of.
#[derive(Debug)]
pub struct Supply {
    kind: Kind,
    sigma0: Option<Cap<kind::Sigma0>>,
    loader: Option<Cap<kind::Factory>>,
    places: Places,
    /// Nodes of the machine.
    nodes: u32,
    /// Where the next dataspace goes.
    next: u64,
    /// Slots for dataspaces.
    slot: Cap<kind::Dataspace>,
    /// Requests sent for memory, refused ones included.
    pub requests: u32,
    /// Regions got.
    pub regions: u32,
}

impl Supply {
    /// Looks for a source. `slot` is the first of as many free slots as there will be regions.
    pub fn find(
        sigma0: Option<Cap<kind::Sigma0>>,
        loader: Option<Cap<kind::Factory>>,
        places: Places,
        slot: Cap<kind::Dataspace>,
    ) -> Option<Self> {
        let nodes = sigma0
            .and_then(|s| s.topology().ok())
            .map_or(0, |size| size.nodes);
        let mut supply = Supply {
            kind: Kind::Loader,
            sigma0,
            loader,
            places,
            nodes,
            next: places.loaned,
            slot,
            requests: 0,
            regions: 0,
        };
        let has = |supply: &Supply, kept| {
            (0..nodes).any(|node| supply.node_has(node, kept) >= 1 << SMALLEST)
        };
        supply.kind = match (sigma0, loader) {
            (Some(_), _) if has(&supply, true) => Kind::Nodes { reserve: true },
            (Some(_), _) if has(&supply, false) => Kind::Nodes { reserve: false },
            // Whether upstream's has any is known once it is asked.
            (Some(_), _) if nodes == 0 => Kind::Any,
            (_, Some(_)) => Kind::Loader,
            _ => return None,
        };
        Some(supply)
    }

    /// Which source it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    fn node_has(&self, node: u32, reserve: bool) -> u64 {
        let found = self.sigma0.and_then(|s| s.node(node).ok());
        found.map_or(0, |n| if reserve { n.kept } else { n.free })
    }

    /// Takes memory for all threads: `regions` has one place for each.
    ///
    /// # Errors
    /// The amount is more than the source says that it has, or too little for so many threads.
    pub fn share_out(
        &mut self,
        amount: Amount,
        cpus: &Cpus,
        regions: &mut [Regions],
    ) -> Result<(), Shortage> {
        if let Kind::Nodes { reserve } = self.kind {
            return self.by_node(amount, reserve, cpus, regions);
        }
        if self.kind == Kind::Any {
            self.any(amount, regions);
            if regions.iter().any(|r| r.used > 0) || self.loader.is_none() {
                return Ok(());
            }
            self.kind = Kind::Loader;
        }
        let free = self
            .loader
            .and_then(|l| l.memory().ok())
            .map_or(0, |m| m.free);
        let share = self.share(amount, free, 25, regions.len())?;
        for mine in regions {
            self.fill(mine, share, share, |supply, order| supply.borrow(order));
        }
        Ok(())
    }

    /// A thread's share of `amount`, of a source that has `all` bytes.
    fn share(
        &self,
        amount: Amount,
        all: u64,
        default: u32,
        threads: usize,
    ) -> Result<u64, Shortage> {
        let wanted = part(amount, all, default);
        if wanted > all {
            return Err(Shortage::TooMuch {
                wanted,
                there: all,
                of: self.kind,
            });
        }
        let share = wanted / threads.max(1) as u64;
        if share < 1 << SMALLEST {
            return Err(Shortage::TooLittle { share, threads });
        }
        Ok(share)
    }

    fn by_node(
        &mut self,
        amount: Amount,
        reserve: bool,
        cpus: &Cpus,
        regions: &mut [Regions],
    ) -> Result<(), Shortage> {
        let flags = if reserve { flag::RESERVE } else { 0 };
        let all: u64 = (0..self.nodes).map(|n| self.node_has(n, reserve)).sum();
        let default = if reserve { 100 } else { 50 };
        let share = self.share(amount, all, default, regions.len())?;
        let node_of = |worker: usize| cpus.home(worker as u32).map_or(0, |at| at.node);
        for node in 0..self.nodes {
            let home = self.node_has(node, reserve) / u64::from(cpus.workers_in(node).max(1));
            for (worker, mine) in regions.iter_mut().enumerate() {
                if node_of(worker) == node {
                    self.fill(mine, share.min(home), share, |supply, order| {
                        supply.of_node(node, order, flags)
                    });
                }
            }
        }
        for (worker, mine) in regions.iter_mut().enumerate() {
            // What is left over from rounding is not worth going far for.
            let lacking = share.saturating_sub(mine.bytes());
            if lacking > share / 4 {
                self.fill(mine, lacking, share, |supply, order| {
                    supply.of_node(node_of(worker), order, flags | flag::NEAR)
                });
            }
        }
        Ok(())
    }

    fn any(&mut self, amount: Amount, regions: &mut [Regions]) {
        let share = match amount {
            Amount::Bytes(bytes) => bytes / regions.len().max(1) as u64,
            // Upstream's sigma0 does not say what it has.
            Amount::Default | Amount::Percent(_) => 32 << 20,
        };
        for mine in regions {
            self.fill(mine, share, share, Supply::of_any);
        }
    }

    /// Adds regions of falling orders to `mine` until it has `bytes` more, or there are no more that are
    /// worth a place in its share.
    fn fill(
        &mut self,
        mine: &mut Regions,
        bytes: u64,
        share: u64,
        take: impl Fn(&mut Supply, u32) -> Result<Fpage, Error>,
    ) {
        let mut left = bytes;
        let mut largest = LARGEST;
        let least = (share / WORTH).max(1 << SMALLEST).ilog2();
        while left >= 1 << least && largest >= least && !mine.is_full() {
            let order = left.ilog2().min(largest);
            self.requests += 1;
            match take(self, order) {
                Ok(block) => {
                    self.regions += 1;
                    mine.push(block);
                    left -= 1 << order;
                }
                Err(Error::Refused(Errno::NoMem)) => largest = order - 1,
                Err(_) => return,
            }
        }
    }

    fn of_node(&mut self, node: u32, order: u32, flags: u32) -> Result<Fpage, Error> {
        let sigma0 = self.sigma0.ok_or(Error::NoRoom)?;
        // SAFETY: the window is kept free for RAM at these very places (see `Places`).
        let (block, _) = unsafe { sigma0.node_ram(node, order, flags, self.places.window()) }?;
        Ok(self.places.physical(block))
    }

    fn of_any(&mut self, order: u32) -> Result<Fpage, Error> {
        let sigma0 = self.sigma0.ok_or(Error::NoRoom)?;
        // SAFETY: as in `of_node`.
        let block = unsafe { sigma0.any_ram(order, self.places.window()) }?;
        Ok(self.places.physical(block))
    }

    /// A contiguous dataspace, mapped whole.
    fn borrow(&mut self, order: u32) -> Result<Fpage, Error> {
        let loader = self.loader.ok_or(Error::NoRoom)?;
        let size = 1u64 << order;
        let args = [
            Arg::Int(size.cast_signed()),
            // Contiguous, of superpages.
            Arg::Int(1 | 4),
            Arg::Int(i64::from(SMALLEST)),
        ];
        loader.create(proto::DATASPACE, &args, self.slot)?;
        let dataspace = self.slot;
        let start = self.next.next_multiple_of(size);
        let mut done = 0;
        while done < size {
            let window = Fpage::mem(start, order, MemRights::RWX);
            // SAFETY: the area is kept free for this, and the part from `start` on has not been used.
            let sent = unsafe { dataspace.map_within((done, done), 7, window, Timeouts::NEVER) }?;
            done += 1 << sent.clamp(12, LARGEST);
        }
        self.next = start + size;
        self.slot = Cap::new(self.slot.idx().offset(1));
        Ok(Fpage::mem(start, order, MemRights::RWX))
    }
}

/// The bytes that `amount` means of `all`; `default` percent of it when it says nothing.
fn part(amount: Amount, all: u64, default: u32) -> u64 {
    let percent = |part: u32| (u128::from(all) * u128::from(part) / 100) as u64;
    match amount {
        Amount::Default => percent(default),
        Amount::Percent(part) => percent(part),
        Amount::Bytes(bytes) => bytes,
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::string::ToString;

    use super::*;
    use crate::server::shell::place::Places;

    #[test]
    fn shares() {
        let supply = Supply {
            kind: Kind::Nodes { reserve: true },
            sigma0: None,
            loader: None,
            places: Places::KERNEL,
            nodes: 1,
            next: 0,
            slot: Cap::new(l4_sys::CapIdx::from_slot(64)),
            requests: 0,
            regions: 0,
        };
        let all = 476 << 20;
        let share = |amount, threads| supply.share(amount, all, 100, threads);
        assert_eq!(share(Amount::Default, 2), Ok(238 << 20));
        assert_eq!(share(Amount::Bytes(all), 1), Ok(all));
        assert_eq!(share(Amount::Percent(50), 2), Ok(119 << 20));
        let text = |amount, threads| share(amount, threads).map_err(|e| e.to_string());
        let much = "--memory wants 65536 MiB; sigma0's reserve, by node has 476 MiB";
        assert_eq!(text(Amount::Bytes(64 << 30), 2), Err(much.into()));
        let little = text(Amount::Bytes(64 << 10), 2).expect_err("too little");
        assert!(little.contains("32 KiB for each of 2 threads"), "{little}");
        assert!(share(Amount::Bytes(4 << 20), 2).is_ok());
        assert!(share(Amount::Bytes(all + 1), 2).is_err());
    }
}
