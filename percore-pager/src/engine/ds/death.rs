//! The end of a dataspace (MOE-DS-30): its memory goes in turns, its quota at once.

use l4_sys::PAGE_SIZE;

use crate::engine::arena::{Ref, Store};
use crate::engine::kernel::Kernel;
use crate::engine::pool::Pool;
use crate::engine::slabs;
use crate::frames::{FrameNo, Policy};

use super::object::{Ds, Kind};
use super::page;
use super::table::{self, Found};
use super::work::{TURN_PIECES, TURN_WORDS};

/// Pieces of a turn: with what goes with the last one of a group they take up to 500 instructions.
const STEP: u64 = TURN_PIECES / 2;

/// A dataspace that nobody can reach any more, on its way out.
#[derive(Clone, Copy, Debug)]
#[must_use = "its memory is lost unless this is stepped to the end"]
pub struct Death {
    ds: Ref<Ds>,
    group: u64,
    node: u64,
}

impl Death {
    /// Begins: the account has the charge for the dataspace's own pages back. Nobody may find it any
    /// more, regions that use it included, and work on it is dropped.
    pub fn begin<P: Policy, K: Kernel>(pool: &mut Pool<'_, P, K>, ds: Ref<Ds>) -> Self {
        let it = *pool.arena().get(ds);
        let bytes = match it.kind() {
            Kind::OnDemand => it.pages * PAGE_SIZE,
            Kind::Contiguous => it.rounded_size(),
            Kind::Static => 0,
        };
        if it.kind() == Kind::OnDemand {
            pool.arena_mut().get_mut(ds).pages = 0;
        }
        // The object itself is still charged to the account, so it stays until the end.
        if let Some(account) = it.account.filter(|_| bytes > 0) {
            slabs::settle(pool, account, bytes);
        }
        Death {
            ds,
            group: 0,
            node: 0,
        }
    }

    /// Does a turn's worth; `true` when nothing is left: the object is gone.
    pub fn step<P: Policy, K: Kernel>(&mut self, pool: &mut Pool<'_, P, K>) -> bool {
        // Much waits already: a turn for that.
        if pool.must_unmap() {
            pool.unmap_waiting();
            return false;
        }
        let it = *pool.arena().get(self.ds);
        match it.kind() {
            Kind::OnDemand => {
                if !self.empty_some(pool) {
                    return false;
                }
            }
            // Static memory stays; what clients see of it goes.
            Kind::Static => pool.unmap_static(FrameNo(it.root), it.page_count()),
            Kind::Contiguous => pool.give_up(FrameNo(it.root), it.page_count()),
        }
        slabs::free(pool, self.ds);
        true
    }

    fn empty_some<P: Policy, K: Kernel>(&mut self, pool: &mut Pool<'_, P, K>) -> bool {
        let (mut budget, mut words) = (STEP, TURN_WORDS);
        while budget > 0 && !pool.must_unmap() {
            match table::next_used(pool.arena(), self.ds, self.group, &mut words) {
                Found::Group(group, slot) => {
                    let pieces = page::drop_pages(pool, self.ds, slot, u16::MAX, false);
                    budget = budget.saturating_sub(pieces.max(1));
                    self.group = group + 1;
                }
                Found::GoOn(group) => {
                    self.group = group;
                    return false;
                }
                Found::End => {
                    // Not to be found out again.
                    self.group = u64::MAX;
                    if words == 0 {
                        return false;
                    }
                    if !table::free_node(pool, self.ds, &mut self.node, &mut words) {
                        return true;
                    }
                    budget -= 1;
                }
            }
        }
        false
    }
}
