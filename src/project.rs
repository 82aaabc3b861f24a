//! Where the project's own files are: `conf/`, `ned-scripts/`, the target programs.

use std::env;
use std::path::{Path, PathBuf};

use crate::Error;

/// A checkout of this project.
#[derive(Debug, Clone)]
pub struct Project {
    root: PathBuf,
}

impl Project {
    /// The checkout that the current directory is in, or else the one that `percore` was built in.
    ///
    /// # Errors
    /// Neither has the project's files.
    pub fn find() -> Result<Self, Error> {
        let here = env::current_dir().ok();
        let mut candidates = here.iter().flat_map(|dir| dir.ancestors());
        // An L4Re source tree has a conf/modules.list too.
        let is_root = |dir: &Path| {
            dir.join("conf/modules.list").is_file() && dir.join("conf/machines").is_dir()
        };
        let built_in = Path::new(env!("CARGO_MANIFEST_DIR"));
        candidates
            .find(|dir| is_root(dir))
            .or_else(|| is_root(built_in).then_some(built_in))
            .map(|root| Self {
                root: root.to_path_buf(),
            })
            .ok_or_else(|| Error::Missing {
                what: "no conf/machines here or in a directory above".into(),
                remedy: "run percore inside a clone of its repository".into(),
            })
    }

    /// Top directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The list of boot entries.
    pub fn modules_list(&self) -> PathBuf {
        self.root.join("conf/modules.list")
    }

    /// The machine descriptions.
    pub fn machines(&self) -> PathBuf {
        self.root.join("conf/machines")
    }

    /// Cargo settings of the target programs.
    pub fn target_config(&self) -> PathBuf {
        self.root.join("conf/l4re.toml")
    }

    /// Where `percore build` leaves the target programs (`conf/l4re.toml` names the directory).
    pub fn target_bin(&self) -> PathBuf {
        self.root
            .join("target-l4re/x86_64-unknown-linux-gnu/release")
    }

    /// Where boot files of our own are looked for.
    pub fn search_dirs(&self) -> Vec<PathBuf> {
        vec![self.target_bin(), self.root.join("ned-scripts")]
    }
}
