//! A build directory of the kernel.

use std::fs;
use std::path::{Path, PathBuf};

use crate::l4re::config_value;
use crate::setting::{Source, Value};
use crate::{Error, Revision};

const REMEDY: &str = "give the full path of the directory made by 'make BUILDDIR=DIR' in Fiasco's source tree, built for amd64";

/// A build directory of the kernel for amd64, with a kernel in it.
#[derive(Debug, Clone)]
pub struct FiascoBuild {
    root: PathBuf,
    setting: Source,
    config: String,
}

impl FiascoBuild {
    /// Checks the path that a setting names.
    pub(crate) fn open(value: &Value) -> Result<Self, Error> {
        let wrong = |missing: String| Error::Tree {
            setting: value.source.clone(),
            path: value.path.clone(),
            missing,
            remedy: REMEDY,
        };
        if !value.absolute(REMEDY)?.is_dir() {
            return Err(wrong("there is no such directory".into()));
        }
        let config = fs::read_to_string(value.path.join("globalconfig.out"))
            .map_err(|cause| wrong(format!("cannot read 'globalconfig.out' in it ({cause})")))?;
        let build = Self {
            root: value.path.clone(),
            setting: value.source.clone(),
            config,
        };
        if build.config("CONFIG_AMD64") != Some("y") {
            return Err(wrong("CONFIG_AMD64 is not set in its configuration".into()));
        }
        if !build.kernel().is_file() {
            return Err(wrong("the kernel 'fiasco' is missing in it".into()));
        }
        Ok(build)
    }

    /// The build directory itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Which setting named it.
    pub fn setting(&self) -> &Source {
        &self.setting
    }

    /// The kernel's ELF file.
    pub fn kernel(&self) -> PathBuf {
        self.root.join("fiasco")
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
        let compiled = fs::read_to_string(self.root.join("version.h")).ok();
        compiled
            .as_deref()
            .and_then(|text| {
                text.lines()
                    .find_map(|line| line.strip_prefix("#define CODE_VERSION "))
            })
            .map(|value| Revision::new(value.trim().trim_matches('"')))
            .unwrap_or_else(|| Revision::of(&self.root.join("source")))
    }
}
