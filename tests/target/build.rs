//! Links the two target programs with their layouts; host builds need nothing.

fn main() {
    println!("cargo:rerun-if-changed=image.ld");
    // Set when cfg(l4re) is, that is for the target build only.
    if std::env::var_os("CARGO_CFG_L4RE").is_some() {
        let dir = std::env::var("CARGO_MANIFEST_DIR").expect("cargo sets it");
        // The root task stands where moe stands; an ordinary program is free to choose.
        for (bin, base) in [
            ("test-sigma0-root", "0x240000"),
            ("test-sigma0", "0x1000000"),
        ] {
            println!("cargo:rustc-link-arg-bin={bin}=-Wl,--defsym=image_base={base}");
            println!("cargo:rustc-link-arg-bin={bin}=-T{dir}/image.ld");
            println!("cargo:rustc-link-arg-bin={bin}=-Wl,--gc-sections");
        }
    }
}
