//! The kernel ABI of Fiasco.OC on x86-64: layouts, numbers and the one system call.
//!
//! Purpose: everything that a program needs to build a message and hand it to the kernel, and
//! nothing that decides anything. Names follow the kernel interface so that its manual applies.
//!
//! Layers: servers and programs use `l4re-rs`, which wraps this crate in typed capabilities and
//! results. Only code that builds messages word by word (marshalling, the kernel model, tests of
//! the ABI) names this crate.
//!
//! Two back ends behind the same functions, chosen by `cfg(l4re)`:
//! - with it, [`syscall::invoke`] is the `syscall` instruction and addresses are addresses;
//! - without it the crate runs under Linux, and a kernel model that was installed for the calling
//!   thread through [`host::enter`] answers. Servers are linked unchanged in both.
//!
//! What the numbers are checked against: `static` assertions in each file pin sizes and offsets;
//! when an L4Re build tree is configured, `tests/abi` proves every constant, size and offset
//! equal to the tree's own headers.
#![no_std]

#[cfg(not(l4re))]
extern crate std;

pub mod cap;
pub mod cpu;
pub mod error;
pub mod exc;
pub mod fpage;
#[cfg(not(l4re))]
pub mod host;
pub mod item;
pub mod kip;
pub mod mem;
pub mod memdesc;
pub mod ops;
pub mod proto;
pub mod syscall;
pub mod tag;
pub mod timeout;
pub mod utcb;

pub use cap::CapIdx;
pub use error::{Errno, IpcError};
pub use fpage::{CapRights, Fpage, FpageType, MemRights};
pub use tag::{MsgTag, TagFlags};
pub use timeout::{Timeout, Timeouts};
pub use utcb::{Utcb, UtcbRef};

/// log2 of the page size: the unit of every alignment rule of the memory protocols.
pub const PAGE_SHIFT: u32 = 12;
/// Page size in bytes.
pub const PAGE_SIZE: u64 = 1 << PAGE_SHIFT;
/// log2 of the superpage size.
pub const SUPERPAGE_SHIFT: u32 = 21;
/// log2 of the gigabyte page size; the largest block that one mapping can carry.
pub const GIGAPAGE_SHIFT: u32 = 30;
