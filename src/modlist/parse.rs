//! Turns the lines of a list into entries. Follows the rules of L4Re's own reader: definitions
//! before use, later lines of an entry override defaults, `moe FILE` stands for the root task with
//! that script plus the script as module.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::line::Line;
use super::{Entry, ModList, Module, base_name};
use crate::Error;

/// Nested `include` lines beyond this are taken for a circle.
const MAX_INCLUDE_DEPTH: usize = 16;

const EXPECTED: &str = "expected entry, kernel, bootstrap, sigma0, roottask, moe, module, \
                        module-group, group, include, searchpath, modaddr, default-kernel, \
                        default-bootstrap, default-sigma0 or default-roottask";

/// What the lines that follow belong to.
enum Place {
    /// Before the first entry or group.
    Global,
    /// The last entry of the list.
    Entry,
    /// The named group.
    Group(String),
    /// An entry for another architecture.
    Skipped,
}

struct Defaults {
    bootstrap: Module,
    kernel: Module,
    sigma0: Module,
    roottask: Module,
    modaddr: Option<String>,
}

struct Reader {
    list: ModList,
    defaults: Defaults,
    groups: HashMap<String, Vec<Module>>,
    place: Place,
}

pub(super) fn read(file: &Path) -> Result<ModList, Error> {
    let mut reader = Reader {
        list: ModList {
            file: file.to_path_buf(),
            ..ModList::default()
        },
        defaults: Defaults {
            bootstrap: Module::new("bootstrap"),
            kernel: Module::new("fiasco"),
            sigma0: Module::new("sigma0"),
            roottask: Module::new("moe"),
            modaddr: None,
        },
        groups: HashMap::new(),
        place: Place::Global,
    };
    reader.read_file(file, 0)?;
    Ok(reader.list)
}

impl Reader {
    fn read_file(&mut self, file: &Path, depth: usize) -> Result<(), Error> {
        let text = fs::read_to_string(file)
            .map_err(Error::io(format!("cannot read {}", file.display())))?;
        for (index, line) in text.lines().enumerate() {
            let number = index + 1;
            let wrong = |problem: String| Error::Line {
                file: file.to_path_buf(),
                line: number,
                problem,
            };
            let Some(line) = Line::parse(line).map_err(wrong)? else {
                continue;
            };
            if line.keyword == "include" {
                if depth == MAX_INCLUDE_DEPTH {
                    return Err(wrong("include lines go in a circle".into()));
                }
                self.read_file(&relative_to(file, line.rest), depth + 1)?;
                continue;
            }
            self.line(file, number, &line).map_err(wrong)?;
        }
        Ok(())
    }

    /// Handles one line; the error text is what is wrong and what was expected.
    fn line(&mut self, file: &Path, number: usize, line: &Line) -> Result<(), String> {
        let keyword = line.keyword.as_str();
        if !KNOWN.contains(&keyword) {
            return Err(format!("unknown keyword '{keyword}'; {EXPECTED}"));
        }
        if line.rest.is_empty() {
            return Err(format!(
                "'{keyword}' without argument; expected '{keyword} NAME ...'"
            ));
        }
        match keyword {
            "entry" | "title" => return self.start_entry(file, number, line),
            "group" => {
                let name = line.rest.split_whitespace().next().unwrap_or(line.rest);
                self.groups.entry(name.to_owned()).or_default();
                self.place = Place::Group(name.to_owned());
                return Ok(());
            }
            _ => {}
        }
        if !line.is_for_us() {
            return Ok(());
        }
        match keyword {
            "searchpath" => {
                let dir = relative_to(file, line.rest);
                self.list.search_dirs.push(dir);
            }
            "default-bootstrap" => self.defaults.bootstrap = module(line),
            "default-kernel" => self.defaults.kernel = module(line),
            "default-sigma0" => self.defaults.sigma0 = module(line),
            "default-roottask" => self.defaults.roottask = module(line),
            "modaddr" => match self.place {
                Place::Entry => self.entry()?.modaddr = Some(line.rest.to_owned()),
                Place::Global => self.defaults.modaddr = Some(line.rest.to_owned()),
                Place::Group(_) | Place::Skipped => {}
            },
            _ => return self.member(number, line),
        }
        Ok(())
    }

    fn start_entry(&mut self, file: &Path, number: usize, line: &Line) -> Result<(), String> {
        if !line.is_for_us() {
            self.place = Place::Skipped;
            return Ok(());
        }
        let timeout = match line.value("timeout") {
            None => None,
            Some(text) => Some(
                text.parse()
                    .map_err(|_| format!("timeout '{text}'; expected a whole number of seconds"))?,
            ),
        };
        let unsupported = line
            .has("no-defaults")
            .then(|| (number, unsupported("option 'no-defaults'")));
        self.list.entries.push(Entry {
            name: line.rest.to_owned(),
            file: file.to_path_buf(),
            line: number,
            bootstrap: self.defaults.bootstrap.clone(),
            kernel: self.defaults.kernel.clone(),
            sigma0: self.defaults.sigma0.clone(),
            roottask: self.defaults.roottask.clone(),
            modules: Vec::new(),
            modaddr: self.defaults.modaddr.clone(),
            expect: line.value("expect").map(str::to_owned),
            timeout,
            tap: line.has("tap"),
            pagers: line.has("pagers"),
            unsupported,
        });
        self.place = Place::Entry;
        Ok(())
    }

    fn entry(&mut self) -> Result<&mut Entry, String> {
        // A place of `Entry` implies that one was pushed.
        self.list
            .entries
            .last_mut()
            .ok_or_else(|| "no entry yet".to_owned())
    }

    /// A line that belongs to an entry or a group.
    fn member(&mut self, number: usize, line: &Line) -> Result<(), String> {
        let keyword = line.keyword.as_str();
        let group = match &self.place {
            Place::Skipped => return Ok(()),
            Place::Global => {
                return Err(format!(
                    "'{keyword}' before the first entry; expected 'entry NAME' first"
                ));
            }
            Place::Group(name) => Some(name.clone()),
            Place::Entry => None,
        };
        if let Some(name) = group {
            if !IS_MODULE.contains(&keyword) {
                return Err(format!("'{keyword}' in a group; expected module"));
            }
            self.groups.entry(name).or_default().push(module(line));
            return Ok(());
        }
        if let Some(problem) = cannot_honour(line) {
            let entry = self.entry()?;
            entry.unsupported.get_or_insert((number, problem));
            return Ok(());
        }
        let mut added = Vec::new();
        if keyword == "module-group" {
            for name in line.rest.split_whitespace() {
                let group = self.groups.get(name).ok_or_else(|| {
                    format!("no group '{name}'; expected the name of a 'group' above")
                })?;
                added.extend(group.iter().cloned());
            }
        }
        let entry = self.entry()?;
        match keyword {
            "bootstrap" => entry.bootstrap = module(line),
            "kernel" => entry.kernel = module(line),
            "sigma0" => entry.sigma0 = module(line),
            "roottask" => entry.roottask = module(line),
            "moe" => {
                let script = module(line);
                entry.roottask = Module::new(&format!("moe rom/{}", base_name(&script.file)));
                added.push(script);
            }
            "module-group" => {}
            _ => added.push(module(line)),
        }
        entry.modules.append(&mut added);
        Ok(())
    }
}

/// Spellings of an ordinary module.
const IS_MODULE: &[&str] = &["module", "bin", "data", "bin-nostrip", "data-nostrip"];

const KNOWN: &[&str] = &[
    "entry",
    "title",
    "kernel",
    "bootstrap",
    "sigma0",
    "roottask",
    "moe",
    "module",
    "bin",
    "data",
    "bin-nostrip",
    "data-nostrip",
    "module-group",
    "group",
    "searchpath",
    "modaddr",
    "default-kernel",
    "default-bootstrap",
    "default-sigma0",
    "default-roottask",
    "initrd",
    "set",
];

fn unsupported(what: &str) -> String {
    format!("percore cannot boot this entry: {what} is not supported; expected plain modules")
}

/// What L4Re would do with the line and percore does not.
fn cannot_honour(line: &Line) -> Option<String> {
    if matches!(line.keyword.as_str(), "initrd" | "set") {
        return Some(unsupported(&format!("'{}'", line.keyword)));
    }
    if line.rest.contains("://") {
        return Some(unsupported("a file from the network"));
    }
    ["perl", "shell", "glob", "uncompress"]
        .into_iter()
        .find(|key| line.has(key))
        .map(|key| unsupported(&format!("option '{key}'")))
}

fn module(line: &Line) -> Module {
    let mut module = Module::new(line.rest);
    if let Some(name) = line.value("fname") {
        module.name = name.to_owned();
    }
    module.scan_libs = !line.has("no-shlib-scan");
    module
}

/// A path of a list file: relative ones start at the list.
fn relative_to(list: &Path, path: &str) -> PathBuf {
    list.parent().unwrap_or(Path::new(".")).join(path)
}
