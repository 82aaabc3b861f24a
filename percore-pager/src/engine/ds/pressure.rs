//! Giving back what is kept and not used.

use crate::engine::arena::{Ref, Store};
use crate::engine::kernel::Kernel;
use crate::engine::pool::{PIECE, Pool};
use crate::frames::Policy;

use super::object::Ds;
use super::page;
use super::table::{self, Found, Slot};
use super::word::Group;

/// Words that one call looks at, some 500 instructions.
const WORDS: u32 = 64;

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
        enter(pool, ds);
    } else if after == 0 {
        leave(pool, ds);
    }
}

/// Puts a dataspace that keeps frames into the ring of those that do, as the last one to give back.
fn enter<P: Policy, K: Kernel>(pool: &mut Pool<'_, P, K>, ds: Ref<Ds>) {
    let next = *pool.keepers.get_or_insert(ds);
    let arena = pool.arena_mut();
    let prev = match next == ds {
        true => ds,
        false => arena.get_mut(next).keeper_prev.unwrap_or(next),
    };
    arena.get_mut(prev).keeper_next = Some(ds);
    arena.get_mut(next).keeper_prev = Some(ds);
    let it = arena.get_mut(ds);
    (it.keeper_next, it.keeper_prev) = (Some(next), Some(prev));
}

/// Takes it out again.
fn leave<P: Policy, K: Kernel>(pool: &mut Pool<'_, P, K>, ds: Ref<Ds>) {
    let arena = pool.arena_mut();
    let it = arena.get_mut(ds);
    let (next, prev) = (it.keeper_next.take(), it.keeper_prev.take());
    let others = next.zip(prev).filter(|(next, _)| *next != ds);
    if let Some((next, prev)) = others {
        arena.get_mut(next).keeper_prev = Some(prev);
        arena.get_mut(prev).keeper_next = Some(next);
    }
    if pool.keepers == Some(ds) {
        pool.keepers = others.map(|(next, _)| next);
    }
}

/// Gives back what one group of a dataspace keeps, or looks for it: then it is the next dataspace's turn, so that
/// one with a large table does not hold up the others. Gives the pieces handled; `None` when nothing is kept.
pub fn give_back_kept<P: Policy, K: Kernel>(pool: &mut Pool<'_, P, K>) -> Option<u32> {
    let ds = pool.keepers?;
    let mut from = pool.arena().get(ds).cursor;
    let mut words = WORDS;
    loop {
        match table::next_used(pool.arena(), ds, from, &mut words) {
            Found::Group(group, slot) => {
                from = group + 1;
                pool.arena_mut().get_mut(ds).cursor = from;
                if let Some(pieces) = give_back(pool, ds, slot) {
                    return Some(pieces);
                }
            }
            Found::GoOn(group) => {
                pool.arena_mut().get_mut(ds).cursor = group;
                break;
            }
            Found::End => {
                pool.arena_mut().get_mut(ds).cursor = 0;
                break;
            }
        }
    }
    pool.keepers = pool.arena().get(ds).keeper_next;
    Some(PIECE)
}

/// Gives back what a group keeps and does not use, if that is anything.
fn give_back<P: Policy, K: Kernel>(
    pool: &mut Pool<'_, P, K>,
    ds: Ref<Ds>,
    slot: Slot,
) -> Option<u32> {
    let Group::Run { base, kept, used } = Group::from_word(table::load(pool.arena(), slot)) else {
        return None;
    };
    let spare = kept & !used;
    if spare == 0 {
        return None;
    }
    let rest = Group::Run {
        base,
        kept: used,
        used,
    };
    table::store(pool.arena_mut(), slot, rest.word());
    page::give_spare(pool, ds, (base, spare), true);
    change_kept(pool, ds, 0, u64::from(spare.count_ones()));
    Some(PIECE.max(2 * spare.count_ones()))
}
