//! Runs of frames that clients get without a dataspace around them.
//!
//! A factory has at most one table of them. A run in it is *live*, the client's to use, or *kept* in the
//! client's reserve; both are charged. Between being taken and being zeroed it is *busy*: nobody can
//! name it. A handle is a record's number and its generation, so that it names
//! nothing once its run is gone. The table ends with its factory, in turns.
//!
//! # Table
//!
//! Three levels of nodes of 1 KiB in the factory's book-keeping memory: the head with the lists and 206
//! references, nodes of 256 references, and leaves of 64 records of 16 bytes. Records that are free, and
//! kept runs of each order, are in lists linked by number; so everything here takes constant time but
//! listing and the end.
//!
//! # Isolation
//!
//! A run that is freed goes the way of a dataspace's frames ([`Pool::give_up`]): unmapped from everybody
//! before it is free. One that is kept stays mapped, and its contents too: it stays its client's.

mod death;
mod record;
mod table;

pub use death::drop_some;
pub use record::{Handle, Run, State};
pub use table::Totals;

use l4_sys::{Errno, PAGE_SHIFT};

use crate::frames::{FrameNo, PageOrder, Policy};

use super::arena::{Arena, Pod, Ref, Store};
use super::kernel::Kernel;
use super::pool::Pool;
use super::quota::{self, Account};
use super::slabs::{self, NoMemory};
use record::Record;

/// A factory's runs: the head of the table, 1 KiB.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Runs([u64; 128]);

// SAFETY: numbers; every pattern is valid.
unsafe impl Pod for Runs {}

/// A run that was just taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "the run is taken until it is freed"]
pub struct Taken {
    /// Its name; it names nothing for the client before [`ready`].
    pub handle: Handle,
    /// Its first frame.
    pub start: FrameNo,
    /// Whether nothing but zeros, or what its client left there, is in it. If not it must be zeroed before
    /// its client sees it.
    pub clean: bool,
}

fn bytes(order: PageOrder) -> u64 {
    u64::from(order.frames()) << PAGE_SHIFT
}

/// Makes an empty table, charged to `account`.
///
/// # Errors
///
/// [`NoMemory`].
pub fn open<P: Policy, K: Kernel>(
    pool: &mut Pool<'_, P, K>,
    account: Ref<Account>,
) -> Result<Ref<Runs>, NoMemory> {
    let runs = slabs::put(pool, account, Runs([0; 128]))?;
    table::init(pool.arena_mut(), runs, account);
    Ok(runs)
}

/// Takes a run from the pool and charges for it.
///
/// # Errors
///
/// `NoMem`, and nothing is changed but nodes of the table.
pub fn take<P: Policy, K: Kernel>(
    pool: &mut Pool<'_, P, K>,
    runs: Ref<Runs>,
    order: PageOrder,
) -> Result<Taken, Errno> {
    let account = table::account(pool.arena(), runs).ok_or(Errno::NoMem)?;
    let index = table::find_free(pool, runs).map_err(|_| Errno::NoMem)?;
    if !quota::charge(pool.arena_mut(), account, bytes(order)) {
        return Err(Errno::NoMem);
    }
    let Ok((start, zeroed)) = pool.take_order(order) else {
        slabs::settle(pool, account, bytes(order));
        return Err(Errno::NoMem);
    };
    let record = table::use_free(pool.arena_mut(), runs, index, start, order);
    Ok(Taken {
        handle: record.handle(index),
        start,
        clean: zeroed,
    })
}

/// Makes a run that was taken its client's to use. It must be zero, but for what the client left there.
pub fn ready(arena: &mut Arena, runs: Ref<Runs>, handle: Handle) {
    if let Some((index, record)) = with(arena, runs, handle, State::Busy) {
        table::set_record(arena, runs, index, record.with_state(State::Live));
    }
}

/// Gives a run back that was taken and is not ready.
pub fn abandon<P: Policy, K: Kernel>(pool: &mut Pool<'_, P, K>, runs: Ref<Runs>, handle: Handle) {
    if let Some((index, _)) = with(pool.arena(), runs, handle, State::Busy) {
        release(pool, runs, index);
    }
}

/// The run of a handle, kept or not.
#[must_use]
pub fn look(arena: &Arena, runs: Ref<Runs>, handle: Handle) -> Option<Run> {
    let index = handle.index();
    let record = table::record(arena, runs, index)?;
    (record.handle(index) == handle)
        .then(|| record.run(index))
        .flatten()
}

/// The record of a handle in this state.
fn with(arena: &Arena, runs: Ref<Runs>, handle: Handle, state: State) -> Option<(u32, Record)> {
    let index = handle.index();
    let record = table::record(arena, runs, index)?;
    (record.handle(index) == handle && record.state() == state).then_some((index, record))
}

/// Frees all of these runs, which must be live; into the client's reserve with `keep`.
///
/// # Errors
///
/// `NoEnt` one is not, or is named twice; `NoMem` too much waits to be unmapped, and the turn's work is done
/// (see [`Pool::is_short`]). Nothing has changed then.
pub fn give<P: Policy, K: Kernel>(
    pool: &mut Pool<'_, P, K>,
    runs: Ref<Runs>,
    handles: &[u32],
    keep: bool,
) -> Result<(), Errno> {
    if !keep && !pool.make_way(handles.len()) {
        return Err(Errno::NoMem);
    }
    // Marked first, so that one that is named twice is found.
    for (marked, handle) in handles.iter().enumerate() {
        let handle = Handle::from_raw(*handle);
        let found = with(pool.arena(), runs, handle, State::Live);
        let Some((index, record)) = found else {
            for handle in handles.iter().take(marked) {
                let index = Handle::from_raw(*handle).index();
                table::set_state(pool.arena_mut(), runs, index, State::Live);
            }
            return Err(Errno::NoEnt);
        };
        let marked = record.with_state(State::Busy);
        table::set_record(pool.arena_mut(), runs, index, marked);
    }
    for handle in handles {
        let index = Handle::from_raw(*handle).index();
        if keep {
            table::push_kept(pool.arena_mut(), runs, index, true);
        } else {
            release(pool, runs, index);
        }
    }
    Ok(())
}

/// Puts a run that was just taken, and is zero, into the reserve.
pub fn keep_fresh(arena: &mut Arena, runs: Ref<Runs>, handle: Handle) {
    if let Some((index, _)) = with(arena, runs, handle, State::Busy) {
        table::push_kept(arena, runs, index, false);
    }
}

/// Takes a run of this order from the reserve; `clean` says that it is zero.
pub fn take_kept(arena: &mut Arena, runs: Ref<Runs>, order: PageOrder) -> Option<Taken> {
    let (index, used) = table::pop_kept(arena, runs, order)?;
    let record = table::record(arena, runs, index)?;
    Some(Taken {
        handle: record.handle(index),
        start: record.start(),
        clean: !used,
    })
}

/// Gives a run of this order from the reserve back to the pool; `false` when there is none.
pub fn drop_kept<P: Policy, K: Kernel>(
    pool: &mut Pool<'_, P, K>,
    runs: Ref<Runs>,
    order: PageOrder,
) -> bool {
    let Some((index, _)) = table::pop_kept(pool.arena_mut(), runs, order) else {
        return false;
    };
    release(pool, runs, index);
    true
}

/// Runs of this order in the reserve.
#[must_use]
pub fn kept(arena: &Arena, runs: Ref<Runs>, order: PageOrder) -> u32 {
    table::kept(arena, runs, order)
}

/// How much is in the table.
#[must_use]
pub fn totals(arena: &Arena, runs: Ref<Runs>) -> Totals {
    table::totals(arena, runs)
}

/// The first run at or after number `from`, looking at no more than `most` records; and where to go on,
/// `None` at the end.
#[must_use]
pub fn next(arena: &Arena, runs: Ref<Runs>, from: u32, most: u32) -> (Option<Run>, Option<u32>) {
    let end = table::end(arena, runs);
    for index in from..end.min(from.saturating_add(most)) {
        if let Some(run) = table::record(arena, runs, index).and_then(|r| r.run(index)) {
            return (Some(run), Some(index + 1).filter(|next| *next < end));
        }
    }
    let next = from.saturating_add(most);
    (None, Some(next).filter(|next| *next < end))
}

/// Frees the run of a record that is busy.
fn release<P: Policy, K: Kernel>(pool: &mut Pool<'_, P, K>, runs: Ref<Runs>, index: u32) {
    let Some(record) = table::record(pool.arena(), runs, index) else {
        return;
    };
    let account = table::account(pool.arena(), runs);
    table::put_free(pool.arena_mut(), runs, index);
    pool.give_up(record.start(), record.order().frames().into());
    // The head is still charged to the account, so it is there afterwards.
    if let Some(account) = account {
        slabs::settle(pool, account, bytes(record.order()));
    }
}
