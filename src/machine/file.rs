//! Machine files: what they may say, and the checks, each with the line it is about.

use std::fs;
use std::ops::Range;
use std::path::Path;
use std::str::FromStr;

use serde::Deserialize;
use toml::Spanned;

use super::{CpuSet, MIN_MEMORY, Machine, MemSize, Node};
use crate::Error;

/// QEMU's q35 machine takes no more without an interrupt remapping unit.
const MAX_CPUS: u32 = 255;
/// Distance of a node to itself, by the ACPI standard.
const LOCAL: u8 = 10;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Raw {
    /// For readers of the file.
    #[serde(rename = "description")]
    _description: Option<String>,
    sockets: Spanned<u32>,
    cores: Spanned<u32>,
    cpu_model: Option<String>,
    memory: Option<Spanned<String>>,
    #[serde(default, rename = "node")]
    nodes: Vec<Spanned<RawNode>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawNode {
    cpus: Option<Spanned<String>>,
    memory: Option<Spanned<String>>,
    distances: Option<Spanned<Vec<u8>>>,
}

/// A problem and where in the text it is.
type Problem = (Range<usize>, String);

pub(super) fn read(path: &Path) -> Result<Machine, Error> {
    let text =
        fs::read_to_string(path).map_err(Error::io(format!("cannot read {}", path.display())))?;
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    parse(&text, &stem).map_err(|(span, problem)| Error::Line {
        file: path.to_path_buf(),
        line: text.get(..span.start).unwrap_or("").matches('\n').count() + 1,
        problem,
    })
}

pub(super) fn parse(text: &str, name: &str) -> Result<Machine, Problem> {
    let raw: Raw = toml::from_str(text).map_err(|error| {
        let place = error.span().unwrap_or(0..0);
        let message = error.message().replace('\n', " ");
        (
            place,
            format!("{message}; expected the keys of docs/tool.md"),
        )
    })?;
    let (sockets, cores) = (*raw.sockets.get_ref(), *raw.cores.get_ref());
    let cpus = sockets.saturating_mul(cores);
    if cpus == 0 || cpus > MAX_CPUS {
        return Err((
            raw.cores.span(),
            format!("{sockets} sockets with {cores} cores; expected 1 to {MAX_CPUS} CPUs in all"),
        ));
    }
    let nodes: Vec<Node> = raw
        .nodes
        .iter()
        .map(|node| read_node(node, raw.nodes.len()))
        .collect::<Result<_, _>>()?;
    let memory = match (&raw.memory, nodes.is_empty()) {
        (Some(memory), true) => value(memory)?,
        (Some(memory), false) => {
            let problem = "memory beside nodes; expected it in each [[node]] instead";
            return Err((memory.span(), problem.into()));
        }
        (None, true) => {
            return Err((
                raw.cores.span(),
                "no memory; expected memory = \"1G\" or nodes".into(),
            ));
        }
        (None, false) => MemSize::from_mib(nodes.iter().map(|node| node.memory.mib()).sum()),
    };
    if memory < MIN_MEMORY {
        let place = raw.memory.as_ref().map_or(0..0, Spanned::span);
        return Err((
            place,
            format!(
                "{memory} of memory in all; expected at least {MIN_MEMORY}, which bootstrap needs"
            ),
        ));
    }
    check_cpus(&raw, &nodes, cpus)?;
    check_distances(&raw, &nodes)?;
    Ok(Machine {
        name: name.to_owned(),
        sockets,
        cores,
        cpu_model: raw.cpu_model,
        memory,
        nodes,
    })
}

fn value<T: FromStr<Err = String>>(text: &Spanned<String>) -> Result<T, Problem> {
    text.get_ref()
        .parse()
        .map_err(|problem| (text.span(), problem))
}

fn read_node(raw: &Spanned<RawNode>, count: usize) -> Result<Node, Problem> {
    let node = raw.get_ref();
    if node.cpus.is_none() && node.memory.is_none() {
        return Err((
            raw.span(),
            "an empty node; expected cpus, memory or both".into(),
        ));
    }
    if let Some(distances) = &node.distances
        && distances.get_ref().len() != count
    {
        let problem = format!(
            "{} distances; expected one to each of the {count} nodes",
            distances.get_ref().len()
        );
        return Err((distances.span(), problem));
    }
    let memory = match &node.memory {
        None => MemSize::default(),
        Some(text) => match value(text)? {
            size if size == MemSize::default() => {
                let problem = "no memory; expected an amount, or no memory line";
                return Err((text.span(), problem.into()));
            }
            size => size,
        },
    };
    Ok(Node {
        cpus: node.cpus.as_ref().map_or(Ok(CpuSet::default()), value)?,
        memory,
        distances: node
            .distances
            .as_ref()
            .map_or(Vec::new(), |list| list.get_ref().clone()),
    })
}

/// Every CPU of the machine in exactly one node.
fn check_cpus(raw: &Raw, nodes: &[Node], cpus: u32) -> Result<(), Problem> {
    if nodes.is_empty() {
        return Ok(());
    }
    let mut owner = vec![None; cpus as usize];
    for (index, (node, raw)) in nodes.iter().zip(&raw.nodes).enumerate() {
        let place = raw
            .get_ref()
            .cpus
            .as_ref()
            .map_or(raw.span(), Spanned::span);
        for cpu in node.cpus.iter() {
            let problem = match owner.get_mut(cpu as usize) {
                None => format!("CPU {cpu}; expected 0 to {}", cpus - 1),
                Some(Some(other)) => {
                    format!("CPU {cpu} is in node {other} too; expected it in one node")
                }
                Some(free) => {
                    *free = Some(index);
                    continue;
                }
            };
            return Err((place, problem));
        }
    }
    if let Some(cpu) = owner.iter().position(Option::is_none) {
        let problem = format!(
            "CPU {cpu} is in no node; expected each of 0 to {} in one",
            cpus - 1
        );
        return Err((raw.cores.span(), problem));
    }
    Ok(())
}

/// All nodes give distances or none does; 10 to itself, more to others, the same both ways.
fn check_distances(raw: &Raw, nodes: &[Node]) -> Result<(), Problem> {
    if nodes.iter().all(|node| node.distances.is_empty()) {
        return Ok(());
    }
    for (from, (node, raw)) in nodes.iter().zip(&raw.nodes).enumerate() {
        let Some(place) = raw.get_ref().distances.as_ref().map(Spanned::span) else {
            let problem = "no distances here but in other nodes; expected them in all or none";
            return Err((raw.span(), problem.into()));
        };
        for (to, &distance) in node.distances.iter().enumerate() {
            let back = nodes[to].distances.get(from).copied();
            let problem = if from == to && distance != LOCAL {
                format!("distance {distance} of node {from} to itself; expected {LOCAL}")
            } else if from != to && distance <= LOCAL {
                format!("distance {distance} to node {to}; expected more than {LOCAL}")
            } else if back.is_some_and(|back| back != distance) {
                format!("distance {distance} to node {to}; expected the same both ways")
            } else {
                continue;
            };
            return Err((place, problem));
        }
    }
    Ok(())
}
