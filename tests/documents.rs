//! The README and the documents: every directory is listed, every link leads somewhere.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

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

/// Code of a language in a document.
fn blocks(text: &str, language: &str) -> Vec<String> {
    let start = format!("\n```{language}\n");
    let parts = text.split(start.as_str()).skip(1);
    let code = parts.filter_map(|part| part.split("\n```").next());
    code.map(|code| format!("{code}\n")).collect()
}

/// The Rust example is the one that the client's documentation test compiles, but for hidden lines.
#[test]
fn the_pager_apis_rust_example_is_the_compiled_one() {
    let read = |path: &str| std::fs::read_to_string(root().join(path)).expect("a file");
    let compiled: String = read("percore-pager/src/client/mod.rs")
        .lines()
        .filter_map(|line| line.strip_prefix("//! "))
        .filter(|line| !line.starts_with("# "))
        .map(|line| format!("{line}\n"))
        .collect();
    let examples = blocks(&read("docs/pager-api.md"), "rust");
    assert!(!examples.is_empty(), "examples were found");
    for example in examples {
        assert!(compiled.contains(&example), "not in the client:\n{example}");
    }
}

/// The C and C++ examples, by a compiler with the headers of a configured L4Re tree.
#[test]
fn the_pager_apis_c_and_cxx_examples_compile() {
    let trees = l4re_tree::find().unwrap_or_else(|error| panic!("{error}"));
    let Some(trees) = trees else {
        eprintln!("left out: compiling examples (needs L4RE_BUILD)");
        return;
    };
    let text = std::fs::read_to_string(root().join("docs/pager-api.md")).expect("the document");
    // As L4Re's build system calls the compiler: nothing of the host's headers but the compiler's own.
    let own = Command::new("gcc").arg("-print-file-name=include").output();
    let own = String::from_utf8(own.expect("gcc").stdout).expect("a path");
    let include = trees.l4re.root().join("include");
    let temporary = tempfile::tempdir().expect("a directory");
    std::os::unix::fs::symlink(
        root().join("pkg/libpercore/include"),
        temporary.path().join("percore"),
    )
    .expect("a link");
    let dirs = [
        temporary.path().to_owned(),
        include.join("contrib/libstdc++-v3"),
        include.join("amd64"),
        include.clone(),
        include.join("uclibc-ng"),
    ];
    for (language, compiler) in [("c", "gcc"), ("cpp", "g++")] {
        let examples = blocks(&text, language);
        assert!(!examples.is_empty(), "{language}: examples were found");
        for (number, example) in examples.iter().enumerate() {
            let file = temporary.path().join(format!("{number}.{language}"));
            std::fs::write(&file, example).expect("a file for the test");
            let mut command = Command::new(compiler);
            command.args(["-fsyntax-only", "-Wall", "-Wextra", "-Werror", "-nostdinc"]);
            command.args(["-DL4API_l4f", "-DARCH_amd64", "-DCPUTYPE_gen"]);
            command.args(["-D_GLIBCXX_SYSHDR", "-include", "l4/bid_config.h"]);
            for dir in &dirs {
                command.arg("-I").arg(dir);
            }
            command.arg("-isystem").arg(own.trim()).arg(&file);
            let output = command.output().expect("a compiler");
            let words = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{language}, {number}: {words}");
        }
    }
}
