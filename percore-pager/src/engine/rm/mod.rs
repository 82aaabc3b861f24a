//! Region maps: which object is where in an address space (MOE-RM).
//!
//! A [`Map`] holds three ordered sets of disjoint ranges: *regions* (an object each), *areas*
//! (address space that is set aside; may lie over regions) and *rescue jumps* (where a program goes
//! on when a fault at one of its instructions cannot be resolved). Each is a balanced tree of nodes in
//! the memory of the map's account, so a map is as large as its owner's quota allows.
//!
//! This module knows no objects: a region's object is a [`Backing`], a number that the object layer
//! gives a meaning, and what a call does to objects (a reference more or less, pages of a private
//! copy that are not needed any more) is part of its result. It maps nothing: a [`Hit`] says which
//! byte of which object a fault needs, in which window and with which rights.
//!
//! # Other than upstream, on purpose
//!
//! * The guard over page 0 and the ranges that the kernel keeps are *fixed* areas: a client can
//!   neither free them nor see them go (BUG-10). Areas that a client made, Reserved ones included,
//!   it can free.
//! * Cutting a region in two takes the second node first: without memory for it nothing is cut.
//! * Of several regions in a range, the lowest is found first.
//! * The page that is sent for a fault may be as large as the object, the region and the placement
//!   allow whatever the low bits of the fault address are.

mod areas;
mod attach;
mod detach;
mod fault;
mod gaps;
mod jumps;
mod list;
mod map;
mod place;
mod range;
mod region;
mod tree;

pub use areas::reserve_area;
pub use attach::{AttachFlags, Place, attach, free_area};
pub use detach::{Detached, Freed, How, detach};
pub(super) use fault::plain;
pub use fault::{Fault, Hit, fault, page_in};
pub use jumps::{add_jump, jump_for, remove_jump};
pub use list::{Entry, areas, info, regions};
pub use map::{Map, Truth, clear_some, create, free_map, validate};
pub use range::Range;
pub use region::{Backing, Contents, NAME_BYTES, Name, flag};
