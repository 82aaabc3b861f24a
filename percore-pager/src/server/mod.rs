//! The pager server: one thread's part of it.
//!
//! A thread owns a [`Core`], which is pure: messages in, answers out, effects through [`World`]. The
//! shell around it, which receives, replies and starts threads, is in `shell/`.
//!
//! ```text
//!  core      the thread's state; the two hot paths; turns
//!  dispatch  everything else that a message can ask, by kind of object
//!  api       the pager API
//!  parked    calls that take several turns, waiting for their answer
//!  sweep     objects whose gate has gone
//!  world     gates, foreign dataspaces, text: what the core wants done
//! ```

pub mod api;
pub mod core;
pub mod counters;
mod dispatch;
pub mod parked;
pub mod shell;
mod sweep;
pub mod world;

pub use self::api::{CoreAt, Where};
pub use self::core::{Core, Setting, Ticket, Turn, Verdict};
pub use counters::Counters;
pub use parked::Parked;
pub use world::{Client, World};
