#![cfg_attr(l4re, no_std, no_main)]
//! The root pager's program: entry point, stack and static memory. Everything else is in the
//! library.

#[cfg(l4re)]
l4re_rs::root_task!(start, stack = 16384);

#[cfg(l4re)]
fn start(kip: u64) -> ! {
    static mut STORAGE: sigma0_rs::Storage = sigma0_rs::Storage::new();
    // SAFETY: this function is entered once, by the first thread, so the reference is the only
    // one; the kernel started this program as root pager with the page's address.
    unsafe { sigma0_rs::run(kip, &mut *(&raw mut STORAGE)) }
}

#[cfg(not(l4re))]
fn main() {
    eprintln!(
        "sigma0-rs runs on Fiasco.OC: build it with `cargo run -- build`, boot it with \
         `cargo run -- qemu hello`"
    );
    std::process::exit(2);
}
