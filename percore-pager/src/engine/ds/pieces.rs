//! Pieces of several pages: from a run that is kept, from a fresh one, ahead of a sequential client.

use l4_sys::PAGE_SIZE;

use crate::engine::arena::{Ref, Store};
use crate::engine::kernel::Kernel;
use crate::engine::pool::Pool;
use crate::engine::quota::{self, Account, Reach};
use crate::engine::slabs::{self, NoMemory};
use crate::frames::{FrameNo, PageOrder, Policy};

use super::object::Ds;
use super::populate::{Brought, zero};
use super::pressure;
use super::table::{self, Slot};
use super::word::{GROUP, GROUP_SHIFT, Group, frame_of, runs};

/// A group is 64 KiB.
const RUN: PageOrder = match PageOrder::new(GROUP_SHIFT) {
    Some(order) => order,
    None => PageOrder::FRAME,
};
/// From this order on, whole 2 MiB blocks are taken where they fit, zeroed or not.
pub(super) const BLOCK_FROM: u8 = 6;
/// The first touch of a dataspace with so many pages, if it is the first page's, zeroes a whole group.
const LONG: u64 = 4 * GROUP;
/// A full group that follows another has its word and, in the base, 16 frames more.
const STEP: u64 = GROUP << 32;

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

/// Zeroes the pages of `mask` in a group's run; gives how many.
fn zero_mask<P: Policy, K: Kernel>(pool: &mut Pool<'_, P, K>, base: u32, mask: u16) -> u32 {
    for (first, length) in runs(mask) {
        zero(pool, frame_of(base, first), length);
    }
    mask.count_ones()
}

impl Ds {
    /// Pages of the group of `page` of which what is kept is zero.
    fn zero_in(&self, page: u64) -> u16 {
        let first = page & !(GROUP - 1);
        let from = self.zero_from.max(first) - first;
        let to = (self.zero_from + u64::from(self.zero_pages)).min(first + GROUP);
        match to.checked_sub(first + from) {
            None | Some(0) => 0,
            Some(pages) => (((1u32 << pages) - 1) << from) as u16,
        }
    }

    /// Pages from `first` on have frames that nobody has seen; `zeroed`: and that are zero.
    fn note_kept(&mut self, first: u64, pages: u64, zeroed: bool) {
        let end = self.zero_from + u64::from(self.zero_pages);
        if zeroed {
            if end != first || self.zero_pages > u32::MAX / 2 {
                (self.zero_from, self.zero_pages) = (first, 0);
            }
            self.zero_pages += pages as u32;
        } else if first < end && self.zero_from < first + pages {
            self.zero_pages = 0;
        }
    }

    /// Remembers that pages were brought, the last of them before `next`.
    fn note_brought(&mut self, pages: u32, next: u64) {
        self.pages += u64::from(pages);
        self.next_page = next;
    }
}

/// The page behind the last of `mask` in the group of `page`.
fn behind(page: u64, mask: u16) -> u64 {
    (page & !(GROUP - 1)) + u64::from(u16::BITS - mask.leading_zeros())
}

/// Uses pages of a run that is kept.
pub(super) fn use_kept<P: Policy, K: Kernel>(
    pool: &mut Pool<'_, P, K>,
    ds: Ref<Ds>,
    slot: Slot,
    page: u64,
    (base, kept, used): (u32, u16, u16),
    order: u8,
) -> Result<Brought, NoMemory> {
    let n = (page % GROUP) as u32;
    let it = pool.arena().get(ds);
    let zeroed = it.zero_in(page);
    let account = it.account.ok_or(NoMemory)?;
    // Pages of the run that are there already may lie in the piece.
    let mask = piece(n, order, |mask| kept & mask == mask) & !used;
    let mask = charge(pool, account, mask, n)?;
    let mut work = zero_mask(pool, base, mask & !zeroed);
    let used = used | mask;
    let word = Group::Run { base, kept, used }.word();
    table::store(pool.arena_mut(), slot, word);
    let pages = mask.count_ones();
    pressure::change_kept(pool, ds, 0, u64::from(pages));
    let it = pool.arena_mut().get_mut(ds);
    it.note_brought(pages, behind(page, mask));
    if used == u16::MAX && work == 0 && u32::from(order) >= GROUP_SHIFT {
        work = go_on(pool, ds, slot, page, word, order);
    }
    Ok(Brought::new(frame_of(base, n), work, false))
}

/// The second half of a fault in sequential use that had nothing to zero: the group behind. If it makes
/// a larger flexpage with the one that was just filled, whose word is `word`, it is brought, too;
/// otherwise it is zeroed for the next fault. Gives how many frames were zeroed.
fn go_on<P: Policy, K: Kernel>(
    pool: &mut Pool<'_, P, K>,
    ds: Ref<Ds>,
    slot: Slot,
    page: u64,
    word: u64,
    order: u8,
) -> u32 {
    let it = *pool.arena().get(ds);
    let (first, index) = ((page | (GROUP - 1)) + 1, slot.index + 1);
    let groups = (it.page_count() - first.min(it.page_count())) >> GROUP_SHIFT;
    let most = u32::from(it.reach.most());
    // The group must be in the same leaf, and there is no point in it if others zero ahead.
    if it.depth == 0 || index >= 64 || groups == 0 || most < GROUP_SHIFT || pool.has_zeroed(RUN) {
        return 0;
    }
    let Some(account) = it.account else { return 0 };
    let next = Slot { index, ..slot };
    match Group::from_word(table::load(pool.arena(), next)) {
        Group::Run {
            base,
            kept: u16::MAX,
            used: 0,
        } => {
            let zeroed = it.zero_in(first);
            let work = zero_mask(pool, base, !zeroed);
            let pair = slot.index.is_multiple_of(2)
                && u32::from(order).min(most) > GROUP_SHIFT
                && base == ((word >> 32) as u32).wrapping_add(GROUP as u32);
            if pair && quota::charge(pool.arena_mut(), account, GROUP * PAGE_SIZE) {
                table::store(pool.arena_mut(), next, word.wrapping_add(STEP));
                pressure::change_kept(pool, ds, 0, GROUP);
                let it = pool.arena_mut().get_mut(ds);
                it.note_brought(GROUP as u32, first + GROUP);
            } else if work > 0 {
                pool.arena_mut().get_mut(ds).note_kept(first, GROUP, true);
            }
            work
        }
        Group::Empty => {
            let behind = Slot {
                index: index + 1,
                ..slot
            };
            let pair = index.is_multiple_of(2)
                && groups > 1
                && table::load(pool.arena(), behind) == 0
                && pool.may_keep(2 * GROUP);
            let order = PageOrder::new(GROUP_SHIFT + u32::from(pair)).unwrap_or(RUN);
            if !pool.may_keep(GROUP) {
                return 0;
            }
            let Ok((frame, _)) = pool.take(order) else {
                return 0;
            };
            let kept = Group::Run {
                base: frame.0 as u32,
                kept: u16::MAX,
                used: 0,
            };
            let range = (index, index + 1 + usize::from(pair));
            let arena = pool.arena_mut();
            arena.set_words(slot.node, range, kept.word(), STEP);
            let it = arena.get_mut(ds);
            it.note_kept(first, order.frames().into(), false);
            it.note_kept(first, GROUP, true);
            pressure::change_kept(pool, ds, order.frames().into(), 0);
            zero(pool, frame, GROUP as u32)
        }
        _ => 0,
    }
}

/// Brings the first pages of a group.
pub(super) fn fresh<P: Policy, K: Kernel>(
    pool: &mut Pool<'_, P, K>,
    ds: Ref<Ds>,
    slot: Slot,
    page: u64,
    order: u8,
) -> Result<Brought, NoMemory> {
    if u32::from(order) > GROUP_SHIFT
        && let Some(done) = large(pool, ds, slot, page, order)
    {
        return Ok(done);
    }
    let n = (page % GROUP) as u32;
    let it = pool.arena().get(ds);
    let account = it.account.ok_or(NoMemory)?;
    let there = pages_of_group(it, page);
    // A client that begins at the start of something long goes on, as a rule.
    let long = page == 0 && it.pages == 0 && order >= 2 && it.page_count() >= LONG;
    let private = it.private != 0;
    let mask = piece(n, order, |mask| there & mask == mask);
    let mask = charge(pool, account, mask, n)?;
    match take_for(pool, private.then_some(account), mask, there) {
        Ok((base, kept, zeroed)) => {
            let some = if long { kept } else { mask };
            let work = if zeroed {
                0
            } else {
                zero_mask(pool, base, some)
            };
            let group = Group::Run {
                base,
                kept,
                used: mask,
            };
            table::store(pool.arena_mut(), slot, group.word());
            let rest = u64::from((kept & !mask).count_ones());
            pressure::change_kept(pool, ds, rest, 0);
            let it = pool.arena_mut().get_mut(ds);
            if rest > 0 {
                it.note_kept(page & !(GROUP - 1), GROUP, zeroed || long);
            }
            it.note_brought(mask.count_ones(), behind(page, mask));
            Ok(Brought::new(
                frame_of(base, n),
                work,
                mask.is_power_of_two(),
            ))
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
    private: Option<Ref<Account>>,
    mask: u16,
    there: u16,
) -> Result<(u32, u16, bool), NoMemory> {
    let brought = mask.count_ones();
    let whole = there == u16::MAX && pool.may_keep(GROUP - u64::from(brought));
    if brought > 1 && whole {
        if let Some(frame) = private.and_then(|account| pool.take_again(account, RUN)) {
            return Ok((frame.0 as u32, u16::MAX, false));
        }
        if let Ok((frame, zeroed)) = pool.take(RUN) {
            return Ok((frame.0 as u32, u16::MAX, zeroed));
        }
    }
    let order = PageOrder::holding(brought).ok_or(NoMemory)?;
    let again = private.and_then(|account| pool.take_again(account, order));
    let (frame, zeroed) = match again {
        Some(frame) => (frame, false),
        None => pool.take(order)?,
    };
    let base = (frame.0 as u32).wrapping_sub(mask.trailing_zeros());
    Ok((base, mask, zeroed))
}

/// Takes a run of several groups around `page`, where all of them are empty. A zeroed run is used at
/// once; of one that is not, the page's 64 KiB are, and the rest is kept.
fn large<P: Policy, K: Kernel>(
    pool: &mut Pool<'_, P, K>,
    ds: Ref<Ds>,
    slot: Slot,
    page: u64,
    order: u8,
) -> Option<Brought> {
    let it = *pool.arena().get(ds);
    let least = u32::from(it.reach.least());
    let block = order >= BLOCK_FROM
        && it.reach.most() == Reach::MAX
        && page.is_multiple_of(1 << Reach::MAX);
    let aligned = page.trailing_zeros().min(u32::from(order));
    let mut order = if block {
        u32::from(Reach::MAX)
    } else {
        aligned.max(least)
    };
    // All of it below the end.
    while order > GROUP_SHIFT && (page >> order << order) + (1 << order) > it.page_count() {
        order -= 1;
    }
    if order <= GROUP_SHIFT || it.depth == 0 {
        return None;
    }
    let pages = 1u64 << order;
    let from = page & !(pages - 1);
    let may_be_dirty =
        (block && order == u32::from(Reach::MAX) || order <= least) && pool.may_keep(pages - GROUP);
    let size = PageOrder::new(order)?;
    // The leaf is larger than the largest run, and both are aligned.
    let groups = 1usize << (order - GROUP_SHIFT);
    let first = slot.index & !(groups - 1);
    let range = (first, first + groups);
    let leaf = slot.node;
    if !may_be_dirty && !pool.has_zeroed(size) || !pool.arena().words_rise(leaf, range, 0, 0) {
        return None;
    }
    let account = it.account?;
    let own = Some(account).filter(|_| it.private != 0);
    let again = own.and_then(|account| pool.take_again(account, size));
    let (start, zeroed) = match again {
        Some(start) => (start, false),
        None => pool.take(size).ok()?,
    };
    let all = zeroed && quota::charge(pool.arena_mut(), account, pages * PAGE_SIZE);
    let some = all || may_be_dirty && quota::charge(pool.arena_mut(), account, GROUP * PAGE_SIZE);
    if !some {
        match again {
            Some(_) => pool.give_again(account, start, pages),
            None => pool.give_unseen(start, pages),
        }
        return None;
    }
    let group = Group::Run {
        base: start.0 as u32,
        kept: u16::MAX,
        used: if all { u16::MAX } else { 0 },
    };
    let arena = pool.arena_mut();
    arena.set_words(leaf, range, group.word(), STEP);
    let frame = FrameNo(start.0 + (page - from));
    let mut work = 0;
    if !all {
        let base = (start.0 + ((page & !(GROUP - 1)) - from)) as u32;
        let group = Group::Run {
            base,
            kept: u16::MAX,
            used: u16::MAX,
        };
        table::store(arena, slot, group.word());
        arena.get_mut(ds).note_kept(from, pages, zeroed);
        if !zeroed {
            work = zero_mask(pool, base, u16::MAX);
        }
        pressure::change_kept(pool, ds, pages - GROUP, 0);
    }
    let it = pool.arena_mut().get_mut(ds);
    match all {
        true => it.note_brought(pages as u32, from + pages),
        false => it.note_brought(GROUP as u32, (page | (GROUP - 1)) + 1),
    }
    Some(Brought::new(frame, work, false))
}
