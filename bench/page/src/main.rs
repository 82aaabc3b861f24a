#![cfg_attr(l4re, no_std, no_main)]
//! `page-bench PAGES`: stores to each page of a dataspace, then clears them one by one, and checks what it sees.
//!
//! Twice where the memory comes from percore-pager: with single pages (REACH 0 0 0), which is the paper's
//! experiment, and with the pager's defaults. The kernel model has a program of this name for the same boot
//! scripts (`ned-scripts/paper-*.cfg`), which measures; this one shows that the scripts and the servers
//! do the same on the kernel. Counts are `bench-pager`'s.

#[cfg(l4re)]
mod bench;

#[cfg(l4re)]
l4re_rs::program!(bench::main);

#[cfg(not(l4re))]
fn main() {
    eprintln!("page-bench runs on Fiasco.OC: `cargo run -- qemu paper-core` boots it");
    std::process::exit(2);
}
