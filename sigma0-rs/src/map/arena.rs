//! Memory for tree nodes: a free list over static slots and over pages given at run time.
//!
//! A node is named by its distance from the first static slot in units of one node, so that a child
//! reference is 4 bytes and a look-up is one shift and one add. The distance may be negative; it
//! reaches 1 TiB both ways, which [`Arena::add_page`] checks.
//!
//! Invariants: every [`NodeId`] that leaves `alloc` names a live node until `free` takes it back;
//! ids are never made up elsewhere; all references are derived through `&self`/`&mut self`, so
//! the borrow checker sees the arena as one object.

use super::node::Node;
use core::ptr::NonNull;

/// Bytes per node.
pub const NODE_BYTES: usize = 512;
/// Bytes of one page given at run time.
pub const PAGE_BYTES: usize = 4096;
/// Nodes in a page.
const PER_PAGE: i32 = (PAGE_BYTES / NODE_BYTES) as i32;

/// Room for one node in static memory, aligned so that pages lie at whole distances from it.
#[repr(C, align(512))]
pub struct NodeSlot(pub(super) Node);

impl NodeSlot {
    /// An unused slot: all bytes zero, so that an array of them lies in bss.
    pub const EMPTY: NodeSlot = NodeSlot(Node::EMPTY);
}

/// Name of a node: signed distance from the arena's base in nodes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(transparent)]
pub(super) struct NodeId(u32);

impl NodeId {
    /// The first static slot.
    pub(super) const FIRST: NodeId = NodeId(0);
    /// Ends the free list. No slot has this distance: it would lie 1 TiB below the base.
    pub(super) const NONE: NodeId = NodeId(0x8000_0000);

    /// As stored in an inner node.
    pub(super) fn to_val(self) -> u32 {
        self.0
    }

    /// Back from an inner node. Only values that `to_val` gave may come in.
    pub(super) fn from_val(v: u32) -> NodeId {
        NodeId(v)
    }
}

/// The node pool.
pub(super) struct Arena {
    base: usize,
    head: NodeId,
    free: u32,
    total: u32,
    pages: u32,
}

impl Arena {
    /// A pool over `slots`, all free.
    pub(super) fn new(slots: &'static mut [NodeSlot]) -> Arena {
        let n = slots.len();
        let first = slots.as_mut_ptr();
        let mut a = Arena {
            base: first.expose_provenance(),
            head: NodeId::NONE,
            free: 0,
            total: 0,
            pages: 0,
        };
        // Backwards, so that the first slot is handed out first.
        for i in (0..n).rev() {
            a.push(NodeId(i as u32));
        }
        a.total = n as u32;
        a
    }

    /// Free nodes.
    pub(super) fn free_nodes(&self) -> u32 {
        self.free
    }

    /// All nodes, used or not.
    pub(super) fn total_nodes(&self) -> u32 {
        self.total
    }

    /// Pages given so far.
    pub(super) fn pages(&self) -> u32 {
        self.pages
    }

    /// Distance of `page` from the base in nodes, if it is a whole number that ids can express for
    /// all nodes of the page.
    fn distance(&self, page: NonNull<u8>) -> Option<i32> {
        let bytes = page.as_ptr().addr().wrapping_sub(self.base) as isize;
        if bytes % NODE_BYTES as isize != 0 {
            return None;
        }
        let nodes = i32::try_from(bytes / NODE_BYTES as isize).ok()?;
        let reach = i32::MAX - PER_PAGE;
        (-reach..=reach).contains(&nodes).then_some(nodes)
    }

    /// Whether [`Arena::add_page`] can take this page: aligned to nodes like the static slots, and at
    /// most 1 TiB away from them.
    pub(super) fn reaches(&self, page: NonNull<u8>) -> bool {
        self.distance(page).is_some()
    }

    /// Takes a page for good and cuts it into nodes. Nothing happens if it is not in reach.
    ///
    /// # Safety
    /// `page` must be valid for reads and writes of [`PAGE_BYTES`] bytes, and nothing else may use
    /// them from now on.
    pub(super) unsafe fn add_page(&mut self, page: NonNull<u8>) {
        let Some(first) = self.distance(page) else {
            return;
        };
        page.as_ptr().expose_provenance();
        for i in (0..PER_PAGE).rev() {
            self.push(NodeId((first + i) as u32));
        }
        self.total += PER_PAGE as u32;
        self.pages += 1;
    }

    #[inline(always)]
    fn ptr(&self, id: NodeId) -> *mut Node {
        let off = (id.0 as i32 as isize).wrapping_mul(NODE_BYTES as isize);
        core::ptr::with_exposed_provenance_mut(self.base.wrapping_add_signed(off))
    }

    /// The node `id`.
    #[inline(always)]
    pub(super) fn node(&self, id: NodeId) -> &Node {
        // SAFETY: `id` was made by `push` for memory this arena owns (module header), so it points
        // to an initialised node; `&self` keeps writers out.
        unsafe { &*self.ptr(id) }
    }

    /// The node `id`, for changing.
    #[inline(always)]
    pub(super) fn node_mut(&mut self, id: NodeId) -> &mut Node {
        // SAFETY: as in `node`; `&mut self` makes it the only reference.
        unsafe { &mut *self.ptr(id) }
    }

    /// Two different nodes at once, for moving entries between them.
    pub(super) fn pair_mut(&mut self, a: NodeId, b: NodeId) -> Option<(&mut Node, &mut Node)> {
        if a == b {
            return None;
        }
        // SAFETY: as in `node_mut`; the ids differ, so the nodes do not overlap.
        unsafe { Some((&mut *self.ptr(a), &mut *self.ptr(b))) }
    }

    fn push(&mut self, id: NodeId) {
        let head = self.head;
        let p = self.ptr(id);
        // SAFETY: `id` names memory of one node that this arena owns and nobody references: a slot
        // or page just taken in, or a node just given back.
        unsafe { p.write(Node::EMPTY) };
        self.node_mut(id).set_link(head.to_val());
        self.head = id;
        self.free += 1;
    }

    /// An empty node; `None` when all are in use.
    pub(super) fn alloc(&mut self, leaf: bool) -> Option<NodeId> {
        let id = self.head;
        if id == NodeId::NONE {
            return None;
        }
        self.head = NodeId::from_val(self.node(id).link());
        self.free -= 1;
        self.node_mut(id).reset(leaf);
        Some(id)
    }

    /// Gives a node back. It must not be linked from any tree any more.
    pub(super) fn free(&mut self, id: NodeId) {
        self.push(id);
    }
}
