//! A build directory of L4Re.

use std::fs;
use std::path::{Path, PathBuf};

use crate::build_dir::{BuildDir, config_value};
use crate::setting::{Source, Value};
use crate::{Error, Revision};

/// The architecture that this project runs on, in L4Re's spelling.
pub const ARCH: &str = "amd64";

const REMEDY: &str = "give the full path of the directory made by 'make B=DIR' in L4Re's source tree, built for amd64";

/// A build directory of L4Re for amd64: configured and with its headers in place.
///
/// Programs may still be missing; [`L4reBuild::file`] says so when one is asked for.
#[derive(Debug, Clone)]
pub struct L4reBuild {
    dir: BuildDir,
    source: PathBuf,
    /// `<arch>_<cpu>`, for example `amd64_gen`: the name of the folders below `bin` and `lib`.
    system: String,
    /// The binary interface, `l4f` for Fiasco.
    abi: String,
}

impl L4reBuild {
    /// Checks the path that a setting names.
    pub(crate) fn open(value: &Value) -> Result<Self, Error> {
        let dir = BuildDir::open(value, REMEDY)?;
        let kconfig = dir.text(".kconfig")?;
        let key = |name: &str| {
            config_value(&kconfig, name)
                .ok_or_else(|| dir.wrong(format!("no {name} in its '.kconfig'")))
        };
        let arch = key("CONFIG_BUILD_ARCH")?;
        if arch != ARCH {
            return Err(dir.wrong(format!("it is configured for {arch}, not {ARCH}")));
        }
        // Without a CPU setting the folders are named after the architecture alone.
        let system = match config_value(&kconfig, "CONFIG_CPU") {
            Some(cpu) if !cpu.is_empty() => format!("{arch}_{cpu}"),
            _ => arch.to_owned(),
        };
        let abi = key("CONFIG_BUILD_ABI")?.to_owned();
        if !value.path.join("include/l4/sys/types.h").exists() {
            return Err(dir.wrong("'include/l4/sys/types.h' is missing in it"));
        }
        let source = source_root(&value.path)
            .ok_or_else(|| dir.wrong("its 'source' link and Makefile name no source tree"))?;
        Ok(Self {
            dir,
            source,
            system,
            abi,
        })
    }

    /// The build directory itself.
    pub fn root(&self) -> &Path {
        self.dir.root()
    }

    /// Which setting named it.
    pub fn setting(&self) -> &Source {
        self.dir.setting()
    }

    /// Root of the source tree that the directory was made from.
    pub fn source_root(&self) -> &Path {
        &self.source
    }

    /// Revision of the source tree.
    pub fn revision(&self) -> Revision {
        Revision::of(&self.source)
    }

    /// Include directories for C and C++ headers, most special first: architecture with and
    /// without binary interface, then the general ones. Those that do not exist are left out.
    pub fn include_dirs(&self) -> Vec<PathBuf> {
        let include = self.root().join("include");
        [
            include.join(ARCH).join(&self.abi),
            include.join(ARCH),
            include.join(&self.abi),
            include,
        ]
        .into_iter()
        .filter(|dir| dir.is_dir())
        .collect()
    }

    /// Where programs are installed: `bin/amd64_gen/l4f`.
    pub fn bin_dir(&self) -> PathBuf {
        self.root().join("bin").join(&self.system).join(&self.abi)
    }

    /// Where boot files are looked for, in the order of L4Re's own build system.
    pub fn search_dirs(&self) -> Vec<PathBuf> {
        let bin = self.root().join("bin").join(&self.system);
        let lib = self.root().join("lib").join(&self.system).join("std");
        vec![
            bin.join("plain"),
            bin.join(&self.abi),
            lib.join("plain"),
            lib.join(&self.abi),
            self.root().join("assets"),
        ]
    }

    /// A boot file by name: `sigma0`, `moe`, `ned`, `l4re`, `hello`, `libc.so` and so on.
    ///
    /// # Errors
    /// The file is in none of [`L4reBuild::search_dirs`].
    pub fn file(&self, name: &str) -> Result<PathBuf, Error> {
        let dirs = self.search_dirs();
        dirs.iter()
            .map(|dir| dir.join(name))
            .find(|path| path.is_file())
            .ok_or_else(|| {
                let relative = |dir: &PathBuf| {
                    let short = dir.strip_prefix(self.root()).unwrap_or(dir);
                    short.display().to_string()
                };
                Error::NoFile {
                    setting: self.setting().clone(),
                    path: self.root().to_owned(),
                    name: name.to_owned(),
                    searched: dirs.iter().map(relative).collect::<Vec<_>>().join(", "),
                }
            })
    }

    /// The multiboot program that loads kernel, sigma0 and root task: `bootstrap.elf`, or
    /// `bootstrap` in trees that install no other.
    ///
    /// # Errors
    /// Neither is there.
    pub fn bootstrap(&self) -> Result<PathBuf, Error> {
        self.file("bootstrap.elf")
            .or_else(|_| self.file("bootstrap"))
    }
}

/// The source tree: the `source` link, or the `SRC` line of the build directory's Makefile.
fn source_root(build: &Path) -> Option<PathBuf> {
    if let Ok(path) = fs::canonicalize(build.join("source")) {
        return Some(path);
    }
    let makefile = fs::read_to_string(build.join("Makefile")).ok()?;
    let line = makefile
        .lines()
        .find_map(|line| line.strip_prefix("SRC")?.trim_start().strip_prefix(":="))?;
    fs::canonicalize(line.trim()).ok()
}
