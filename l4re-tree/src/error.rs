//! What can be wrong with the setting or a tree. Each text names the setting, the path and the cure.

use std::io;
use std::path::PathBuf;

use crate::setting::Source;
use crate::{FIASCO_BUILD, L4RE_BUILD};

/// The setting is there but cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The configuration file exists and cannot be read.
    #[error("{}: cannot read the configuration: {cause}", path.display())]
    ReadConfig {
        /// The configuration file.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// The configuration file is not of the documented form.
    #[error(
        "{}:{line}: {cause}; expected only the keys {L4RE_BUILD} and {FIASCO_BUILD}, each a path in quotes",
        path.display()
    )]
    ParseConfig {
        /// The configuration file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// What the parser said.
        cause: String,
    },
    /// The kernel's directory is set and L4Re's is not.
    #[error("{source_of_kernel} is set but {L4RE_BUILD} is not; set it to L4Re's build directory")]
    KernelOnly {
        /// Where the kernel's directory was set.
        source_of_kernel: Source,
    },
    /// The path is no build directory of the expected kind, or an incomplete one.
    #[error("{setting} = {}: {missing}; {remedy}", path.display())]
    Tree {
        /// Which setting named the path.
        setting: Source,
        /// The path.
        path: PathBuf,
        /// What is missing or wrong there.
        missing: String,
        /// What to do.
        remedy: &'static str,
    },
    /// A program, library or other boot file is in none of the directories searched.
    #[error(
        "{setting} = {}: '{name}' is not in {searched}; build its package there",
        path.display()
    )]
    NoFile {
        /// Which setting named the tree.
        setting: Source,
        /// The tree.
        path: PathBuf,
        /// The file's name.
        name: String,
        /// The directories searched, relative to the tree.
        searched: String,
    },
}
