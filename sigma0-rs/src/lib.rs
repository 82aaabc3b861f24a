//! sigma0-rs: the root pager of a Fiasco.OC machine.
//!
//! Owns all RAM, I/O memory and I/O ports that the kernel left, and serves them by the sigma0
//! protocol: to the root task, and to every client that holds a gate made by the factory request.
//! Answers are upstream's (`shared/FEATURES.md`, rows S0); what goes beyond is in `docs/sigma0-protocol.md`.
//!
//! A pure core (the maps, decoding, topology) under a thin shell (`server`, `run`). No heap; the
//! static memory is [`Storage`], and the maps take single pages of their own RAM when they need
//! more. Client input can neither panic nor change anything without an answer that says so.
#![no_std]

#[cfg(test)]
extern crate std;

pub mod boot;
pub mod clients;
pub mod cmdline;
pub mod dump;
pub mod ext;
pub mod map;
pub mod meta;
pub mod phys;
pub mod ports;
pub mod request;
pub mod reserve;
mod run;
pub mod scrub;
pub mod server;
pub mod topology;

pub use run::{STATIC_NODES, Storage, run};
