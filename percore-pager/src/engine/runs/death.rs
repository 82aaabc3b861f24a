//! The end of a factory's runs.

use crate::engine::arena::{Ref, Store};
use crate::engine::kernel::Kernel;
use crate::engine::pool::Pool;
use crate::engine::slabs;
use crate::frames::Policy;

use super::record::State;
use super::{Runs, bytes, table};

/// What freeing a node counts for: it looks for the last one through its head and the node above, some 460 half words.
const NODE: u32 = 16;

/// Frees up to `most` runs, or a 16th of that in nodes, of a table that nobody can reach any more; `true` when nothing is
/// left of it. The lists are not kept up: nothing else may be done with it from the first call on.
pub fn drop_some<P: Policy, K: Kernel>(
    pool: &mut Pool<'_, P, K>,
    runs: Ref<Runs>,
    most: u32,
) -> bool {
    // Much waits already: a turn for that.
    if pool.must_unmap() {
        pool.unmap_waiting();
        return false;
    }
    let account = table::account(pool.arena(), runs);
    // Given back together: what is charged is counted in each account above.
    let (mut left, mut gone) = (most, 0);
    let over = loop {
        if left == 0 || pool.must_unmap() {
            break false;
        }
        left -= 1;
        match table::pop_last(pool.arena_mut(), runs) {
            Some((_, record)) if record.state() == State::Free => {}
            Some((_, record)) => {
                pool.give_up(record.start(), record.order().frames().into());
                gone += bytes(record.order());
            }
            None if table::free_node(pool, runs) => left = left.saturating_sub(NODE - 1),
            None => break true,
        }
    };
    // The head is charged to the account still, so it is there.
    if let Some(account) = account.filter(|_| gone > 0) {
        slabs::settle(pool, account, gone);
    }
    if over {
        slabs::free(pool, runs);
    }
    over
}
