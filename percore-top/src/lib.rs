//! What `percore-top` shows: figures of the pagers of all cores as text.
//!
//! The program around it (`main.rs`) asks the pagers; this part only turns figures into lines, so it runs
//! on the host too.
#![no_std]

pub mod args;
pub mod sample;
pub mod show;
