//! The README and the documents: every directory is listed, every link leads somewhere.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn documents() -> Vec<PathBuf> {
    let mut found = vec![root().join("README.md"), root().join("AGENTS.md")];
    for entry in std::fs::read_dir(root().join("docs")).expect("docs/") {
        let path = entry.expect("an entry").path();
        if path.extension().is_some_and(|e| e == "md") {
            found.push(path);
        }
    }
    found
}

#[test]
fn readme_lists_every_directory() {
    let readme = std::fs::read_to_string(root().join("README.md")).expect("README.md");
    let listed: BTreeSet<&str> = readme
        .lines()
        .filter_map(|l| l.strip_prefix("| [")?.split_once(']').map(|(name, _)| name))
        .collect();
    let present: BTreeSet<String> = std::fs::read_dir(root())
        .expect("the project")
        .map(|e| e.expect("an entry"))
        .filter(|e| e.path().is_dir())
        .map(|e| e.file_name().to_string_lossy().into_owned())
        .filter(|n| !n.starts_with('.') && !n.starts_with("target") && n != "out")
        .collect();
    let missing: Vec<_> = present
        .iter()
        .filter(|n| !listed.contains(n.as_str()))
        .collect();
    let gone: Vec<_> = listed.iter().filter(|n| !present.contains(**n)).collect();
    assert!(missing.is_empty(), "not listed in README.md: {missing:?}");
    assert!(
        gone.is_empty(),
        "listed in README.md but not there: {gone:?}"
    );
    assert!(listed.len() > 5, "the table was read");
}

#[test]
fn links_lead_somewhere() {
    let mut links = 0;
    for document in documents() {
        let text = std::fs::read_to_string(&document).expect("a document");
        let dir = document.parent().expect("a directory");
        for target in text.split("](").skip(1).filter_map(|t| t.split(')').next()) {
            let path = target.split('#').next().unwrap_or_default();
            if path.is_empty() || path.contains("://") {
                continue;
            }
            links += 1;
            assert!(
                dir.join(path).exists(),
                "{}: {target} is not there",
                document.display()
            );
        }
    }
    assert!(links > 10, "links were found");
}
