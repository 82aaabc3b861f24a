//! The main job: the paper's experiment on a modelled machine, and one fault followed step by step.
//!
//! [`script`] reads a boot script into a [`plan`]; [`point`] boots it on `fiasco-model` with
//! sigma0-rs as root pager, a stand-in root task ([`root`]), pagers ([`pager`]) and programs
//! ([`bench`]); [`table`] and [`report`] show what came out, beside the [`paper`]'s numbers.

pub mod args;
pub mod bench;
pub mod fault;
pub mod job;
pub mod machine;
pub mod pager;
pub mod paper;
pub mod plan;
pub mod plot;
pub mod point;
pub mod report;
pub mod root;
pub mod script;
pub mod table;
#[cfg(test)]
mod tests;
