//! Single pages: what is there, and taking it away.

use l4_sys::PAGE_SIZE;

use crate::engine::arena::{Arena, Ref, Store};
use crate::engine::kernel::Kernel;
use crate::engine::pool::Pool;
use crate::engine::quota;
use crate::engine::slabs::{self, NoMemory};
use crate::frames::{FrameNo, PageOrder, Policy};

use super::object::Ds;
use super::pressure;
use super::share;
use super::table::{self, Slot};
use super::word::{GROUP, GROUP_SHIFT, Group, Page, Pages, frame_of, runs};

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

/// A frame charged to the dataspace's account, and whether it is zero.
#[inline]
pub(super) fn own_frame<P: Policy, K: Kernel>(
    pool: &mut Pool<'_, P, K>,
    ds: Ref<Ds>,
) -> Result<(FrameNo, bool), NoMemory> {
    let it = pool.arena().get(ds);
    let private = it.private != 0;
    let account = it.account.ok_or(NoMemory)?;
    if !quota::charge(pool.arena_mut(), account, PAGE_SIZE) {
        return Err(NoMemory);
    }
    if private && let Some(frame) = pool.take_again(account, PageOrder::FRAME) {
        return Ok((frame, false));
    }
    let taken = pool.take_one();
    if taken.is_none() {
        slabs::settle(pool, account, PAGE_SIZE);
    }
    taken.ok_or(NoMemory)
}

/// Gives back a frame of [`own_frame`] that was not used.
pub(super) fn take_back<P: Policy, K: Kernel>(
    pool: &mut Pool<'_, P, K>,
    ds: Ref<Ds>,
    frame: FrameNo,
) {
    let it = *pool.arena().get(ds);
    if it.private != 0 {
        pool.give_up(frame, 1);
    } else {
        pool.give_unseen(frame, 1);
    }
    if let Some(account) = it.account {
        slabs::settle(pool, account, PAGE_SIZE);
    }
}

/// Makes a frame, which is charged, page `n` of a group in which the page has none.
pub(super) fn put_own<P: Policy, K: Kernel>(
    pool: &mut Pool<'_, P, K>,
    ds: Ref<Ds>,
    slot: Slot,
    n: u32,
    frame: FrameNo,
) -> Result<(), NoMemory> {
    let word = table::load(pool.arena(), slot);
    let base = (frame.0 as u32).wrapping_sub(n);
    let bits = 1u64 << n | 1 << (n + 16);
    // A run of its own, or one more page of a run.
    if word == 0 || word & 0xffff_0000 != 0 && (word >> 32) as u32 == base {
        let word = u64::from(base) << 32 | word & 0xffff_ffff | bits;
        table::store(pool.arena_mut(), slot, word);
        return Ok(());
    }
    let table = split(pool, ds, slot)?;
    pool.arena_mut().get_mut(table)[n as usize] = Page::Own(frame).word();
    Ok(())
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
    let node = slabs::take(pool, account, size_of::<Pages>())?;
    let arena = pool.arena_mut();
    arena.set_words(node, (0, GROUP as usize), Page::Empty.word(), 0);
    let table = node.cast();
    if let Group::Run { base, kept, used } = Group::from_word(table::load(arena, slot)) {
        let pages = arena.get_mut::<Pages>(table);
        let mut left = used;
        while left != 0 {
            let n = left.trailing_zeros();
            pages[n as usize % GROUP as usize] = Page::Own(frame_of(base, n)).word();
            left &= left - 1;
        }
        let spare = kept & !used;
        if spare != 0 {
            give_spare(pool, ds, (base, spare), true);
            pressure::change_kept(pool, ds, 0, u64::from(spare.count_ones()));
        }
    }
    table::store(pool.arena_mut(), slot, Group::Table(table).word());
    Ok(table)
}

/// Gives back frames of a run that are kept. Nobody has seen them, unless the account had them before.
pub(super) fn give_spare<P: Policy, K: Kernel>(
    pool: &mut Pool<'_, P, K>,
    ds: Ref<Ds>,
    (base, spare): (u32, u16),
    alive: bool,
) {
    let private = pool.arena().get(ds).private != 0;
    for (first, length) in runs(spare) {
        let run = (frame_of(base, first), u64::from(length));
        if private {
            give_own(pool, ds, run, alive);
        } else {
            pool.give_unseen(run.0, run.1);
        }
    }
}

/// Gives up frames of the dataspace's own. When it dies (not `alive`), its account's next dataspace can
/// have them if the account shares nothing.
pub(super) fn give_own<P: Policy, K: Kernel>(
    pool: &mut Pool<'_, P, K>,
    ds: Ref<Ds>,
    (frame, frames): (FrameNo, u64),
    alive: bool,
) {
    let it = pool.arena().get(ds);
    let again = it.account.filter(|account| {
        let account = pool.arena().get(*account);
        !alive && it.private != 0 && account.is_private() && !account.is_closing()
    });
    match again {
        Some(account) => pool.give_again(account, frame, frames),
        None => pool.give_up(frame, frames),
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
            let (mut handled, mut own) = (0, 0);
            for index in (0..GROUP as usize).filter(|n| mask >> n & 1 != 0) {
                let word = core::mem::take(&mut pool.arena_mut().get_mut(table)[index]);
                handled += u64::from(word != 0);
                own += dispose(pool, ds, Page::from_word(word), charged);
            }
            // Together: what is charged is counted in each account above.
            uncharge(pool, ds, own, charged);
            drop_empty(pool, slot, table);
            handled
        }
    }
}

/// Takes away what an entry held that is in no table any more. Gives the number of pages that are to be
/// [uncharged](uncharge).
pub(super) fn dispose<P: Policy, K: Kernel>(
    pool: &mut Pool<'_, P, K>,
    ds: Ref<Ds>,
    page: Page,
    alive: bool,
) -> u64 {
    match page {
        Page::Empty => {}
        Page::Own(frame) => {
            give_own(pool, ds, (frame, 1), alive);
            return 1;
        }
        Page::Static(frame) => pool.forget(frame),
        Page::Shared(record) => share::drop_user(pool, record),
    }
    0
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
    let gone = used & mask;
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
    for (first, length) in runs(gone) {
        let run = (frame_of(base, first), u64::from(length));
        give_own(pool, ds, run, charged);
        handled += 1;
    }
    give_spare(pool, ds, (base, spare), charged);
    pressure::change_kept(pool, ds, 0, u64::from(spare.count_ones()));
    uncharge(pool, ds, pages, charged);
    handled + u64::from(spare != 0)
}

/// Gives back the charge for pages that are gone, unless the dataspace dies: then it has been.
pub(super) fn uncharge<P: Policy, K: Kernel>(
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
