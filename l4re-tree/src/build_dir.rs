//! What build directories of both kinds have in common: a path that a setting names, and the error
//! that says what is missing there.

use std::fs;
use std::path::{Path, PathBuf};

use crate::Error;
use crate::setting::{Source, Value};

/// A directory that exists, with the setting that named it.
#[derive(Debug, Clone)]
pub(crate) struct BuildDir {
    root: PathBuf,
    setting: Source,
    /// How to come by a right one.
    remedy: &'static str,
}

impl BuildDir {
    /// The directory that a setting names.
    ///
    /// # Errors
    /// [`Error::Tree`]: the path is relative or no directory.
    pub fn open(value: &Value, remedy: &'static str) -> Result<Self, Error> {
        let dir = BuildDir {
            root: value.path.clone(),
            setting: value.source.clone(),
            remedy,
        };
        if value.absolute(remedy)?.is_dir() {
            Ok(dir)
        } else {
            Err(dir.wrong("there is no such directory"))
        }
    }

    /// The error for something that the directory lacks.
    pub fn wrong(&self, missing: impl Into<String>) -> Error {
        Error::Tree {
            setting: self.setting.clone(),
            path: self.root.clone(),
            missing: missing.into(),
            remedy: self.remedy,
        }
    }

    /// The text of a file in it.
    ///
    /// # Errors
    /// [`Error::Tree`] with the file and the cause.
    pub fn text(&self, name: &str) -> Result<String, Error> {
        fs::read_to_string(self.root.join(name))
            .map_err(|cause| self.wrong(format!("cannot read '{name}' in it ({cause})")))
    }

    /// The directory itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Which setting named it.
    pub fn setting(&self) -> &Source {
        &self.setting
    }
}

/// The value of `NAME="value"` or `NAME=value` in a Kconfig result file.
pub(crate) fn config_value<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let value = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix('='))?;
    Some(value.trim().trim_matches('"'))
}
