//! Links the target program with its own layout; host builds need nothing.

fn main() {
    println!("cargo:rerun-if-changed=image.ld");
    // Set when cfg(l4re) is, that is for the target build only.
    if std::env::var_os("CARGO_CFG_L4RE").is_some() {
        let dir = std::env::var("CARGO_MANIFEST_DIR").expect("cargo sets it");
        println!("cargo:rustc-link-arg-bins=-T{dir}/image.ld");
        println!("cargo:rustc-link-arg-bins=-Wl,--gc-sections");
    }
}
