//! Small objects in pages of one size, each page charged to one account (MOE-QUO-03, -04).
//!
//! Sizes are the powers of two from 16 to 1024 bytes. The first object of a size costs its account
//! a page, the last one gives it back; so an account's book-keeping is counted to the page, and
//! two clients' objects never share one. A page begins with a header of 32 bytes in place of its
//! first object (first two for 16 bytes).
//!
//! Taking and freeing an object are a few loads and stores; a fresh page is not prepared, slots
//! that were never used are counted instead.

use super::arena::{Arena, PAGE_BYTES, PageIx, Pod, Ref, Store};
use super::quota::{self, Account, DEEPEST, Rising};

/// Number of object sizes.
pub const CLASSES: usize = 7;
/// Bytes of the smallest size.
const SMALLEST: usize = 16;
/// Bytes of the largest size; larger objects are refused.
pub const LARGEST: usize = SMALLEST << (CLASSES - 1);

/// There is no memory, or the account is at its limit. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoMemory;

/// At the start of each page of objects.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct PageHeader {
    account: Option<Ref<Account>>,
    next: Option<Ref<PageHeader>>,
    prev: Option<Ref<PageHeader>>,
    free: Option<Ref<FreeSlot>>,
    used: u16,
    /// Slots from this one on were never used.
    fresh: u16,
    class: u32,
    unused: u64,
}

// SAFETY: numbers and optional references; every pattern is valid.
unsafe impl Pod for PageHeader {}

const HEADER: usize = size_of::<PageHeader>();
const _: () = assert!(HEADER == 32);

/// A slot that was used and is free.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
struct FreeSlot {
    next: Option<Ref<FreeSlot>>,
}

// SAFETY: an optional reference; every pattern is valid.
unsafe impl Pod for FreeSlot {}

/// The size class for `bytes`, or `None` above [`LARGEST`].
const fn class_of(bytes: usize) -> Option<usize> {
    if bytes > LARGEST {
        return None;
    }
    let size = if bytes < SMALLEST {
        SMALLEST
    } else {
        bytes.next_power_of_two()
    };
    Some((size / SMALLEST).trailing_zeros() as usize)
}

const fn size_of_class(class: usize) -> usize {
    SMALLEST << class
}

/// Index of the first slot behind the header.
const fn first_slot(class: usize) -> u16 {
    HEADER.div_ceil(size_of_class(class)) as u16
}

const fn slots(class: usize) -> u16 {
    (PAGE_BYTES / size_of_class(class)) as u16
}

/// Puts `value` into memory charged to `account`.
///
/// # Errors
///
/// [`NoMemory`].
#[inline]
pub fn put<T: Pod, S: Store>(
    store: &mut S,
    account: Ref<Account>,
    value: T,
) -> Result<Ref<T>, NoMemory> {
    let at = take(store, account, size_of::<T>())?.cast::<T>();
    store.arena_mut().set(at, value);
    Ok(at)
}

/// `bytes` bytes with any contents, charged to `account`. The reference's type is only a stand-in.
///
/// # Errors
///
/// [`NoMemory`], also above [`LARGEST`].
pub fn take<S: Store>(
    store: &mut S,
    account: Ref<Account>,
    bytes: usize,
) -> Result<Ref<[u64; 0]>, NoMemory> {
    take_of_class(store, account, class_of(bytes).ok_or(NoMemory)?)
}

/// The same for a size that is known beforehand; to be put in line.
///
/// # Errors
///
/// [`NoMemory`].
#[inline(always)]
pub(super) fn take_sized<const BYTES: usize, S: Store>(
    store: &mut S,
    account: Ref<Account>,
) -> Result<Ref<[u64; 0]>, NoMemory> {
    match const { class_of(BYTES) } {
        Some(class) => take_of_class(store, account, class),
        None => Err(NoMemory),
    }
}

#[inline(always)]
fn take_of_class<S: Store>(
    store: &mut S,
    account: Ref<Account>,
    class: usize,
) -> Result<Ref<[u64; 0]>, NoMemory> {
    let page = match store.arena().get(account).partial[class] {
        Some(page) => page,
        None => add_page(store, account, class)?,
    };
    let arena = store.arena_mut();
    let header = *arena.get(page);
    let (slot, free, fresh) = match header.free {
        Some(slot) => (slot, arena.get(slot).next, header.fresh),
        None => {
            let offset = usize::from(header.fresh) * size_of_class(class);
            let raw = page.raw() + (offset / SMALLEST) as u32;
            let slot = Ref::from_raw(raw).unwrap_or(page.cast());
            (slot, None, header.fresh + 1)
        }
    };
    let header = arena.get_mut(page);
    header.free = free;
    header.fresh = fresh;
    header.used += 1;
    if free.is_none() && fresh == slots(class) {
        unlink(arena, account, page);
    }
    Ok(slot.cast())
}

/// Frees an object that [`put`] or [`take`] gave.
pub fn free<T, S: Store>(store: &mut S, object: Ref<T>) {
    if let Some((account, page)) = free_slot(store, object) {
        store.give_page(page);
        settle(store, account, PAGE_BYTES as u64);
    }
}

/// Frees a slot; the page and whom to give it back to when it was the last one in it.
fn free_slot<T, S: Store>(store: &mut S, object: Ref<T>) -> Option<(Ref<Account>, PageIx)> {
    let arena = store.arena_mut();
    let page = Ref::<PageHeader>::page_start(object.page())?;
    let header = *arena.get(page);
    let account = header.account?;
    let class = (header.class as usize).min(CLASSES - 1);
    debug_assert!(header.used > 0, "an object was freed twice");
    if header.free.is_none() && header.fresh == slots(class) {
        link(arena, account, page);
    }
    let slot = object.cast::<FreeSlot>();
    arena.set(slot, FreeSlot { next: header.free });
    let header = arena.get_mut(page);
    header.free = Some(slot);
    header.used -= 1;
    if header.used > 0 {
        return None;
    }
    unlink(arena, account, page);
    Some((account, page.page()))
}

/// Gives back `bytes` that were charged to `account`, and removes it, and those above it, when
/// that was the last of accounts that are closing.
pub fn settle<S: Store>(store: &mut S, account: Ref<Account>, bytes: u64) {
    quota::uncharge(store.arena_mut(), account, bytes);
    sweep(store, account);
}

/// Begins to close `account`, and removes it if nothing is charged to it any more.
pub fn close<S: Store>(store: &mut S, account: Ref<Account>) {
    quota::close(store.arena_mut(), account);
    store.account_closes(account);
    sweep(store, account);
}

/// Removes `account` and its ancestors as far as they are over: one way up, however many they are.
fn sweep<S: Store>(store: &mut S, account: Ref<Account>) {
    if !store.arena().get(account).is_over() {
        return;
    }
    let mut up = Rising::default();
    let mut at = account;
    while store.arena().get(at).is_over() {
        let above = store.arena().get(at).parent();
        // Its own object lies in a page of the parent's, or of nobody's for a root.
        let freed = free_slot(store, at);
        if let Some((_, page)) = freed {
            store.give_page(page);
        }
        let Some(above) = above else { return };
        let bytes = if freed.is_some() { PAGE_BYTES } else { 0 };
        quota::rise(store.arena_mut(), above, bytes as u64, &mut up);
        at = above;
    }
    while let Some(above) = store.arena().get(at).parent() {
        if !quota::rise(store.arena_mut(), above, 0, &mut up) {
            return;
        }
        at = above;
    }
}

/// An account without a parent, in a page of its own that nobody pays for.
///
/// # Errors
///
/// [`NoMemory`].
pub fn root<S: Store>(store: &mut S, limit: u64) -> Result<Ref<Account>, NoMemory> {
    let page = store.take_page().ok_or(NoMemory)?;
    // Behind where a header would be, so that the page looks like one of objects.
    let start = Ref::<PageHeader>::page_start(page).ok_or(NoMemory)?;
    let account = Ref::from_raw(start.raw() + 4).ok_or(NoMemory)?;
    let class = class_of(size_of::<Account>()).ok_or(NoMemory)?;
    let arena = store.arena_mut();
    arena.set(
        start,
        PageHeader {
            used: 1,
            ..PageHeader::empty(None, class)
        },
    );
    arena.set(account, Account::new(None, limit));
    Ok(account)
}

/// An account for a new factory below `parent`: `limit` bytes, at least 1, are taken out of the
/// parent's, beside what its book-keeping costs (MOE-QUO-01, -02).
///
/// # Errors
///
/// [`NoMemory`], also below [`DEEPEST`] others. A limit of 0 is refused so, too: check for it before (MOE-FAC-07).
pub fn open<S: Store>(
    store: &mut S,
    parent: Ref<Account>,
    limit: u64,
) -> Result<Ref<Account>, NoMemory> {
    if limit == 0 || store.arena().get(parent).depth() >= DEEPEST {
        return Err(NoMemory);
    }
    let account = Account::below(store.arena(), parent, limit);
    let account = put(store, parent, account)?;
    if !quota::reserve(store.arena_mut(), parent, limit) {
        free(store, account);
        return Err(NoMemory);
    }
    Ok(account)
}

impl PageHeader {
    const fn empty(account: Option<Ref<Account>>, class: usize) -> Self {
        PageHeader {
            account,
            next: None,
            prev: None,
            free: None,
            used: 0,
            fresh: first_slot(class),
            class: class as u32,
            unused: 0,
        }
    }
}

#[cold]
#[inline(never)]
fn add_page<S: Store>(
    store: &mut S,
    account: Ref<Account>,
    class: usize,
) -> Result<Ref<PageHeader>, NoMemory> {
    if !quota::charge(store.arena_mut(), account, PAGE_BYTES as u64) {
        return Err(NoMemory);
    }
    let page = store.take_page();
    let Some(start) = page.and_then(Ref::<PageHeader>::page_start) else {
        quota::uncharge(store.arena_mut(), account, PAGE_BYTES as u64);
        return Err(NoMemory);
    };
    let arena = store.arena_mut();
    arena.set(start, PageHeader::empty(Some(account), class));
    link(arena, account, start);
    Ok(start)
}

/// Puts a page in front of its account's pages with free slots.
fn link(arena: &mut Arena, account: Ref<Account>, page: Ref<PageHeader>) {
    let class = (arena.get(page).class as usize).min(CLASSES - 1);
    let first = arena.get_mut(account).partial[class].replace(page);
    if let Some(first) = first {
        arena.get_mut(first).prev = Some(page);
    }
    let header = arena.get_mut(page);
    header.next = first;
    header.prev = None;
}

/// Takes a page out of that list.
fn unlink(arena: &mut Arena, account: Ref<Account>, page: Ref<PageHeader>) {
    let PageHeader {
        next, prev, class, ..
    } = *arena.get(page);
    if let Some(next) = next {
        arena.get_mut(next).prev = prev;
    }
    match prev {
        Some(prev) => arena.get_mut(prev).next = next,
        None => arena.get_mut(account).partial[(class as usize).min(CLASSES - 1)] = next,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        assert_eq!(
            (class_of(0), class_of(16), class_of(17)),
            (Some(0), Some(0), Some(1))
        );
        assert_eq!((class_of(1024), class_of(1025)), (Some(6), None));
        let room: [u16; CLASSES] = core::array::from_fn(|class| slots(class) - first_slot(class));
        assert_eq!(room, [254, 127, 63, 31, 15, 7, 3]);
        assert_eq!(size_of::<Account>(), 64);
    }
}
