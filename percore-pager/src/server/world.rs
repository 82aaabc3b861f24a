//! What a pager thread wants of the world beside memory: gates, foreign capabilities, a log.
//!
//! The server implements [`World`] with system calls; tests implement it with tables and can make
//! any call fail.

use l4_sys::Errno;
use l4_sys::item::SendItem;

use crate::engine::Kernel;
use crate::engine::kernel::Foreign;
use crate::engine::objects::Label;
use crate::frames::FrameNo;

/// Whose request something is: what is shared out among clients is counted by it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Client(pub u64);

impl Client {
    /// The server's own, or that of an object which is gone.
    pub const NOBODY: Client = Client(0);
    /// Of an object that is nested too deep to look.
    pub const DEEP: Client = Client(1);

    /// Of an object of the tree with this factory on top, which one request to the service made.
    pub fn tree(top: Label) -> Self {
        Client(top.word())
    }
}

/// See the [module](self). `entry` is an object's number in the thread's table, and so the number of
/// its gate's slot.
///
/// [`Kernel::drop_gate`] deletes the gate of an object that has ended, if it is still there, and ends
/// [`World::hold`]; [`Kernel::unhold`] ends only the latter, which may be what ends the object: a deletion
/// notice comes then.
///
/// # No waiting for others
///
/// A foreign dataspace may be a client's own gate that never answers, or belong to a thread that
/// waits for this one. So [`World::foreign_size`] and [`Kernel::copy_foreign`] may answer `Again`: the
/// question is under way, the caller is parked, and the same question comes again after
/// [`Core::foreign_answered`](super::core::Core::foreign_answered). Whoever works on it in the meantime
/// writes to memory of its own, never to frames of the pool: those can have a new owner by then.
/// A world that asks with a short timeout instead never says `Again`.
pub trait World: Kernel {
    /// Makes the gate of an entry, bound to this thread with this label.
    ///
    /// # Errors
    ///
    /// The kernel's, `NoMem` in particular: then there is no gate (BUG-18).
    fn make_gate(&mut self, entry: u32, label: Label) -> Result<(), Errno>;

    /// The item that hands the gate to a client: counted, all rights but the server's (MOE-OBJ-05).
    fn gate_item(&self, entry: u32) -> SendItem;

    /// From now on the gate lives as long as clients, or [`World::hold`], have capabilities for it.
    /// Called before the answer that hands it out is written, so it may use the UTCB.
    fn count_clients(&mut self, entry: u32);

    /// Whether the gate is still there.
    fn has_gate(&mut self, entry: u32) -> bool;

    /// Keeps the gate alive although no client has it: a region shows the object (MOE-OBJ-10).
    ///
    /// # Errors
    ///
    /// The kernel's; then nothing is held.
    fn hold(&mut self, entry: u32) -> Result<(), Errno>;

    /// Takes the capability that came as item `index` of the present message, a request of `client`'s, out of
    /// the receive buffers, to be used until [`World::drop_foreign`].
    ///
    /// # Errors
    ///
    /// `NoMem` when there is no slot for it; it is dropped then.
    fn take_received(&mut self, index: usize, client: Client) -> Result<Foreign, Errno>;

    /// Gives a foreign capability back.
    fn drop_foreign(&mut self, foreign: Foreign);

    /// Bytes of a foreign dataspace, asked of its server.
    ///
    /// # Errors
    ///
    /// What that server answered; `BadProto` when it is none. `Again`: it was asked and has not answered
    /// yet, see below.
    fn foreign_size(&mut self, foreign: Foreign) -> Result<u64, Errno>;

    /// Makes `size` bytes at `offset`, both multiples of a page, of a foreign dataspace appear in this
    /// task, to be read and, with `execute`, fetched: from which frame on. Asked again it answers the same.
    /// They stay until [`World::drop_foreign`], or what [`World::shown`] says.
    ///
    /// # Errors
    ///
    /// `Again` as for the others; `NoMem` there is no room, or no more for this client; `NoEnt` the other
    /// server refused.
    fn show_foreign(
        &mut self,
        foreign: Foreign,
        (offset, size): (u64, u64),
        execute: bool,
    ) -> Result<FrameNo, Errno> {
        let _ = (foreign, offset, size, execute);
        Err(Errno::NoEnt)
    }

    /// Object number `entry` is about to be what [`World::show_foreign`] shows of a foreign dataspace: until
    /// [`Kernel::ended`] is called for it the dataspace is kept alive; [`Kernel::unhold`] takes this back before
    /// [`World::shown`].
    ///
    /// # Errors
    ///
    /// The kernel's; then nothing is kept.
    fn keep_shown(&mut self, foreign: Foreign, entry: u32) -> Result<(), Errno> {
        let _ = (foreign, entry);
        Err(Errno::NoMem)
    }

    /// It is now: what is shown stays until [`Kernel::ended`]. This takes the foreign capability over.
    fn shown(&mut self, foreign: Foreign, entry: u32) {
        let _ = entry;
        self.drop_foreign(foreign);
    }

    /// The dataspace of another thread of this server that a received label means: no capability
    /// came with it. `None` when it is no such label. It is given back with [`World::drop_foreign`].
    fn peer(&mut self, label: u64, client: Client) -> Option<Foreign>;

    /// Text for people: warnings, debug output.
    fn print(&mut self, text: core::fmt::Arguments<'_>);
}
