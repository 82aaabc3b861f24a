//! Bringing memory to a page: the slow half of a fault.
//!
//! # How much
//!
//! [`choose`] decides from where the client touched before. The first piece is 16 KiB. A touch beside
//! memory that is there, or just behind the last piece, is sequential use: the next piece is the
//! group, 64 KiB, and doubles each time, up to 2 MiB of memory that was zeroed ahead. Each touch
//! elsewhere quarters the piece, so that sparse use brings single pages after one fault; from there it
//! takes three touches in order to come back to 64 KiB. (A first piece of 64 KiB would save faults,
//! but a client that touches one page in 64 KiB would then look sequential for ever: each of its
//! touches would lie just behind the last piece.) All this is within the account's [`Reach`]. What is
//! brought is charged; if the account has not enough for the piece, the page alone is tried.
//!
//! # Where from
//!
//! A piece comes from a run that is taken for its whole group, so that the group's other pages can
//! follow beside it; the rest is kept (see [`pool`](crate::engine::pool)).
//!
//! # Zeroing
//!
//! At most 64 KiB in a fault. The small first pieces leave some of that over. A fault in sequential
//! use that had nothing to zero zeroes the next 64 KiB, so that, without any memory zeroed ahead,
//! 16 faults bring a MiB from the first one on. A dataspace remembers one range of pages of which what
//! is kept is zero.
//!
//! [`Reach`]: crate::engine::quota::Reach

use l4_sys::{Errno, PAGE_SIZE};

use crate::engine::arena::{Arena, Ref, Store};
use crate::engine::kernel::Kernel;
use crate::engine::pool::Pool;
use crate::engine::quota::{self, Reach};
use crate::engine::slabs::{self, NoMemory};
use crate::frames::{FrameNo, Policy, Run};

use super::object::Ds;
use super::page;
use super::pieces;
use super::share;
use super::table::{self, Slot};
use super::word::{GROUP, GROUP_SHIFT, Group, Page, frame_of};

/// What a fault brought, in a word: it is handed on in a register.
#[derive(Clone, Copy, Debug)]
pub(super) struct Brought(u64);

impl Brought {
    /// The page's frame; frames that were zeroed or copied, at most 16; whether the page is to be
    /// mapped alone: if not, there may be more around it.
    pub(super) fn new(frame: FrameNo, work: u32, alone: bool) -> Self {
        Brought(frame.0 << 32 | u64::from(work) << 1 | u64::from(alone))
    }

    pub(super) fn frame(self) -> FrameNo {
        FrameNo(self.0 >> 32)
    }

    pub(super) fn work(self) -> u64 {
        u64::from(self.0 as u32 >> 1)
    }

    pub(super) fn alone(self) -> bool {
        self.0 & 1 != 0
    }
}

/// Makes sure that `page`, which is below the end, has memory of its own (`write`) or any memory.
/// Makes memory free if it must.
///
/// # Errors
///
/// `NoMem`: nothing has changed but nodes of the table that were made.
#[inline(never)]
pub(super) fn bring<P: Policy, K: Kernel>(
    pool: &mut Pool<'_, P, K>,
    ds: Ref<Ds>,
    page: u64,
    write: bool,
) -> Result<Brought, Errno> {
    loop {
        let slot = table::ensure(pool, ds, page >> GROUP_SHIFT);
        match slot.and_then(|slot| bring_once(pool, ds, slot, page, write)) {
            Ok(brought) => {
                pool.arena_mut().get_mut(ds).note_use();
                return Ok(brought);
            }
            Err(NoMemory) if within_quota(pool, ds) && pool.relieve() => {}
            Err(NoMemory) => return Err(Errno::NoMem),
        }
    }
}

/// [`Ds::quick`]: a touch beside nothing brings a single page.
pub(super) const ALONE: u8 = 1;
/// [`Ds::quick`]: every touch brings a single page.
pub(super) const ALWAYS_ALONE: u8 = 2;
/// [`Ds::quick`]: only touches of groups whose pages lie scattered are known to bring a single page.
const IN_TABLES: u8 = 3;

impl Ds {
    /// Decides whether [`sparse`] can be used from now on.
    pub(super) fn note_use(&mut self) {
        self.quick = match self.reach.most() {
            _ if self.private != 0 || self.account.is_none() => 0,
            0 => ALWAYS_ALONE,
            _ if self.grow <= 2 && self.reach.least() == 0 => ALONE,
            _ => IN_TABLES,
        };
    }
}

/// The short way of [`bring`]: a page that is brought alone, as [`bring_once`] would, from a frame that
/// is at hand. Gives it and how many frames were zeroed. `None`, and nothing has changed, when it is
/// anything else. `slot` has the word `word`.
#[inline(always)]
pub(super) fn sparse<P: Policy, K: Kernel>(
    pool: &mut Pool<'_, P, K>,
    ds: Ref<Ds>,
    slot: Slot,
    word: u64,
    page: u64,
) -> Option<(FrameNo, u64)> {
    let arena = pool.arena_mut();
    let it = arena.get(ds);
    let n = (page % GROUP) as u32;
    let quick = it.quick;
    let table = match Group::from_word(word) {
        Group::Run { kept, used, .. } => {
            let near = u32::from(used) << 1 >> n & 0b101 != 0;
            let alone =
                quick == ALONE && page != it.next_page && !near && !beside(arena, it, slot, page)?;
            if kept >> n & 1 != 0 || !alone && quick != ALWAYS_ALONE {
                return None;
            }
            return one_more(pool, ds, slot, page);
        }
        Group::Table(table) => {
            if quick == 0 || arena.get(table)[n as usize] != 0 {
                return None;
            }
            Some(table)
        }
        Group::Empty => {
            let alone = quick == ALONE && page != it.next_page && !beside(arena, it, slot, page)?;
            if !alone && quick != ALWAYS_ALONE {
                return None;
            }
            None
        }
    };
    let account = it.account?;
    if !quota::charge(arena, account, PAGE_SIZE) {
        return None;
    }
    let Some((frame, zeroed)) = pool.take_one() else {
        slabs::settle(pool, account, PAGE_SIZE);
        return None;
    };
    let arena = pool.arena_mut();
    if let Some(table) = table {
        arena.get_mut(table)[n as usize] = Page::Own(frame).word();
    } else {
        let base = (frame.0 as u32).wrapping_sub(n);
        let word = u64::from(base) << 32 | 0x1_0001 << n;
        table::store(arena, slot, word);
        arena.get_mut(ds).grow = 0;
    }
    let it = arena.get_mut(ds);
    it.pages += 1;
    it.next_page = page + 1;
    if zeroed {
        return Some((frame, 0));
    }
    Some((frame, zero(pool, frame, 1).into()))
}

/// The rest of [`sparse`] for a page that is to be one more of a group's run, or no part of it.
#[inline(never)]
fn one_more<P: Policy, K: Kernel>(
    pool: &mut Pool<'_, P, K>,
    ds: Ref<Ds>,
    slot: Slot,
    page: u64,
) -> Option<(FrameNo, u64)> {
    let (frame, zeroed) = page::own_frame(pool, ds).ok()?;
    if page::put_own(pool, ds, slot, (page % GROUP) as u32, frame).is_err() {
        page::take_back(pool, ds, frame);
        return None;
    }
    let it = pool.arena_mut().get_mut(ds);
    it.pages += 1;
    it.next_page = page + 1;
    it.grow = 0;
    let work = if zeroed { 0 } else { zero(pool, frame, 1) };
    Some((frame, work.into()))
}

/// Whether the page before or behind is there, of whose group there is nothing. `None` when it takes
/// more to find out.
#[inline(always)]
fn beside(arena: &Arena, it: &Ds, slot: Slot, page: u64) -> Option<bool> {
    let n = page % GROUP;
    // Pages in the middle of a group have no neighbours in another.
    if (n + 1) % GROUP > 1 {
        return Some(false);
    }
    beside_group(arena, it, slot, page)
}

#[inline(never)]
fn beside_group(arena: &Arena, it: &Ds, slot: Slot, page: u64) -> Option<bool> {
    if it.depth == 0 {
        return None;
    }
    let (index, n) = match page % GROUP {
        0 => (slot.index.checked_sub(1)?, GROUP - 1),
        _ if slot.index < 63 && page + 1 < it.page_count() => (slot.index + 1, 0),
        _ => return None,
    };
    Some(match Group::from_word(arena.word(slot.node, index)) {
        Group::Empty => false,
        Group::Run { used, .. } => used >> n & 1 != 0,
        Group::Table(table) => arena.get(table)[n as usize] != 0,
    })
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
) -> Result<Brought, NoMemory> {
    let n = (page % GROUP) as u32;
    match Group::from_word(table::load(pool.arena(), slot)) {
        Group::Run { base, used, .. } if used >> n & 1 != 0 => {
            Ok(Brought::new(frame_of(base, n), 0, false))
        }
        Group::Run { base, kept, used } => {
            let order = choose(pool, ds, page, used);
            if kept >> n & 1 == 0 {
                return single(pool, ds, slot, page, write);
            }
            pieces::use_kept(pool, ds, slot, page, (base, kept, used), order)
        }
        Group::Empty => {
            let order = choose(pool, ds, page, 0);
            pieces::fresh(pool, ds, slot, page, order)
        }
        Group::Table(_) => single(pool, ds, slot, page, write),
    }
}

/// Decides how much is brought: an order of pages. `used` are the pages of its group that are there.
/// Changes the dataspace's memory of its use.
pub(super) fn choose<P: Policy, K: Kernel>(
    pool: &mut Pool<'_, P, K>,
    ds: Ref<Ds>,
    page: u64,
    used: u16,
) -> u8 {
    let it = pool.arena().get(ds);
    let (grow, reach) = (it.grow, it.reach);
    let group = GROUP_SHIFT as u8;
    let grow = if it.pages == 0 && it.kept == 0 {
        grow
    } else if page == it.next_page || has_neighbour(pool.arena(), ds, page, used) {
        if grow < 2 {
            grow + 1
        } else {
            (grow + 1).max(group)
        }
    } else {
        grow.min(group).saturating_sub(2)
    };
    let grow = grow.max(reach.least()).min(reach.most()).min(Reach::MAX);
    pool.arena_mut().get_mut(ds).grow = grow;
    grow
}

/// Whether the page before or behind is there.
fn has_neighbour(arena: &Arena, ds: Ref<Ds>, page: u64, used: u16) -> bool {
    let n = (page % GROUP) as u32;
    let pages = u32::from(used) << 1;
    // As in `beside`.
    if pages >> n & 0b101 != 0 {
        return true;
    }
    n == 0 && page > 0 && page::is_there(arena, ds, page - 1)
        || n == GROUP as u32 - 1 && page::is_there(arena, ds, page + 1)
}

/// Zeroes frames that were just taken; gives how many.
#[inline]
pub(super) fn zero<P: Policy, K: Kernel>(
    pool: &mut Pool<'_, P, K>,
    start: FrameNo,
    frames: u32,
) -> u32 {
    if let Some(run) = Run::new(start, frames.into()) {
        pool.zero_now(run);
    }
    frames
}

/// Brings one page that is not part of its group's run, or gives a shared one a frame of its own.
fn single<P: Policy, K: Kernel>(
    pool: &mut Pool<'_, P, K>,
    ds: Ref<Ds>,
    slot: Slot,
    page: u64,
    write: bool,
) -> Result<Brought, NoMemory> {
    let n = (page % GROUP) as u32;
    let entry = page::look_in(pool.arena(), slot, page);
    let (frame, work) = match entry {
        Page::Own(frame) => (frame, 0),
        Page::Static(frame) if !write => (frame, 0),
        Page::Shared(record) if !write => (share::frame(pool.arena(), record), 0),
        Page::Empty => {
            let (frame, zeroed) = page::own_frame(pool, ds)?;
            if page::put_own(pool, ds, slot, n, frame).is_err() {
                page::take_back(pool, ds, frame);
                return Err(NoMemory);
            }
            let it = pool.arena_mut().get_mut(ds);
            it.pages += 1;
            it.next_page = page + 1;
            (frame, if zeroed { 0 } else { zero(pool, frame, 1) })
        }
        Page::Shared(_) | Page::Static(_) => {
            let table = page::split(pool, ds, slot)?;
            share::unshare(pool, ds, table, n as usize, entry)?
        }
    };
    Ok(Brought::new(frame, work, true))
}
