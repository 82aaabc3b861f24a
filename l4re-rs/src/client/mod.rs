//! Clients: one file for each kind of object that a program calls.
//!
//! All of them block until the callee has answered.

pub mod dataspace;
pub mod debugger;
pub mod factory;
pub mod ipc;
pub mod irq;
pub mod meta;
pub mod namespace;
pub mod rm;
pub mod scheduler;
pub mod sigma0;
pub mod sigma0_ext;
pub mod task;
pub mod thread;
