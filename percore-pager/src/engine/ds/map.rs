//! Map: the fast half of a fault (MOE-DS-01 to -10).

use l4_sys::{Errno, PAGE_SHIFT, PAGE_SIZE};

use crate::engine::arena::{Arena, Ref, Store};
use crate::engine::kernel::Kernel;
use crate::engine::pool::Pool;
use crate::engine::rm::Range;
use crate::frames::{FrameNo, PageOrder, Policy};

use super::object::{Ds, Kind, flag};
use super::page;
use super::populate;
use super::table::{self, Slot};
use super::word::{GROUP, GROUP_SHIFT, Group, Page, frame_of};

/// What a client, or a region map for it, wants mapped.
#[derive(Clone, Copy, Debug)]
pub struct Ask {
    /// Byte offset in the dataspace.
    pub offset: u64,
    /// Where the byte is to appear: an address, or an offset in the client's receive window.
    pub spot: u64,
    /// Addresses that the flexpage may cover, in the terms of `spot`; `None` when only the kernel
    /// knows.
    pub window: Option<Range>,
    /// Rights and cache mode: bits of [`flag`].
    pub flags: u32,
    /// Whether the capability has the W right, or a region's rights were checked before.
    pub writable: bool,
}

/// A flexpage to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapped {
    /// First frame, a multiple of the order's frames.
    pub start: FrameNo,
    /// Size.
    pub order: PageOrder,
    /// R, W and X of [`flag`].
    pub rights: u32,
    /// Send base: the spot, rounded down to a page.
    pub base: u64,
    /// Cache mode: 0 as the sender's, 0x10 buffered, 0x20 uncached.
    pub caching: u32,
    /// Frames that were zeroed or copied for it: at most 16.
    pub work: u64,
}

/// Decides a map request; brings memory if there is none.
///
/// # Errors
///
/// `Perm` W or X is asked for and not allowed; `Range` the offset is behind the last page; `NoMem`.
#[inline]
pub fn map<P: Policy, K: Kernel>(
    pool: &mut Pool<'_, P, K>,
    ds: Ref<Ds>,
    ask: Ask,
) -> Result<Mapped, Errno> {
    let it = pool.arena().get(ds);
    let allowed = it.allowed(ask.writable);
    if ask.flags & (flag::W | flag::X) & !allowed != 0 {
        return Err(Errno::Perm);
    }
    if ask.offset >= it.rounded_size() {
        return Err(Errno::Range);
    }
    let page = ask.offset >> PAGE_SHIFT;
    let write = ask.flags & flag::W != 0;
    let base = ask.spot & !(PAGE_SIZE - 1);
    let caching = (it.flags & flag::CACHING).max(ask.flags & flag::CACHING);
    let kind = it.kind();
    let (frame, work, order) = match kind {
        Kind::OnDemand => {
            let slot = table::find(pool.arena(), ds, page >> GROUP_SHIFT);
            let there = slot.and_then(|slot| there(pool.arena(), slot, page, write));
            let (frame, work, slot) = match (there, slot) {
                (Some(frame), Some(slot)) => (frame, 0, slot),
                _ => populate::bring(pool, ds, slot, page, write)?,
            };
            let most = fitting(frame, base, ask.window);
            (
                frame,
                work,
                on_demand_order(pool.arena(), ds, slot, page, most),
            )
        }
        Kind::Contiguous | Kind::Static => {
            let frame = FrameNo(it.root + page);
            let most = fitting(frame, base, ask.window);
            (
                frame,
                0,
                run_order(frame, it.root, it.root + it.page_count(), most),
            )
        }
    };
    Ok(Mapped {
        start: FrameNo(frame.0 & !((1 << order) - 1)),
        order: PageOrder::new(order).unwrap_or(PageOrder::FRAME),
        rights: ask.flags & allowed,
        base,
        caching,
        work,
    })
}

/// The page's frame if it can be mapped as it is.
#[inline]
fn there(arena: &Arena, slot: Slot, page: u64, write: bool) -> Option<FrameNo> {
    match page::look_in(arena, slot, page) {
        Page::Own(frame) => Some(frame),
        Page::Shared(record) if !write => Some(super::share::frame(arena, record)),
        Page::Static(frame) if !write => Some(frame),
        _ => None,
    }
}

/// The largest order, up to 18, in which frame and spot agree and which stays in the window.
#[inline]
fn fitting(frame: FrameNo, base: u64, window: Option<Range>) -> u32 {
    let differ = frame.0 ^ (base >> PAGE_SHIFT);
    let mut order = differ.trailing_zeros().min(PageOrder::MAX.get());
    if let Some(window) = window {
        while order > 0 {
            let low = (PAGE_SIZE << order) - 1;
            if base & !low >= window.start() && base | low <= window.end() {
                break;
            }
            order -= 1;
        }
    }
    order
}

/// The largest aligned block around `frame`, up to `most`, that lies in the frames from `start` up to
/// `end`.
fn run_order(frame: FrameNo, start: u64, end: u64, most: u32) -> u32 {
    let mut order = most;
    while order > 0 {
        let low = (1u64 << order) - 1;
        if frame.0 & !low >= start && frame.0 | low < end {
            break;
        }
        order -= 1;
    }
    order
}

/// The largest aligned block around a page, up to `most`, of which every page is used and follows in
/// frames. Blocks of more than a group are looked for up to 2 MiB.
#[inline]
fn on_demand_order(arena: &Arena, ds: Ref<Ds>, slot: Slot, page: u64, most: u32) -> u32 {
    let word = table::load(arena, slot);
    let Group::Run { base, used, .. } = Group::from_word(word) else {
        return 0;
    };
    let n = (page % GROUP) as u32;
    if used >> (n ^ 1) & 1 == 0 {
        return 0;
    }
    // A block is aligned in frames only if its pages are where they would be in an aligned run.
    let skew = (frame_of(base, n).0 ^ page).trailing_zeros();
    let limit = most.min(skew).min(PageOrder::BLOCK.get());
    let mut order = limit.min(GROUP_SHIFT);
    if used != u16::MAX {
        while order > 0 {
            let pages = 1u32 << order;
            let mask = (((1u32 << pages) - 1) << (n & !(pages - 1))) as u16;
            if used & mask == mask {
                break;
            }
            order -= 1;
        }
        return order;
    }
    let Slot::Leaf(leaf, index) = slot else {
        return order;
    };
    // Groups from the first of the leaf on that lie below the dataspace's end in full.
    let below = arena.get(ds).page_count() - ((page >> GROUP_SHIFT) - index as u64) * GROUP;
    let whole_groups = (below >> GROUP_SHIFT).min(64) as usize;
    // A full group that follows another has its word and, in the base, 16 frames more.
    const STEP: u64 = GROUP << 32;
    while order >= GROUP_SHIFT && order < limit {
        // The other half of the next larger block.
        let groups = 1usize << (order - GROUP_SHIFT);
        let half = (index & !(groups - 1)) ^ groups;
        if half + groups > whole_groups {
            break;
        }
        let away = (half as u64).wrapping_sub(index as u64);
        let mut follows = word.wrapping_add(away.wrapping_mul(STEP));
        for other in half..half + groups {
            if arena.word(leaf, other) != follows {
                return order;
            }
            follows = follows.wrapping_add(STEP);
        }
        order += 1;
    }
    order
}
