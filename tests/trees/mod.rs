//! Whether the real kernel can be booted here.

/// `false`, and a line that says what is left out, without configured trees or without QEMU.
///
/// # Panics
/// When a tree is configured but not usable: that is a mistake to be told, not to be passed over.
pub fn present() -> bool {
    match l4re_tree::find() {
        Ok(Some(trees)) if trees.fiasco.is_some() && which::which("qemu-system-x86_64").is_ok() => {
            true
        }
        Ok(_) => {
            eprintln!(
                "left out: booting the real kernel (needs L4RE_BUILD, FIASCO_BUILD and QEMU)"
            );
            false
        }
        Err(error) => panic!("{error}"),
    }
}
