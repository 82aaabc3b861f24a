//! Frames that several dataspaces use until one of them writes (MOE-DS-09, -20, -21, -24).
//!
//! A shared frame is charged once, to the account it was charged to before, until its last user has
//! dropped it or has taken it over. No client has a writable mapping of a shared frame.

use l4_sys::{Errno, PAGE_SIZE};

use crate::engine::arena::{Arena, Ref, Store};
use crate::engine::kernel::{Block, Kernel, Place, Revoke};
use crate::engine::pool::Pool;
use crate::engine::quota;
use crate::engine::slabs::{self, NoMemory};
use crate::frames::{FrameNo, PageOrder, Policy};

use super::object::Ds;
use super::page;
use super::table;
use super::word::{GROUP, GROUP_SHIFT, Page, Pages, Shared};

/// The frame of a record.
pub(super) fn frame(arena: &Arena, record: Ref<Shared>) -> FrameNo {
    FrameNo(u64::from(arena.get(record).frame))
}

/// The group of a source to which no client can write: found by one system call for all its pages.
/// Good for one turn only, because clients can map pages writable again between two.
#[derive(Debug, Default)]
pub(super) struct Quiet(Option<u64>);

impl Quiet {
    /// Takes the right to write to the group's own pages away from everybody.
    fn make<P: Policy, K: Kernel>(
        &mut self,
        pool: &mut Pool<'_, P, K>,
        group: u64,
        table: Ref<Pages>,
    ) {
        if self.0 == Some(group) {
            return;
        }
        self.0 = Some(group);
        let mut blocks = [Block {
            start: FrameNo(0),
            order: PageOrder::FRAME,
        }; GROUP as usize];
        let mut count = 0;
        for word in pool.arena().get(table) {
            if let (Page::Own(frame), Some(slot)) = (Page::from_word(*word), blocks.get_mut(count))
            {
                slot.start = frame;
                count += 1;
            }
        }
        if let Some(blocks) = blocks.get(..count) {
            pool.kernel.unmap(blocks, Revoke::Write);
        }
    }
}

/// Makes page `index` of a table, which is the dataspace's own and in a [`Quiet`] group, shared, still
/// with one user.
pub(super) fn share<P: Policy, K: Kernel>(
    pool: &mut Pool<'_, P, K>,
    ds: Ref<Ds>,
    table: Ref<Pages>,
    index: usize,
    frame: FrameNo,
) -> Result<Ref<Shared>, NoMemory> {
    let payer = pool.arena().get(ds).account.ok_or(NoMemory)?;
    let record = Shared {
        frame: frame.0 as u32,
        users: 1,
        payer: Some(payer),
        unused: 0,
    };
    let record = slabs::put(pool, payer, record)?;
    pool.arena_mut().get_mut(table)[index] = Page::Shared(record).word();
    pool.arena_mut().get_mut(ds).pages -= 1;
    Ok(record)
}

/// One user less. The last one's frame is given up.
pub(super) fn drop_user<P: Policy, K: Kernel>(pool: &mut Pool<'_, P, K>, record: Ref<Shared>) {
    let it = pool.arena_mut().get_mut(record);
    it.users -= 1;
    let Shared {
        frame,
        users,
        payer,
        ..
    } = *it;
    let frame = FrameNo(u64::from(frame));
    if users > 0 {
        // The others go on to use it; the mappings of this one's clients must not.
        pool.forget(frame);
        return;
    }
    pool.give_up(frame, 1);
    end(pool, record);
    if let Some(payer) = payer {
        slabs::settle(pool, payer, PAGE_SIZE);
    }
}

/// Makes page `to` read as page `from` does, without copying: both share its frame, or `fixed` is what
/// the destination gets. `false` when there is no memory for the book-keeping of the source's side.
///
/// # Errors
///
/// `NoMem` for the destination's side: its page is as it was.
pub(super) fn copy_page<P: Policy, K: Kernel>(
    pool: &mut Pool<'_, P, K>,
    from: (Ref<Ds>, u64),
    to: (Ref<Ds>, u64),
    fixed: Option<Page>,
    quiet: &mut Quiet,
) -> Result<bool, Errno> {
    let there = page::is_there(pool.arena(), to.0, to.1);
    let mut entry = match fixed {
        Some(entry) => entry,
        None => page::look(pool.arena(), from.0, from.1),
    };
    if entry == Page::Empty && !there {
        return Ok(true);
    }
    let group = to.1 >> GROUP_SHIFT;
    let slot = table::ensure(pool, to.0, group).map_err(|_| Errno::NoMem)?;
    let table = page::split(pool, to.0, slot).map_err(|_| Errno::NoMem)?;
    if let (Page::Own(frame), None) = (entry, fixed) {
        let Some((slot, _)) = page::group_of(pool.arena(), from.0, from.1) else {
            return Ok(false);
        };
        let Ok(source) = page::split(pool, from.0, slot) else {
            return Ok(false);
        };
        let index = (from.1 % GROUP) as usize;
        quiet.make(pool, from.1 >> GROUP_SHIFT, source);
        match share(pool, from.0, source, index, frame) {
            Ok(record) => entry = Page::Shared(record),
            Err(NoMemory) => return Ok(false),
        }
    }
    if let Page::Shared(record) = entry {
        pool.arena_mut().get_mut(record).users += 1;
    }
    let index = (to.1 % GROUP) as usize;
    let old = core::mem::replace(&mut pool.arena_mut().get_mut(table)[index], entry.word());
    let gone = page::dispose(pool, to.0, Page::from_word(old), true);
    page::uncharge(pool, to.0, gone, true);
    page::drop_empty(pool, slot, table);
    Ok(true)
}

/// Frees a record whose frame is charged to somebody still.
fn end<P: Policy, K: Kernel>(pool: &mut Pool<'_, P, K>, record: Ref<Shared>) {
    slabs::free(pool, record);
}

/// Gives page `index` a frame of its own: the shared one if nobody else uses it, a copy otherwise.
/// The mappings of the old frame are gone when this returns. Gives the frame and 1 for the copy.
pub(super) fn unshare<P: Policy, K: Kernel>(
    pool: &mut Pool<'_, P, K>,
    ds: Ref<Ds>,
    table: Ref<Pages>,
    index: usize,
    entry: Page,
) -> Result<(FrameNo, u32), NoMemory> {
    let old = match entry {
        Page::Shared(record) => {
            let it = *pool.arena().get(record);
            if it.users == 1 {
                return take_over(pool, ds, table, index, record);
            }
            frame(pool.arena(), record)
        }
        Page::Static(frame) => frame,
        Page::Own(frame) => return Ok((frame, 0)),
        Page::Empty => return Err(NoMemory),
    };
    let (new, _) = page::own_frame(pool, ds)?;
    let place = |frame| Place { frame, offset: 0 };
    pool.kernel.copy(place(new), place(old), PAGE_SIZE as u32);
    pool.revoke(old);
    if let Page::Shared(record) = entry {
        pool.arena_mut().get_mut(record).users -= 1;
    }
    pool.arena_mut().get_mut(table)[index] = Page::Own(new).word();
    pool.arena_mut().get_mut(ds).pages += 1;
    Ok((new, 1))
}

/// The last user takes the frame, and what it costs, over.
fn take_over<P: Policy, K: Kernel>(
    pool: &mut Pool<'_, P, K>,
    ds: Ref<Ds>,
    table: Ref<Pages>,
    index: usize,
    record: Ref<Shared>,
) -> Result<(FrameNo, u32), NoMemory> {
    let account = pool.arena().get(ds).account.ok_or(NoMemory)?;
    let Shared { payer, .. } = *pool.arena().get(record);
    let frame = frame(pool.arena(), record);
    if payer != Some(account) && !quota::charge(pool.arena_mut(), account, PAGE_SIZE) {
        return Err(NoMemory);
    }
    // Clients of a dataspace that used it before may still see it.
    pool.revoke(frame);
    pool.arena_mut().get_mut(table)[index] = Page::Own(frame).word();
    pool.arena_mut().get_mut(ds).pages += 1;
    end(pool, record);
    if let Some(payer) = payer.filter(|payer| *payer != account) {
        slabs::settle(pool, payer, PAGE_SIZE);
    }
    Ok((frame, 0))
}
