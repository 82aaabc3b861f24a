//! The kernel interface of Fiasco.OC on x86-64 as a Linux program.
//!
//! Purpose: run the servers of this project, unchanged, where no kernel is: on a laptop, in CI,
//! on machines of any size that do not exist. It is for that and no second kernel: what the
//! servers do not use is answered with the kernel's error for unknown things.
//!
//! How it hangs together: programs call `l4-sys`, whose host back end comes here
//! ([`l4_sys::host::Kernel`]). The kernel itself is a state machine without blocking; an *engine*
//! decides what runs when. [`Model`] runs everything on one host thread in virtual time, with a
//! cost for each primitive: the same inputs give the same run, bit for bit. [`ThreadModel`] gives each
//! simulated CPU a host thread of its own: for races.
//!
//! Exact: results and error codes, what is mapped where, who is woken, counts of messages,
//! faults, maps, unmaps, flushes, interrupts. Not exact: sizes of kernel objects (quotas run out
//! at about the same load), access bits of pages (never reported), caches and locks (no cost).
//! Not there: vCPUs, ports, IO-MMU, alien threads, device interrupts, the page-fault trampoline (it
//! reads as off). `docs/fiasco-model.md` says more.

mod acpi;
mod boot;
mod check;
mod cost;
mod count;
mod delete;
mod dispatch;
pub mod explore;
mod fault;
mod here;
pub mod hostile;
mod invoke;
mod ipc;
pub mod kit;
mod leak;
mod machine;
mod map;
mod mapdb;
mod mem_map;
mod model;
mod obj_map;
mod object;
mod pinned;
mod ptab;
mod queue;
mod quota;
mod ram;
mod reply;
mod rng;
mod sched;
mod space;
mod state;
mod sys_factory;
mod sys_irq;
mod sys_misc;
mod sys_semaphore;
mod sys_task;
mod sys_thread;
mod thread;
mod threads;
mod tlb;
mod trace;
mod transfer;
mod turns;
pub mod user;
mod virt;
mod virt_kernel;

pub use boot::{KIP, ROOT_LABEL};
pub use cost::{CostError, Costs};
pub use count::Counters;
pub use machine::{Machine, MachineError, Node};
pub use model::{Model, Options, SetupError};
pub use object::{CpuId, ObjId};
pub use ram::Ram;
pub use rng::Rng;
pub use threads::ThreadModel;
pub use trace::{Event, Misuse, Violation, What};
pub use virt::{End, Order};
