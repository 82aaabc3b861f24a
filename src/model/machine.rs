//! The modelled machine: the paper's by default, or one of `conf/machines`.

use fiasco_model::{Machine, Node};

use crate::Error;
use crate::project::Project;

/// Memory of each node of the default machine: with 8 nodes the 4 GB that the paper used.
const NODE_MIB: u64 = 512;
/// Most cores: a boot script names cores by a 64-bit mask, in which Lua's sign bit is left out.
pub const MAX_CORES: u32 = 63;

/// The paper's machine, or the named one.
///
/// # Errors
/// No such machine, or one that the model cannot be.
pub fn find(
    name: Option<&str>,
    project: impl FnOnce() -> Result<Project, Error>,
) -> Result<Machine, Error> {
    let machine = match name {
        None => Machine::opteron(NODE_MIB),
        Some(name) => convert(&crate::machine::Machine::read(name, &project()?)?)?,
    };
    machine.check().map_err(|e| Error::Usage(e.to_string()))?;
    if machine.cpus() > MAX_CORES {
        return Err(Error::Usage(format!(
            "machine '{}' has {} cores; boot scripts can name at most {MAX_CORES}",
            machine.name,
            machine.cpus()
        )));
    }
    Ok(machine)
}

/// QEMU's description as the model's. The model numbers CPUs node by node.
fn convert(m: &crate::machine::Machine) -> Result<Machine, Error> {
    if m.nodes.is_empty() {
        let mut one = Machine::uniform(1, m.cpus(), m.memory.mib());
        one.name.clone_from(&m.name);
        return Ok(one);
    }
    let mut next = 0;
    let mut nodes = Vec::new();
    for n in &m.nodes {
        let cpus: Vec<u32> = n.cpus.iter().collect();
        if cpus.iter().copied().ne(next..next + cpus.len() as u32) {
            return Err(Error::Usage(format!(
                "machine '{}': the model numbers CPUs node by node, here a node has {cpus:?}; \
                 expected CPUs from {next} on",
                m.name
            )));
        }
        next += cpus.len() as u32;
        nodes.push(Node {
            cores: cpus.len() as u32,
            mib: n.memory.mib(),
        });
    }
    let distances = if m.nodes.iter().any(|n| n.distances.is_empty()) {
        Vec::new()
    } else {
        m.nodes.iter().map(|n| n.distances.clone()).collect()
    };
    Ok(Machine {
        name: m.name.clone(),
        nodes,
        distances,
        acpi: true,
    })
}
