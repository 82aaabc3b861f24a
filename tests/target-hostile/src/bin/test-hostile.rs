#![cfg_attr(l4re, no_std, no_main)]
//! The test in place of the root task: all RAM and the kernel's root factory are its own.

#[cfg(l4re)]
l4re_rs::root_task!(start, stack = 65536);

#[cfg(l4re)]
fn start(_kip: u64) -> ! {
    test_hostile::run(test_sigma0::Context::for_root_task());
    l4re_rs::panic::stop()
}

#[cfg(not(l4re))]
fn main() {
    eprintln!("test-hostile runs on Fiasco.OC: boot it with `cargo run -- test --qemu`");
    std::process::exit(2);
}
