//! `percore`, the host tool: builds the target programs, boots them in QEMU, runs their tests and
//! says what is missing on a machine.
//!
//! Layers, each knowing only those above it in this list: [`project`] (where things are),
//! [`modlist`] and [`machine`] (what the user wrote), [`boot`] (QEMU), [`tap`] (what the guest
//! answered), [`count`] (what it did), [`cmd`] (one file a subcommand). Exit codes are in [`error::Exit`] and
//! `docs/tool.md`.

pub mod boot;
pub mod cmd;
pub mod count;
pub mod error;
pub mod machine;
pub mod model;
pub mod modlist;
pub mod project;
pub mod tap;

use std::process::ExitCode;

pub use error::{Error, Exit};

/// Parses the command line, runs the subcommand and turns its result into an exit code.
pub fn run() -> ExitCode {
    match cmd::dispatch() {
        Ok(exit) => exit.into(),
        Err(error) => {
            eprintln!("percore: {error}");
            error.exit().into()
        }
    }
}
