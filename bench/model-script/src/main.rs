#![cfg_attr(l4re, no_std, no_main)]
//! Root task that runs the script between the counting plugin's markers.

#[cfg(l4re)]
mod kernel;

#[cfg(l4re)]
l4re_rs::root_task!(kernel::main, stack = 16384);

#[cfg(not(l4re))]
fn main() {
    eprintln!(
        "bench-model runs on Fiasco.OC: `cargo run -- count bench-model --cpus 2` builds, boots and \
         counts it"
    );
    std::process::exit(2);
}
