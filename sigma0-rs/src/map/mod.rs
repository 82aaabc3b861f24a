//! The region map: who may have which address.
//!
//! Purpose: RAM, I/O memory and I/O ports are each a partition of the addresses 0 ..= 2^64 - 1 into
//! runs of one [`State`]: absent, free or owned, with page rights. [`Regions`] holds the three maps
//! and the pool of nodes they are made of. No heap, no panics on any input, no partial effects.
//!
//! How: an augmented B+-tree per map. A leaf entry is (first address, state); inner entries repeat the
//! first address below them and carry the order of the largest aligned free block below, so "lowest
//! free block of 2^k" is one walk down. Nodes have 36 entries in 512 bytes (`node`), searches in them
//! take a fixed number of steps.
//!
//! Why this way:
//! - Cost must not grow with fragmentation. Trees have at least three levels, whatever they hold,
//!   so ten runs cost what ten thousand cost: a little more than a flat list would with ten, and the
//!   same for ever. Three levels hold 36 * 18 * 18 = 11 664 runs when nodes have only been split, at
//!   the very worst 7 056 after adverse merges, about 19 000 in random use; then a fourth
//!   level adds about 30 instructions.
//! - A partition with absent runs instead of a set of regions: every look-up has an answer, merging is
//!   one rule (equal neighbours join), and the end of a run needs no storage.
//! - Changes never fail half-way: nodes are made sure of before anything is written (`regions`).
//! - Sums are not kept up to date; they are recomputed when somebody asks.
//!
//! Cost, counted on the host without vector instructions by `examples/map_cost.rs` (means, the call
//! included; with 10, 10 000 and 50 000 runs in the map): look-up 162, 162, 191 instructions; page fault
//! on a page one has 203, 204, 233, on a random free page 501, 531, 560; 64 KiB at a place 461, 495, 525;
//! 64 KiB anywhere 307, 334, 368 for one client again and again, 557, 584, 679 when only the very last
//! of all runs is large enough.
//!
//! Rejected: a bitmap or a word per frame (I/O memory has 2^52 of them, and "one run" is what clients
//! are judged by); a balanced binary tree as upstream's (a cache line and a branch per level, a walk
//! over all runs to find free memory).
//!
//! Files: `types` the words, `arena` node memory, `node`, `shift`, `orders` one node, `path` ways
//! through a tree, `tree` its shape, `edit` changing one run, `regions` changing a range and growth,
//! `ops` for clients, `boot` for start-up, `view` for reading.

mod arena;
mod boot;
mod edit;
mod node;
mod ops;
mod orders;
mod path;
mod regions;
mod shift;
mod tree;
mod types;
mod view;

pub use arena::{NODE_BYTES, NodeSlot, PAGE_BYTES};
pub use regions::{MIN_SLOTS, MapId, PageWindow, Regions};
pub use types::{MapError, OwnerId, Range, Rights, Run, State};
pub use view::{Broken, PoolFigures, Runs, Totals};
