//! Making dataspaces.

use l4_sys::{Errno, PAGE_SHIFT, PAGE_SIZE};

use crate::engine::arena::{Ref, Store};
use crate::engine::kernel::Kernel;
use crate::engine::pool::Pool;
use crate::engine::quota::{self, Account};
use crate::engine::slabs::{self, NoMemory};
use crate::frames::{FrameNo, PageOrder, Policy, Run};

use super::object::{Ds, Kind, flag};
use super::table;

/// Frames that one turn may zero.
pub(super) const TURN_FRAMES: u64 = 16;

/// Alignment of a contiguous dataspace: 4 KiB to 1 GiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContiguousAlign(u8);

impl ContiguousAlign {
    /// `log2` of the alignment as a client asked for it: less than a page is a page, more than
    /// 1 GiB is refused, never cut off (BUG-04). `superpage` asks for 2 MiB at least.
    ///
    /// # Errors
    ///
    /// `NoMem`.
    pub fn new(log2: u64, superpage: bool) -> Result<Self, Errno> {
        let least = if superpage {
            l4_sys::SUPERPAGE_SHIFT
        } else {
            PAGE_SHIFT
        };
        let log2 = log2.max(u64::from(least));
        if log2 > u64::from(l4_sys::GIGAPAGE_SHIFT) {
            return Err(Errno::NoMem);
        }
        Ok(ContiguousAlign(log2 as u8))
    }
}

/// An on-demand dataspace of `size` bytes, which need not fit memory or quota (MOE-FAC-19).
///
/// # Errors
///
/// `Range` size 0; `NoMem`, also above 8 TiB.
pub fn create_on_demand<P: Policy, K: Kernel>(
    pool: &mut Pool<'_, P, K>,
    account: Ref<Account>,
    size: u64,
) -> Result<Ref<Ds>, Errno> {
    if size == 0 {
        return Err(Errno::Range);
    }
    let mut ds = Ds::new(
        Kind::OnDemand,
        Some(account),
        size,
        flag::RIGHTS | flag::COW,
    );
    ds.depth = table::depth_for(size.div_ceil(PAGE_SIZE)).ok_or(Errno::NoMem)?;
    ds.root_shift = table::root_shift(ds.depth);
    let it = pool.arena().get(account);
    ds.private = it.is_private().into();
    ds.reach = it.reach().unwrap_or_else(|| pool.reach());
    ds.grow = ds.reach.start();
    slabs::put(pool, account, ds).map_err(|_| Errno::NoMem)
}

/// A contiguous dataspace of `size` bytes. Its memory is charged and taken now, and must be zeroed by
/// [`zero_some`] before anybody gets the object. Above 1 GiB it begins at a boundary of 1 GiB, and
/// looking for a place takes a few steps for each GiB of memory.
///
/// # Errors
///
/// `Range` size 0; `NoMem`.
pub fn create_contiguous<P: Policy, K: Kernel>(
    pool: &mut Pool<'_, P, K>,
    account: Ref<Account>,
    size: u64,
    align: ContiguousAlign,
) -> Result<Ref<Ds>, Errno> {
    if size == 0 {
        return Err(Errno::Range);
    }
    let unit = 1u64 << align.0;
    let bytes = size.checked_next_multiple_of(unit).ok_or(Errno::NoMem)?;
    let order = PageOrder::new(u32::from(align.0) - PAGE_SHIFT).ok_or(Errno::NoMem)?;
    let frames = bytes >> PAGE_SHIFT;
    let mut ds = Ds::new(Kind::Contiguous, Some(account), size, flag::RIGHTS);
    ds.resize(size, align.0);
    let object = slabs::put(pool, account, ds).map_err(|_| Errno::NoMem)?;
    match take_charged(pool, account, frames, order) {
        Ok(run) => {
            pool.arena_mut().get_mut(object).root = run.start().0;
            Ok(object)
        }
        Err(NoMemory) => {
            slabs::free(pool, object);
            Err(Errno::NoMem)
        }
    }
}

/// A contiguous dataspace of what can be had in one run, but for `but` bytes: of the lesser of the
/// account's rest and the free memory, rounded down to the alignment (MOE-FAC-18). At most 1 GiB.
/// Its size is that of its memory; see [`create_contiguous`] for what must follow.
///
/// # Errors
///
/// `NoMem` nothing is left.
pub fn create_contiguous_but<P: Policy, K: Kernel>(
    pool: &mut Pool<'_, P, K>,
    account: Ref<Account>,
    but: u64,
    align: ContiguousAlign,
) -> Result<Ref<Ds>, Errno> {
    let order = PageOrder::new(u32::from(align.0) - PAGE_SHIFT).ok_or(Errno::NoMem)?;
    let ds = Ds::new(Kind::Contiguous, Some(account), 1, flag::RIGHTS);
    let object = slabs::put(pool, account, ds).map_err(|_| Errno::NoMem)?;
    let rest = pool.arena().get(account).room();
    let most = rest.min(pool.available()).saturating_sub(but) >> align.0;
    let mut units = most.min(1 << (l4_sys::GIGAPAGE_SHIFT - u32::from(align.0)));
    // All of it if it is one run, otherwise the largest power of two that is.
    while units > 0 {
        let it = pool.arena_mut().get_mut(object);
        it.resize(units << align.0, align.0);
        let frames = units << align.0 >> PAGE_SHIFT;
        if let Ok(run) = take_charged(pool, account, frames, order) {
            pool.arena_mut().get_mut(object).root = run.start().0;
            return Ok(object);
        }
        if pool.is_short() {
            // There will be more in a later turn.
            break;
        }
        units = if units.is_power_of_two() {
            units / 2
        } else {
            1 << units.ilog2()
        };
    }
    slabs::free(pool, object);
    Err(Errno::NoMem)
}

fn take_charged<P: Policy, K: Kernel>(
    pool: &mut Pool<'_, P, K>,
    account: Ref<Account>,
    frames: u64,
    order: PageOrder,
) -> Result<Run, NoMemory> {
    let bytes = frames << PAGE_SHIFT;
    if !quota::charge(pool.arena_mut(), account, bytes) {
        return Err(NoMemory);
    }
    let run = pool.take_run(frames, order);
    if run.is_err() {
        slabs::settle(pool, account, bytes);
    }
    run
}

/// Zeroes a turn's worth of a contiguous dataspace that was just made; `true` when all is zero.
pub fn zero_some<P: Policy, K: Kernel>(pool: &mut Pool<'_, P, K>, ds: Ref<Ds>) -> bool {
    let it = *pool.arena().get(ds);
    if it.kind() != Kind::Contiguous {
        return true;
    }
    let left = it.page_count() - it.pages;
    let now = left.min(TURN_FRAMES);
    if let Some(run) = Run::new(FrameNo(it.root + it.pages), now) {
        pool.zero_now(run);
        pool.arena_mut().get_mut(ds).pages += now;
    }
    left == now
}

/// A dataspace over memory that is not the engine's and stays: `run` has at least `size` bytes, at
/// least 1. The object itself is charged to `account`.
///
/// # Errors
///
/// `Inval` the run is too short or the size is 0; `NoMem`.
pub fn create_static<P: Policy, K: Kernel>(
    pool: &mut Pool<'_, P, K>,
    account: Ref<Account>,
    run: Run,
    size: u64,
    flags: u32,
) -> Result<Ref<Ds>, Errno> {
    if size == 0 || size.div_ceil(PAGE_SIZE) > run.frames() {
        return Err(Errno::Inval);
    }
    let mut ds = Ds::new(Kind::Static, Some(account), size, flags);
    ds.root = run.start().0;
    slabs::put(pool, account, ds).map_err(|_| Errno::NoMem)
}
