//! Giving back what is kept and not used.

use crate::engine::arena::{Ref, Store};
use crate::engine::kernel::Kernel;
use crate::engine::pool::Pool;
use crate::frames::Policy;

use super::object::Ds;
use super::page;
use super::table::{self, Found};
use super::word::Group;

/// Words that are looked at before the next dataspace is tried.
const STEPS: u32 = 4096;

/// `more` frames are kept for the dataspace, and `less` are not any more.
pub(super) fn change_kept<P: Policy, K: Kernel>(
    pool: &mut Pool<'_, P, K>,
    ds: Ref<Ds>,
    more: u64,
    less: u64,
) {
    if more == less {
        return;
    }
    pool.add_kept(more);
    pool.sub_kept(less);
    let it = pool.arena_mut().get_mut(ds);
    let before = it.kept;
    it.kept = before + more - less;
    let after = it.kept;
    if before == 0 {
        let first = pool.keepers.replace(ds);
        let it = pool.arena_mut().get_mut(ds);
        it.keeper_next = first;
        it.keeper_prev = None;
        if let Some(first) = first {
            pool.arena_mut().get_mut(first).keeper_prev = Some(ds);
        }
    } else if after == 0 {
        let (next, prev) = (it.keeper_next.take(), it.keeper_prev.take());
        if let Some(next) = next {
            pool.arena_mut().get_mut(next).keeper_prev = prev;
        }
        match prev {
            Some(prev) => pool.arena_mut().get_mut(prev).keeper_next = next,
            None => pool.keepers = next,
        }
    }
}

/// Gives back some of what dataspaces keep; `false` when nothing is kept.
pub fn give_back_kept<P: Policy, K: Kernel>(pool: &mut Pool<'_, P, K>) -> bool {
    while let Some(ds) = pool.keepers {
        let from = pool.arena().get(ds).cursor;
        match table::next_used(pool.arena(), ds, from, STEPS) {
            Found::Group(group, slot) => {
                pool.arena_mut().get_mut(ds).cursor = group + 1;
                if let Group::Run { base, kept, used } =
                    Group::from_word(table::load(pool.arena(), slot))
                    && kept != used
                {
                    let word = Group::Run {
                        base,
                        kept: used,
                        used,
                    }
                    .word();
                    table::store(pool.arena_mut(), slot, word);
                    page::give_spare(pool, ds, (base, kept & !used), true);
                    change_kept(pool, ds, 0, u64::from((kept & !used).count_ones()));
                    return true;
                }
            }
            Found::GoOn(group) => pool.arena_mut().get_mut(ds).cursor = group,
            Found::End => pool.arena_mut().get_mut(ds).cursor = 0,
        }
    }
    false
}
