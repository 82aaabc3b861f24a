//! Detaching: one region a call.

use l4_sys::{Errno, PAGE_SIZE};

use crate::engine::arena::{Ref, Store};

use super::gaps;
use super::map::{self, Map};
use super::range::Range;
use super::region::{Backing, Contents, Region, flag};
use super::tree::{self, Link};

/// What became of the region that was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// It is gone, and with it a reference to its object.
    Whole = 0,
    /// Its head or its tail is gone.
    Cut = 1,
    /// Its middle is gone: there are two regions now, and one reference more to their object.
    Split = 2,
}

/// Pages of memory of a region's own that nobody needs any more (MOE-RM-22).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Freed {
    /// Byte offset in the region's object.
    pub offset: u64,
    /// Bytes.
    pub size: u64,
}

/// What [`detach`] did.
#[derive(Clone, Copy, Debug, PartialEq)]
#[must_use = "the object's references and pages depend on it"]
pub struct Detached {
    /// What became of the region.
    pub how: How,
    /// Whether more regions lie in the range: the caller has to go on.
    pub again: bool,
    /// The addresses that are free now.
    pub range: Range,
    /// What the region held, as it was before.
    pub contents: Contents,
    /// What is to be cleared in its object; `None` for shared objects.
    pub freed: Option<Freed>,
}

impl Detached {
    /// The answer's label.
    pub fn label(&self) -> i64 {
        self.how as i64 + if self.again { 4 } else { 0 }
    }

    /// The client's index of the object, when the answer carries it.
    pub fn client_cap(&self) -> Option<u64> {
        (self.how != How::Cut).then_some(self.contents.client_cap)
    }

    /// The object that has a reference less.
    pub fn dropped(&self) -> Option<Backing> {
        self.contents.backing.filter(|_| self.how == How::Whole)
    }

    /// The object that has a reference more.
    pub fn shared(&self) -> Option<Backing> {
        self.contents.backing.filter(|_| self.how == How::Split)
    }
}

/// Detach the region as a whole, however little of it the range touches.
const OVERLAP: u32 = 2;
/// Detach exactly the range: what happens without flags.
const EXACT: u32 = 1;

/// Detaches the lowest region in a range, or the part of it that is in the range (MOE-RM-16 to
/// -20).
///
/// # Errors
///
/// `Inval` unknown flags, size 0, a range that wraps; `NoEnt` no region there; `NoMem` a region
/// would fall in two and there is no memory for the second: nothing has changed.
pub fn detach<S: Store>(
    store: &mut S,
    map: Ref<Map>,
    address: u64,
    size: u64,
    flags: u32,
) -> Result<Detached, Errno> {
    if flags & !(EXACT | OVERLAP) != 0 {
        return Err(Errno::Inval);
    }
    let asked = pages(address, size).ok_or(Errno::Inval)?;
    store.arena_mut().note_change();
    // There is a new gap, if there is anything.
    store.arena_mut().get_mut(map).sought = 0;
    let arena = store.arena();
    let node = tree::touching(arena, arena.get(map).regions, asked).ok_or(Errno::NoEnt)?;
    let region = *arena.get(node.cast::<Region>());
    let (range, contents) = (region.link.range(), region.contents);
    let gone = cut(range, asked);
    let how = if flags & OVERLAP != 0 || gone == range {
        remove(store, map, node);
        How::Whole
    } else if gone.start() == range.start() {
        // The region's end stays, so there is an address behind what is gone.
        move_start(store, node, gone.end() + 1);
        gaps::moved(store.arena_mut(), node);
        How::Cut
    } else if gone.end() == range.end() {
        store.arena_mut().get_mut(node).end = gone.start() - 1;
        gaps::moved(store.arena_mut(), node);
        How::Cut
    } else {
        split(store, map, node, gone)?;
        How::Split
    };
    let range_gone = if how == How::Whole { range } else { gone };
    let arena = store.arena();
    let rest = tree::touching(arena, arena.get(map).regions, asked).is_some();
    let own = contents.flags & (flag::PRIVATE | flag::ANONYMOUS) != 0;
    Ok(Detached {
        how,
        again: how != How::Split && rest,
        range: range_gone,
        contents,
        freed: own.then_some(Freed {
            offset: contents
                .offset
                .wrapping_add(range_gone.start() - range.start()),
            size: range_gone.size(),
        }),
    })
}

/// The pages of a request: upstream rounds the size after it has added the start's rest.
fn pages(address: u64, size: u64) -> Option<Range> {
    let page = PAGE_SIZE - 1;
    let size = size.checked_sub(1)?.checked_add(1 + (address & page))?;
    let size = size.checked_add(page)? & !page;
    Range::sized(address & !page, size)
}

/// What `range` and `other`, which touch, have in common.
fn cut(range: Range, other: Range) -> Range {
    let (start, end) = (
        range.start().max(other.start()),
        range.end().min(other.end()),
    );
    Range::new(start, end).unwrap_or(range)
}

fn remove<S: Store>(store: &mut S, map: Ref<Map>, node: Ref<Link>) {
    let arena = store.arena_mut();
    let root = tree::remove(arena, arena.get(map).regions, node);
    arena.get_mut(map).regions = root;
    map::drop_node(store, map, node);
}

/// The region begins at `start` now.
fn move_start<S: Store>(store: &mut S, node: Ref<Link>, start: u64) {
    let region = store.arena_mut().get_mut(node.cast::<Region>());
    let gone = start - region.link.start;
    region.link.start = start;
    region.contents.offset = region.contents.offset.wrapping_add(gone);
    region.contents.backing_offset = region.contents.backing_offset.wrapping_add(gone);
}

fn split<S: Store>(
    store: &mut S,
    map: Ref<Map>,
    node: Ref<Link>,
    gone: Range,
) -> Result<(), Errno> {
    let region = *store.arena().get(node.cast::<Region>());
    let second = map::put(store, map, region)?;
    move_start(store, second.cast(), gone.end() + 1);
    let arena = store.arena_mut();
    arena.get_mut(node).end = gone.start() - 1;
    gaps::moved(arena, node);
    let root = tree::insert(arena, arena.get(map).regions, second.cast());
    arena.get_mut(map).regions = root;
    Ok(())
}
