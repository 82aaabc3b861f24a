//! The revision of a source tree, for reports.

use std::fmt;
use std::path::Path;
use std::process::{Command, Stdio};

/// What `git describe` says of a tree, or `unknown`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revision(String);

impl Revision {
    /// A revision that the caller has read somewhere; an empty text is `unknown`.
    pub fn new(text: &str) -> Self {
        match text.trim() {
            "" => Self("unknown".into()),
            text => Self(text.into()),
        }
    }

    /// The revision of the working tree that has `dir` in it. `unknown` when git is missing or the
    /// directory is not under version control.
    pub fn of(dir: &Path) -> Self {
        let output = Command::new("git")
            .arg("-C")
            .arg(dir)
            .args(["describe", "--always", "--dirty", "--tags"])
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .output();
        match output {
            Ok(output) if output.status.success() => {
                Self::new(&String::from_utf8_lossy(&output.stdout))
            }
            _ => Self::new(""),
        }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
