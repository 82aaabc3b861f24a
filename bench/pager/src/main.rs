#![cfg_attr(l4re, no_std, no_main)]
//! What memory costs a client: one such program a core, all at once, on any memory server.
//!
//! `bench-pager INDEX COUNT [WINDOWS]`, with a shared dataspace `board`. WINDOWS is `api` (what needs the
//! pager API, and the kernel's memory), `stalls` (long requests), `fault` (a client that faults beside
//! those), `scaling` (a part of the windows), `churn` and `quota` (no windows), or anything else. Each piece of work is a
//! window between two marker instructions, which program 0 sets while all others wait at a barrier
//! (`barrier_wait`, which `percore count` reports apart). Program 0 says which window is what:
//!
//! ```text
//! count-window NUMBER OPERATIONS UNIT NAME
//! ```
//!
//! OPERATIONS are those of one program. Memory comes from the program's own `mem` and region map, as
//! a boot script gave them. Which server that is matters only where the pager API is used: what needs
//! it is left out elsewhere.

#[cfg(l4re)]
mod api;
#[cfg(l4re)]
mod bare;
#[cfg(l4re)]
mod bench;
#[cfg(l4re)]
mod board;
#[cfg(l4re)]
mod churn;
#[cfg(l4re)]
mod heap;
#[cfg(l4re)]
mod memory;
#[cfg(l4re)]
mod server;
#[cfg(l4re)]
mod stalls;

#[cfg(l4re)]
l4re_rs::program!(bench::main);

#[cfg(not(l4re))]
fn main() {
    eprintln!(
        "bench-pager runs on Fiasco.OC: `cargo run -- count bench-pager` builds, boots and counts it"
    );
    std::process::exit(2);
}
