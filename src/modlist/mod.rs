//! Boot entries in the syntax of L4Re's `modules.list`.
//!
//! The subset is what a boot on x86-64 needs; a line that L4Re knows and we do not is an error only
//! for the entry it stands in, so that percore can read an L4Re user's own list. Options of ours in
//! an entry's brackets, which L4Re ignores:
//!
//! - `expect=TEXT`: the log line that means success,
//! - `timeout=SECONDS`: instead of the default,
//! - `tap`: the entry is a test that prints TAP (`percore test --qemu` runs it),
//! - `pagers`: its boot script takes `cores=` and `memory=` (the memory server) from the root task's
//!   command line.

mod line;
mod parse;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use crate::Error;

/// A file to boot with its arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Module {
    /// Path, or name to look up in the search directories.
    pub file: String,
    /// Name in the guest: the last part of `file` unless `fname=` says otherwise.
    pub name: String,
    /// Arguments, as one string.
    pub args: String,
    /// Whether shared libraries that the file needs are added.
    pub scan_libs: bool,
}

impl Module {
    /// A module from `FILE ARGUMENTS...`.
    pub fn new(file_and_args: &str) -> Self {
        let text = file_and_args.trim();
        let (file, args) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        Self {
            file: file.to_owned(),
            name: base_name(file).to_owned(),
            args: args.trim().to_owned(),
            scan_libs: true,
        }
    }

    /// Name and arguments, as the guest sees them.
    pub fn command_line(&self) -> String {
        match self.args.as_str() {
            "" => self.name.clone(),
            args => format!("{} {args}", self.name),
        }
    }
}

fn base_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// One thing to boot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Name; upper and lower case are the same.
    pub name: String,
    /// The list and line where it starts.
    pub file: PathBuf,
    /// See `file`.
    pub line: usize,
    /// The multiboot loader.
    pub bootstrap: Module,
    /// The kernel.
    pub kernel: Module,
    /// The root pager.
    pub sigma0: Module,
    /// The root task.
    pub roottask: Module,
    /// Everything else, in order.
    pub modules: Vec<Module>,
    /// `modaddr`: where bootstrap puts the modules.
    pub modaddr: Option<String>,
    /// Log text that means success.
    pub expect: Option<String>,
    /// Seconds until the boot is given up.
    pub timeout: Option<u64>,
    /// The guest prints TAP.
    pub tap: bool,
    /// The boot script takes number of cores and memory server as arguments.
    pub pagers: bool,
    /// First line that percore cannot honour: number and reason.
    unsupported: Option<(usize, String)>,
}

/// A parsed list.
#[derive(Debug, Clone, Default)]
pub struct ModList {
    /// Where it was read from.
    pub file: PathBuf,
    /// Directories of `searchpath` lines.
    pub search_dirs: Vec<PathBuf>,
    entries: Vec<Entry>,
}

impl ModList {
    /// Reads a list with everything it includes.
    ///
    /// # Errors
    /// A file cannot be read, or a line is wrong: file, line and what was expected.
    pub fn read(file: &Path) -> Result<Self, Error> {
        parse::read(file)
    }

    /// All entries in the order of the file.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// An entry by name.
    ///
    /// # Errors
    /// No such entry (the text names those there are), or it has a line that percore cannot honour.
    pub fn entry(&self, name: &str) -> Result<&Entry, Error> {
        let Some(entry) = self
            .entries
            .iter()
            .find(|entry| entry.name.eq_ignore_ascii_case(name))
        else {
            let names: Vec<_> = self
                .entries
                .iter()
                .map(|entry| entry.name.as_str())
                .collect();
            return Err(Error::Usage(format!(
                "no entry '{name}' in {}; expected one of: {}",
                self.file.display(),
                names.join(", ")
            )));
        };
        match &entry.unsupported {
            Some((line, problem)) => Err(Error::Line {
                file: entry.file.clone(),
                line: *line,
                problem: problem.clone(),
            }),
            None => Ok(entry),
        }
    }
}
