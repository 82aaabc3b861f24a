//! A root pager among clients that die, flood it or starve the kernel, and what l4re-rs gives to
//! servers, both on the real kernel.
//!
//! In place of the root task, because only there can a test use up the kernel's memory. The same
//! tests run against upstream's sigma0; `conf/differences.toml` names what that fails on purpose.
//! Every request has a time limit (see `test_sigma0::ask`), so a server that hangs fails its row
//! and the next one begins.
#![no_std]

#[cfg(not(l4re))]
extern crate std;

pub mod eat;
pub mod helper;
pub mod raw;
pub mod rows;

use test_sigma0::Context;
use test_sigma0::tap::Tap;

/// Runs all tests; the result is the exit code, 0 when all passed.
pub fn run(mut context: Context) -> i64 {
    let mut tap = Tap::new();
    rows::run(&mut tap, &mut context);
    tap.finish()
}
