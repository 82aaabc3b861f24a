//! What the engine wants of the world: the few effects that are not book-keeping.
//!
//! The server implements [`Kernel`] with system calls and memory accesses; tests implement it with
//! a fake that records what was mapped where, and so can tell when a frame would reach a new owner
//! while somebody still sees it.

use l4_sys::Errno;

use crate::frames::{FrameNo, PageOrder, Run};

/// Most flexpages of one unmap system call.
pub const BATCH: usize = 61;

/// An aligned run of frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// First frame, a multiple of the order's frames.
    pub start: FrameNo,
    /// Its size.
    pub order: PageOrder,
}

/// What an unmap takes away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Revoke {
    /// The mappings.
    All,
    /// The right to write.
    Write,
}

/// Some bytes of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The frame.
    pub frame: FrameNo,
    /// Byte offset in it, below 4096.
    pub offset: u32,
}

/// A dataspace of another server: a number that the server gives a meaning (a capability slot).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Foreign(pub u64);

/// See the [module](self). Ranges never leave their frames.
pub trait Kernel {
    /// Takes mappings of these blocks away from everybody but the server. At most [`BATCH`] blocks:
    /// one system call.
    fn unmap(&mut self, blocks: &[Block], what: Revoke);

    /// Fills frames with zeros.
    fn zero(&mut self, run: Run);

    /// Fills `bytes` bytes at `at` with zeros.
    fn zero_bytes(&mut self, at: Place, bytes: u32);

    /// Copies `bytes` bytes; the two may overlap.
    fn copy(&mut self, to: Place, from: Place, bytes: u32);

    /// Copies `bytes` bytes at `offset` of a foreign dataspace. Gives how many bytes there were,
    /// fewer at its end.
    ///
    /// # Errors
    ///
    /// What the other server answered.
    fn copy_foreign(
        &mut self,
        to: Place,
        from: Foreign,
        offset: u64,
        bytes: u32,
    ) -> Result<u32, Errno>;

    /// Object number `entry`, which has a gate, has ended: nobody finds it by its label any more. The
    /// gate goes, and what [`Kernel::unhold`] would give back. Nothing where there are no gates.
    fn drop_gate(&mut self, entry: u32) {
        let _ = entry;
    }

    /// Object number `entry`, which has no gate, has ended.
    fn ended(&mut self, entry: u32) {
        let _ = entry;
    }

    /// No region shows object number `entry` any more: its gate is not to be kept alive for their
    /// sake (MOE-OBJ-10). This may be what ends the object. Also called where nothing was held.
    fn unhold(&mut self, entry: u32) {
        let _ = entry;
    }
}
