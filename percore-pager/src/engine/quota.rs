//! Accounts: limits within limits, counted exactly (MOE-QUO).
//!
//! A factory has an account. Its *limit* is taken out of its parent's when it is made and given
//! back when it dies. *Reserved* is what is taken out of an account: what it uses itself and its
//! children's limits. *Committed* is memory that is really used, by the account or by any account
//! below it. So a child's use counts in every ancestor's committed figure and in its own reserved
//! one only, as upstream's does.
//!
//! A limit of 0 is no limit: such an account counts nothing. It is for the server's own objects;
//! clients cannot make one.
//!
//! # Who pays for shared pages, and accounts that are closing
//!
//! A page is charged once, to the account that took it, until its last user drops it. Upstream
//! gives it back to whoever drops it last, so its figures drift when two factories share pages
//! (BUG-02). Here an account remains, *closing*, while anything is still charged to it after its
//! factory has gone: its limit shrinks with what it uses, so its parent has everything else back
//! at once, and when nothing is left it disappears. Nothing is ever charged anew to it, except to
//! finish work that began before.

use super::arena::{Arena, Pod, Ref};
use super::slabs::{CLASSES, PageHeader};

/// An account. Lies in its parent's book-keeping memory: 64 bytes.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Account {
    limit: u64,
    reserved: u64,
    committed: u64,
    parent: Option<Ref<Account>>,
    closing: u32,
    /// Pages with a free slot, for each size of object.
    pub(super) partial: [Option<Ref<PageHeader>>; CLASSES],
}

// SAFETY: numbers and optional references, for which every pattern is valid (0 is `None`).
unsafe impl Pod for Account {}

/// An account's figures in bytes, in the order of the protocol (MOE-QUO-09).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Figures {
    /// The account's limit.
    pub quota: u64,
    /// What is taken out of it.
    pub reserved: u64,
    /// The lesser of the limit and the memory that was there at the start.
    pub memory: u64,
    /// What is really used, children included.
    pub committed: u64,
    /// What can still be had: the least of limit less committed, limit less reserved and the
    /// server's free memory.
    pub free: u64,
}

impl Account {
    /// An account with nothing in it. The parent's share is not touched: see [`reserve`].
    pub const fn new(parent: Option<Ref<Account>>, limit: u64) -> Self {
        Account {
            limit,
            reserved: 0,
            committed: 0,
            parent,
            closing: 0,
            partial: [None; CLASSES],
        }
    }

    /// The limit in bytes; 0 is none.
    pub fn limit(&self) -> u64 {
        self.limit
    }

    /// Bytes taken out of it: own use and children's limits.
    pub fn reserved(&self) -> u64 {
        self.reserved
    }

    /// Bytes really used, by itself and below.
    pub fn committed(&self) -> u64 {
        self.committed
    }

    /// The account whose limit this one's was taken from.
    pub fn parent(&self) -> Option<Ref<Account>> {
        self.parent
    }

    /// Whether its factory has gone.
    pub fn is_closing(&self) -> bool {
        self.closing != 0
    }

    /// Whether nothing is left of an account that is closing.
    pub(super) fn is_over(&self) -> bool {
        self.is_closing() && self.reserved == 0
    }

    /// The figures for clients. `present`: memory at the start; `free`: memory free now; bytes.
    pub fn figures(&self, present: u64, free: u64) -> Figures {
        let memory = self.limit.min(present);
        Figures {
            quota: self.limit,
            reserved: self.reserved,
            memory,
            committed: self.committed,
            free: memory
                .saturating_sub(self.committed)
                .min(self.limit - self.reserved)
                .min(free),
        }
    }

    /// Whether `bytes` more can be taken out.
    fn has_room(&self, bytes: u64) -> bool {
        if self.limit == 0 {
            return !self.is_closing();
        }
        bytes <= self.limit - self.reserved
    }
}

/// Takes `bytes` out of `account` without using them: for a child's limit. `false`, and nothing is
/// changed, when the account has less.
#[must_use = "nothing was taken when it is false"]
pub fn reserve(arena: &mut Arena, account: Ref<Account>, bytes: u64) -> bool {
    let it = arena.get_mut(account);
    let room = it.has_room(bytes);
    if room && it.limit != 0 {
        it.reserved += bytes;
    }
    room
}

/// Charges `bytes` of real memory. `false`, and nothing is changed, when the account has less.
#[inline]
#[must_use = "nothing was charged when it is false"]
pub fn charge(arena: &mut Arena, account: Ref<Account>, bytes: u64) -> bool {
    if !reserve(arena, account, bytes) {
        return false;
    }
    let mut next = Some(account);
    while let Some(at) = next {
        let it = arena.get_mut(at);
        if it.limit != 0 {
            it.committed += bytes;
        }
        next = it.parent;
    }
    true
}

/// Gives back `bytes` that were charged. The account may be over then: see
/// [`slabs::settle`](super::slabs::settle), which every caller outside this module uses instead.
pub(super) fn uncharge(arena: &mut Arena, account: Ref<Account>, bytes: u64) {
    let mut next = Some(account);
    while let Some(at) = next {
        let it = arena.get_mut(at);
        if it.limit != 0 {
            debug_assert!(it.committed >= bytes, "more was given back than charged");
            it.committed = it.committed.saturating_sub(bytes);
        }
        next = it.parent;
    }
    release(arena, account, bytes);
}

/// Gives back `bytes` that were reserved. What a closing account has to spare goes on to its
/// parent at once.
pub(super) fn release(arena: &mut Arena, account: Ref<Account>, bytes: u64) {
    let mut next = Some(account);
    while let Some(at) = next {
        let it = arena.get_mut(at);
        if it.limit == 0 {
            return;
        }
        debug_assert!(it.reserved >= bytes, "more was given back than reserved");
        it.reserved = it.reserved.saturating_sub(bytes);
        if !it.is_closing() {
            return;
        }
        it.limit = it.limit.saturating_sub(bytes);
        next = it.parent;
    }
}

/// Begins to close an account: its parent has back what is not used.
pub(super) fn close(arena: &mut Arena, account: Ref<Account>) {
    let it = arena.get_mut(account);
    if it.is_closing() {
        return;
    }
    it.closing = 1;
    let spare = it.limit - it.reserved;
    it.limit = it.reserved;
    if let Some(parent) = it.parent {
        release(arena, parent, spare);
    }
}
