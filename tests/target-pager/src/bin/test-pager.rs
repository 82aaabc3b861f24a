#![cfg_attr(l4re, no_std, no_main)]
//! The test as an ordinary L4Re program. Needs a capability `factory`: the memory server's, with a
//! quota of [`test_pager::QUOTA`].

#[cfg(l4re)]
use l4re_rs::start::aux::Process;

#[cfg(l4re)]
l4re_rs::program!(start);

#[cfg(l4re)]
fn start(process: &'static Process) -> i64 {
    match test_pager::Bench::new(process) {
        Some(bench) => test_pager::run(bench),
        None => {
            l4re_rs::println!("Bail out! no capability named factory: give it one in the script");
            1
        }
    }
}

#[cfg(not(l4re))]
fn main() {
    eprintln!("test-pager runs on Fiasco.OC: boot it with `cargo run -- test --qemu`");
    std::process::exit(2);
}
