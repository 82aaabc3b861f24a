//! From SRAT, SLIT and MADT to a [`Topology`].
//!
//! Two passes over SRAT: the first collects the proximity domains in order, which gives the node
//! numbers; the second enters memory and CPUs. The CPUs that exist are MADT's; SRAT only says where
//! they are, and those it leaves out belong to node 0. Without a usable MADT the CPUs are SRAT's.

use super::tables::{Found, PhysRead, Signature, Table, TopologyError, find, u32_at, u64_at};
use super::{Cpu, LOCAL, MAX_CPUS, MAX_NODES, Memory, NODE_BITS, PAGE_MASK, REMOTE, Topology};

/// Fills `t`, which is as new. After an error it has one node, unless SLIT was the cause; CPUs that
/// MADT lists are known all the same.
pub(super) fn fill(
    t: &mut Topology,
    phys: &dyn PhysRead,
    rsdp: Option<(u64, u64)>,
) -> Result<(), TopologyError> {
    let found = find(phys, rsdp)?;
    let result = cpus(t, phys, &found).and_then(|()| nodes(t, phys, &found));
    if let Err(e) = result {
        // CPUs stay: they are valid by themselves, and belong to the only node.
        let count = t.cpu_count;
        t.reset();
        t.cpu_count = count;
        for c in &mut t.cpus {
            *c = Cpu(c.apic() << NODE_BITS);
        }
        return Err(e);
    }
    let Some(addr) = found.slit else {
        return Ok(());
    };
    let result = Table::open(phys, addr, Signature::SLIT).and_then(|slit| distances(t, &slit));
    if result.is_err() {
        default_distances(t);
    }
    result
}

/// CPUs from MADT, all in node 0 for now. No MADT is no error.
fn cpus(t: &mut Topology, phys: &dyn PhysRead, found: &Found) -> Result<(), TopologyError> {
    let Some(addr) = found.madt else {
        return Ok(());
    };
    let madt = Table::open(phys, addr, Signature::MADT)?;
    let least = |kind| match kind {
        0 => 8,
        9 => 16,
        _ => 2,
    };
    madt.entries(44, least, &mut |kind, e| {
        let (apic, flags) = match kind {
            // 255 means "use the other kind of entry".
            0 if e[3] != 0xff => (u32::from(e[3]), u32_at(e, 4)),
            9 => (u32_at(e, 4), u32_at(e, 8)),
            _ => return Ok(()),
        };
        // Enabled, or can be enabled later.
        if flags & 3 == 0 {
            Ok(())
        } else {
            add_cpu(t, apic)
        }
    })
}

/// Appends a CPU unless it is known.
fn add_cpu(t: &mut Topology, apic: u32) -> Result<(), TopologyError> {
    if t.node_of_apic(apic).is_some() {
        return Ok(());
    }
    if apic >= 1 << (32 - NODE_BITS) {
        return Err(TopologyError::ApicId);
    }
    let n = t.cpu_count();
    let slot = t.cpus.get_mut(n).ok_or(TopologyError::TooManyCpus)?;
    *slot = Cpu(apic << NODE_BITS);
    t.cpu_count = (n + 1) as u16;
    const { assert!(MAX_CPUS <= u16::MAX as usize) };
    Ok(())
}

/// One entry of SRAT that counts.
enum Affinity {
    Memory { domain: u32, start: u64, end: u64 },
    Cpu { domain: u32, apic: u32 },
}

/// Decodes an entry; `None` if it is disabled, empty or of no interest.
fn affinity(kind: u8, e: &[u8; 40], wide: bool) -> Option<Affinity> {
    // Before revision 2 a domain was one byte and the bytes above it were reserved.
    let narrow = |d: u32| if wide { d } else { d & 0xff };
    match kind {
        0 if e[4] & 1 != 0 => {
            let domain = u32::from_le_bytes([e[2], e[9], e[10], e[11]]);
            Some(Affinity::Cpu {
                domain: narrow(domain),
                apic: u32::from(e[3]),
            })
        }
        1 if u32_at(e, 28) & 1 != 0 => {
            let (base, len) = (u64_at(e, 8), u64_at(e, 16));
            // Whole pages inside; a range over the end of the address space is cut there.
            let start = base.checked_add(PAGE_MASK)? & !PAGE_MASK;
            let end = match base.checked_add(len) {
                // Nothing is left of less than a page at address 0.
                Some(behind) => (behind & !PAGE_MASK).checked_sub(1)?,
                None => u64::MAX,
            };
            (len > 0 && start <= end).then_some(Affinity::Memory {
                domain: narrow(u32_at(e, 2)),
                start,
                end,
            })
        }
        2 if u32_at(e, 12) & 1 != 0 => Some(Affinity::Cpu {
            domain: narrow(u32_at(e, 4)),
            apic: u32_at(e, 8),
        }),
        _ => None,
    }
}

fn nodes(t: &mut Topology, phys: &dyn PhysRead, found: &Found) -> Result<(), TopologyError> {
    let addr = found.srat.ok_or(TopologyError::Absent(Signature::SRAT))?;
    let srat = Table::open(phys, addr, Signature::SRAT)?;
    let wide = srat.revision()? >= 2;
    let least = |kind| match kind {
        0 => 16,
        1 => 40,
        2 => 24,
        _ => 2,
    };
    t.nodes = 0;
    t.ranges = 0;
    srat.entries(48, least, &mut |kind, e| match affinity(kind, e, wide) {
        Some(Affinity::Memory { domain, .. } | Affinity::Cpu { domain, .. }) => {
            add_domain(t, domain)
        }
        None => Ok(()),
    })?;
    let cpus_known = t.cpu_count > 0;
    srat.entries(48, least, &mut |kind, e| match affinity(kind, e, wide) {
        Some(Affinity::Memory { domain, start, end }) => add_memory(t, domain, start, end),
        Some(Affinity::Cpu { domain, apic }) => {
            if !cpus_known {
                add_cpu(t, apic)?;
            }
            place_cpu(t, domain, apic);
            Ok(())
        }
        None => Ok(()),
    })?;
    if t.ranges == 0 {
        return Err(TopologyError::NoMemory);
    }
    t.firmware = true;
    default_distances(t);
    Ok(())
}

/// Position of `domain` among the known ones, or where it belongs.
fn position(t: &Topology, domain: u32) -> Result<usize, usize> {
    t.domains
        .get(..t.nodes())
        .unwrap_or(&[])
        .binary_search(&domain)
}

/// Makes `domain` a node; numbers follow the domains' order.
fn add_domain(t: &mut Topology, domain: u32) -> Result<(), TopologyError> {
    let Err(at) = position(t, domain) else {
        return Ok(());
    };
    let n = t.nodes();
    let part = t
        .domains
        .get_mut(at..n + 1)
        .ok_or(TopologyError::TooManyNodes)?;
    part.rotate_right(1);
    part[0] = domain;
    t.nodes = (n + 1) as u8;
    const { assert!(MAX_NODES <= u8::MAX as usize) };
    Ok(())
}

/// Enters a range in address order, joined with those of the same node that it touches or overlaps.
fn add_memory(t: &mut Topology, domain: u32, start: u64, end: u64) -> Result<(), TopologyError> {
    let Ok(node) = position(t, domain) else {
        return Ok(());
    };
    let (mut start, mut end) = (start, end);
    // The ranges it overlaps, and the same node's that it touches, are `first .. last`.
    let touches = |m: &Memory| {
        (m.start() <= end && start <= m.end)
            || (m.node() == node
                && (m.end.checked_add(1) == Some(start) || end.checked_add(1) == Some(m.start())))
    };
    let known = t.memory();
    let first = known.iter().position(touches);
    let first = first.unwrap_or_else(|| known.partition_point(|m| m.end < start));
    let hit = known
        .get(first..)
        .unwrap_or(&[])
        .iter()
        .take_while(|m| touches(m));
    let mut last = first;
    let (mut low, mut high) = (start, end);
    for m in hit {
        if m.node() != node {
            return Err(TopologyError::Overlap);
        }
        low = low.min(m.start());
        high = high.max(m.end);
        last += 1;
    }
    (start, end) = (low, high);
    let n = t.range_count();
    let new = Memory {
        start_node: start | node as u64,
        end,
    };
    if last == first {
        let part = t
            .memory
            .get_mut(first..n + 1)
            .ok_or(TopologyError::TooManyRanges)?;
        part.rotate_right(1);
        part[0] = new;
        t.ranges += 1;
    } else if let Some(part) = t.memory.get_mut(first..n) {
        part[0] = new;
        let gone = last - first - 1;
        if let Some(rest) = part.get_mut(1..) {
            rest.rotate_left(gone);
        }
        t.ranges -= gone as u16;
    }
    Ok(())
}

/// Tells the node of a known CPU.
fn place_cpu(t: &mut Topology, domain: u32, apic: u32) {
    let Ok(node) = position(t, domain) else {
        return;
    };
    let n = t.cpu_count();
    let known = t.cpus.get_mut(..n).unwrap_or(&mut []);
    if let Some(c) = known.iter_mut().find(|c| c.apic() == apic) {
        *c = Cpu(apic << NODE_BITS | node as u32);
    }
}

/// Distances without a SLIT.
fn default_distances(t: &mut Topology) {
    for (a, row) in t.distances.iter_mut().enumerate() {
        for (b, d) in row.iter_mut().enumerate() {
            *d = if a == b { LOCAL } else { REMOTE };
        }
    }
}

/// Distances from SLIT, whose rows and columns are domain numbers.
fn distances(t: &mut Topology, slit: &Table<'_>) -> Result<(), TopologyError> {
    let mut b = [0u8; 8];
    slit.read(36, &mut b)?;
    let n = u64::from_le_bytes(b);
    let size = n.checked_mul(n).and_then(|s| s.checked_add(44));
    if size.is_none_or(|s| s > u64::from(slit.len())) {
        return Err(slit.bad_length());
    }
    for a in 0..t.nodes() {
        for b in 0..t.nodes() {
            let (row, column) = (u64::from(t.domain(a)), u64::from(t.domain(b)));
            if row >= n || column >= n {
                return Err(slit.bad_length());
            }
            let mut d = [0u8];
            // In bounds: below n * n + 44, which fits the table's 32-bit length.
            slit.read((44 + row * n + column) as u32, &mut d)?;
            if d[0] < LOCAL || (a == b) != (d[0] == LOCAL) {
                return Err(TopologyError::Distance);
            }
            if let Some(x) = t.distances.get_mut(a).and_then(|r| r.get_mut(b)) {
                *x = d[0];
            }
        }
    }
    Ok(())
}
