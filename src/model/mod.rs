//! The main job: the paper's experiment on a modelled machine, and one fault followed step by step.
//!
//! [`script`] reads a boot script into a [`plan`]; [`point`] boots it on `fiasco-model` with
//! sigma0-rs as root pager, the pager server `percore-pager` ([`server`]), a root task that does what
//! moe and ned would ([`root`]) and programs ([`bench`]); [`table`] and [`report`] show what came
//! out, beside the [`paper`]'s numbers and the [`record`] of the real kernel.

pub mod args;
pub mod bench;
pub mod fault;
pub mod job;
pub mod machine;
pub mod paper;
pub mod plan;
pub mod plot;
pub mod point;
pub mod record;
pub mod report;
pub mod root;
pub mod script;
pub mod server;
pub mod table;
#[cfg(test)]
mod tests;
