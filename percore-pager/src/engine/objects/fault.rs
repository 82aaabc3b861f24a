//! Faults in a region map, down to the flexpage.

use l4_sys::Errno;

use crate::engine::arena::{Ref, Store};
use crate::engine::ds::{self, Ask, Mapped};
use crate::engine::kernel::Kernel;
use crate::engine::pool::Pool;
use crate::engine::rm::{self, Fault, Hit, Map};
use crate::frames::Policy;

use super::entry::Object;
use super::label::Label;
use super::table::Objects;

/// Answers a page-fault message (MOE-RM-35 to -39).
///
/// # Errors
///
/// Those of [`rm::fault`]; `NoMem` when the memory cannot be had.
#[inline]
pub fn page_fault<P: Policy, K: Kernel>(
    objects: &Objects<'_>,
    pool: &mut Pool<'_, P, K>,
    map: Ref<Map>,
    word: u64,
) -> Result<Mapped, Errno> {
    let hit = rm::fault(pool.arena_mut(), map, Fault::from_word(word))?;
    show(objects, pool, hit).ok_or(Errno::NoMem)
}

/// Answers a request to page in from `first` on (MOE-RM-33, -34).
///
/// # Errors
///
/// Those of [`rm::page_in`]; `AddrNotAvail` when the object is gone or too short, or its memory
/// cannot be had.
pub fn page_in<P: Policy, K: Kernel>(
    objects: &Objects<'_>,
    pool: &mut Pool<'_, P, K>,
    map: Ref<Map>,
    (first, last): (u64, u64),
    rights: u16,
) -> Result<Mapped, Errno> {
    let hit = rm::page_in(pool.arena_mut(), map, first, last, rights)?;
    show(objects, pool, hit).ok_or(Errno::AddrNotAvail)
}

fn show<P: Policy, K: Kernel>(
    objects: &Objects<'_>,
    pool: &mut Pool<'_, P, K>,
    hit: Hit,
) -> Option<Mapped> {
    let Some(Object::Dataspace(object)) = objects.look(Label::from(hit.backing)) else {
        return None;
    };
    let ask = Ask {
        offset: hit.offset,
        spot: hit.page,
        window: Some(hit.window),
        flags: hit.rights,
        // What the region may do was checked when it was attached.
        writable: true,
    };
    let mapped = ds::map(pool, object, ask).ok()?;
    Some(Mapped {
        // The region's mode counts, not the object's (MOE-RM-39).
        caching: hit.caching,
        ..mapped
    })
}
