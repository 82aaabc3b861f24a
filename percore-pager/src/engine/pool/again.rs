//! Frames of accounts that share nothing: they go back to where they were, without an unmap.

use crate::engine::arena::Ref;
use crate::engine::kernel::Kernel;
use crate::engine::quota::Account;
use crate::frames::{FrameNo, PageOrder, Policy, Run};

use super::Pool;

impl<P: Policy, K: Kernel> Pool<'_, P, K> {
    /// A run of `order` for a dataspace of an account that shares nothing, from what it had before.
    pub(in crate::engine) fn take_again(
        &mut self,
        account: Ref<Account>,
        order: PageOrder,
    ) -> Option<FrameNo> {
        let frame = self.recycle.take(account, order)?;
        self.effects.pieces += 1;
        self.effects.recycled += u64::from(order.frames());
        Some(frame)
    }

    /// Gives up frames of a dataspace of an account that shares nothing: they wait for its next.
    pub(in crate::engine) fn give_again(
        &mut self,
        account: Ref<Account>,
        start: FrameNo,
        frames: u64,
    ) {
        let Some(run) = Run::new(start, frames) else {
            return;
        };
        if let Some(gone) = self.recycle.push(account, run) {
            self.give_up(gone.start(), gone.frames());
        }
    }

    /// Frames that wait for `account` are to wait to be unmapped instead.
    pub(in crate::engine) fn end_waiting_for(&mut self, account: Ref<Account>) {
        self.recycle.disown(account);
        self.await_orphans();
    }

    /// Lets runs whose account is gone wait to be unmapped, as many as there is room for.
    pub(super) fn await_orphans(&mut self) {
        while self.recycle.has_orphans() && self.waiting.has_room(1) {
            let Some(run) = self.recycle.drain() else {
                return;
            };
            let put = self.waiting.push(run, true);
            debug_assert!(put, "there was room");
        }
    }

    /// Lets frames that wait for their account's next dataspace wait to be unmapped, if nothing else does.
    pub(super) fn await_recycled(&mut self) {
        if self.waiting.is_empty() {
            self.recycle.disown_all();
        }
        self.await_orphans();
    }

    /// Takes the client's word that the factory of `account` shares nothing: that capabilities for its
    /// dataspaces, and mappings of them, stay in one task. From now on frames of its dead
    /// dataspaces go to its next ones, zeroed, without an unmap; memory that the client gave up may
    /// still be seen where it was. `false` when this was said and taken back before.
    pub fn set_private(&mut self, account: Ref<Account>) -> bool {
        self.arena.get_mut(account).make_private()
    }

    /// Takes [`Pool::set_private`] back, for ever.
    pub fn end_private(&mut self, account: Ref<Account>) {
        self.arena.get_mut(account).end_private();
        self.end_waiting_for(account);
    }
}
