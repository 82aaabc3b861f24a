//! Checks what a client can observe of a root pager, row by row of FEATURES.md Part I.
//!
//! The same tests run against upstream's sigma0 and against ours, as an ordinary program (the root
//! task then has all RAM, so this is the view of a late client) and in place of the root task (all
//! RAM is free, and sigma0 is the pager). Each test's name begins with its row. Where the two
//! servers differ on purpose the test expects ours; `conf/differences.toml` names those.
//!
//! Not observable by a client, and so not here: start-up text (S0-BOOT-01 to -11), the cache mode
//! of a mapping, slot numbers and labels of gates (S0-FAC-02; the owner request of sigma0-rs shows
//! them), a kernel without memory (S0-FAC-03).
#![no_std]

#[cfg(not(l4re))]
extern crate std;

pub mod ask;
pub mod context;
pub mod places;
pub mod probe;
pub mod rows;
pub mod tap;

pub use context::Context;

/// Runs all tests; the result is the exit code, 0 when all passed.
pub fn run(mut context: Context) -> i64 {
    let mut tap = tap::Tap::new();
    rows::run(&mut tap, &mut context);
    tap.finish()
}
