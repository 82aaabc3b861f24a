#![cfg_attr(l4re, no_std, no_main)]
//! Root task that asks the root pager for things, so that each kind of request can be counted.
//!
//! Runs in place of moe on any sigma0. Between two marker instructions lie [`REQUESTS`] requests of
//! one kind; the windows come in the order of the log lines `window N: ...`. Each kind comes twice:
//! with the few regions of a fresh machine, and with ten thousand: every second page of a stretch
//! of low memory belongs to somebody else then, so that a search for free memory meets all of them.

#[cfg(l4re)]
mod bench;

#[cfg(l4re)]
l4re_rs::root_task!(bench::main, stack = 16384);

#[cfg(not(l4re))]
fn main() {
    eprintln!(
        "bench-sigma0 runs on Fiasco.OC: `cargo run -- count bench-sigma0` builds, boots and \
         counts it"
    );
    std::process::exit(2);
}
