//! Which memory and which CPUs belong together: the machine's NUMA nodes, from ACPI tables.
//!
//! Purpose: sigma0 answers questions about nodes and gives out memory by node. The firmware's SRAT says
//! which ranges and APIC ids share a proximity domain, SLIT how far domains are apart, MADT which
//! CPUs exist. [`Topology::discover`] reads them once at start; afterwards the value does not change.
//!
//! Invariants: there is at least one node; ranges are sorted by address, page granular, do not
//! overlap, and name existing nodes; so do CPUs. Node numbers are dense and follow the order of the
//! firmware's domain numbers, which may be any 32-bit values. A node may have memory only or
//! CPUs only. Memory that may be plugged later belongs to its node too; whether RAM is there is the
//! RAM map's matter.
//!
//! Broken input: no table is trusted. Lengths and checksums are verified before use, nothing is read
//! outside a table, and whatever is absent, broken, contradictory or too large for the fixed tables
//! here leaves one node over all addresses and a [`TopologyError`] for one log line. Only a broken
//! SLIT does not: the nodes are certain then, so they stay, with distances 10 and 20 as if it was absent.
//!
//! Limits ([`MAX_NODES`], [`MAX_RANGES`], [`MAX_CPUS`], APIC ids below 2^26): fixed tables of
//! 12.4 KiB in the server's static memory.
//!
//! Why not the `acpi` crate: its iterators hold references into mapped tables and trust entry lengths
//! (version 7.0.0-pre1 reads the one-byte length of a SRAT entry as two bytes, and loops for ever on
//! length 0); its checked interface needs a heap and nightly Rust; it brings in a logger. The
//! three tables needed take less code than its glue would.
//!
//! Files: `tables` finds and checks tables, `parse` turns them into a [`Topology`].

mod parse;
mod tables;

pub use tables::{PhysRead, Signature, TopologyError};

use crate::map::Range;
use core::fmt::Write;
use l4_sys::memdesc::{INFO_ACPI_RSDP, MemType};

/// Most nodes.
pub const MAX_NODES: usize = 64;
/// Most memory ranges, after joining those that touch.
pub const MAX_RANGES: usize = 256;
/// Most CPUs.
pub const MAX_CPUS: usize = 1024;

/// SLIT's distance from a node to itself, and the least there is.
pub const LOCAL: u8 = 10;
/// Distance to other nodes where no SLIT tells better.
pub const REMOTE: u8 = 20;

const PAGE_MASK: u64 = l4_sys::PAGE_SIZE - 1;
const NODE_BITS: u32 = 6;

/// A memory range and its node in two words: the node fills the low bits of the start, which is page
/// aligned; the end is the last byte.
#[derive(Clone, Copy, Debug)]
struct Memory {
    start_node: u64,
    end: u64,
}

impl Memory {
    fn start(self) -> u64 {
        self.start_node & !PAGE_MASK
    }

    fn node(self) -> usize {
        (self.start_node & PAGE_MASK) as usize
    }
}

/// A CPU in one word: APIC id in the upper 26 bits, node in the lower 6.
#[derive(Clone, Copy, Debug)]
struct Cpu(u32);

impl Cpu {
    fn apic(self) -> u32 {
        self.0 >> NODE_BITS
    }

    fn node(self) -> usize {
        (self.0 & (MAX_NODES as u32 - 1)) as usize
    }
}

const _: () = assert!(MAX_NODES == 1 << NODE_BITS);
const _: () = assert!(size_of::<Topology>() <= 12_700);

/// The machine's nodes. See the module header.
#[derive(Debug)]
pub struct Topology {
    memory: [Memory; MAX_RANGES],
    cpus: [Cpu; MAX_CPUS],
    distances: [[u8; MAX_NODES]; MAX_NODES],
    domains: [u32; MAX_NODES],
    ranges: u16,
    cpu_count: u16,
    nodes: u8,
    firmware: bool,
}

impl Topology {
    /// Nothing known yet, not even a node: all bytes zero, so that a static one lies in bss. Use it
    /// after [`Topology::discover`] or [`Topology::read`].
    pub const EMPTY: Topology = Topology {
        memory: [Memory {
            start_node: 0,
            end: 0,
        }; MAX_RANGES],
        cpus: [Cpu(0); MAX_CPUS],
        distances: [[0; MAX_NODES]; MAX_NODES],
        domains: [0; MAX_NODES],
        ranges: 0,
        cpu_count: 0,
        nodes: 0,
        firmware: false,
    };

    /// One node with all addresses and no known CPU.
    pub const fn new() -> Topology {
        let mut t = Topology::EMPTY;
        t.reset();
        t
    }

    /// Back to one node with all addresses. Field by field: an assignment of a whole value would be
    /// a copy of 12 KiB from the image.
    const fn reset(&mut self) {
        self.memory[0] = Memory {
            start_node: 0,
            end: u64::MAX,
        };
        self.distances[0][0] = LOCAL;
        self.domains[0] = 0;
        self.ranges = 1;
        self.cpu_count = 0;
        self.nodes = 1;
        self.firmware = false;
    }

    /// Reads the firmware's tables through `phys`. The root pointer comes from the kernel information
    /// page or is searched for. Prints one line: what was found, or why there is one node only.
    pub fn discover(
        &mut self,
        phys: &crate::phys::Phys<'_>,
        kip: &l4_sys::kip::Kip,
        log: &mut impl Write,
    ) {
        let hint = (kip.acpi_rsdp_addr != 0).then_some((kip.acpi_rsdp_addr, kip.acpi_rsdp_addr));
        let described = kip
            .mem_descs()
            .iter()
            .find(|d| {
                d.kind() == MemType::Info && d.sub_type() == INFO_ACPI_RSDP && !d.is_virtual()
            })
            .map(|d| (d.start(), d.end()));
        let result = self.read(phys, hint.or(described));
        let (n, r, c) = (self.nodes, self.ranges, self.cpu_count);
        // A lost log line is no reason to stop.
        let _ = match result {
            Ok(()) => writeln!(log, "SIGMA0: NUMA: {n} node(s), {r} range(s), {c} CPU(s)"),
            Err(e) => writeln!(log, "SIGMA0: NUMA: {n} node(s), {c} CPU(s): {e}"),
        };
    }

    /// The core of [`Topology::discover`]: `rsdp` bounds the addresses where the root pointer may
    /// start, where that is known. After an error there is one node, unless it concerns SLIT.
    pub fn read(
        &mut self,
        phys: &dyn PhysRead,
        rsdp: Option<(u64, u64)>,
    ) -> Result<(), TopologyError> {
        self.reset();
        parse::fill(self, phys, rsdp)
    }

    /// Number of nodes, at least 1.
    pub fn nodes(&self) -> usize {
        usize::from(self.nodes)
    }

    /// Number of memory ranges.
    pub fn range_count(&self) -> usize {
        usize::from(self.ranges)
    }

    /// Number of known CPUs.
    pub fn cpu_count(&self) -> usize {
        usize::from(self.cpu_count)
    }

    /// Whether the nodes are the firmware's, not the fall-back.
    pub fn from_firmware(&self) -> bool {
        self.firmware
    }

    fn memory(&self) -> &[Memory] {
        self.memory.get(..usize::from(self.ranges)).unwrap_or(&[])
    }

    /// Memory range number `i` in address order, and its node.
    pub fn range(&self, i: usize) -> Option<(Range, usize)> {
        let m = self.memory().get(i)?;
        Some((Range::new(m.start(), m.end)?, m.node()))
    }

    /// The memory ranges of a node in address order; none if there is no such node.
    pub fn ranges_of(&self, node: usize) -> impl Iterator<Item = Range> + '_ {
        self.memory()
            .iter()
            .filter(move |m| m.node() == node)
            .filter_map(|m| Range::new(m.start(), m.end))
    }

    /// The node of an address; `None` where no node claims memory.
    pub fn node_of_addr(&self, addr: u64) -> Option<usize> {
        let i = self
            .memory()
            .partition_point(|m| m.start() <= addr)
            .checked_sub(1)?;
        let m = self.memory().get(i)?;
        (addr <= m.end).then(|| m.node())
    }

    /// The firmware's number of a node; 0 if there is no such node.
    pub fn domain(&self, node: usize) -> u32 {
        self.domains.get(node).copied().unwrap_or(0)
    }

    /// CPUs as (APIC id, node), in the order of the firmware's CPU table.
    pub fn cpus(&self) -> impl Iterator<Item = (u32, usize)> + '_ {
        let known = self.cpus.get(..usize::from(self.cpu_count)).unwrap_or(&[]);
        known.iter().map(|c| (c.apic(), c.node()))
    }

    /// Number of CPUs of a node.
    pub fn cpus_of(&self, node: usize) -> usize {
        self.cpus().filter(|c| c.1 == node).count()
    }

    /// The node of a CPU; `None` if the firmware does not know the APIC id.
    pub fn node_of_apic(&self, apic: u32) -> Option<usize> {
        self.cpus().find(|c| c.0 == apic).map(|c| c.1)
    }

    /// Distance from node `a` to node `b` in SLIT's unit: 10 is local, 255 unreachable, which is
    /// also the answer for nodes that do not exist. Need not be the same both ways.
    pub fn distance(&self, a: usize, b: usize) -> u8 {
        if a >= self.nodes() || b >= self.nodes() {
            return u8::MAX;
        }
        self.distances
            .get(a)
            .and_then(|row| row.get(b))
            .copied()
            .unwrap_or(u8::MAX)
    }

    /// All nodes, nearest to `node` first, `node` itself before all others; equally far ones by
    /// number. Takes a pass over the nodes for each item.
    pub fn by_distance(&self, node: usize) -> impl Iterator<Item = usize> + '_ {
        // A key that orders the nodes totally: itself, then distance, then number.
        let key = move |n: usize| (n != node, self.distance(node, n), n);
        let mut last = None;
        core::iter::from_fn(move || {
            let next = (0..self.nodes())
                .map(key)
                .filter(|k| last.is_none_or(|l| *k > l))
                .min()?;
            last = Some(next);
            Some(next.2)
        })
    }
}

impl Default for Topology {
    fn default() -> Self {
        Topology::new()
    }
}
