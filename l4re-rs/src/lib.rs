//! What an L4Re program needs between its own logic and the kernel ABI.
//!
//! - [`cap`]: typed capabilities, and slots to receive them in;
//! - [`msg`]: messages packed and unpacked as upstream's RPC does, on both sides;
//! - [`varg`]: the argument lists of factory requests;
//! - [`client`]: kernel objects and servers that a program calls;
//! - [`server`]: the loop of a server; [`reply`]: answers that are sent later;
//! - [`start`]: entry code for root tasks and for ordinary programs, and the L4Re environment;
//! - [`log`], [`mod@panic`]: text on the log.
//!
//! Which operations are `unsafe` is decided once, in `docs/unsafe-kernel-operations.md`: those that
//! can change or take away memory that Rust may still refer to, or make a thread run somewhere.
//! Everything that only names objects is safe: a wrong capability gives an error, not undefined
//! behaviour.
#![no_std]

pub mod cap;
pub mod client;
pub mod error;
pub mod fault;
pub mod log;
pub mod msg;
pub mod panic;
pub mod reply;
#[cfg(l4re)]
mod rt;
pub mod server;
pub mod start;
pub mod varg;

pub use cap::Cap;
pub use error::{Error, Result};
/// The types of the ABI that appear in this crate's own signatures.
pub use l4_sys::{
    CapIdx, CapRights, Errno, Fpage, IpcError, MemRights, MsgTag, PAGE_SHIFT, PAGE_SIZE, Timeout,
    Timeouts, UtcbRef,
};

pub use l4_sys;
