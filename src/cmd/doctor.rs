//! `percore doctor`: what is found, what is missing, how to get it, and what does not work without.
//!
//! The two commands of the README need the Rust toolchain alone; everything else opens a feature
//! and is reported, but does not change the exit code.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::{build::find_cargo, say};
use crate::boot::find_qemu;
use crate::{Error, Exit};

/// Says what this machine has and lacks for percore, and how to get what is missing.
#[derive(clap::Args)]
pub(super) struct Args {}

/// The outcome of one check.
struct Check {
    /// What is looked for.
    need: &'static str,
    /// Version and place, or what is missing and how to get it.
    result: Result<String, String>,
    /// What does not work without it; `None` for what the README's commands need.
    opens: Option<&'static str>,
}

const BOOTS: &str = "booting in QEMU (percore qemu, percore test --qemu)";

pub(super) fn run(_: &Args) -> Result<Exit, Error> {
    let checks = checks();
    for check in &checks {
        match &check.result {
            Ok(found) => say(format_args!("found    {:<10} {found}", check.need))?,
            Err(missing) => say(format_args!("missing  {:<10} {missing}", check.need))?,
        }
    }
    say(format_args!(""))?;
    let mut left_out: Vec<_> = checks
        .iter()
        .filter(|check| check.result.is_err())
        .filter_map(|check| Some((check.opens?, check.need)))
        .collect();
    left_out.sort_unstable();
    for features in left_out.chunk_by(|a, b| a.0 == b.0) {
        let needs: Vec<_> = features.iter().map(|(_, need)| *need).collect();
        say(format_args!(
            "left out: {} (needs {})",
            features[0].0,
            needs.join(", ")
        ))?;
    }
    let able = checks
        .iter()
        .all(|check| check.opens.is_some() || check.result.is_ok());
    if able {
        say(format_args!("The README's two commands work here."))?;
        Ok(Exit::Success)
    } else {
        say(format_args!(
            "The README's two commands need what is missing above."
        ))?;
        Ok(Exit::Missing)
    }
}

fn checks() -> Vec<Check> {
    let mut checks = vec![
        Check {
            need: "cargo",
            result: find_cargo()
                .map_err(|error| error.to_string())
                .and_then(|path| version(&path, "install Rust with rustup")),
            opens: None,
        },
        Check {
            need: "rustc",
            result: tool("rustc", "install Rust with rustup"),
            opens: None,
        },
        Check {
            need: "cc",
            // Build scripts and procedural macros are host programs: rustc links them with cc.
            result: tool("cc", "apt install gcc libc6-dev"),
            opens: None,
        },
        Check {
            need: "qemu",
            result: find_qemu()
                .map_err(|error| error.to_string())
                .and_then(|path| version(&path, "apt install qemu-system-x86")),
            opens: Some(BOOTS),
        },
    ];
    checks.extend(tree_checks());
    checks.push(Check {
        need: "libclang",
        result: find_libclang().ok_or_else(|| {
            "no libclang.so; apt install libclang-dev, or set LIBCLANG_PATH to its directory".into()
        }),
        opens: Some("the proof that our ABI equals L4Re's headers"),
    });
    checks.push(Check {
        need: "valgrind",
        result: tool("valgrind", "apt install valgrind"),
        opens: Some("instruction counts of host code (callgrind)"),
    });
    checks.push(Check {
        need: "make",
        result: tool("make", "apt install make"),
        opens: Some("building pkg/ inside an L4Re tree"),
    });
    checks
}

/// The two trees. A wrong setting is reported under the tree it concerns.
fn tree_checks() -> Vec<Check> {
    let absent = |name: &str, what: &str| {
        let file = l4re_tree::config_file();
        let file = file.map_or("the configuration file".into(), |path| {
            path.display().to_string()
        });
        Err(format!(
            "not set; set {name} to the build directory of {what}, as a variable or in {file}"
        ))
    };
    let (l4re, fiasco) = match l4re_tree::find() {
        Ok(None) => (
            absent(l4re_tree::L4RE_BUILD, "L4Re"),
            absent(l4re_tree::FIASCO_BUILD, "the kernel"),
        ),
        Err(error) => (
            Err(error.to_string()),
            Err("not looked at: see the setting above".to_owned()),
        ),
        Ok(Some(trees)) => {
            let l4re = boot_files(&trees.l4re);
            let fiasco = match &trees.fiasco {
                None => absent(l4re_tree::FIASCO_BUILD, "the kernel"),
                Some(tree) => Ok(format!(
                    "{} at {}, up to {} CPUs",
                    tree.revision(),
                    tree.root().display(),
                    tree.max_cpus()
                )),
            };
            (l4re, fiasco)
        }
    };
    vec![
        Check {
            need: "L4Re",
            result: l4re,
            opens: Some(BOOTS),
        },
        Check {
            need: "kernel",
            result: fiasco,
            opens: Some(BOOTS),
        },
    ]
}

/// A tree that has what every boot needs.
fn boot_files(tree: &l4re_tree::L4reBuild) -> Result<String, String> {
    tree.bootstrap().map_err(|error| error.to_string())?;
    for name in ["sigma0", "moe", "ned", "l4re"] {
        tree.file(name).map_err(|error| error.to_string())?;
    }
    Ok(format!("{} at {}", tree.revision(), tree.root().display()))
}

/// A tool in `PATH` with its version, or how to get it.
fn tool(name: &str, remedy: &str) -> Result<String, String> {
    let path = which::which(name).map_err(|_| format!("not in PATH; {remedy}"))?;
    version(&path, remedy)
}

/// First line of `--version`.
fn version(path: &Path, remedy: &str) -> Result<String, String> {
    let output = Command::new(path)
        .arg("--version")
        .stdin(Stdio::null())
        .output()
        .map_err(|cause| format!("{} cannot be run ({cause}); {remedy}", path.display()))?;
    if !output.status.success() {
        return Err(format!(
            "{} --version fails ({}); {remedy}",
            path.display(),
            output.status
        ));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().next().unwrap_or("no version");
    Ok(format!("{line} ({})", path.display()))
}

/// The library that bindgen loads: as bindgen does, in LIBCLANG_PATH, then in the usual places.
fn find_libclang() -> Option<String> {
    let is_libclang = |path: &PathBuf| {
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or("");
        name.starts_with("libclang.so") || (name.starts_with("libclang-") && name.contains(".so"))
    };
    let mut dirs: Vec<PathBuf> = env::var_os("LIBCLANG_PATH")
        .into_iter()
        .map(Into::into)
        .collect();
    dirs.extend(["/usr/lib/x86_64-linux-gnu", "/usr/lib64", "/usr/lib"].map(PathBuf::from));
    dirs.extend(
        files_in(Path::new("/usr/lib"))
            .map(|dir| dir.join("lib"))
            .filter(|dir| {
                dir.parent()
                    .and_then(|dir| dir.file_name())
                    .is_some_and(|name| name.to_string_lossy().starts_with("llvm-"))
            }),
    );
    let mut found = dirs
        .iter()
        .flat_map(|dir| files_in(dir))
        .filter(is_libclang);
    found.next().map(|path| path.display().to_string())
}

fn files_in(dir: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    fs::read_dir(dir)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
}
