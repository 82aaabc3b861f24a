#![cfg_attr(l4re, no_std, no_main)]
//! The root pager's program: entry point and stack. Everything else is in the library.

#[cfg(l4re)]
l4re_rs::root_task!(start, stack = 8192);

#[cfg(l4re)]
fn start(kip: u64) -> ! {
    l4re_rs::println!("sigma0-rs: hello, kip {kip:#x}");
    l4re_rs::panic::stop()
}

#[cfg(not(l4re))]
fn main() {
    eprintln!(
        "sigma0-rs runs on Fiasco.OC: build it with `cargo run -- build`, boot it with \
         `cargo run -- qemu hello`"
    );
    std::process::exit(2);
}
