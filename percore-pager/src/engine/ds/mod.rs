//! Dataspaces: memory objects (MOE-DS).
//!
//! # Kinds
//!
//! * *On demand*: memory comes at first touch, in aligned runs where that pays; pages can be shared
//!   with other dataspaces until one of them is written.
//! * *Contiguous*: one run of frames, taken at creation and zeroed before it is handed out;
//!   superpages are an alignment of it.
//! * *Static*: memory that is not the engine's (boot files), never freed.
//!
//! # Tables of on-demand dataspaces
//!
//! The unit is the *group* of 16 pages (64 KiB), one word of 8 bytes: a run with two
//! masks, or a table of single pages. A dataspace of one group has its word in itself; larger ones
//! have a radix tree of nodes of up to 512 bytes. Nodes are made at first touch, so an object may
//! be far larger than memory.
//!
//! # Runs
//!
//! How much a fault brings follows what the client does: see `populate.rs`. A run is kept as a
//! whole although only a part of it is used (zeroed, charged and mapped), so that the next fault
//! finds its neighbours; what is kept and not used is bounded and given back when memory is short.
//!
//! # Bounded turns
//!
//! Nothing here zeroes more than 64 KiB or handles more than 64 pieces in a call. Longer work is a
//! value ([`Work`], [`Death`], or the dataspace itself while it is being zeroed) that the caller keeps
//! and calls again, serving others in between.

mod copying;
mod create;
mod death;
mod holder;
mod map;
mod object;
mod page;
mod pieces;
mod populate;
mod pressure;
mod quick;
mod read;
mod share;
mod single;
mod table;
mod truth;
mod word;
mod work;

pub use create::{
    ContiguousAlign, create_contiguous, create_contiguous_but, create_on_demand, create_static,
    zero_some,
};
pub use death::Death;
pub use holder::{Holds, holds};
pub use map::{Ask, Mapped, map, prefault};
pub use object::{Ds, Info, Kind, flag};
pub(super) use pressure::give_back_kept;
pub(super) use quick::quick;
pub use read::read;
pub(super) use single::{clear, is_allocated};
pub use truth::{Census, census};
pub use work::{Progress, Source, Work};
