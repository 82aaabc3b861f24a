//! Bringing memory to a page: the slow half of a fault.
//!
//! How much comes is decided by [`choose`] from where the client touched before. The first piece is 16 KiB.
//! Each touch beside memory that is there doubles the next piece: up to 64 KiB of memory that must be
//! zeroed first, up to 2 MiB of memory that was zeroed ahead. Each touch elsewhere quarters it, so
//! that sparse use brings single pages after one fault. (A first piece of 64 KiB would save three
//! faults, but a client that touches one page in 64 KiB would then look sequential for ever: each of
//! its touches would lie just behind the last piece.) What is brought is charged; if the account has
//! not enough for the piece, the page alone is tried.
//!
//! A piece comes from a run that is taken for its whole group, so that the group's other pages can
//! follow beside it; the rest is kept (see [`pool`](crate::engine::pool)).

use l4_sys::{Errno, PAGE_SIZE};

use crate::engine::arena::{Arena, Ref, Store};
use crate::engine::kernel::Kernel;
use crate::engine::pool::Pool;
use crate::engine::quota::{self, Account};
use crate::engine::slabs::{self, NoMemory};
use crate::frames::{FrameNo, PageOrder, Policy, Run};

use super::object::Ds;
use super::page;
use super::pressure;
use super::share;
use super::table::{self, Slot};
use super::word::{GROUP, GROUP_SHIFT, Group, Page, frame_of};

/// What the first fault of a dataspace brings: 16 KiB.
pub(super) const START_ORDER: u8 = 2;
/// From this order on, whole 2 MiB blocks are taken where they fit, zeroed or not.
const BLOCK_FROM: u8 = 6;
/// 2 MiB.
const GROW_MAX: u8 = 9;

/// Makes sure that `page`, which is below the end, has memory of its own (`write`) or any memory.
/// Gives its frame, the pages that were zeroed or copied (at most 16) and the group's slot. `slot` is
/// that slot if the caller has looked it up. Makes memory free if it must.
///
/// # Errors
///
/// `NoMem`: nothing has changed but nodes of the table that were made.
pub(super) fn bring<P: Policy, K: Kernel>(
    pool: &mut Pool<'_, P, K>,
    ds: Ref<Ds>,
    slot: Option<Slot>,
    page: u64,
    write: bool,
) -> Result<(FrameNo, u64, Slot), Errno> {
    let group = page >> GROUP_SHIFT;
    loop {
        let slot = slot.map_or_else(|| table::ensure(pool, ds, group), Ok);
        match slot.and_then(|slot| Ok((bring_once(pool, ds, slot, page, write)?, slot))) {
            Ok(((frame, work), slot)) => return Ok((frame, work, slot)),
            Err(NoMemory) if within_quota(pool, ds) && pool.relieve() => {}
            Err(NoMemory) => return Err(Errno::NoMem),
        }
    }
}

/// Whether memory, and not the account's limit, may be what is missing.
fn within_quota<P: Policy, K: Kernel>(pool: &mut Pool<'_, P, K>, ds: Ref<Ds>) -> bool {
    let Some(account) = pool.arena().get(ds).account else {
        return false;
    };
    let room = quota::charge(pool.arena_mut(), account, PAGE_SIZE);
    if room {
        slabs::settle(pool, account, PAGE_SIZE);
    }
    room
}

fn bring_once<P: Policy, K: Kernel>(
    pool: &mut Pool<'_, P, K>,
    ds: Ref<Ds>,
    slot: Slot,
    page: u64,
    write: bool,
) -> Result<(FrameNo, u64), NoMemory> {
    let n = (page % GROUP) as u32;
    match Group::from_word(table::load(pool.arena(), slot)) {
        Group::Run { base, used, .. } if used >> n & 1 != 0 => Ok((frame_of(base, n), 0)),
        Group::Run { base, kept, used } => {
            let order = choose(pool, ds, page, used);
            if kept >> n & 1 == 0 {
                return single(pool, ds, slot, page, write);
            }
            use_kept(pool, ds, slot, page, (base, kept, used), order)
        }
        Group::Empty => {
            let order = choose(pool, ds, page, 0);
            fresh(pool, ds, slot, page, order)
        }
        Group::Table(_) => single(pool, ds, slot, page, write),
    }
}

/// Decides how much is brought: an order of pages. `used` are the pages of its group that are there.
/// Changes the dataspace's memory of its use.
fn choose<P: Policy, K: Kernel>(
    pool: &mut Pool<'_, P, K>,
    ds: Ref<Ds>,
    page: u64,
    used: u16,
) -> u8 {
    let it = pool.arena().get(ds);
    let (grow, next, first) = (it.grow, it.next_page, it.pages == 0 && it.kept == 0);
    let grow = if first {
        grow
    } else if page == next || has_neighbour(pool.arena(), ds, page, used) {
        (grow + 1).min(GROW_MAX)
    } else {
        grow.min(GROUP_SHIFT as u8).saturating_sub(2)
    };
    pool.arena_mut().get_mut(ds).grow = grow;
    grow
}

/// Whether the page before or behind is there.
fn has_neighbour(arena: &Arena, ds: Ref<Ds>, page: u64, used: u16) -> bool {
    let n = (page % GROUP) as u32;
    let pages = u32::from(used) << 1;
    // Bits n and n + 2 are the neighbours of page n here.
    if pages >> n & 0b101 != 0 {
        return true;
    }
    n == 0 && page > 0 && page::is_there(arena, ds, page - 1)
        || n == GROUP as u32 - 1 && page::is_there(arena, ds, page + 1)
}

/// The largest aligned piece around page `n` of a group, up to `order`, for which `fits` holds.
fn piece(n: u32, order: u8, fits: impl Fn(u16) -> bool) -> u16 {
    let mut order = u32::from(order).min(GROUP_SHIFT);
    loop {
        let pages = 1u32 << order;
        let mask = (((1u32 << pages) - 1) << (n & !(pages - 1))) as u16;
        if order == 0 || fits(mask) {
            return mask;
        }
        order -= 1;
    }
}

/// Pages of a group that lie below the dataspace's end.
fn pages_of_group(ds: &Ds, page: u64) -> u16 {
    let left = ds.page_count() - (page & !(GROUP - 1));
    if left >= GROUP {
        u16::MAX
    } else {
        ((1u32 << left) - 1) as u16
    }
}

/// Charges for the pages of `mask`, or if there is not enough for page `n` alone.
fn charge<P: Policy, K: Kernel>(
    pool: &mut Pool<'_, P, K>,
    account: Ref<Account>,
    mask: u16,
    n: u32,
) -> Result<u16, NoMemory> {
    for mask in [mask, 1 << n] {
        let bytes = u64::from(mask.count_ones()) * PAGE_SIZE;
        if quota::charge(pool.arena_mut(), account, bytes) {
            return Ok(mask);
        }
    }
    Err(NoMemory)
}

fn zero<P: Policy, K: Kernel>(pool: &mut Pool<'_, P, K>, base: u32, mask: u16) -> u64 {
    let pages = u64::from(mask.count_ones());
    if let Some(run) = Run::new(frame_of(base, mask.trailing_zeros()), pages) {
        pool.zero_now(run);
    }
    pages
}

/// Uses pages of a run that is kept.
fn use_kept<P: Policy, K: Kernel>(
    pool: &mut Pool<'_, P, K>,
    ds: Ref<Ds>,
    slot: Slot,
    page: u64,
    (base, kept, used): (u32, u16, u16),
    order: u8,
) -> Result<(FrameNo, u64), NoMemory> {
    let n = (page % GROUP) as u32;
    let account = pool.arena().get(ds).account.ok_or(NoMemory)?;
    let mask = piece(n, order, |mask| kept & !used & mask == mask);
    let mask = charge(pool, account, mask, n)?;
    let zeroed = zero(pool, base, mask);
    let used = used | mask;
    table::store(
        pool.arena_mut(),
        slot,
        Group::Run { base, kept, used }.word(),
    );
    pressure::change_kept(pool, ds, 0, zeroed);
    note(pool, ds, page, mask);
    Ok((frame_of(base, n), zeroed))
}

/// Remembers that the pages of `mask` in the group of `page` were brought.
fn note<P: Policy, K: Kernel>(pool: &mut Pool<'_, P, K>, ds: Ref<Ds>, page: u64, mask: u16) {
    let it = pool.arena_mut().get_mut(ds);
    it.pages += u64::from(mask.count_ones());
    it.next_page = (page & !(GROUP - 1)) + u64::from(u16::BITS - mask.leading_zeros());
}

/// Brings the first pages of a group.
fn fresh<P: Policy, K: Kernel>(
    pool: &mut Pool<'_, P, K>,
    ds: Ref<Ds>,
    slot: Slot,
    page: u64,
    order: u8,
) -> Result<(FrameNo, u64), NoMemory> {
    if u32::from(order) > GROUP_SHIFT
        && let Some(done) = large(pool, ds, slot, page, order)
    {
        return Ok(done);
    }
    let n = (page % GROUP) as u32;
    let it = pool.arena().get(ds);
    let account = it.account.ok_or(NoMemory)?;
    let there = pages_of_group(it, page);
    let mask = charge(
        pool,
        account,
        piece(n, order, |mask| there & mask == mask),
        n,
    )?;
    match take_for(pool, mask, there) {
        Ok((base, kept, zeroed)) => {
            let work = if zeroed { 0 } else { zero(pool, base, mask) };
            let group = Group::Run {
                base,
                kept,
                used: mask,
            };
            table::store(pool.arena_mut(), slot, group.word());
            let rest = u64::from((kept & !mask).count_ones());
            pressure::change_kept(pool, ds, rest, 0);
            note(pool, ds, page, mask);
            Ok((frame_of(base, n), work))
        }
        Err(NoMemory) => {
            slabs::settle(pool, account, u64::from(mask.count_ones()) * PAGE_SIZE);
            if mask.count_ones() > 1 {
                // No run of this size is left: single pages may be.
                return fresh(pool, ds, slot, page, 0);
            }
            Err(NoMemory)
        }
    }
}

/// A run for the pages of `mask`, if possible for the whole group: base, pages kept, whether zeroed.
fn take_for<P: Policy, K: Kernel>(
    pool: &mut Pool<'_, P, K>,
    mask: u16,
    there: u16,
) -> Result<(u32, u16, bool), NoMemory> {
    let brought = mask.count_ones();
    let whole = there == u16::MAX && pool.may_keep(GROUP - u64::from(brought));
    if brought > 1 && whole {
        let order = PageOrder::new(GROUP_SHIFT).ok_or(NoMemory)?;
        if let Ok((frame, zeroed)) = pool.take(order) {
            return Ok((frame.0 as u32, u16::MAX, zeroed));
        }
    }
    let order = PageOrder::holding(brought).ok_or(NoMemory)?;
    let (frame, zeroed) = pool.take(order)?;
    let base = (frame.0 as u32).wrapping_sub(mask.trailing_zeros());
    Ok((base, mask, zeroed))
}

/// Takes a run of several groups from `page` on, where all of them are empty. A zeroed run is used at
/// once; of a 2 MiB block that is not, the first 64 KiB are, and the rest is kept.
fn large<P: Policy, K: Kernel>(
    pool: &mut Pool<'_, P, K>,
    ds: Ref<Ds>,
    slot: Slot,
    page: u64,
    order: u8,
) -> Option<(FrameNo, u64)> {
    let it = *pool.arena().get(ds);
    let Slot::Leaf(leaf, first) = slot else {
        return None;
    };
    let block = order >= BLOCK_FROM && page.is_multiple_of(512) && pool.may_keep(512 - GROUP);
    let aligned = page.trailing_zeros().min(u32::from(order));
    let mut order = if block { u32::from(GROW_MAX) } else { aligned };
    while order > GROUP_SHIFT && it.page_count() - page < 1 << order {
        order -= 1;
    }
    let groups = first..first + (1usize << order.saturating_sub(GROUP_SHIFT));
    let empty = |pool: &Pool<'_, P, K>| groups.clone().all(|g| pool.arena().word(leaf, g) == 0);
    let may_be_dirty = block && order == u32::from(GROW_MAX);
    if order <= GROUP_SHIFT || !may_be_dirty && !pool.has_zeroed(1 << order) || !empty(pool) {
        return None;
    }
    let pages = 1u64 << order;
    let account = it.account?;
    let (frame, zeroed) = pool.take(PageOrder::new(order)?).ok()?;
    let all = zeroed && quota::charge(pool.arena_mut(), account, pages * PAGE_SIZE);
    let some = all || may_be_dirty && quota::charge(pool.arena_mut(), account, GROUP * PAGE_SIZE);
    if !some {
        pool.give_unseen(frame, pages);
        return None;
    }
    for group in groups {
        let base = frame.0 as u32 + (group - first) as u32 * GROUP as u32;
        let used = if all || group == first { u16::MAX } else { 0 };
        let kept = u16::MAX;
        let word = Group::Run { base, kept, used }.word();
        pool.arena_mut().set_word(leaf, group, word);
    }
    let brought = if all { pages } else { GROUP };
    let work = if zeroed {
        0
    } else {
        zero(pool, frame.0 as u32, u16::MAX)
    };
    pressure::change_kept(pool, ds, pages - brought, 0);
    let it = pool.arena_mut().get_mut(ds);
    it.pages += brought;
    it.next_page = page + brought;
    Some((frame, work))
}

/// Brings one page that is not part of its group's run, or gives a shared one a frame of its own.
fn single<P: Policy, K: Kernel>(
    pool: &mut Pool<'_, P, K>,
    ds: Ref<Ds>,
    slot: Slot,
    page: u64,
    write: bool,
) -> Result<(FrameNo, u64), NoMemory> {
    let table = page::split(pool, ds, slot)?;
    let index = (page % GROUP) as usize;
    let entry = Page::from_word(pool.arena().get(table)[index]);
    match entry {
        Page::Own(frame) => Ok((frame, 0)),
        Page::Static(frame) if !write => Ok((frame, 0)),
        Page::Shared(record) if !write => Ok((share::frame(pool.arena(), record), 0)),
        Page::Empty => {
            let frame = page::own_frame(pool, ds, true)?;
            pool.arena_mut().get_mut(table)[index] = Page::Own(frame).word();
            let it = pool.arena_mut().get_mut(ds);
            it.pages += 1;
            it.next_page = page + 1;
            Ok((frame, 1))
        }
        Page::Shared(_) | Page::Static(_) => share::unshare(pool, ds, table, index, entry),
    }
}
