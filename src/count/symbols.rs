//! Function addresses of a boot file, from its own symbols or those of the file set aside with them.

use std::collections::HashMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use object::{Object, ObjectSection, ObjectSymbol, SymbolKind};
use qemu_count::names::{fits, readable};

/// Functions by name, with their addresses as linked.
#[derive(Debug, Default)]
pub struct Symbols(HashMap<String, Range<u64>>);

impl Symbols {
    /// The symbols of a file: the kernel's build leaves them in `fiasco.debug`, L4Re's in
    /// `.debug/NAME`; an unstripped file has its own. Empty if there are none.
    pub fn of(path: &Path) -> Self {
        let beside = |name: String| path.with_file_name(name);
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let debug_dir: PathBuf = path.with_file_name(".debug").join(name.as_ref());
        [
            beside(format!("{name}.debug")),
            debug_dir,
            path.to_path_buf(),
        ]
        .iter()
        .filter_map(|path| Self::read(path))
        .find(|symbols| !symbols.is_empty())
        .unwrap_or_default()
    }

    fn read(path: &Path) -> Option<Self> {
        let data = std::fs::read(path).ok()?;
        let file = object::File::parse(&*data).ok()?;
        let code: Vec<_> = file
            .sections()
            .filter(|section| section.kind() == object::SectionKind::Text)
            .map(|section| section.address()..section.address() + section.size())
            .collect();
        let mut all: Vec<_> = file
            .symbols()
            .filter(|symbol| symbol.is_definition())
            // Entry labels in assembly have no type.
            .filter(|symbol| {
                matches!(
                    symbol.kind(),
                    SymbolKind::Text | SymbolKind::Unknown | SymbolKind::Label
                )
            })
            .filter(|symbol| code.iter().any(|range| range.contains(&symbol.address())))
            .filter_map(|symbol| Some((symbol.address(), symbol.size(), symbol.name().ok()?)))
            .collect();
        all.sort_unstable();
        let mut functions = HashMap::new();
        for (index, (start, size, name)) in all.iter().enumerate() {
            // A label without a size ends where the next one begins.
            let next = all[index..].iter().find(|(other, ..)| other > start);
            let end = match (size, next) {
                (0, Some((next, ..))) => *next,
                (size, _) => start + size,
            };
            functions.insert((*name).to_owned(), *start..end);
        }
        Some(Symbols(functions))
    }

    /// Whether there is no function at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Functions whose readable name fits a pattern, by symbol. The parts that compilers move out
    /// of a function are not functions.
    pub fn fitting(&self, pattern: &str) -> Vec<(&str, Range<u64>)> {
        let mut found: Vec<_> = self
            .0
            .iter()
            .filter(|(symbol, _)| !symbol.contains(".cold"))
            .filter(|(symbol, _)| fits(pattern, &readable(symbol)))
            .map(|(symbol, range)| (symbol.as_str(), range.clone()))
            .collect();
        found.sort_unstable_by_key(|(symbol, _)| *symbol);
        found
    }

    /// The addresses of a function.
    pub fn function(&self, name: &str) -> Option<Range<u64>> {
        self.0.get(name).cloned()
    }
}

/// Whether a boot file is an ELF program, not a script or data.
pub fn is_program(path: &Path) -> bool {
    use std::io::Read;
    let mut magic = [0; 4];
    let read = std::fs::File::open(path).and_then(|mut file| file.read_exact(&mut magic));
    read.is_ok() && magic == *b"\x7fELF"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_its_own_program() {
        let exe = std::env::current_exe().unwrap();
        assert!(is_program(&exe));
        let symbols = Symbols::of(&exe);
        let main = symbols.function("main").expect("every program has a main");
        assert!(!main.is_empty());
        assert_eq!(symbols.function("no such function"), None);
    }

    #[test]
    fn other_files_have_none() {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
        assert!(!is_program(&script));
        assert!(Symbols::of(&script).is_empty());
        assert!(Symbols::of(Path::new("/no/such/file")).is_empty());
    }
}
