//! A build directory of the kernel.

use std::fs;
use std::path::{Path, PathBuf};

use crate::build_dir::{BuildDir, config_value};
use crate::setting::{Source, Value};
use crate::{Error, Revision};

const REMEDY: &str = "give the full path of the directory made by 'make BUILDDIR=DIR' in Fiasco's source tree, built for amd64";

/// A build directory of the kernel for amd64, with a kernel in it.
#[derive(Debug, Clone)]
pub struct FiascoBuild {
    dir: BuildDir,
    config: String,
}

impl FiascoBuild {
    /// Checks the path that a setting names.
    pub(crate) fn open(value: &Value) -> Result<Self, Error> {
        let dir = BuildDir::open(value, REMEDY)?;
        let config = dir.text("globalconfig.out")?;
        let build = Self { dir, config };
        if build.config("CONFIG_AMD64") != Some("y") {
            return Err(build
                .dir
                .wrong("CONFIG_AMD64 is not set in its configuration"));
        }
        if !build.kernel().is_file() {
            return Err(build.dir.wrong("the kernel 'fiasco' is missing in it"));
        }
        Ok(build)
    }

    /// The build directory itself.
    pub fn root(&self) -> &Path {
        self.dir.root()
    }

    /// Which setting named it.
    pub fn setting(&self) -> &Source {
        self.dir.setting()
    }

    /// The kernel's ELF file.
    pub fn kernel(&self) -> PathBuf {
        self.root().join("fiasco")
    }

    /// A value of the kernel's configuration, without quotes.
    pub fn config(&self, name: &str) -> Option<&str> {
        config_value(&self.config, name)
    }

    /// How many CPUs the kernel can use.
    pub fn max_cpus(&self) -> u32 {
        self.config("CONFIG_MP_MAX_CPUS")
            .and_then(|value| value.parse().ok())
            .unwrap_or(1)
    }

    /// Revision that the kernel says at start: what was compiled, not what the sources are now.
    /// Falls back to the source tree's.
    pub fn revision(&self) -> Revision {
        let compiled = fs::read_to_string(self.root().join("version.h")).ok();
        compiled
            .as_deref()
            .and_then(|text| {
                text.lines()
                    .find_map(|line| line.strip_prefix("#define CODE_VERSION "))
            })
            .map(|value| Revision::new(value.trim().trim_matches('"')))
            .unwrap_or_else(|| Revision::of(&self.root().join("source")))
    }
}
