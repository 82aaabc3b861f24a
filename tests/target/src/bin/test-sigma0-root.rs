#![cfg_attr(l4re, no_std, no_main)]
//! The test in place of the root task: its pager is sigma0, and all RAM is free for it.

#[cfg(l4re)]
l4re_rs::root_task!(start, stack = 65536);

#[cfg(l4re)]
fn start(_kip: u64) -> ! {
    test_sigma0::run(test_sigma0::Context::for_root_task());
    l4re_rs::panic::stop()
}

#[cfg(not(l4re))]
fn main() {
    eprintln!("test-sigma0-root runs on Fiasco.OC: boot it with `cargo run -- test --qemu`");
    std::process::exit(2);
}
