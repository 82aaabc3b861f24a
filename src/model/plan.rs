//! What a boot script asks for, before anything runs.

/// Which cores share a pager thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Layout {
    /// One for all, on core 0.
    Central,
    /// One for each NUMA node, on its first core.
    Node,
    /// One for each core.
    Core,
}

impl Layout {
    /// All of them, the base line first.
    pub const ALL: [Layout; 3] = [Layout::Central, Layout::Node, Layout::Core];

    /// Its name in scripts and tables.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Layout::Central => "central",
            Layout::Node => "node",
            Layout::Core => "core",
        }
    }

    /// The layout with this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Layout::ALL.into_iter().find(|l| l.name() == name)
    }

    /// Core of the pager thread that serves `core` on `machine`.
    #[must_use]
    pub fn pager_of(self, machine: &fiasco_model::Machine, core: u32) -> u32 {
        match self {
            Layout::Central => 0,
            Layout::Core => core,
            Layout::Node => {
                let node = machine.node_of(core);
                (0..=core)
                    .find(|c| machine.node_of(*c) == node)
                    .unwrap_or(core)
            }
        }
    }
}

/// A program that the script starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// Path as in the script, e.g. `rom/page-bench`.
    pub name: String,
    /// Words behind it.
    pub args: Vec<String>,
    /// Core that its scheduler allows; the lowest of several.
    pub core: u32,
    /// Core whose pager gives it memory.
    pub memory_of: Option<u32>,
}

/// Everything that a script starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Layout of the pager service.
    pub layout: Layout,
    /// Programs, in the order of the script.
    pub programs: Vec<Program>,
}
