//! The memory engine of the per-core services.
//!
//! This crate is an index of modules and holds no logic of its own. It is `no_std` and has no
//! heap: whoever makes an object says where its book-keeping lies, and the object says how much
//! of it it needs.
#![no_std]

pub mod api;
pub mod client;
pub mod engine;
pub mod frames;
pub mod server;
