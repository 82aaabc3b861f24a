//! The memory engine above the frame allocators: what a memory server keeps for its clients.
//!
//! # Layers
//!
//! ```text
//!  proto    requests and answers of factories and of Meta, as messages
//!  objects  labels, the tree of factories, how objects end, faults down to the flexpage
//!  ds       dataspaces: memory objects of three kinds
//!  pool     a thread's frames: free, used, kept, waiting to be unmapped
//!  kernel   the effects: unmap, zero, copy
//!  runs     frames that clients get without a dataspace around them
//!  rm       region maps: which object is where in an address space, what a fault gets
//!  slabs    small objects in pages of one size, charged to an account
//!  quota    accounts: limits within limits, exact
//!  arena    book-keeping memory and references into it
//! ```
//!
//! Each layer is pure: it makes no system call, has no heap and no global state, and runs on the
//! host. Book-keeping memory comes page by page from a [`Store`], and every page is charged to the
//! account of the client for whose sake it was taken, so that a client that fills a server's
//! tables fills its own quota and nothing else.
//!
//! # Rules that hold in every layer
//!
//! * A call that returns an error has changed nothing.
//! * No argument makes a call panic.
//! * Costs are bounded by the depth of a balanced tree or by the length of the answer.

pub mod arena;
pub mod ds;
pub mod kernel;
pub mod objects;
pub mod pool;
pub mod proto;
pub mod quota;
mod ready;
mod recycle;
pub mod rm;
pub mod runs;
pub mod slabs;
mod waiting;

pub use arena::{Arena, PageIx, Pod, Ref, Store};
pub use kernel::Kernel;
pub use pool::{Pool, Uses};
pub use quota::{Account, Figures, Reach};
pub use slabs::NoMemory;
