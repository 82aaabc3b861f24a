//! `from_setting` over made-up build directories: what is accepted, and what each refusal says.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use l4re_tree::{Error, FIASCO_BUILD, L4RE_BUILD, Setting, Source, Trees, Value, from_setting};

const KCONFIG: &str = "CONFIG_BUILD_ARCH_amd64=y\nCONFIG_BUILD_ARCH=\"amd64\"\n\
                       CONFIG_BUILD_ABI=\"l4f\"\nCONFIG_CPU=\"gen\"\n";

fn put(root: &Path, path: &str, text: &str) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// A small directory that passes for a build directory of L4Re, and one of the kernel.
fn made_up() -> (tempfile::TempDir, PathBuf, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let (l4re, kernel) = (dir.path().join("l4"), dir.path().join("kernel"));
    fs::create_dir_all(dir.path().join("src")).unwrap();
    put(&l4re, ".kconfig", KCONFIG);
    put(&l4re, "include/l4/sys/types.h", "");
    fs::create_dir_all(l4re.join("include/amd64")).unwrap();
    put(&l4re, "bin/amd64_gen/l4f/moe", "moe");
    put(&l4re, "bin/amd64_gen/plain/bootstrap", "b");
    put(&l4re, "bin/amd64_gen/plain/bootstrap.elf", "b");
    symlink(dir.path().join("src"), l4re.join("source")).unwrap();
    put(
        &kernel,
        "globalconfig.out",
        "CONFIG_AMD64=y\nCONFIG_MP_MAX_CPUS=64\n",
    );
    put(&kernel, "fiasco", "kernel");
    put(
        &kernel,
        "version.h",
        "#pragma once\n#define CODE_VERSION \"abc1234\"\n",
    );
    (dir, l4re, kernel)
}

fn value(name: &'static str, path: &Path) -> Option<Value> {
    Some(Value {
        path: path.to_path_buf(),
        source: Source::Env(name),
    })
}

fn open(l4re: &Path, kernel: &Path) -> Result<Trees, Error> {
    from_setting(&Setting {
        l4re_build: value(L4RE_BUILD, l4re),
        fiasco_build: value(FIASCO_BUILD, kernel),
    })
    .map(|trees| trees.expect("both are set"))
}

#[test]
fn a_complete_pair_is_found() {
    let (dir, l4re, kernel) = made_up();
    let trees = open(&l4re, &kernel).unwrap();
    assert_eq!(
        trees.l4re.source_root(),
        fs::canonicalize(dir.path().join("src")).unwrap()
    );
    assert_eq!(
        trees.l4re.include_dirs(),
        [l4re.join("include/amd64"), l4re.join("include")]
    );
    assert_eq!(
        trees.l4re.file("moe").unwrap(),
        l4re.join("bin/amd64_gen/l4f/moe")
    );
    assert_eq!(
        trees.l4re.bootstrap().unwrap().file_name().unwrap(),
        "bootstrap.elf"
    );
    let fiasco = trees.fiasco.unwrap();
    assert_eq!(fiasco.kernel(), kernel.join("fiasco"));
    assert_eq!(fiasco.max_cpus(), 64);
    assert_eq!(fiasco.revision().as_str(), "abc1234");
    // No git repository there.
    assert_eq!(trees.l4re.revision().as_str(), "unknown");
}

#[test]
fn nothing_set_is_not_an_error() {
    assert!(from_setting(&Setting::default()).unwrap().is_none());
}

#[test]
fn the_kernel_alone_is_refused() {
    let (_dir, _, kernel) = made_up();
    let error = from_setting(&Setting {
        l4re_build: None,
        fiasco_build: value(FIASCO_BUILD, &kernel),
    })
    .unwrap_err();
    assert_eq!(
        error.to_string(),
        "FIASCO_BUILD is set but L4RE_BUILD is not; set it to L4Re's build directory"
    );
}

#[test]
fn a_relative_path_is_refused() {
    let (_dir, _, kernel) = made_up();
    let text = open(Path::new("build"), &kernel).unwrap_err().to_string();
    assert!(
        text.starts_with("L4RE_BUILD = build: the path is relative; give the full path"),
        "{text}"
    );
}

#[test]
fn the_makefile_names_the_source_when_the_link_is_gone() {
    let (dir, l4re, kernel) = made_up();
    fs::remove_file(l4re.join("source")).unwrap();
    let text = open(&l4re, &kernel).unwrap_err().to_string();
    assert!(
        text.contains("'source' link and Makefile name no source tree"),
        "{text}"
    );
    put(
        &l4re,
        "Makefile",
        &format!("SRC := {}/src\n", dir.path().display()),
    );
    open(&l4re, &kernel).unwrap();
}

/// Breaks one thing and returns the message, which must name setting and path.
fn refusal(spoil: impl FnOnce(&Path, &Path), setting: &str) -> String {
    let (_dir, l4re, kernel) = made_up();
    spoil(&l4re, &kernel);
    let text = open(&l4re, &kernel).unwrap_err().to_string();
    let path = if setting == L4RE_BUILD {
        &l4re
    } else {
        &kernel
    };
    let start = format!("{setting} = {}: ", path.display());
    assert!(text.starts_with(&start), "{text}");
    text[start.len()..].to_owned()
}

#[test]
fn every_refusal_says_what_is_missing() {
    let text = refusal(|l4re, _| fs::remove_dir_all(l4re).unwrap(), L4RE_BUILD);
    assert!(
        text.starts_with("there is no such directory; give the full path"),
        "{text}"
    );
    let text = refusal(
        |l4re, _| fs::remove_file(l4re.join(".kconfig")).unwrap(),
        L4RE_BUILD,
    );
    assert!(text.starts_with("cannot read '.kconfig' in it"), "{text}");
    let text = refusal(
        |l4re, _| put(l4re, ".kconfig", "CONFIG_BUILD_ARCH=\"arm64\"\n"),
        L4RE_BUILD,
    );
    assert!(
        text.starts_with("it is configured for arm64, not amd64"),
        "{text}"
    );
    let text = refusal(
        |l4re, _| fs::remove_dir_all(l4re.join("include")).unwrap(),
        L4RE_BUILD,
    );
    assert!(
        text.starts_with("'include/l4/sys/types.h' is missing in it"),
        "{text}"
    );
    let text = refusal(
        |_, k| fs::remove_file(k.join("fiasco")).unwrap(),
        FIASCO_BUILD,
    );
    assert!(
        text.starts_with("the kernel 'fiasco' is missing in it"),
        "{text}"
    );
    let text = refusal(
        |_, k| put(k, "globalconfig.out", "CONFIG_ARM=y\n"),
        FIASCO_BUILD,
    );
    assert!(text.starts_with("CONFIG_AMD64 is not set"), "{text}");
}

#[test]
fn a_missing_program_names_the_places_searched() {
    let (_dir, l4re, kernel) = made_up();
    let trees = open(&l4re, &kernel).unwrap();
    let text = trees.l4re.file("ned").unwrap_err().to_string();
    assert!(
        text.contains("'ned' is not in bin/amd64_gen/plain, bin/amd64_gen/l4f, "),
        "{text}"
    );
}
