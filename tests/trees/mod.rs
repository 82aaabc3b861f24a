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
