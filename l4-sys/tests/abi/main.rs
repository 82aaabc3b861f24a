//! Proves that this crate's ABI is that of the configured L4Re tree.
//!
//! - [`table`] pairs every constant, enum value, size and offset of the crate with an expression of
//!   the tree's headers; [`compare`] evaluates all pairs and fails with the list of those that
//!   differ, by name.
//! - [`coverage`] reads the crate's sources and fails when a public number is neither in the table
//!   nor in its short list of exceptions, so a new constant cannot stay unproved. Needs no tree.
//! - [`functions`] compares functions over many inputs.
//!
//! `build.rs` prepares the tree's side. Without a tree one line says that the proof was left out.

mod coverage;
mod table;

#[cfg(abi_proof)]
mod compare;
#[cfg(abi_proof)]
mod functions;
#[cfg(abi_proof)]
mod tree;

/// Prints a line although the test passes: the test harness keeps `println!` of passing tests.
fn say(line: &str) {
    use std::io::Write;
    writeln!(std::io::stderr(), "{line}").expect("standard error is writable");
}

#[cfg(not(abi_proof))]
#[test]
fn proof_is_left_out() {
    say(&format!(
        "l4-sys: ABI proof left out: {}",
        env!("L4_SYS_ABI_PROOF")
    ));
}
