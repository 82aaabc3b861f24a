//! Shared libraries that the modules of a boot need, as L4Re's own tools add them.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use object::Endianness;
use object::elf::{DT_NEEDED, FileHeader64, PT_INTERP};
use object::read::elf::{FileHeader, ProgramHeader};

use crate::Error;

/// Names of all libraries and interpreters that `files` need, and what those need, sorted.
/// A library that `find` does not find is left to the caller to report.
pub(super) fn needed(
    files: &[PathBuf],
    find: impl Fn(&str) -> Option<PathBuf>,
) -> Result<BTreeSet<String>, Error> {
    let mut names = BTreeSet::new();
    let mut queue = files.to_vec();
    while let Some(path) = queue.pop() {
        let data = fs::read(&path).map_err(Error::io(format!("cannot read {}", path.display())))?;
        // Scripts and data files are no ELF files and need nothing.
        for name in needed_by(&data).unwrap_or_default() {
            if let Some(path) = find(&name)
                && !names.contains(&name)
            {
                queue.push(path);
            }
            names.insert(name);
        }
    }
    Ok(names)
}

/// What one file needs; `None` when it is no 64-bit ELF file.
fn needed_by(data: &[u8]) -> Option<Vec<String>> {
    let header = FileHeader64::<Endianness>::parse(data).ok()?;
    let endian = header.endian().ok()?;
    let segments = header.program_headers(endian, data).ok()?;
    let mut names = Vec::new();
    for segment in segments {
        if segment.p_type(endian) == PT_INTERP {
            let path = segment.data(endian, data).ok()?;
            let path = String::from_utf8_lossy(path);
            let name = Path::new(path.trim_end_matches('\0')).file_name()?;
            names.push(name.to_string_lossy().into_owned());
        }
    }
    let sections = header.sections(endian, data).ok()?;
    let table = sections.dynamic_table(endian, data).ok()?;
    for entry in table.iter().filter(|entry| entry.tag == DT_NEEDED) {
        let name = table.string(entry).ok()?;
        names.push(String::from_utf8_lossy(name).into_owned());
    }
    Some(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dynamic_program_names_its_libraries_and_loader() {
        // The test program itself is one.
        let data = fs::read(std::env::current_exe().unwrap()).unwrap();
        let names = needed_by(&data).unwrap();
        assert!(
            names.iter().any(|name| name.starts_with("libc.so")),
            "{names:?}"
        );
        assert!(
            names.iter().any(|name| name.starts_with("ld-linux")),
            "{names:?}"
        );
    }

    #[test]
    fn a_script_needs_nothing() {
        assert_eq!(needed_by(b"local L4 = require(\"L4\")"), None);
    }
}
