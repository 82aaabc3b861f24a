//! Exit codes, and the errors that the user can do something about.

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

/// What the process ends with. The numbers are part of the interface (`docs/tool.md`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Sentinel seen, tests passed, everything needed is there.
    Success = 0,
    /// The guest said that it failed, a test failed, or a build failed.
    Failure = 1,
    /// The command line, an entry or a machine file is wrong (also what clap uses).
    Usage = 2,
    /// Time ran out before the sentinel.
    Timeout = 3,
    /// The guest stopped in the kernel debugger or panicked.
    Panic = 4,
    /// QEMU ended before the sentinel: the guest switched off or reset.
    Ended = 5,
    /// Something of the host is missing (see `percore doctor`) or cannot be read or written.
    Missing = 6,
    /// Stopped by Ctrl-C or a termination signal.
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit as u8)
    }
}

/// Why a subcommand could not do its work.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A line of a user's file is wrong.
    #[error("{}:{line}: {problem}", file.display())]
    Line {
        /// The file.
        file: PathBuf,
        /// Line, from 1.
        line: usize,
        /// What is wrong and what was expected.
        problem: String,
    },
    /// The command line asks for something that does not exist or does not fit.
    #[error("{0}")]
    Usage(String),
    /// A program or tree is missing on this machine.
    #[error("{what}; {remedy}")]
    Missing {
        /// What is missing.
        what: String,
        /// How to get it.
        remedy: String,
    },
    /// The setting for the build trees is wrong.
    #[error(transparent)]
    Tree(#[from] l4re_tree::Error),
    /// QEMU refused its arguments or broke down.
    #[error("QEMU ended with {status} before the guest said anything: {stderr}")]
    Qemu {
        /// How it ended.
        status: String,
        /// What it wrote.
        stderr: String,
    },
    /// A file or process of the host could not be used.
    #[error("{what}: {cause}")]
    Io {
        /// What was tried, with the path.
        what: String,
        /// Why it failed.
        cause: io::Error,
    },
}

impl Error {
    /// The exit code that goes with the error.
    pub fn exit(&self) -> Exit {
        match self {
            Error::Line { .. } | Error::Usage(_) => Exit::Usage,
            Error::Missing { .. } | Error::Tree(_) | Error::Qemu { .. } | Error::Io { .. } => {
                Exit::Missing
            }
        }
    }

    /// For `map_err`: an input or output error with what was tried.
    pub fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Error {
        let what = what.into();
        move |cause| Error::Io { what, cause }
    }
}
