//! Requests to allocate or clear one page, short: what a client that manages its memory page by page
//! sends most.
//!
//! As in `quick.rs`, each function decides by reading first and says `false` where anything is not as
//! simple as it expects; then nothing has changed and [`Work`](super::Work) does it.

use l4_sys::{PAGE_SHIFT, PAGE_SIZE};

use crate::engine::arena::{Ref, Store};
use crate::engine::kernel::Kernel;
use crate::engine::pool::Pool;
use crate::engine::quota;
use crate::frames::Policy;

use super::object::Ds;
use super::table;
use super::word::{GROUP, GROUP_SHIFT, Group, Page, frame_of};

/// Whether the page at `offset` of a dataspace that [is plain](Ds::is_plain) has memory of its own, so that
/// there is nothing to allocate.
#[inline(always)]
pub(in crate::engine) fn is_allocated<P: Policy, K: Kernel>(
    pool: &Pool<'_, P, K>,
    ds: Ref<Ds>,
    offset: u64,
) -> bool {
    let arena = pool.arena();
    let it = arena.get(ds);
    if offset >= it.size() || it.size() - offset < PAGE_SIZE {
        return false;
    }
    let page = offset >> PAGE_SHIFT;
    let n = (page % GROUP) as u32;
    let Some(slot) = table::find(arena, ds, page >> GROUP_SHIFT) else {
        return false;
    };
    match Group::from_word(table::load(arena, slot)) {
        Group::Run { used, .. } => used >> n & 1 != 0,
        Group::Table(table) => matches!(
            Page::from_word(arena.word(table.cast(), n as usize)),
            Page::Own(_)
        ),
        Group::Empty => false,
    }
}

/// Clears the page at `offset`, a multiple of the page size, of a plain dataspace that the asker may
/// write to. When it is done the page is mapped nowhere.
#[inline(always)]
pub(in crate::engine) fn clear<P: Policy, K: Kernel>(
    pool: &mut Pool<'_, P, K>,
    ds: Ref<Ds>,
    offset: u64,
) -> bool {
    let arena = pool.arena();
    let it = arena.get(ds);
    if offset >= it.rounded_size() {
        return false;
    }
    let page = offset >> PAGE_SHIFT;
    let n = (page % GROUP) as u32;
    let Some(slot) = table::find(arena, ds, page >> GROUP_SHIFT) else {
        return false;
    };
    let word = table::load(arena, slot);
    let Group::Run { base, kept, used } = Group::from_word(word) else {
        return false;
    };
    // The last page of a run takes what is kept of the run with it.
    let last = used == 1 << n && kept != used;
    let Some(account) = it.account else {
        return false;
    };
    if used >> n & 1 == 0 || last || !quota::is_open(arena, account) {
        return false;
    }
    let left = word & !(0x1_0001 << n);
    let mut arena = pool.arena_mut().in_registers();
    table::store(&mut arena, slot, if left as u32 == 0 { 0 } else { left });
    arena.get_mut(ds).pages -= 1;
    quota::uncharge_open(&mut arena, account, PAGE_SIZE);
    pool.return_one(frame_of(base, n));
    true
}
