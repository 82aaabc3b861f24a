//! The shell around the pager threads: start-up, threads, loops, system calls.
//!
//! ```text
//!  args     the command line
//!  cpus     which CPUs there are, their nodes, which thread serves which
//!  space    what region maps manage
//!  place    the map of the address space and of the slots
//!  touch    the program's own pages
//!  supply   where memory comes from
//!  carve    a thread's tables in its own memory
//!  family   a pager thread and its helpers
//!  spawn    making and starting threads
//!  tables   what a pager thread is made of
//!  pager    a pager thread: its loop
//!  effects  what the core wants of the kernel
//!  fetch    reading from other servers without waiting for them; fetcher is the thread that waits
//!  windows  where memory of other servers appears that clients are shown
//!  mailbox  messages between the front thread and a pager thread
//!  front    the service capability
//! ```
//!
//! # Start
//!
//! The program's first thread learns the CPUs and their nodes, takes the memory for all pager threads,
//! makes each one with its helpers, waits until all serve, and then serves the service capability
//! itself. Everything that a pager thread touches later is mapped by then: memory from sigma0 comes
//! mapped, the program's own pages are touched here.
//!
//! [`run`] is the same on the kernel and under a kernel model: what differs is in [`Start`], in
//! `l4_sys`, and in two small pieces of `spawn` and `fetch`.

pub mod args;
pub mod carve;
pub mod cpus;
pub mod effects;
mod family;
pub mod fetch;
pub mod fetcher;
pub mod front;
pub mod mailbox;
pub mod pager;
pub mod place;
pub mod space;
pub mod spawn;
mod start;
pub mod supply;
pub mod tables;
#[cfg(l4re)]
mod touch;
pub mod windows;

pub use start::{Start, run};
#[cfg(l4re)]
pub use touch::touch_program;
