//! The short way of a fault: one page, mapped alone, that is there or comes from a frame at hand.
//!
//! This is what most faults of a client with scattered memory are, and it is to cost about as much as
//! the table walk does. So it is one function that is put in line into the server's loop. It decides by
//! reading only. Where anything is not as simple as it expects, it answers `None`, has changed
//! nothing but nodes of the table that were made, has made no system call (so the message is in the UTCB
//! still), and the complete path ([`map`](super::map()),
//! `populate.rs`) decides again; the two must agree on what a fault brings.
//!
//! A dataspace remembers the leaf of the table that was used last, so the walk is a comparison for a
//! client that stays within 4 MiB for more than one fault. Leaves live as long as their dataspace.

use l4_sys::{Fpage, MemRights, PAGE_SHIFT, PAGE_SIZE};

use crate::engine::arena::{Ref, Store};
use crate::engine::kernel::Kernel;
use crate::engine::pool::{AtHand, Pool};
use crate::engine::quota;
use crate::frames::{FrameNo, Policy, Run};

use super::object::{Ds, flag};
use super::populate::{self, ALONE, ALWAYS_ALONE};
use super::share;
use super::table;
use super::word::{GROUP, GROUP_SHIFT, Page, frame_of};

/// log2 of the bytes that a leaf of the table covers: 64 groups.
const LEAF_BYTES: u32 = PAGE_SHIFT + GROUP_SHIFT + 6;

/// The flexpage to send for the byte at `offset` of a dataspace that [is plain](Ds::is_plain), with the
/// rights in `rights` (bits of [`flag`]). `None`: see the [module](self).
#[inline(always)]
pub(in crate::engine) fn quick<P: Policy, K: Kernel>(
    pool: &mut Pool<'_, P, K>,
    ds: Ref<Ds>,
    offset: u64,
    rights: u32,
) -> Option<Fpage> {
    let it = pool.arena().get(ds);
    if offset >= it.rounded_size() {
        return None;
    }
    if it.leaf_number != (offset >> LEAF_BYTES) as u32
        && !table::seek(&mut AtHand(pool), ds, offset)
    {
        return None;
    }
    let it = pool.arena().get(ds);
    let leaf = it.leaf;
    let page = offset >> PAGE_SHIFT;
    let index = (page >> GROUP_SHIFT) as usize % table::LEAF_WORDS;
    let word = pool.arena().word_at(leaf, index);
    let n = (page % GROUP) as u32;
    let frame = if word == 0 {
        fresh(pool, ds, page, (leaf, index))?
    } else if word >> n & 1 != 0 {
        // A page of a run. With the one beside it, it may be a larger flexpage.
        if word >> (n ^ 1) & 1 != 0 {
            return None;
        }
        FrameNo(u64::from(((word >> 32) as u32).wrapping_add(n)))
    } else if word & 0xffff_0000 == 0 {
        in_table(pool, ds, page, (word >> 32) as u32, rights)?
    } else {
        into_run(pool, ds, page, (leaf, index))?
    };
    let rights = MemRights::from_bits_retain(rights as u8);
    Some(Fpage::mem(frame.address(), PAGE_SHIFT, rights))
}

/// A page of a group whose pages lie scattered.
#[inline(always)]
fn in_table<P: Policy, K: Kernel>(
    pool: &mut Pool<'_, P, K>,
    ds: Ref<Ds>,
    page: u64,
    table: u32,
    rights: u32,
) -> Option<FrameNo> {
    let index = (page % GROUP) as usize;
    let entry = pool.arena().word_at(table, index);
    match entry & 3 {
        1 => Some(FrameNo(entry >> 2)),
        0 if pool.arena().get(ds).quick != 0 => {
            take(pool, ds, page, (table, index), (false, OfTable))
        }
        2 | 3 => shared(pool, ds, (table, index), Page::from_word(entry), rights),
        _ => None,
    }
}

/// A page that other dataspaces use, too, or that is nobody's: for writing it gets a frame of its own.
#[cold]
#[inline(never)]
fn shared<P: Policy, K: Kernel>(
    pool: &mut Pool<'_, P, K>,
    ds: Ref<Ds>,
    (table, index): (u32, usize),
    page: Page,
    rights: u32,
) -> Option<FrameNo> {
    if rights & flag::W != 0 {
        let table = Ref::from_raw(table)?;
        let got = share::unshare(pool, ds, table, index, page).ok()?;
        return Some(got.0);
    }
    match page {
        Page::Shared(record) => Some(share::frame(pool.arena(), record)),
        Page::Static(frame) => Some(frame),
        _ => None,
    }
}

/// A page of a group that has a run, of which nothing is kept for it: if the frame that comes next is
/// where the page's is in the run.
#[cold]
#[inline(never)]
fn into_run<P: Policy, K: Kernel>(
    pool: &mut Pool<'_, P, K>,
    ds: Ref<Ds>,
    page: u64,
    (leaf, index): (u32, usize),
) -> Option<FrameNo> {
    let word = pool.arena().word_at(leaf, index);
    let (it, n) = (pool.arena().get(ds), (page % GROUP) as u32);
    let account = it.account?;
    let room = quota::has_room(pool.arena(), account, PAGE_SIZE);
    if it.quick == 0 || word >> (16 + n) & 1 != 0 || !room {
        return None;
    }
    let wanted = frame_of((word >> 32) as u32, n);
    let zeroed = pool.take_if(wanted)?;
    if pool.arena().get(ds).quick == ALWAYS_ALONE {
        pool.arena_mut().get_mut(ds).grow = 0;
    } else {
        populate::choose(pool, ds, page, word as u16);
    }
    let arena = pool.arena_mut();
    quota::charge_room(arena, account, PAGE_SIZE);
    arena.set_word_at(leaf, index, word | 0x1_0001 << n);
    let it = arena.get_mut(ds);
    it.pages += 1;
    it.next_page = page + 1;
    it.note_use();
    if !zeroed {
        pool.zero_now(Run::single(wanted.0 as u32));
    }
    Some(wanted)
}

/// The first page of a group, if it is brought alone.
#[inline(always)]
fn fresh<P: Policy, K: Kernel>(
    pool: &mut Pool<'_, P, K>,
    ds: Ref<Ds>,
    page: u64,
    place: (u32, usize),
) -> Option<FrameNo> {
    let it = pool.arena().get(ds);
    if it.quick == ALONE {
        let border = (page + 1) % GROUP <= 1;
        if it.next_page == page || border && table::beside(pool.arena(), ds, page) != Some(false) {
            return None;
        }
    } else if it.quick != ALWAYS_ALONE {
        return None;
    }
    take(pool, ds, page, place, (true, OfRun((page % GROUP) as u32)))
}

/// The word that says that a frame is there. (Not a closure: those cannot be told to be in line.)
trait Entry {
    fn word(self, frame: FrameNo) -> u64;
}

/// In a group's word, for its page of this number alone.
struct OfRun(u32);
/// In a table.
struct OfTable;

impl Entry for OfRun {
    #[inline(always)]
    fn word(self, frame: FrameNo) -> u64 {
        let base = (frame.0 as u32).wrapping_sub(self.0);
        (u64::from(base) << 32) | (0x1_0001 << self.0)
    }
}

impl Entry for OfTable {
    #[inline(always)]
    fn word(self, frame: FrameNo) -> u64 {
        Page::Own(frame).word()
    }
}

/// Takes and charges a frame for a page that has none, and writes the word at `place` that says so. A
/// page that is `lone` says that nothing is near.
#[inline(always)]
fn take<P: Policy, K: Kernel>(
    pool: &mut Pool<'_, P, K>,
    ds: Ref<Ds>,
    page: u64,
    place: (u32, usize),
    (lone, word): (bool, impl Entry),
) -> Option<FrameNo> {
    let account = pool.arena().get(ds).account?;
    if !quota::has_room(pool.arena(), account, PAGE_SIZE) {
        return None;
    }
    let frame = pool.take_quick()?;
    let mut arena = pool.arena_mut().in_registers();
    let it = arena.get_mut(ds);
    it.pages += 1;
    it.next_page = page + 1;
    if lone {
        it.grow = 0;
    }
    arena.set_word_at(place.0, place.1, word.word(frame));
    quota::charge_room(&mut arena, account, PAGE_SIZE);
    Some(frame)
}
