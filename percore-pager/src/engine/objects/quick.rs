//! The two messages of faults, short: from the label to the answer in the UTCB.
//!
//! See [`ds::quick`]. Each function answers `false` where something is not as simple as it expects; then
//! nothing was changed that the complete way would not change, and the message is in the UTCB still.

use l4_sys::item::{Caching, SendItem};
use l4_sys::{Fpage, MsgTag, UtcbRef, proto};
use l4re_rs::client::dataspace::op;

use crate::engine::arena::{Ref, Store};
use crate::engine::ds::{self, Ds};
use crate::engine::kernel::Kernel;
use crate::engine::pool::Pool;
use crate::engine::rm::{self, Map};
use crate::frames::Policy;

use super::entry::Object;
use super::label::Label;
use super::table::Objects;

/// Tag of a page fault's message.
pub const QUICK_FAULT: MsgTag = MsgTag::plain(proto::PAGE_FAULT, 2, 0);
/// Tag of a map request to a dataspace, as clients send it.
pub const QUICK_MAP: MsgTag = MsgTag::plain(proto::DATASPACE, 4, 0);
/// Tag of the answer to both.
pub const ANSWER: MsgTag = MsgTag::plain(0, 0, 1);

/// Answers a message of tag [`QUICK_MAP`] for the label `word`.
#[inline(always)]
pub fn quick_map<P: Policy, K: Kernel>(
    objects: &Objects<'_>,
    pool: &mut Pool<'_, P, K>,
    word: u64,
    utcb: UtcbRef,
) -> bool {
    let Some(Object::Dataspace(object)) = objects.look_word(word) else {
        return false;
    };
    if utcb.mr(0) as u32 != op::MAP {
        return false;
    }
    let (offset, spot, asked) = (utcb.mr(1), utcb.mr(2), utcb.mr(3) as u32);
    // The W right of the capability is bit 0 of the label, that of memory is bit 1.
    let without = (!word as u32 & 1) << 1;
    let Some(shown) = ds::quick(pool, object, offset, asked, without) else {
        return false;
    };
    answer(utcb, spot, shown);
    true
}

/// Answers a message of tag [`QUICK_FAULT`] for the label `word`.
#[inline(always)]
pub fn quick_fault<P: Policy, K: Kernel>(
    objects: &Objects<'_>,
    pool: &mut Pool<'_, P, K>,
    word: u64,
    utcb: UtcbRef,
) -> bool {
    let Some(Object::RegionMap(map)) = objects.look_word(word) else {
        return false;
    };
    let fault = utcb.mr(0);
    let Some(hit) = rm::quick(pool.arena_mut(), map, fault) else {
        return false;
    };
    let known = pool.arena().get(map).object_of(objects.epoch);
    let Some(object) = known.or_else(|| look_behind(objects, pool, map, hit.backing)) else {
        return false;
    };
    let Some(shown) = ds::quick(pool, object, hit.offset, hit.rights, 0) else {
        return false;
    };
    answer(utcb, fault, shown);
    true
}

/// The dataspace behind the region that was found; the map notes it.
#[inline(never)]
fn look_behind<P: Policy, K: Kernel>(
    objects: &Objects<'_>,
    pool: &mut Pool<'_, P, K>,
    map: Ref<Map>,
    backing: Option<rm::Backing>,
) -> Option<Ref<Ds>> {
    let Some(Object::Dataspace(object)) = objects.look(Label::from(backing?)) else {
        return None;
    };
    let it = pool.arena_mut().get_mut(map);
    it.note_object(object, objects.epoch);
    Some(object)
}

#[inline(always)]
fn answer(utcb: UtcbRef, spot: u64, shown: Fpage) {
    let item = SendItem::mem(spot, Caching::AsSender, shown);
    utcb.set_mr(0, item.control);
    utcb.set_mr(1, item.fpage.0);
}
