//! The fixed script that runs on the kernel and on `fiasco-model`, so that their counts can be
//! compared: windows of messages, page faults, maps and unmaps, with the server on the same CPU and on
//! another one.
//!
//! Everything goes through `l4-sys` word by word, so that both run the same system calls.
#![no_std]

pub mod facts;
pub mod script;

pub use script::{ROUNDS, Stage, WINDOWS, run, serve, serve_peer};
