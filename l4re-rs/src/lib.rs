//! Placeholder header; see DESIGN.
#![no_std]
