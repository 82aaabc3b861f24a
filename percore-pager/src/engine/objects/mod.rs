//! Objects as clients name them: labels, who belongs to whom, and how they end (MOE-OBJ).
//!
//! A message carries the label of the gate it came through, and a capability argument that is one
//! of the server's own gates arrives as its label. Upstream's labels are object addresses that are
//! trusted (MOE-OBJ-15). Here a [`Label`] is the number of a table entry and the entry's
//! generation: a label of an object that is gone, or a number that somebody made up, finds nothing.
//!
//! Objects form a tree: what a factory made ends with it (MOE-OBJ-11). An object ends in two steps:
//! it is *condemned*, from when on its label finds nothing and its quota is back as far as it is the
//! object's own; then its memory goes in bounded [`turns`](Objects::turn).

mod api;
mod entry;
mod fault;
mod label;
mod life;
mod private;
mod quick;
mod table;

pub use entry::{Entry, Object};
pub use fault::{Aim, aim, page_fault, page_in, show};
pub use label::{Label, Rights};
pub use private::Private;
pub use quick::{
    ANSWER, DONE, QUICK_FAULT, QUICK_MAP, QUICK_SINGLE, Touch, quick, quick_fault, quick_map,
    single,
};
pub use table::{Found, Objects};
