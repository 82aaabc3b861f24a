//! Requests and answers as messages in the UTCB.
//!
//! What a client sends is decoded here into a type that says what was checked; nothing here touches
//! an object. Errors are upstream's, in upstream's order.

pub mod dataspace;
pub mod factory;
pub mod memory;
pub mod meta;
pub mod rm;

pub use factory::{Contiguous, Create, NewDataspace};
pub use meta::Class;
