//! What tests of the real kernel need: the trees of the setting, QEMU, and the target programs.

use std::io::Write;
use std::process::Command;
use std::sync::OnceLock;

/// Whether the kernel can be booted here; else one line says what is left out. Builds the target
/// programs the first time.
///
/// # Panics
/// When a tree is configured but not usable: that is a mistake to be told, not to be passed over;
/// and when the target programs do not build.
pub fn can_boot() -> bool {
    static READY: OnceLock<bool> = OnceLock::new();
    *READY.get_or_init(|| {
        let trees = l4re_tree::find().unwrap_or_else(|error| panic!("{error}"));
        let has_kernel = trees.is_some_and(|trees| trees.fiasco.is_some());
        if !has_kernel || which::which("qemu-system-x86_64").is_err() {
            let text =
                "left out: booting the real kernel (needs L4RE_BUILD, FIASCO_BUILD and QEMU)\n";
            // Not by eprintln!, which the test harness hides when a test passes.
            std::io::stderr()
                .write_all(text.as_bytes())
                .expect("a standard error");
            return false;
        }
        let built = Command::new(env!("CARGO_BIN_EXE_percore"))
            .arg("build")
            // conf/l4re.toml names the directory; a variable of the caller would win over it.
            .env_remove("CARGO_TARGET_DIR")
            .output()
            .expect("percore runs");
        let text = String::from_utf8_lossy(&built.stderr);
        assert!(built.status.success(), "percore build: {text}");
        true
    })
}

/// The same, and the tree has the files that these packages of `pkg/` install; else one line says which is missing.
///
/// # Panics
/// As [`can_boot`]; and with `CI=true` when a file is missing from a tree that is configured.
#[allow(dead_code, reason = "not every test program boots packages")]
pub fn can_boot_with(files: &[&str]) -> bool {
    if !can_boot() {
        return false;
    }
    let trees = l4re_tree::find().ok().flatten().expect("can_boot looked");
    let missing = files.iter().find(|name| trees.l4re.file(name).is_err());
    let Some(name) = missing else { return true };
    let ci = std::env::var("CI").is_ok_and(|value| value == "true");
    assert!(
        !ci,
        "an L4Re tree is configured but has no '{name}' (docs/l4re-user.md), and CI=true"
    );
    let text =
        format!("left out: booting '{name}', which the L4Re tree has not (docs/l4re-user.md)\n");
    std::io::stderr()
        .write_all(text.as_bytes())
        .expect("a standard error");
    false
}
