//! Placeholder header; see DESIGN.
#![no_std]

pub mod map;
