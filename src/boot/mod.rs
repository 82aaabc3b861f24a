//! Boots an entry in QEMU and watches its serial log.
//!
//! A boot has three steps: a [`Request`] says what the user wants, [`Image::gather`] finds every
//! file (or says which is missing), and [`Run::watch`] starts QEMU and reads until a [`Verdict`].
//! QEMU runs in a directory of its own with links named as the guest sees its modules, so that
//! several boots at once do not touch each other and the guest's command lines do not depend on
//! where the trees are.

mod image;
mod libs;
mod log;
mod run;
mod verdict;

use std::ffi::OsString;
use std::path::PathBuf;

pub use image::{BootFile, Image, find_qemu};
pub use log::LineSplitter;
pub use run::{Report, Run};
pub use verdict::{Judge, Verdict};

use crate::machine::Machine;
use crate::modlist::Entry;

/// Seconds until a boot is given up when neither the user nor the entry says. 48 CPUs with NUMA
/// tables reach the first program in a few seconds; the rest is for slow, busy hosts.
pub const DEFAULT_TIMEOUT: u64 = 120;

/// Which program plays a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Server {
    /// This project's, from `percore build`.
    Ours,
    /// The one of the L4Re tree.
    Upstream,
    /// A file.
    File(PathBuf),
}

impl From<&str> for Server {
    fn from(text: &str) -> Self {
        match text {
            "ours" => Server::Ours,
            "upstream" => Server::Upstream,
            path => Server::File(path.into()),
        }
    }
}

/// What to boot, on which machine, with which servers.
#[derive(Debug, Clone)]
pub struct Request {
    /// The entry of the modules list.
    pub entry: Entry,
    /// The machine.
    pub machine: Machine,
    /// Root pager instead of the entry's.
    pub sigma0: Option<Server>,
    /// Root task instead of the entry's.
    pub moe: Option<Server>,
    /// Kernel instead of the entry's.
    pub kernel: Option<PathBuf>,
    /// Added to the kernel's command line.
    pub kernel_args: Vec<String>,
    /// Added to sigma0's command line.
    pub sigma0_args: Vec<String>,
    /// Memory server of an entry whose boot script takes it: `ours` or `upstream`.
    pub memory_server: Option<String>,
    /// Added to the root task's command line.
    pub roottask_args: Vec<String>,
    /// Added to QEMU's command line.
    pub qemu_args: Vec<OsString>,
    /// Directories to search before all others.
    pub search_dirs: Vec<PathBuf>,
}

impl Request {
    /// A boot of an entry as it stands.
    pub fn new(entry: Entry, machine: Machine) -> Self {
        Self {
            entry,
            machine,
            sigma0: None,
            moe: None,
            kernel: None,
            kernel_args: Vec::new(),
            sigma0_args: Vec::new(),
            memory_server: None,
            roottask_args: Vec::new(),
            qemu_args: Vec::new(),
            search_dirs: Vec::new(),
        }
    }
}
