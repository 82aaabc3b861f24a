//! Counts what a guest of QEMU does between two marker instructions.
//!
//! The crate is two things. As a `cdylib` it is a TCG plugin for QEMU 7.2 (`-plugin
//! libqemu_count.so,out=FILE,...`): per virtual CPU, program and half of the address space it counts
//! instructions and the events that memory services are judged by. As an `rlib` it gives the tools
//! the same argument type ([`args::Config`]) and a reader of the output ([`report`]).
//!
//! How each figure comes about, and its limits, is in `docs/counting.md`. In short:
//!
//! - A window opens at `xchg %rbx,%rbx` and closes at `xchg %rcx,%rcx`, run by any CPU. Windows are
//!   global: while one is open every CPU counts, so a server on another core is seen. Starts nest.
//! - Every instruction adds one to a single cell that the translated code increments itself. At
//!   the next block the plugin gives the difference to the CPU and code that ran. So a block that a
//!   fault cuts short counts only what ran. This needs `-accel tcg,thread=single`.
//! - Programs are told apart by their code bytes, so equal link addresses do not matter.
//!
//! Layers, one direction: [`decode`], [`image`], [`counters`], [`stall`], [`tick`], [`window`], [`args`] and
//! [`report`] are plain Rust without QEMU; `state` joins them; `abi` and `plugin` are the unsafe rind.

mod abi;
pub mod args;
pub mod counters;
pub mod decode;
pub mod image;
pub mod names;
mod plugin;
pub mod report;
pub mod stall;
mod state;
pub mod tick;
pub mod window;
