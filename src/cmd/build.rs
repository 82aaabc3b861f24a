//! `percore build`: builds the programs that run on the kernel.
//!
//! A package takes part when its Cargo.toml says `[package.metadata.percore] target = true`, so
//! that a new server needs no change here.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;

use super::say;
use crate::project::Project;
use crate::{Error, Exit};

/// Builds the programs that run on the kernel (cargo with conf/l4re.toml) and says where they are.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Only these packages.
    packages: Vec<String>,
}

/// The part of `cargo metadata` that is of interest.
#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    #[serde(default)]
    metadata: Option<PackageMetadata>,
    targets: Vec<Target>,
}

#[derive(Deserialize)]
struct PackageMetadata {
    percore: Option<Percore>,
}

#[derive(Deserialize)]
struct Percore {
    #[serde(default)]
    target: bool,
}

#[derive(Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
}

pub(super) fn run(args: &Args) -> Result<Exit, Error> {
    let project = Project::find()?;
    let cargo = find_cargo()?;
    let mut packages = target_packages(&cargo, project.root())?;
    if let Some(unknown) = args
        .packages
        .iter()
        .find(|name| packages.iter().all(|(package, _)| package != *name))
    {
        let known: Vec<_> = packages
            .iter()
            .map(|(package, _)| package.as_str())
            .collect();
        return Err(Error::Usage(format!(
            "'{unknown}' is no target program; expected one of: {}",
            known.join(", ")
        )));
    }
    if !args.packages.is_empty() {
        packages.retain(|(package, _)| args.packages.contains(package));
    }
    if !build(
        &cargo,
        &project,
        packages.iter().map(|(package, _)| package.as_str()),
    )? {
        return Ok(Exit::Failure);
    }
    for program in packages.iter().flat_map(|(_, programs)| programs) {
        say(format_args!(
            "{}",
            project.target_bin().join(program).display()
        ))?;
    }
    Ok(Exit::Success)
}

/// Runs cargo; `Ok(false)` when it fails, after it has said why.
fn build<'a>(
    cargo: &Path,
    project: &Project,
    packages: impl Iterator<Item = &'a str>,
) -> Result<bool, Error> {
    let mut command = Command::new(cargo);
    command
        .arg("build")
        .arg("--config")
        .arg(project.target_config())
        .args(["--release", "--locked"])
        .current_dir(project.root())
        // conf/l4re.toml names the target directory and flags; a user's variables for host builds
        // would win over it.
        .env_remove("CARGO_TARGET_DIR")
        .env_remove("CARGO_BUILD_TARGET_DIR")
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS");
    for package in packages {
        command.args(["-p", package]);
    }
    let status = command
        .status()
        .map_err(Error::io(format!("cannot run {}", cargo.display())))?;
    Ok(status.success())
}

/// Packages that make target programs, with the programs' names.
fn target_packages(cargo: &Path, root: &Path) -> Result<Vec<(String, Vec<String>)>, Error> {
    let failed = |cause: String| Error::Missing {
        what: format!("'cargo metadata' failed: {cause}"),
        remedy: "run it in the repository to see why".into(),
    };
    let output = Command::new(cargo)
        .args(["metadata", "--no-deps", "--format-version", "1"])
        .current_dir(root)
        .output()
        .map_err(Error::io(format!("cannot run {}", cargo.display())))?;
    if !output.status.success() {
        // The first line says it; rustup adds a backtrace.
        let words = String::from_utf8_lossy(&output.stderr);
        let first = words.lines().next().unwrap_or("it does not say why");
        return Err(failed(first.trim().to_owned()));
    }
    let metadata: Metadata =
        serde_json::from_slice(&output.stdout).map_err(|cause| failed(cause.to_string()))?;
    let is_target = |package: &Package| {
        let percore = package
            .metadata
            .as_ref()
            .and_then(|data| data.percore.as_ref());
        percore.is_some_and(|percore| percore.target)
    };
    let programs = |package: Package| {
        let bins = package.targets.into_iter();
        let bins = bins.filter(|target| target.kind.iter().any(|kind| kind == "bin"));
        (package.name, bins.map(|target| target.name).collect())
    };
    Ok(metadata
        .packages
        .into_iter()
        .filter(is_target)
        .map(programs)
        .collect())
}

/// The cargo that runs us, or the one in `PATH`.
pub(super) fn find_cargo() -> Result<PathBuf, Error> {
    let name = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    which::which(&name).map_err(|cause| Error::Missing {
        what: format!("cargo cannot be run ({cause})"),
        remedy: "install Rust with rustup".into(),
    })
}
