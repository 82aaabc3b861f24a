//! What another thread of the server may ask of this one: reading a dataspace for a copy.
//!
//! The other thread's client sent it a capability for one of our gates, which the kernel turned into a
//! label. The shells of the two threads carry the question and the answer; neither waits.

use l4_sys::Errno;

use crate::engine::kernel::Place;
use crate::engine::objects::{Found, Object};
use crate::engine::{Store, ds};
use crate::frames::Reshape;
use crate::server::core::Core;
use crate::server::world::World;

impl<'a, P: Reshape<'a>, W: World> Core<'a, P, W> {
    /// Bytes of a dataspace of ours up to the end of its last page.
    ///
    /// # Errors
    ///
    /// `BadProto` the label finds no dataspace (any more).
    pub fn size_for_peer(&self, label: u64) -> Result<u64, Errno> {
        match self.objects.find(label) {
            Some(Found {
                object: Object::Dataspace(object),
                ..
            }) => Ok(self.pool.arena().get(object).rounded_size()),
            _ => Err(Errno::BadProto),
        }
    }

    /// Copies up to `bytes` bytes at `offset` of a dataspace of ours to `to`, which is memory of the shell's,
    /// not of the pool; not beyond the page in which `offset` is. Gives how many bytes that were.
    ///
    /// # Errors
    ///
    /// `BadProto` the label finds no dataspace (any more).
    pub fn read_for_peer(
        &mut self,
        label: u64,
        offset: u64,
        to: Place,
        bytes: u32,
    ) -> Result<u32, Errno> {
        match self.objects.find(label) {
            Some(Found {
                object: Object::Dataspace(object),
                ..
            }) => Ok(ds::read(&mut self.pool, object, offset, to, bytes)),
            _ => Err(Errno::BadProto),
        }
    }
}
