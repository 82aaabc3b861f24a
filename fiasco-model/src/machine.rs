//! The simulated machine: CPUs, nodes, memory.

use serde::Serialize;

/// Start of the hole below 4 GiB where devices are.
const HOLE: u64 = 0xc000_0000;
/// End of that hole.
const HOLE_END: u64 = 0x1_0000_0000;

/// A machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Machine {
    /// Name for reports.
    pub name: String,
    /// NUMA nodes, from 0.
    pub nodes: Vec<Node>,
    /// SLIT distance from node (row) to node (column); 10 is local. Empty: 10 and 20.
    pub distances: Vec<Vec<u8>>,
    /// Whether the machine has ACPI tables at all.
    pub acpi: bool,
}

/// A NUMA node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Node {
    /// CPUs.
    pub cores: u32,
    /// Memory in MiB.
    pub mib: u64,
}

/// A machine that cannot be: numbers that make none.
#[derive(Debug, thiserror::Error)]
#[error("machine {name}: {what}")]
pub struct MachineError {
    /// Machine's name.
    pub name: String,
    /// What was found and what was expected.
    pub what: String,
}

impl Machine {
    /// `nodes` equal nodes with `cores` CPUs and `mib` MiB each.
    #[must_use]
    pub fn uniform(nodes: u32, cores: u32, mib: u64) -> Self {
        Machine {
            name: format!("{nodes}x{cores}"),
            nodes: (0..nodes).map(|_| Node { cores, mib }).collect(),
            distances: Vec::new(),
            acpi: true,
        }
    }

    /// The paper's machine: four 12-core Opteron 6174, two nodes a package. The paper used 4 GB of
    /// it because its kernel was a 32-bit one; the model has `mib` MiB a node.
    #[must_use]
    pub fn opteron(mib: u64) -> Self {
        let distance = |a: usize, b: usize| match (a == b, a / 2 == b / 2) {
            (true, _) => 10,
            (false, true) => 16,
            (false, false) => 22,
        };
        Machine {
            name: "4 x Opteron 6174".into(),
            distances: (0..8)
                .map(|a| (0..8).map(|b| distance(a, b)).collect())
                .collect(),
            ..Machine::uniform(8, 6, mib)
        }
    }

    /// Checks the numbers.
    ///
    /// # Errors
    /// [`MachineError`].
    pub fn check(&self) -> Result<(), MachineError> {
        let bad = |what: String| {
            Err(MachineError {
                name: self.name.clone(),
                what,
            })
        };
        let n = self.nodes.len();
        if n == 0 || n > 255 {
            return bad(format!("{n} nodes, expected 1 to 255"));
        }
        if self.nodes[0].mib < 64 || self.nodes[0].cores == 0 {
            return bad("node 0 needs a core and at least 64 MiB: the kernel boots there".into());
        }
        if self.cpus() > 1024 {
            return bad(format!("{} cores, expected at most 1024", self.cpus()));
        }
        if !self.distances.is_empty()
            && (self.distances.len() != n || self.distances.iter().any(|r| r.len() != n))
        {
            return bad(format!("distances: expected {n} rows of {n} numbers"));
        }
        if self.distances.iter().flatten().any(|d| *d < 10) {
            return bad("distances: expected numbers from 10 to 255".into());
        }
        Ok(())
    }

    /// Number of CPUs.
    #[must_use]
    pub fn cpus(&self) -> u32 {
        self.nodes.iter().map(|n| n.cores).sum()
    }

    /// Node of a CPU: CPUs are numbered node by node.
    #[must_use]
    pub fn node_of(&self, cpu: u32) -> u32 {
        let mut first = 0;
        for (i, n) in self.nodes.iter().enumerate() {
            first += n.cores;
            if cpu < first {
                return i as u32;
            }
        }
        0
    }

    /// SLIT distance between two nodes.
    #[must_use]
    pub fn distance(&self, a: u32, b: u32) -> u8 {
        match self
            .distances
            .get(a as usize)
            .and_then(|r| r.get(b as usize))
        {
            Some(d) => *d,
            None => 10 + 10 * u8::from(a != b),
        }
    }

    /// APIC id of a CPU. Not the CPU number, so that code that confuses them fails: bits are
    /// node and core as on real packages, with a gap where a node has no power of two of cores.
    #[must_use]
    pub fn apic_id(&self, cpu: u32) -> u32 {
        let widest = self.nodes.iter().map(|n| n.cores).max().unwrap_or(1);
        let bits = u32::BITS - (widest - 1).leading_zeros();
        let node = self.node_of(cpu);
        let first: u32 = self.nodes[..node as usize].iter().map(|n| n.cores).sum();
        (node << bits) | (cpu - first)
    }

    /// Ranges of RAM: node, first address, end. A node around the device hole has two.
    #[must_use]
    pub fn ram(&self) -> Vec<(u32, u64, u64)> {
        let mut at = 0u64;
        let mut ranges = Vec::new();
        for (i, n) in self.nodes.iter().enumerate() {
            let mut left = n.mib << 20;
            while left > 0 {
                if at == HOLE {
                    at = HOLE_END;
                }
                let room = if at < HOLE { HOLE - at } else { u64::MAX };
                let take = left.min(room);
                ranges.push((i as u32, at, at + take));
                at += take;
                left -= take;
            }
        }
        ranges
    }

    /// End of the highest RAM range.
    #[must_use]
    pub fn ram_end(&self) -> u64 {
        self.ram().last().map_or(0, |r| r.2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_goes_around_the_hole() {
        let m = Machine::uniform(2, 2, 2048);
        assert_eq!(
            m.ram(),
            [
                (0, 0, 0x8000_0000),
                (1, 0x8000_0000, 0xc000_0000),
                (1, 0x1_0000_0000, 0x1_4000_0000),
            ]
        );
        let total: u64 = m.ram().iter().map(|r| r.2 - r.1).sum();
        assert_eq!(total, 4096 << 20);
    }

    #[test]
    fn the_papers_machine() {
        let m = Machine::opteron(512);
        m.check().unwrap();
        assert_eq!(
            (m.cpus(), m.node_of(0), m.node_of(6), m.node_of(47)),
            (48, 0, 1, 7)
        );
        assert_eq!((m.apic_id(0), m.apic_id(5), m.apic_id(6)), (0, 5, 8));
        assert_eq!(
            (m.distance(0, 1), m.distance(1, 2), m.distance(3, 3)),
            (16, 22, 10)
        );
    }

    #[test]
    fn bad_machines_say_why() {
        let e = Machine::uniform(1, 2000, 64)
            .check()
            .unwrap_err()
            .to_string();
        assert!(e.contains("at most 1024"), "{e}");
    }
}
