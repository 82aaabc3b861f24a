//! Subcommands, one file each.

mod build;
mod count;
mod doctor;
mod qemu;
mod test;

use std::io::{Write, stdout};

use clap::{Parser, Subcommand};

use crate::{Error, Exit};

/// Builds, boots and tests per-core memory services for L4Re. Without a subcommand it runs the
/// paper's experiment on a modelled machine and writes a report.
#[derive(Parser)]
#[command(
    name = "percore",
    version,
    args_conflicts_with_subcommands = true,
    after_help = "Exit codes and file formats: docs/tool.md"
)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    model: crate::model::args::Args,
}

#[derive(Subcommand)]
enum Command {
    Build(build::Args),
    Qemu(Box<qemu::Args>),
    Count(Box<count::Args>),
    Doctor(doctor::Args),
    Test(test::Args),
    Trace(crate::model::fault::TraceArgs),
}

/// Parses the command line and runs what it asks for.
///
/// # Errors
/// What the subcommand says.
pub fn dispatch() -> Result<Exit, Error> {
    let cli = Cli::parse();
    match cli.command {
        None => crate::model::job::run(&cli.model),
        Some(Command::Build(args)) => build::run(&args),
        Some(Command::Qemu(args)) => qemu::run(&args),
        Some(Command::Count(args)) => count::run(&args),
        Some(Command::Doctor(args)) => doctor::run(&args),
        Some(Command::Test(args)) => test::run(&args),
        Some(Command::Trace(args)) => crate::model::fault::run(&args),
    }
}

/// Writes one line to standard output. Unlike `println!` it does not panic when nobody reads on.
fn say(line: std::fmt::Arguments<'_>) -> Result<(), Error> {
    writeln!(stdout().lock(), "{line}").map_err(Error::io("cannot write to standard output"))
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
