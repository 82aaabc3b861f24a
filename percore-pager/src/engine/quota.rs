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
//! Accounts lie inside one another up to [`DEEPEST`].
//!
//! # Who pays for shared pages, and accounts that are closing
//!
//! A page is charged once, to the account that took it, until its last user drops it. Upstream
//! gives it back to whoever drops it last, so its figures drift when two factories share pages
//! (BUG-02). Here an account remains, *closing*, while anything is still charged to it after its
//! factory has gone: its limit shrinks with what it uses, so its parent has everything else back
//! at once, and when nothing is left it disappears. Nothing is ever charged anew to it, except to
//! finish work that began before.

mod reach;

pub use reach::Reach;

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
    marks: u8,
    reach: Reach,
    /// Accounts above it.
    depth: u32,
    /// Pages with a free slot, for each size of object.
    pub(super) partial: [Option<Ref<PageHeader>>; CLASSES],
}

// SAFETY: numbers and optional references, for which every pattern is valid (0 is `None`).
unsafe impl Pod for Account {}

/// Most accounts inside one another, the server's own not counted. What is charged is counted in each of them, so
/// this bounds the time that it takes; upstream's bound is memory alone.
pub const DEEPEST: u32 = 100;

/// Its factory has gone.
const CLOSING: u8 = 1;
/// Its client says that it shares nothing.
const PRIVATE: u8 = 2;
/// It said so once and does not any more.
const SPOILT: u8 = 4;
/// Nothing above it counts.
const TOP: u8 = 8;
/// It says how much faults bring.
const REACHES: u8 = 16;

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
            marks: if parent.is_none() { TOP } else { 0 },
            reach: Reach::DEFAULT,
            depth: 0,
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

    /// The same below `above`, which is in the arena: takes over how much faults bring.
    pub(super) fn below(arena: &Arena, above: Ref<Account>, limit: u64) -> Self {
        let it = arena.get(above);
        // What has no limit has none above it, either.
        let top = if it.limit == 0 { TOP } else { 0 };
        Account {
            marks: top | it.marks & REACHES,
            reach: it.reach,
            depth: it.depth + 1,
            ..Account::new(Some(above), limit)
        }
    }

    /// Whether its factory has gone.
    pub fn is_closing(&self) -> bool {
        self.marks & CLOSING != 0
    }

    /// How much faults bring in dataspaces that are made from now on, and in accounts below; `None`:
    /// as the pool has it.
    pub fn reach(&self) -> Option<Reach> {
        Some(self.reach).filter(|_| self.marks & REACHES != 0)
    }

    /// See [`Account::reach`].
    pub fn set_reach(&mut self, reach: Option<Reach>) {
        self.marks = self.marks & !REACHES | if reach.is_some() { REACHES } else { 0 };
        self.reach = reach.unwrap_or(Reach::DEFAULT);
    }

    /// Accounts that it is taken out of, one out of the other.
    pub fn depth(&self) -> u32 {
        self.depth
    }

    /// Whether its client says that it shares nothing: see
    /// [`Pool::set_private`](super::Pool::set_private).
    #[inline]
    pub fn is_private(&self) -> bool {
        self.marks & (PRIVATE | SPOILT) == PRIVATE
    }

    /// Says so; `false` when that was said and taken back before.
    pub(super) fn make_private(&mut self) -> bool {
        self.marks |= PRIVATE;
        self.is_private()
    }

    /// The same as [`Account::is_private`].
    pub fn shares_nothing(&self) -> bool {
        self.is_private()
    }

    /// Takes it back for ever.
    pub(super) fn end_private(&mut self) {
        self.marks |= SPOILT;
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

    /// The parent, if it counts anything.
    #[inline(always)]
    fn counting_parent(&self) -> Option<Ref<Account>> {
        if self.marks & TOP != 0 {
            None
        } else {
            self.parent
        }
    }

    /// Bytes that can be taken out.
    pub(super) fn room(&self) -> u64 {
        match self.limit {
            0 => u64::MAX,
            limit => limit - self.reserved,
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

/// Whether [`charge_room`] may be called: the account has a limit, and room for `bytes` (not 0).
#[inline(always)]
pub(super) fn has_room(arena: &Arena, account: Ref<Account>, bytes: u64) -> bool {
    let it = arena.get(account);
    // An account without a limit has nothing reserved.
    it.limit - it.reserved >= bytes
}

/// The same as [`charge`] for an account that [`has_room`].
#[inline(always)]
pub(super) fn charge_room(arena: &mut Arena, account: Ref<Account>, bytes: u64) {
    let it = arena.get_mut(account);
    it.reserved += bytes;
    it.committed += bytes;
    if let Some(above) = it.counting_parent() {
        commit(arena, above, bytes);
    }
}

/// Counts `bytes` in an account that is charged for them below, and in those above it.
#[cold]
#[inline(never)]
fn commit(arena: &mut Arena, account: Ref<Account>, bytes: u64) {
    let mut next = Some(account);
    while let Some(at) = next {
        let it = arena.get_mut(at);
        it.committed += bytes;
        next = it.counting_parent();
    }
}

/// Charges `bytes` of real memory. `false`, and nothing is changed, when the account has less.
#[inline]
#[must_use = "nothing was charged when it is false"]
pub fn charge(arena: &mut Arena, account: Ref<Account>, bytes: u64) -> bool {
    let it = arena.get_mut(account);
    if it.limit == 0 {
        return !it.is_closing();
    }
    if bytes > it.limit - it.reserved {
        return false;
    }
    it.reserved += bytes;
    it.committed += bytes;
    let mut next = it.counting_parent();
    while let Some(at) = next {
        let it = arena.get_mut(at);
        it.committed += bytes;
        next = it.counting_parent();
    }
    true
}

/// The same as [`Pool::set_private`](super::Pool::set_private).
pub fn set_shares_nothing(arena: &mut Arena, account: Ref<Account>) -> bool {
    arena.get_mut(account).make_private()
}

/// Gives back `bytes` that were charged. The account may be over then: see
/// [`slabs::settle`](super::slabs::settle), which every caller outside this module uses instead.
pub(super) fn uncharge(arena: &mut Arena, account: Ref<Account>, bytes: u64) {
    let limited = arena.get(account).limit != 0;
    let mut next = Some(account).filter(|_| limited);
    while let Some(at) = next {
        let it = arena.get_mut(at);
        debug_assert!(it.committed >= bytes, "more was given back than charged");
        it.committed = it.committed.saturating_sub(bytes);
        next = it.counting_parent();
    }
    release(arena, account, bytes);
}

/// Whether [`uncharge_open`] may be called: the account has a limit and stays when nothing is left in it.
#[inline(always)]
pub(super) fn is_open(arena: &Arena, account: Ref<Account>) -> bool {
    let it = arena.get(account);
    it.limit != 0 && !it.is_closing()
}

/// The same as [`uncharge`] for an account that [`is_open`].
#[inline(always)]
pub(super) fn uncharge_open(arena: &mut Arena, account: Ref<Account>, bytes: u64) {
    let it = arena.get_mut(account);
    debug_assert!(it.committed >= bytes && it.reserved >= bytes);
    it.reserved = it.reserved.saturating_sub(bytes);
    it.committed = it.committed.saturating_sub(bytes);
    let mut next = it.counting_parent();
    while let Some(at) = next {
        let it = arena.get_mut(at);
        debug_assert!(it.committed >= bytes, "more was given back than charged");
        it.committed = it.committed.saturating_sub(bytes);
        next = it.counting_parent();
    }
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

/// What is on its way up from accounts that are over: see [`rise`].
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rising {
    committed: u64,
    reserved: u64,
}

/// Gives `bytes` that were charged to `account` back, and what accounts below gave back, which is the same as
/// [`uncharge`] for each of them. What is to be given back above is left in `up`; `false` when that is nothing.
pub(super) fn rise(arena: &mut Arena, account: Ref<Account>, bytes: u64, up: &mut Rising) -> bool {
    let it = arena.get_mut(account);
    if it.limit == 0 {
        return false;
    }
    up.committed += bytes;
    up.reserved += bytes;
    debug_assert!(it.committed >= up.committed && it.reserved >= up.reserved);
    it.committed = it.committed.saturating_sub(up.committed);
    it.reserved = it.reserved.saturating_sub(up.reserved);
    if it.is_closing() {
        it.limit = it.limit.saturating_sub(up.reserved);
    } else {
        up.reserved = 0;
    }
    up.committed > 0 && it.marks & TOP == 0
}

/// Begins to close an account: its parent has back what is not used.
pub(super) fn close(arena: &mut Arena, account: Ref<Account>) {
    let it = arena.get_mut(account);
    if it.is_closing() {
        return;
    }
    it.marks |= CLOSING;
    let spare = it.limit - it.reserved;
    it.limit = it.reserved;
    if let Some(parent) = it.parent {
        release(arena, parent, spare);
    }
}
