#![cfg_attr(l4re, no_std, no_main)]
//! The test as an ordinary L4Re program. Needs a capability `sigma0`, a client of its own.

#[cfg(l4re)]
use l4re_rs::start::aux::Process;

#[cfg(l4re)]
l4re_rs::program!(start);

#[cfg(l4re)]
fn start(process: &'static Process) -> i64 {
    match test_sigma0::Context::for_program(process.env) {
        Some(context) => test_sigma0::run(context),
        None => {
            l4re_rs::println!("Bail out! no capability named sigma0: give it one in the script");
            1
        }
    }
}

#[cfg(not(l4re))]
fn main() {
    eprintln!("test-sigma0 runs on Fiasco.OC: boot it with `cargo run -- test --qemu`");
    std::process::exit(2);
}
