//! Best fit from balanced trees, as the base allocator of the paper: for comparison.
//!
//! Free runs have any length. They are kept in two trees, by address for merging and by length
//! for the best fit. The trees are the red-black trees of `intrusive-collections`, which have
//! the AVL tree's bounds (height at most twice the logarithm instead of 1.44 times). The nodes
//! come from the caller's memory; there are enough of them for the worst case, in which every
//! other frame is free, so giving never fails.
//!
//! It wins in tightness: a run of n frames is cut from the shortest free run that will do and
//! nothing is rounded. But every operation costs a walk down two trees, which grows with the number of
//! free runs, and a request with an alignment or a range may have to look at all of them. 32 bytes
//! a frame.

use core::cell::Cell;
use core::marker::PhantomData;
use core::mem::size_of;
use core::ptr::NonNull;

use intrusive_collections::{Bound, KeyAdapter, RBTree, RBTreeLink, intrusive_adapter};

use super::kind::Kind;
use super::memory::{Memory, Need};
use super::orders::RunCounts;
use super::policies::Policies;
use super::policy::{Policy, Want, place};
use super::units::{FrameIx, PageOrder, Span};
use super::validate::Fault;
use super::window::Window;

struct Node {
    by_start: RBTreeLink,
    by_length: RBTreeLink,
    start: Cell<u32>,
    length: Cell<u32>,
    /// The next spare node, one based; 0 ends the list. Means nothing while it is in the trees.
    spare: Cell<u32>,
}

impl Node {
    fn span(&self) -> Span {
        Span::at(FrameIx(self.start.get()), self.length.get())
    }
}

const NODE_WORDS: usize = size_of::<Node>().div_ceil(8);

intrusive_adapter!(ByStart<'a> = &'a Node: Node { by_start => RBTreeLink });
intrusive_adapter!(ByLength<'a> = &'a Node: Node { by_length => RBTreeLink });

impl<'a> KeyAdapter<'a> for ByStart<'_> {
    type Key = u32;
    fn get_key(&self, node: &'a Node) -> u32 {
        node.start.get()
    }
}

impl<'a> KeyAdapter<'a> for ByLength<'_> {
    type Key = (u32, u32);
    fn get_key(&self, node: &'a Node) -> (u32, u32) {
        (node.length.get(), node.start.get())
    }
}

/// See the [module](self).
pub struct Avl<'a> {
    window: Window,
    /// The first of `count` places for nodes, of which the first `made` were written. The others are
    /// written when they are needed: all of them at once would take a long turn.
    first: NonNull<Node>,
    count: u32,
    made: u32,
    memory: PhantomData<&'a mut [u64]>,
    /// A node that was used before and is not now, one based; 0 for none.
    spare: u32,
    by_start: RBTree<ByStart<'a>>,
    by_length: RBTree<ByLength<'a>>,
    runs: RunCounts,
    skew: u32,
}

// SAFETY: the nodes are reached through this value only: they lie in memory that was borrowed
// exclusively to make it, and no reference to one leaves it. So they move to another thread with it.
unsafe impl Send for Avl<'_> {}

impl core::fmt::Debug for Avl<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Avl")
            .field("window", &self.window)
            .finish_non_exhaustive()
    }
}

impl<'a> Avl<'a> {
    const fn nodes(window: &Window) -> usize {
        window.frames().div_ceil(2) as usize
    }

    /// Book-keeping memory for `window`.
    pub const fn need(window: &Window) -> Need {
        Need {
            shared: 0,
            private: Self::nodes(window) * NODE_WORDS,
        }
    }

    /// A policy without any free frame; `None` when `memory` is less than [`Self::need`].
    pub fn new(window: Window, memory: Memory<'a>) -> Option<Self> {
        let count = Self::nodes(&window);
        let memory = memory.private.get_mut(..count * NODE_WORDS)?;
        Some(Avl {
            window,
            first: NonNull::new(memory.as_mut_ptr().cast())?,
            count: count as u32,
            made: 0,
            memory: PhantomData,
            spare: 0,
            by_start: RBTree::new(ByStart::new()),
            by_length: RBTree::new(ByLength::new()),
            runs: RunCounts::default(),
            skew: window.skew(),
        })
    }

    /// A node that was written.
    fn node(&self, index: u32) -> Option<&'a Node> {
        // SAFETY: it was written, is in the memory, and is changed through its cells only from now on. The
        // exclusive borrow of the words lasts for 'a.
        (index < self.made).then(|| unsafe { self.first.add(index as usize).as_ref() })
    }

    /// A node that is in no tree; `None` when all are in use.
    fn unused(&mut self) -> Option<&'a Node> {
        let index = match self.spare.checked_sub(1) {
            Some(index) => index,
            None if self.made < self.count => {
                let node = Node {
                    by_start: RBTreeLink::new(),
                    by_length: RBTreeLink::new(),
                    start: Cell::new(0),
                    length: Cell::new(0),
                    spare: Cell::new(0),
                };
                // SAFETY: the memory has room for `count` nodes (NODE_WORDS words each, and a node's
                // size is a multiple of its alignment, which is at most a word's) and is ours alone;
                // nobody has a reference to a place that was not written yet.
                unsafe { self.first.add(self.made as usize).write(node) };
                self.made += 1;
                self.made - 1
            }
            None => return None,
        };
        let node = self.node(index)?;
        self.spare = node.spare.get();
        Some(node)
    }

    /// Puts a free run in that touches no other; does nothing with an empty one.
    fn insert(&mut self, span: Span) {
        if span.is_empty() {
            return;
        }
        // Runs are apart, so there are never more than nodes, and one is left.
        let Some(node) = self.unused() else {
            return;
        };
        node.start.set(span.start.0);
        node.length.set(span.frames());
        self.by_start.insert(node);
        self.by_length.insert(node);
        self.runs.add(span, self.skew);
    }

    /// Takes the free run `span` out.
    fn remove(&mut self, span: Span) {
        let Some(node) = self.by_start.find_mut(&span.start.0).remove() else {
            return;
        };
        self.by_length
            .find_mut(&(span.frames(), span.start.0))
            .remove();
        let index =
            (core::ptr::from_ref(node).addr() - self.first.addr().get()) / size_of::<Node>();
        node.spare.set(self.spare);
        self.spare = index as u32 + 1;
        self.runs.remove(span, self.skew);
    }

    /// Takes `part` out of the free run `run`.
    fn cut(&mut self, run: Span, part: Span) {
        self.remove(run);
        self.insert(Span {
            start: run.start,
            end: part.start,
        });
        self.insert(Span {
            start: part.end,
            end: run.end,
        });
    }

    /// The free run that begins at `at` or is the last before it.
    fn before(&self, at: u32) -> Option<Span> {
        self.by_start
            .upper_bound(Bound::Included(&at))
            .get()
            .map(Node::span)
    }
}

// SAFETY: runs are parts of runs that were given, and those were inside the window.
unsafe impl Policy for Avl<'_> {
    fn policies(&self) -> Policies {
        Kind::Avl.into()
    }

    fn window(&self) -> &Window {
        &self.window
    }

    fn take(&mut self, order: PageOrder) -> Option<FrameIx> {
        self.take_within(order, self.window.span())
    }

    fn take_within(&mut self, order: PageOrder, within: Span) -> Option<FrameIx> {
        self.take_run(&Want {
            frames: order.frames(),
            align: order,
            within,
        })
    }

    fn take_run(&mut self, want: &Want) -> Option<FrameIx> {
        let mut cursor = self
            .by_length
            .lower_bound(Bound::Included(&(want.frames, 0)));
        let (run, start) = loop {
            let run = cursor.get()?.span();
            if let Some(start) = place(run, want, self.skew) {
                break (run, start);
            }
            cursor.move_next();
        };
        self.cut(run, Span::at(start, want.frames));
        Some(start)
    }

    fn take_at(&mut self, span: Span) -> bool {
        match self.before(span.start.0) {
            Some(run) if run.end >= span.end => {
                self.cut(run, span);
                true
            }
            _ => false,
        }
    }

    fn give(&mut self, span: Span) -> bool {
        let before = self.before(span.start.0);
        let after = self
            .by_start
            .lower_bound(Bound::Included(&span.start.0))
            .get()
            .map(Node::span);
        if before.is_some_and(|run| run.end > span.start)
            || after.is_some_and(|run| run.start < span.end)
        {
            return false;
        }
        let mut merged = span;
        if let Some(run) = before.filter(|run| run.end == span.start) {
            self.remove(run);
            merged.start = run.start;
        }
        if let Some(run) = after.filter(|run| run.start == span.end) {
            self.remove(run);
            merged.end = run.end;
        }
        self.insert(merged);
        true
    }

    fn next_free(&self, from: FrameIx) -> Option<Span> {
        if let Some(run) = self.before(from.0).filter(|run| run.end > from) {
            return Some(Span {
                start: from,
                end: run.end,
            });
        }
        self.by_start
            .lower_bound(Bound::Included(&from.0))
            .get()
            .map(Node::span)
    }

    fn free_runs(&self, order: PageOrder) -> u32 {
        self.runs.get(order)
    }

    fn check(&self) -> Result<(), Fault> {
        let mut runs = RunCounts::default();
        let mut end = None;
        let mut number = 0;
        for node in self.by_start.iter() {
            let span = node.span();
            // Runs that touch would have been merged.
            if end.is_some_and(|end| span.start <= end) || span.is_empty() {
                return Err(Fault::Frame(span.start));
            }
            if self
                .by_length
                .find(&(span.frames(), span.start.0))
                .is_null()
            {
                return Err(Fault::Frame(span.start));
            }
            end = Some(span.end);
            runs.add(span, self.skew);
            number += 1;
        }
        let by_length = self.by_length.iter().count();
        let mut spare = 0;
        let mut at = self.spare;
        while let Some(node) = self.node(at.wrapping_sub(1)) {
            spare += 1;
            at = node.spare.get();
            if spare > self.made as usize {
                return Err(Fault::Summary);
            }
        }
        if by_length != number || number + spare != self.made as usize {
            return Err(Fault::Total(
                number as u64,
                (self.made as usize - spare) as u64,
            ));
        }
        for order in PageOrder::all() {
            if runs.get(order) != self.runs.get(order) {
                return Err(Fault::Runs(order, self.runs.get(order), runs.get(order)));
            }
        }
        Ok(())
    }
}
