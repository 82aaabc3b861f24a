//! Reads the one setting: two environment variables, or two keys of a file.

use std::env;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use etcetera::BaseStrategy;
use serde::Deserialize;

use crate::Error;

/// Name of the variable and key that hold the build directory of L4Re.
pub const L4RE_BUILD: &str = "L4RE_BUILD";
/// Name of the variable and key that hold the build directory of the kernel.
pub const FIASCO_BUILD: &str = "FIASCO_BUILD";

/// Where a value was found, for messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// An environment variable, by name.
    Env(&'static str),
    /// A key of the configuration file.
    File {
        /// Name of the key.
        key: &'static str,
        /// The configuration file.
        file: PathBuf,
    },
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Env(name) => write!(f, "{name}"),
            Source::File { key, file } => write!(f, "{key} in {}", file.display()),
        }
    }
}

/// One path as the user gave it; nothing has been checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Value {
    /// The path.
    pub path: PathBuf,
    /// Where it was said.
    pub source: Source,
}

impl Value {
    /// Refuses relative paths: cargo runs each build script in another directory, so they would
    /// mean different places.
    pub(crate) fn absolute(&self, remedy: &'static str) -> Result<&Path, Error> {
        if self.path.is_absolute() {
            return Ok(&self.path);
        }
        Err(Error::Tree {
            setting: self.source.clone(),
            path: self.path.clone(),
            missing: "the path is relative".into(),
            remedy,
        })
    }
}

/// The whole setting, unchecked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Setting {
    /// Build directory of L4Re.
    pub l4re_build: Option<Value>,
    /// Build directory of the kernel.
    pub fiasco_build: Option<Value>,
}

/// The file's keys. An unknown key is an error, so that a typing mistake is found.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Keys {
    #[serde(rename = "L4RE_BUILD")]
    l4re_build: Option<PathBuf>,
    #[serde(rename = "FIASCO_BUILD")]
    fiasco_build: Option<PathBuf>,
}

/// The configuration file: `percore/config.toml` in `$XDG_CONFIG_HOME`, or else in `~/.config`.
/// `None` when there is no home directory. The file need not exist.
pub fn config_file() -> Option<PathBuf> {
    let strategy = etcetera::choose_base_strategy().ok()?;
    Some(strategy.config_dir().join("percore").join("config.toml"))
}

impl Setting {
    /// Reads the environment and the configuration file.
    ///
    /// # Errors
    /// The file exists and cannot be read, or is not of the documented form.
    pub fn read() -> Result<Self, Error> {
        Self::read_from(config_file().as_deref(), |name| env::var_os(name))
    }

    /// As [`Setting::read`], with the file and the environment as arguments.
    fn read_from(
        file: Option<&Path>,
        var: impl Fn(&str) -> Option<std::ffi::OsString>,
    ) -> Result<Self, Error> {
        let keys = match file {
            Some(path) if path.exists() => read_keys(path)?,
            _ => Keys::default(),
        };
        let pick = |name: &'static str, key: Option<PathBuf>| {
            if let Some(value) = var(name).filter(|value| !value.is_empty()) {
                return Some(Value {
                    path: value.into(),
                    source: Source::Env(name),
                });
            }
            Some(Value {
                path: key?,
                source: Source::File {
                    key: name,
                    file: file?.to_path_buf(),
                },
            })
        };
        Ok(Self {
            l4re_build: pick(L4RE_BUILD, keys.l4re_build),
            fiasco_build: pick(FIASCO_BUILD, keys.fiasco_build),
        })
    }
}

fn read_keys(path: &Path) -> Result<Keys, Error> {
    let text = fs::read_to_string(path).map_err(|cause| Error::ReadConfig {
        path: path.to_path_buf(),
        cause,
    })?;
    toml::from_str(&text).map_err(|cause| {
        let offset = cause.span().map_or(0, |span| span.start);
        let before = text.get(..offset).unwrap_or(&text);
        Error::ParseConfig {
            path: path.to_path_buf(),
            line: before.matches('\n').count() + 1,
            cause: cause.message().to_owned(),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(text: &str) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.toml");
        fs::write(&path, text).unwrap();
        (dir, path)
    }

    #[test]
    fn variable_wins_and_key_fills_the_gap() {
        let (_dir, file) = write("L4RE_BUILD = '/file/l4'\nFIASCO_BUILD = '/file/kernel'\n");
        let setting = Setting::read_from(Some(&file), |name| {
            (name == L4RE_BUILD).then(|| "/env/l4".into())
        })
        .unwrap();
        let l4re = setting.l4re_build.unwrap();
        assert_eq!(l4re.path, Path::new("/env/l4"));
        assert_eq!(l4re.source.to_string(), "L4RE_BUILD");
        let kernel = setting.fiasco_build.unwrap();
        assert_eq!(kernel.path, Path::new("/file/kernel"));
        assert_eq!(
            kernel.source.to_string(),
            format!("FIASCO_BUILD in {}", file.display())
        );
    }

    #[test]
    fn empty_variable_and_absent_file_mean_not_set() {
        let setting =
            Setting::read_from(Some(Path::new("/nowhere/config.toml")), |_| Some("".into()));
        assert_eq!(setting.unwrap(), Setting::default());
    }

    #[test]
    fn unknown_key_is_refused_with_its_line() {
        let (_dir, file) = write("L4RE_BUILD = '/a'\nFIASCO = '/b'\n");
        let error = Setting::read_from(Some(&file), |_| None).unwrap_err();
        let text = error.to_string();
        assert!(
            text.starts_with(&format!("{}:2: ", file.display())),
            "{text}"
        );
        assert!(text.contains("FIASCO_BUILD"), "{text}");
    }
}
