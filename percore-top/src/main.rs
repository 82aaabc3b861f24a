#![cfg_attr(l4re, no_std, no_main)]
//! Shows, for each core, its pager's policy, memory, faults, runs, flushes, and what it borrowed and lent.
//!
//! `percore-top [--once | --used | --policy=NAME | --seal] [--interval=SECONDS] [--count=PICTURES]`, with the pager service as capability
//! `pager` (S is needed); without one, the pager of the program's own core is shown. `--once` is for logs:
//! counters since the pagers' start, and no control characters. Otherwise the picture is painted
//! again every few seconds, with what was done since the one before. `--used` shows nothing and ends with the
//! number of frames that are not free as exit code: a script can compare two moments. `--policy` changes the
//! policy of the core that the capability belongs to, and `--seal` takes the right to do so from a factory: for
//! boot scripts, which cannot send such messages themselves. The exit code is 0, and -1 when something is wrong.

#[cfg(l4re)]
mod top;

#[cfg(l4re)]
l4re_rs::program!(top::main);

#[cfg(not(l4re))]
fn main() {
    eprintln!("percore-top runs on Fiasco.OC: `cargo run -- qemu percore-top` boots it");
    std::process::exit(2);
}
