//! Single pages: what is there, and taking it away.

use l4_sys::PAGE_SIZE;

use crate::engine::arena::{Arena, Ref, Store};
use crate::engine::kernel::Kernel;
use crate::engine::pool::Pool;
use crate::engine::quota;
use crate::engine::slabs::{self, NoMemory};
use crate::frames::{FrameNo, PageOrder, Policy, Run};

use super::object::Ds;
use super::pressure;
use super::share;
use super::table::{self, Slot};
use super::word::{GROUP, GROUP_SHIFT, Group, Page, Pages, frame_of};

/// The group of `page` and its slot, if there is one.
#[inline]
pub(super) fn group_of(arena: &Arena, ds: Ref<Ds>, page: u64) -> Option<(Slot, Group)> {
    let slot = table::find(arena, ds, page >> GROUP_SHIFT)?;
    Some((slot, Group::from_word(table::load(arena, slot))))
}

/// What `page` of an on-demand dataspace is.
pub(super) fn look(arena: &Arena, ds: Ref<Ds>, page: u64) -> Page {
    match table::find(arena, ds, page >> GROUP_SHIFT) {
        Some(slot) => look_in(arena, slot, page),
        None => Page::Empty,
    }
}

/// The same when the group's slot is known.
#[inline]
pub(super) fn look_in(arena: &Arena, slot: Slot, page: u64) -> Page {
    let n = (page % GROUP) as u32;
    match Group::from_word(table::load(arena, slot)) {
        Group::Run { base, used, .. } if used >> n & 1 != 0 => Page::Own(frame_of(base, n)),
        Group::Table(table) => Page::from_word(arena.get(table)[n as usize]),
        _ => Page::Empty,
    }
}

/// Whether `page`, which may be behind the end, has memory.
pub(super) fn is_there(arena: &Arena, ds: Ref<Ds>, page: u64) -> bool {
    page < arena.get(ds).page_count() && look(arena, ds, page) != Page::Empty
}

/// A frame charged to the dataspace's account; with `zero` it is zeroed, otherwise the caller
/// overwrites all of it.
pub(super) fn own_frame<P: Policy, K: Kernel>(
    pool: &mut Pool<'_, P, K>,
    ds: Ref<Ds>,
    zero: bool,
) -> Result<FrameNo, NoMemory> {
    let account = pool.arena().get(ds).account.ok_or(NoMemory)?;
    if !quota::charge(pool.arena_mut(), account, PAGE_SIZE) {
        return Err(NoMemory);
    }
    match pool.take(PageOrder::FRAME) {
        Ok((frame, zeroed)) => {
            if let Some(run) = Run::new(frame, 1).filter(|_| zero && !zeroed) {
                pool.zero_now(run);
            }
            Ok(frame)
        }
        Err(NoMemory) => {
            slabs::settle(pool, account, PAGE_SIZE);
            Err(NoMemory)
        }
    }
}

/// Makes a table of single pages of a group; what of its run is kept and not used is given back.
pub(super) fn split<P: Policy, K: Kernel>(
    pool: &mut Pool<'_, P, K>,
    ds: Ref<Ds>,
    slot: Slot,
) -> Result<Ref<Pages>, NoMemory> {
    if let Group::Table(table) = Group::from_word(table::load(pool.arena(), slot)) {
        return Ok(table);
    }
    let account = pool.arena().get(ds).account.ok_or(NoMemory)?;
    let table = slabs::put(pool, account, [Page::Empty.word(); GROUP as usize])?;
    if let Group::Run { base, kept, used } = Group::from_word(table::load(pool.arena(), slot)) {
        let pages = pool.arena_mut().get_mut(table);
        for (n, page) in pages.iter_mut().enumerate() {
            if used >> n & 1 != 0 {
                *page = Page::Own(frame_of(base, n as u32)).word();
            }
        }
        let spare = kept & !used;
        give_spare(pool, base, spare);
        pressure::change_kept(pool, ds, 0, u64::from(spare.count_ones()));
    }
    table::store(pool.arena_mut(), slot, Group::Table(table).word());
    Ok(table)
}

/// Gives back frames of a run that nobody has seen.
pub(super) fn give_spare<P: Policy, K: Kernel>(
    pool: &mut Pool<'_, P, K>,
    base: u32,
    mut spare: u16,
) {
    while spare != 0 {
        let first = spare.trailing_zeros();
        let length = (spare >> first).trailing_ones();
        pool.give_unseen(frame_of(base, first), u64::from(length));
        spare &= !((((1u32 << length) - 1) << first) as u16);
    }
}

/// Takes the memory of the pages of `mask` away from a group. With `charged`, the pages are charged
/// one by one; a dataspace that dies has been given everything back at once. Gives the number of
/// pieces handled.
pub(super) fn drop_pages<P: Policy, K: Kernel>(
    pool: &mut Pool<'_, P, K>,
    ds: Ref<Ds>,
    slot: Slot,
    mask: u16,
    charged: bool,
) -> u64 {
    match Group::from_word(table::load(pool.arena(), slot)) {
        Group::Empty => 0,
        Group::Run { base, kept, used } => {
            drop_run(pool, ds, slot, (base, kept, used), mask, charged)
        }
        Group::Table(table) => {
            let mut handled = 0;
            for index in (0..GROUP as usize).filter(|n| mask >> n & 1 != 0) {
                let word = core::mem::take(&mut pool.arena_mut().get_mut(table)[index]);
                handled += u64::from(word != 0);
                dispose(pool, ds, Page::from_word(word), charged);
            }
            drop_empty(pool, slot, table);
            handled
        }
    }
}

/// Takes away what an entry held that is in no table any more.
pub(super) fn dispose<P: Policy, K: Kernel>(
    pool: &mut Pool<'_, P, K>,
    ds: Ref<Ds>,
    page: Page,
    charged: bool,
) {
    match page {
        Page::Empty => {}
        Page::Own(frame) => {
            pool.give_up(frame, 1);
            uncharge(pool, ds, 1, charged);
        }
        Page::Static(frame) => pool.forget(frame),
        Page::Shared(record) => share::drop_user(pool, record),
    }
}

/// Frees a table that has become empty.
pub(super) fn drop_empty<P: Policy, K: Kernel>(
    pool: &mut Pool<'_, P, K>,
    slot: Slot,
    table: Ref<Pages>,
) {
    if *pool.arena().get(table) == [0; GROUP as usize] {
        table::store(pool.arena_mut(), slot, Group::Empty.word());
        slabs::free(pool, table);
    }
}

fn drop_run<P: Policy, K: Kernel>(
    pool: &mut Pool<'_, P, K>,
    ds: Ref<Ds>,
    slot: Slot,
    (base, kept, used): (u32, u16, u16),
    mask: u16,
    charged: bool,
) -> u64 {
    let mut handled = 0;
    let mut gone = used & mask;
    // Of a run of which no used page is left, nothing is kept.
    let left = used & !mask;
    let spare = if left == 0 {
        kept & !used
    } else {
        kept & !used & mask
    };
    let pages = u64::from(gone.count_ones());
    let still = kept & !(gone | spare);
    table::store(
        pool.arena_mut(),
        slot,
        Group::Run {
            base,
            kept: still,
            used: left,
        }
        .word(),
    );
    while gone != 0 {
        let first = gone.trailing_zeros();
        let length = (gone >> first).trailing_ones();
        pool.give_up(frame_of(base, first), u64::from(length));
        gone &= !((((1u32 << length) - 1) << first) as u16);
        handled += 1;
    }
    give_spare(pool, base, spare);
    pressure::change_kept(pool, ds, 0, u64::from(spare.count_ones()));
    uncharge(pool, ds, pages, charged);
    handled + u64::from(spare != 0)
}

fn uncharge<P: Policy, K: Kernel>(
    pool: &mut Pool<'_, P, K>,
    ds: Ref<Ds>,
    pages: u64,
    charged: bool,
) {
    if pages == 0 || !charged {
        return;
    }
    let it = pool.arena_mut().get_mut(ds);
    it.pages -= pages;
    if let Some(account) = it.account {
        slabs::settle(pool, account, pages * PAGE_SIZE);
    }
}
