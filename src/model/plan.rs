//! What a boot script wants: the pager server, factories of it, and programs on cores.

use percore_pager::frames::Kind;
use percore_pager::server::shell::args::{self, ArgError, Args};

/// Which threads the pager server has, as a boot script's `--layout` says.
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
}

/// A policy as it is chosen on the command line: the server's `--policy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Policy {
    /// Hierarchical bitmap.
    Bitmap,
    /// Binary buddies.
    Buddy,
    /// Best fit from a balanced tree, as the paper's.
    Avl,
    /// Size classes of runs.
    Slab,
}

impl Policy {
    /// All of them.
    pub const ALL: [Policy; 4] = [Policy::Bitmap, Policy::Buddy, Policy::Avl, Policy::Slab];

    /// The server's word for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Policy::Bitmap => Kind::Bitmap.name(),
            Policy::Buddy => Kind::Buddy.name(),
            Policy::Avl => Kind::Avl.name(),
            Policy::Slab => Kind::Slab.name(),
        }
    }
}

/// A factory that the script makes on the service's capability.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Factory {
    /// Bytes that it may give, if the script says so.
    pub quota: Option<u64>,
    /// Whose it is to be, e.g. `core=3`; empty for the service's own choice.
    pub place: String,
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
    /// Index of the factory that its memory and its region map come from.
    pub memory: Option<usize>,
}

/// Everything that a script starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The pager server's command line, without its name.
    pub server: Vec<String>,
    /// Factories in the order of the script.
    pub factories: Vec<Factory>,
    /// Programs, in the order of the script.
    pub programs: Vec<Program>,
}

/// Reads a command line of the pager server with the server's own reader.
///
/// # Errors
/// The wrong word and what the server says to it.
pub fn server_args(words: &[String]) -> Result<Args, String> {
    Args::parse(words.iter().map(String::as_bytes)).map_err(|(word, error)| {
        let word = String::from_utf8_lossy(word);
        match error {
            ArgError::Unknown => format!("unknown option '{word}'"),
            ArgError::Value { option, wanted } => format!("'{word}': {option} wants {wanted}"),
        }
    })
}

impl Plan {
    /// Layout of the pager server.
    #[must_use]
    pub fn layout(&self) -> Layout {
        // A plan is only made of a command line that the server takes.
        match server_args(&self.server).map(|a| a.layout) {
            Ok(args::Layout::Central) => Layout::Central,
            Ok(args::Layout::Node) => Layout::Node,
            Ok(args::Layout::Core) | Err(_) => Layout::Core,
        }
    }

    /// Lets the server begin with this policy, whatever the script says.
    #[must_use]
    pub fn with_policy(mut self, policy: Option<Policy>) -> Self {
        self.server
            .extend(policy.map(|p| format!("--policy={}", p.name())));
        self
    }

    /// Name of the policy that the server begins with.
    #[must_use]
    pub fn policy(&self) -> &'static str {
        server_args(&self.server).map_or("", |a| a.policy.name())
    }
}
