//! Machines that QEMU plays: CPUs, memory and NUMA nodes, from `conf/machines/*.toml` or made from
//! `--cpus` and `--memory`.
//!
//! A [`Machine`] has been checked: CPUs of all nodes are 0..cpus, each in one node, memory is
//! enough to boot, distances form a full table. Only this module makes one.

mod cpuset;
mod file;
mod memory;
mod qemu;
#[cfg(test)]
mod tests;

use std::path::Path;

pub use cpuset::CpuSet;
pub use memory::MemSize;

use crate::{Error, project::Project};

/// Bootstrap is linked at 256 MiB and does not start below this.
pub const MIN_MEMORY: MemSize = MemSize::from_mib(288);

/// A checked machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// For messages and reports: the file's stem, or `uniform-N`.
    pub name: String,
    /// CPU packages.
    pub sockets: u32,
    /// Cores in each.
    pub cores: u32,
    /// QEMU's CPU model; QEMU's default when absent.
    pub cpu_model: Option<String>,
    /// All memory.
    pub memory: MemSize,
    /// NUMA nodes; empty when the machine has none.
    pub nodes: Vec<Node>,
}

/// A NUMA node of a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Its CPUs; empty for a node with memory only.
    pub cpus: CpuSet,
    /// Its memory; zero for a node with CPUs only.
    pub memory: MemSize,
    /// Distance to every node in the order of the file, 10 to itself; empty when the file says none.
    pub distances: Vec<u8>,
}

impl Machine {
    /// A machine with one node's worth of CPUs and no NUMA tables.
    ///
    /// # Errors
    /// No CPU, or less memory than a boot needs.
    pub fn uniform(cpus: u32, memory: MemSize) -> Result<Self, Error> {
        if cpus == 0 {
            return Err(Error::Usage("0 CPUs; expected at least 1".into()));
        }
        let machine = Self {
            name: format!("uniform-{cpus}"),
            sockets: 1,
            cores: cpus,
            cpu_model: None,
            memory,
            nodes: Vec::new(),
        };
        machine.check_memory()?;
        Ok(machine)
    }

    /// Reads a machine by name from `conf/machines`, or by path.
    ///
    /// # Errors
    /// No such file, or a line of it is wrong.
    pub fn read(name: &str, project: &Project) -> Result<Self, Error> {
        let direct = Path::new(name);
        if direct.is_file() {
            return file::read(direct);
        }
        let listed = project.machines().join(format!("{name}.toml"));
        if listed.is_file() {
            return file::read(&listed);
        }
        Err(Error::Usage(format!(
            "no machine '{name}'; expected a path or one of: {}",
            Self::names(project).join(", ")
        )))
    }

    /// Names of the machines in `conf/machines`, sorted.
    pub fn names(project: &Project) -> Vec<String> {
        let files = std::fs::read_dir(project.machines()).into_iter().flatten();
        let mut names: Vec<_> = files
            .flatten()
            .map(|file| file.path())
            .filter(|path| path.extension().is_some_and(|ext| ext == "toml"))
            .filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned()))
            .collect();
        names.sort();
        names
    }

    /// How many CPUs there are.
    pub fn cpus(&self) -> u32 {
        self.sockets * self.cores
    }

    /// The same machine with another number of CPUs.
    ///
    /// # Errors
    /// The number is zero, or the machine's nodes fix it.
    pub fn with_cpus(mut self, cpus: u32) -> Result<Self, Error> {
        if cpus == self.cpus() {
            return Ok(self);
        }
        if !self.nodes.is_empty() {
            return Err(Error::Usage(format!(
                "machine '{}' has {} CPUs in its nodes, not {cpus}; expected another machine file",
                self.name,
                self.cpus()
            )));
        }
        let uniform = Self::uniform(cpus, self.memory)?;
        (self.sockets, self.cores) = (uniform.sockets, uniform.cores);
        Ok(self)
    }

    /// The same machine with another amount of memory, shared out as before in whole MiB.
    ///
    /// # Errors
    /// Less than a boot needs.
    pub fn with_memory(mut self, memory: MemSize) -> Result<Self, Error> {
        let old = self.memory.mib();
        let mut left = memory.mib();
        let holders = self
            .nodes
            .iter()
            .filter(|node| node.memory.mib() > 0)
            .count();
        let with_memory = self.nodes.iter_mut().filter(|node| node.memory.mib() > 0);
        for (index, node) in with_memory.enumerate() {
            let last = index + 1 == holders;
            let share = if last {
                left
            } else {
                memory.mib() * node.memory.mib() / old
            };
            if share == 0 {
                return Err(Error::Usage(format!(
                    "{memory} is too little for the nodes of machine '{}'",
                    self.name
                )));
            }
            node.memory = MemSize::from_mib(share);
            left -= share;
        }
        self.memory = memory;
        self.check_memory()?;
        Ok(self)
    }

    fn check_memory(&self) -> Result<(), Error> {
        if self.memory < MIN_MEMORY {
            return Err(Error::Usage(format!(
                "{} of memory; expected at least {MIN_MEMORY}, which bootstrap needs",
                self.memory
            )));
        }
        Ok(())
    }
}
