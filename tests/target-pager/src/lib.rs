//! Checks what a client can observe of a memory server: factory, quotas, dataspaces, region maps,
//! the life of objects; row by row of FEATURES.md Part II.
//!
//! The same program runs with a factory of upstream's root task and with one of percore-pager. Each
//! test's name begins with its row. Where the two differ on purpose the test expects ours;
//! `conf/differences.toml` names those. What a client does with memory that it was sent is done by a
//! thread in a task of its own ([`child`]), so that every access either succeeds, faults to a region
//! map under test, or faults to us.
//!
//! Not observable by a client, and so not here: receive buffers (MOE-OBJ-01, -12), where objects lie
//! (MOE-OBJ-13, -14), the cache mode of a mapping (MOE-DS-10, -32, MOE-RM-39), text on the log.
#![no_std]

#[cfg(not(l4re))]
extern crate std;

pub mod ask;
pub mod bench;
pub mod child;
pub mod elsewhere;
pub mod ops;
pub mod random;
pub mod rows;

pub use bench::Bench;

/// Bytes of the factory that the boot script gives the test.
pub const QUOTA: u64 = 64 << 20;

/// Runs all tests; the result is the exit code, 0 when all passed.
pub fn run(mut bench: Bench) -> i64 {
    let mut tap = test_sigma0::tap::Tap::new();
    rows::run(&mut tap, &mut bench);
    tap.finish()
}
