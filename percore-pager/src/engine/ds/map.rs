//! Map: the fast half of a fault (MOE-DS-01 to -10).

use l4_sys::{Errno, PAGE_SHIFT, PAGE_SIZE};

use crate::engine::arena::{Arena, Ref, Store};
use crate::engine::kernel::Kernel;
use crate::engine::pool::Pool;
use crate::engine::quota::Reach;
use crate::engine::rm::Range;
use crate::frames::{FrameNo, PageOrder, Policy};

use super::object::{Ds, Kind, flag};
use super::page;
use super::populate::{self, Brought};
use super::table;
use super::word::{GROUP, GROUP_SHIFT, Group, Page, frame_of};
use super::work::Work;

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
/// This is the path of every fault. What is in line is a page that is mapped alone, be it there or fresh
/// from a frame at hand; all else is behind a call.
///
/// # Errors
///
/// `Perm` W or X is asked for and not allowed; `Range` the offset is behind the last page; `NoMem`.
#[inline(always)]
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
    if it.kind() == Kind::OnDemand
        && let Some((frame, work)) = alone(pool, ds, &ask)
    {
        let it = pool.arena().get(ds);
        return Ok(Mapped {
            start: frame,
            order: PageOrder::FRAME,
            rights: ask.flags & allowed,
            base: ask.spot & !(PAGE_SIZE - 1),
            caching: it.caching(ask.flags),
            work,
        });
    }
    map_any(pool, ds, &ask)
}

/// What is to be done before [`map`] where a fault is to bring more than one turn may zero, by its account's
/// [`Reach`] or because of long sequential use: step it until it is done or fails, serving
/// others in between, and map then. `None`: map at once. To leave it out is no mistake: faults bring
/// 64 KiB then.
#[inline]
pub fn prefault<P: Policy, K: Kernel>(
    pool: &Pool<'_, P, K>,
    ds: Ref<Ds>,
    ask: &Ask,
) -> Option<Work> {
    let (offset, write) = (ask.offset, ask.flags & flag::W != 0);
    let it = pool.arena().get(ds);
    // What is refused brings nothing.
    if ask.flags & (flag::W | flag::X) & !it.allowed(ask.writable) != 0 {
        return None;
    }
    let page = offset >> PAGE_SHIFT;
    // Kinds without memory at first touch have the least that is usual, too.
    let order = match u32::from(it.reach.least()) {
        _ if it.wants_block(page) && pool.may_keep(BLOCK_PAGES - GROUP) => PageOrder::BLOCK.get(),
        least => least.min(PageOrder::BLOCK.get()),
    };
    if order <= GROUP_SHIFT || offset >= it.rounded_size() {
        return None;
    }
    let first = page >> order << order;
    let end = (first + (1 << order)).min(it.page_count());
    // The page itself must not be what there is no memory left for; a little is for the tables.
    let bytes = (end - first + 4) * PAGE_SIZE;
    let account = pool.arena().get(it.account?);
    let room = account.room() >= bytes && pool.available() >= bytes;
    let there = page::is_there(pool.arena(), ds, page);
    if there || !room || PageOrder::new(order).is_some_and(|order| pool.has_zeroed(order)) {
        return None;
    }
    Some(Work::bring(ds, first, end, write))
}

/// Pages of a 2 MiB block.
const BLOCK_PAGES: u64 = 1 << PageOrder::BLOCK.get();

/// Pages that a client has touched in order before blocks are brought whole: so what is brought and not
/// used is at most half of what is.
const SURE: u64 = 2 * BLOCK_PAGES;

impl Ds {
    /// Whether sequential use has come to the start of a block, which is to be brought whole: as one flexpage it
    /// costs the kernel one entry instead of 512.
    fn wants_block(&self, page: u64) -> bool {
        page.is_multiple_of(BLOCK_PAGES)
            && page == self.next_page
            && self.pages >= SURE
            && self.grow + 1 >= super::pieces::BLOCK_FROM
            && self.reach.most() == Reach::MAX
            && page + BLOCK_PAGES <= self.page_count()
    }
}

/// The frame of a page that is mapped alone, and how many frames were zeroed for it; `None` when it
/// takes more.
#[inline(always)]
fn alone<P: Policy, K: Kernel>(
    pool: &mut Pool<'_, P, K>,
    ds: Ref<Ds>,
    ask: &Ask,
) -> Option<(FrameNo, u64)> {
    let page = ask.offset >> PAGE_SHIFT;
    let slot = table::find(pool.arena(), ds, page >> GROUP_SHIFT)?;
    let word = table::load(pool.arena(), slot);
    let n = (page % GROUP) as u32;
    if word >> n & 1 != 0 {
        // A run: only runs have bits of used pages.
        let next = word >> (n ^ 1) & 1 != 0;
        return (!next).then_some((frame_of((word >> 32) as u32, n), 0));
    }
    if let Group::Table(table) = Group::from_word(word) {
        let write = ask.flags & flag::W != 0;
        match Page::from_word(pool.arena().get(table)[n as usize]) {
            Page::Own(frame) => return Some((frame, 0)),
            Page::Static(frame) if !write => return Some((frame, 0)),
            Page::Shared(record) if !write => {
                return Some((super::share::frame(pool.arena(), record), 0));
            }
            Page::Shared(_) | Page::Static(_) => return None,
            Page::Empty => {}
        }
    }
    populate::sparse(pool, ds, slot, word, page)
}

/// The same as [`map`] when the checks are done.
#[inline(never)]
fn map_any<P: Policy, K: Kernel>(
    pool: &mut Pool<'_, P, K>,
    ds: Ref<Ds>,
    ask: &Ask,
) -> Result<Mapped, Errno> {
    let it = pool.arena().get(ds);
    let (rights, caching) = (ask.flags & it.allowed(ask.writable), it.caching(ask.flags));
    let page = ask.offset >> PAGE_SHIFT;
    let base = ask.spot & !(PAGE_SIZE - 1);
    let (frame, order, work) = if it.kind() == Kind::OnDemand {
        let before = it.pages;
        let (frame, work, most) = match page::look(pool.arena(), ds, page) {
            Page::Own(frame) => (frame, 0, PageOrder::MAX.get()),
            _ => {
                let brought = populate::bring(pool, ds, page, ask.flags & flag::W != 0)?;
                let pages = pool.arena().get(ds).pages.saturating_sub(before);
                (brought.frame(), brought.work(), new_order(brought, pages))
            }
        };
        let order = match most {
            0 => 0,
            most => {
                let most = fitting(frame, base, ask.window).min(most);
                on_demand_order(pool.arena(), ds, page, most)
            }
        };
        (frame, order, work)
    } else {
        let (start, frames) = (it.root, it.page_count());
        let frame = FrameNo(start + page);
        let most = fitting(frame, base, ask.window);
        (frame, run_order(frame, start, start + frames, most), 0)
    };
    Ok(Mapped {
        start: FrameNo(frame.0 & !((1 << order) - 1)),
        order: PageOrder::new(order).unwrap_or(PageOrder::FRAME),
        rights,
        base,
        caching,
        work,
    })
}

/// The order of the block to show when `pages` were brought: not much more than those. The pages beside them
/// are mapped already, as a rule, and the kernel would enter each of them again, for some 1000
/// instructions a page; it does not make a large page of what lies there in small ones.
fn new_order(brought: Brought, pages: u64) -> u32 {
    if brought.alone() {
        return 0;
    }
    pages.max(1).next_power_of_two().trailing_zeros()
}

/// The largest order, up to 18, in which frame and spot agree and which stays in the window.
#[inline]
fn fitting(frame: FrameNo, base: u64, window: Option<Range>) -> u32 {
    let differ = frame.0 ^ (base >> PAGE_SHIFT);
    let order = differ.trailing_zeros().min(PageOrder::MAX.get());
    let Some(window) = window else { return order };
    if base < window.start() || base > window.end() {
        return 0;
    }
    // A block around `base` does not hold an address as long as it is not larger than the highest bit
    // in which the two differ.
    let without = |address: u64| ((base ^ address) | 1).ilog2();
    let mut bits = u64::BITS;
    if let Some(below) = window.start().checked_sub(1) {
        bits = without(below);
    }
    if let Some(above) = window.end().checked_add(1) {
        bits = bits.min(without(above));
    }
    order.min(bits.saturating_sub(PAGE_SHIFT))
}

/// The largest aligned block around `frame`, up to `most`, that lies in the frames from `start` up to
/// `end`.
#[inline]
fn run_order(frame: FrameNo, start: u64, end: u64, most: u32) -> u32 {
    let without = |other: u64| ((frame.0 ^ other) | 1).ilog2();
    let mut most = most.min(without(end));
    if let Some(below) = start.checked_sub(1) {
        most = most.min(without(below));
    }
    most
}

/// The largest aligned block around a page of a run, up to `most`, of which every page is used and
/// follows in frames. Blocks of more than a group are looked for up to 2 MiB.
#[inline]
fn on_demand_order(arena: &Arena, ds: Ref<Ds>, page: u64, most: u32) -> u32 {
    let Some(slot) = table::find(arena, ds, page >> GROUP_SHIFT) else {
        return 0;
    };
    let word = table::load(arena, slot);
    let Group::Run { base, used, .. } = Group::from_word(word) else {
        return 0;
    };
    let n = (page % GROUP) as u32;
    // A block is aligned in frames only if its pages are where they would be in an aligned run.
    let skew = (frame_of(base, n).0 ^ page).trailing_zeros();
    let limit = most.min(skew).min(PageOrder::BLOCK.get());
    if used != u16::MAX {
        return limit.min(full_order(used, n));
    }
    let mut order = limit.min(GROUP_SHIFT);
    let it = arena.get(ds);
    if it.depth == 0 {
        return order;
    }
    // Groups from the first of the leaf on that lie below the dataspace's end in full.
    let (leaf, index) = (slot.node, slot.index);
    let below = it.page_count() - ((page >> GROUP_SHIFT) - index as u64) * GROUP;
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
        let first = word.wrapping_add(away.wrapping_mul(STEP));
        if !arena.words_rise(leaf, (half, half + groups), first, STEP) {
            break;
        }
        order += 1;
    }
    order
}

/// The largest aligned block around bit `n` of which all bits are set.
#[inline]
fn full_order(used: u16, n: u32) -> u32 {
    let two = used & used >> 1;
    let four = two & two >> 2;
    let eight = four & four >> 4;
    let bit = |mask: u16, at: u32| u32::from(mask >> at & 1);
    // Each of them implies the ones before.
    bit(two, n & 14) + bit(four, n & 12) + bit(eight, n & 8)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The definition, by trying all orders.
    fn largest(most: u32, fits: impl Fn(u64) -> bool) -> u32 {
        (0..=most)
            .rev()
            .find(|order| fits((1 << order) - 1))
            .unwrap_or(0)
    }

    #[test]
    fn orders_by_bits_are_the_largest_that_fit() {
        let addresses = [
            0,
            0x1000,
            0x3000,
            0xf000,
            0x1_0000,
            0x1f_f000,
            0x20_0000,
            0x7fff_f000,
            1 << 40,
            u64::MAX - 0xfff,
        ];
        let places = |other: u64| addresses.map(|a| a ^ other).into_iter().chain(addresses);
        for base in addresses {
            for start in places(0x5000).filter(|start| *start <= base) {
                for end in places(0x7000)
                    .map(|end| end | 0xfff)
                    .filter(|end| *end >= base)
                {
                    let window = Range::new(start, end).expect("in order");
                    let got = fitting(FrameNo(base >> 12), base, Some(window));
                    let wanted = largest(18, |low| {
                        let low = ((low + 1) << PAGE_SHIFT) - 1;
                        base & !low >= start && base | low <= end
                    });
                    assert_eq!(got, wanted, "{base:#x} in {start:#x}..={end:#x}");
                    let (frame, start, end) = (base >> 12, start >> 12, (end >> 12) + 1);
                    let wanted = largest(18, |low| frame & !low >= start && frame | low < end);
                    assert_eq!(run_order(FrameNo(frame), start, end, 18), wanted);
                }
            }
        }
        for used in 0..u16::MAX {
            for n in (0..16).filter(|n| used >> n & 1 != 0) {
                let wanted = largest(4, |low| {
                    let mask = (((1u32 << (low + 1)) - 1) << (n & !(low as u32))) as u16;
                    used & mask == mask
                });
                assert_eq!(full_order(used, n), wanted, "{used:#x} {n}");
            }
        }
    }
}
