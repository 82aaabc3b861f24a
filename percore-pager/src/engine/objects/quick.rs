//! The two messages of faults, short: from the label to the answer in the UTCB.
//!
//! See [`ds::quick`]. The answer is `false` where something is not as simple as it expects; then
//! nothing was changed that the complete way would not change, and the message is in the UTCB still.

use l4_sys::item::{Caching, SendItem};
use l4_sys::{MsgTag, PAGE_SIZE, UtcbRef, proto};
use l4re_rs::client::dataspace::op;

use crate::engine::arena::{Ref, Store};
use crate::engine::ds::{self, Ds, flag};
use crate::engine::kernel::Kernel;
use crate::engine::pool::Pool;
use crate::engine::rm;
use crate::frames::Policy;

use super::entry::{self, Object};
use super::label::Label;
use super::table::Objects;

/// Tag of a page fault's message.
pub const QUICK_FAULT: MsgTag = MsgTag::plain(proto::PAGE_FAULT, 2, 0);
/// Tag of a map request to a dataspace, as clients send it.
pub const QUICK_MAP: MsgTag = MsgTag::plain(proto::DATASPACE, 4, 0);
/// Tag of a request to allocate or clear memory of a dataspace.
pub const QUICK_SINGLE: MsgTag = MsgTag::plain(proto::DATASPACE, 3, 0);
/// Tag of the answer to [`single`] requests.
pub const DONE: MsgTag = MsgTag::plain(0, 0, 0);
/// Tag of the answer to faults.
pub const ANSWER: MsgTag = MsgTag::plain(0, 0, 1);

/// Regions that are remembered: one each for as many region maps whose entries lie beside each other.
pub(super) const RECENT: usize = 16;

/// A region that a fault was in, and its object. True as long as the arena's age is the same.
#[derive(Clone, Copy, Debug)]
pub(super) struct Recent {
    /// The region map's label.
    label: u64,
    age: u64,
    start: u64,
    /// One less than its bytes.
    length: u64,
    /// What is added to an address to get the offset in the object.
    delta: u64,
    object: Ref<Ds>,
    /// Bit n: a fault whose word ends with the five bits n is not allowed.
    deny: u32,
    /// What it may be mapped with.
    rights: u32,
}

impl Recent {
    pub(super) const NONE: Recent = Recent {
        label: 0,
        age: 0,
        start: 0,
        length: 0,
        delta: 0,
        object: match Ref::from_raw(1) {
            Some(place) => place,
            None => unreachable!(),
        },
        deny: u32::MAX,
        rights: 0,
    };
}

/// The faults that a region with these flags does not allow, as in [`Recent::deny`]. Bit 1 of a fault's word is
/// a write, bit 2 a fetch.
fn denied(flags: u32) -> u32 {
    let one = |word: u32| {
        let needed = (word & flag::W) | (word >> 2 & flag::X);
        u32::from(needed & !flags != 0) << word
    };
    (0..8).map(one).fold(0, |deny, bit| deny | bit) * 0x0101_0101
}

/// Does a request for the label `word` to allocate or clear one page, if it is simple: the answer has no words
/// and no items.
#[inline(never)]
pub fn single<P: Policy, K: Kernel>(
    objects: &Objects<'_>,
    pool: &mut Pool<'_, P, K>,
    word: u64,
    utcb: UtcbRef,
) -> bool {
    let Some(object) = objects.look_word::<Ds>(word, entry::DATASPACE) else {
        return false;
    };
    let (what, offset, size) = (utcb.mr(0) as u32, utcb.mr(1), utcb.mr(2));
    if (offset | size) & (PAGE_SIZE - 1) != 0 || size != PAGE_SIZE {
        return false;
    }
    if !pool.arena().get(object).is_plain() {
        return false;
    }
    match what {
        op::ALLOCATE => ds::is_allocated(pool, object, offset),
        op::CLEAR if word & 1 != 0 => ds::clear(pool, object, offset),
        _ => false,
    }
}

/// What the message of a fault asks for: a page of a plain dataspace.
#[derive(Clone, Copy, Debug)]
pub struct Touch {
    object: Ref<Ds>,
    offset: u64,
    /// Where it is to appear.
    spot: u64,
    rights: u32,
}

/// Answers the message of a fault, if it is simple: the answer has the tag [`ANSWER`].
///
/// Both messages come here, so that what is in line in a server's loop is there once.
#[inline(always)]
pub fn quick<P: Policy, K: Kernel>(pool: &mut Pool<'_, P, K>, touch: Touch, utcb: UtcbRef) -> bool {
    let Some(shown) = ds::quick(pool, touch.object, touch.offset, touch.rights) else {
        return false;
    };
    let item = SendItem::mem(touch.spot, Caching::AsSender, shown);
    utcb.set_mr(0, item.control);
    utcb.set_mr(1, item.fpage.0);
    true
}

/// What a message of tag [`QUICK_MAP`] for the label `word` asks for.
#[inline(always)]
pub fn quick_map<P: Policy, K: Kernel>(
    objects: &Objects<'_>,
    pool: &Pool<'_, P, K>,
    word: u64,
    utcb: UtcbRef,
) -> Option<Touch> {
    let object = objects.look_word(word, entry::DATASPACE)?;
    if utcb.mr(0) as u32 != op::MAP || !pool.arena().get::<Ds>(object).is_plain() {
        return None;
    }
    let (offset, spot, asked) = (utcb.mr(1), utcb.mr(2), utcb.mr(3) as u32);
    // The W right of the capability is bit 0 of the label, that of memory is bit 1.
    let allowed = (word as u32) << 1 | flag::R | flag::X;
    let rights = asked & allowed & flag::RIGHTS;
    let refused = (asked ^ rights) & (flag::W | flag::X | flag::CACHING) != 0;
    (!refused).then_some(Touch {
        object,
        offset,
        spot,
        rights,
    })
}

/// What a message of tag [`QUICK_FAULT`] for the label `word` asks for.
#[inline(always)]
pub fn quick_fault<P: Policy, K: Kernel>(
    objects: &mut Objects<'_>,
    pool: &mut Pool<'_, P, K>,
    word: u64,
    utcb: UtcbRef,
) -> Option<Touch> {
    let fault = utcb.mr(0);
    let at = (word >> 4) as usize % RECENT;
    let known = &objects.recent[at];
    let same = known.label == word & !3 && known.age == pool.arena().age();
    let known = same && fault.wrapping_sub(known.start) <= known.length;
    if !known && !remember(objects, pool, word, fault) {
        return None;
    }
    let known = &objects.recent[at];
    let denied = known.deny >> (fault & 31) & 1 != 0;
    (!denied).then_some(Touch {
        object: known.object,
        offset: (fault & !(PAGE_SIZE - 1)).wrapping_add(known.delta),
        spot: fault,
        rights: known.rights & (flag::R | flag::X | fault as u32 & flag::W),
    })
}

/// Remembers the region of a fault, if it is one for the short way.
#[cold]
#[inline(never)]
fn remember<P: Policy, K: Kernel>(
    objects: &mut Objects<'_>,
    pool: &mut Pool<'_, P, K>,
    word: u64,
    fault: u64,
) -> bool {
    let Some(map) = objects.look_word(word, entry::REGION_MAP) else {
        return false;
    };
    let Some(region) = rm::plain(pool.arena_mut(), map, fault) else {
        return false;
    };
    let Some(Object::Dataspace(object)) = objects.look(Label::from(region.backing)) else {
        return false;
    };
    if !pool.arena().get(object).is_plain() {
        return false;
    }
    objects.recent[(word >> 4) as usize % RECENT] = Recent {
        label: word & !3,
        age: pool.arena().age(),
        start: region.start,
        length: region.length,
        delta: region.offset.wrapping_sub(region.start),
        object,
        deny: denied(region.flags),
        rights: region.flags & flag::RIGHTS,
    };
    true
}
