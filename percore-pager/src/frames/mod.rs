//! Frame allocators: which 4 KiB frames of a core are free, and who has the others.
//!
//! # Layers
//!
//! ```text
//!  Frames      owner tags, regions, double-free check, frames zeroed ahead      allocator.rs
//!    Cached    LIFO of single frames in front of any policy                     cache.rs
//!      Live    the policy in use, or two of them while one takes over           live.rs
//!        Layers   one policy for runs below 2 MiB, one for whole blocks      layers.rs
//!          Bitmap | Buddy | Avl | Slab    where the free frames are             one file each
//! ```
//!
//! Each layer from `Cached` down is a [`Policy`]: it knows free frames only. So any of them can
//! be left out: `Frames<Bitmap>` is a complete allocator too. The truth about what is *not* free
//! (which owner has it, or that there is no such frame) is in the [`ledger`] alone, so that a
//! policy can be replaced without touching it, and so that every policy detects double and
//! foreign frees in the same way.
//!
//! # Memory
//!
//! An allocator works in a [`Window`] of frame numbers. Frames come and go inside it as regions.
//! Book-keeping memory is of two kinds, see [`Memory`]: a *shared* part that is indexed by frame
//! and of which an allocator touches only the lines of frames it has (so the allocators of
//! several cores can stand on one array and hand 2 MiB blocks to each other without copying),
//! and a *private* part.
//!
//! # Bounds
//!
//! Nothing in `Bitmap`, `Buddy` and `Slab` searches in a way that depends on how many frames or
//! runs are free or taken; the depth of the 64-ary sets depends on the window's size alone.
//! `Avl` is the tree of the paper and is there for comparison.

pub mod allocator;
pub mod avl;
pub mod bitmap;
pub mod bitset;
pub mod buddy;
pub mod cache;
pub mod error;
mod free;
pub mod kind;
mod layers;
pub mod ledger;
pub mod live;
pub mod memory;
pub mod orders;
pub mod policies;
pub mod policy;
mod pyramid;
mod regions;
pub mod request;
pub mod slab;
mod tier;
pub mod units;
pub mod validate;
pub mod window;
pub mod zeroed;

pub use allocator::Frames;
pub use avl::Avl;
pub use bitmap::Bitmap;
pub use buddy::Buddy;
pub use cache::{CacheShape, Cached};
pub use error::{AllocError, FreeError, RegionError, SetupError, SwitchError};
pub use kind::{Kind, OfKind};
pub use ledger::Owner;
pub use live::{Live, Progress, Reshape};
pub use memory::{Memory, Need};
pub use policies::{Chosen, Policies};
pub use policy::{Policy, Want};
pub use request::{Grant, Request};
pub use slab::Slab;
pub use units::{FrameIx, FrameNo, OwnerTag, PageOrder, Run, Span};
pub use validate::{Fault, Truth};
pub use window::Window;
pub use zeroed::ZeroShape;
