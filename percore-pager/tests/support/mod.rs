//! What the tests of the frame allocators share: the operations of a trace, a plain model, and
//! the rig that runs a trace on both and compares after every step.

pub mod model;
pub mod ops;
pub mod rig;
