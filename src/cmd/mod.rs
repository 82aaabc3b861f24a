//! Subcommands, one file each.

mod build;
mod count;
mod doctor;
mod qemu;
mod test;

use clap::{CommandFactory, Parser, Subcommand};

use crate::{Error, Exit};

/// Builds, boots and tests per-core memory services for L4Re.
#[derive(Parser)]
#[command(
    name = "percore",
    version,
    after_help = "Exit codes and file formats: docs/tool.md"
)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    Build(build::Args),
    Qemu(Box<qemu::Args>),
    Count(Box<count::Args>),
    Doctor(doctor::Args),
    Test(test::Args),
}

/// Parses the command line and runs what it asks for.
///
/// # Errors
/// What the subcommand says.
pub fn dispatch() -> Result<Exit, Error> {
    match Cli::parse().command {
        None => {
            Cli::command()
                .print_help()
                .map_err(Error::io("cannot print"))?;
            Ok(Exit::Success)
        }
        Some(Command::Build(args)) => build::run(&args),
        Some(Command::Qemu(args)) => qemu::run(&args),
        Some(Command::Count(args)) => count::run(&args),
        Some(Command::Doctor(args)) => doctor::run(&args),
        Some(Command::Test(args)) => test::run(&args),
    }
}

/// The configured trees, which the subcommand cannot do without.
fn trees() -> Result<l4re_tree::Trees, Error> {
    l4re_tree::find()?.ok_or_else(|| Error::Missing {
        what: format!("no L4Re tree: {} is not set", l4re_tree::L4RE_BUILD),
        remedy: "set it to L4Re's build directory and FIASCO_BUILD to the kernel's, as variables \
                 or in percore/config.toml of your configuration directory"
            .into(),
    })
}
