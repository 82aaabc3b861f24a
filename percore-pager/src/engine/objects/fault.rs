//! Faults in a region map, down to the flexpage.

use l4_sys::Errno;

use crate::engine::arena::{Ref, Store};
use crate::engine::ds::{self, Ask, Ds, Mapped};
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
    let aim = aim(objects, pool, map, word)?;
    show(pool, aim).map_err(|_| Errno::NoMem)
}

/// What a fault asks for, found in two steps so that memory can be brought between them.
#[derive(Clone, Copy, Debug)]
pub struct Aim {
    /// The dataspace.
    pub object: Ref<Ds>,
    /// The same by its label, for when it may be gone.
    pub label: Label,
    /// What to map of it.
    pub ask: Ask,
    /// The region's, which counts, not the object's (MOE-RM-39).
    caching: u32,
}

/// The first half of [`page_fault`]; [`show`] is the second.
///
/// # Errors
///
/// As [`page_fault`].
#[inline(always)]
pub fn aim<P: Policy, K: Kernel>(
    objects: &Objects<'_>,
    pool: &mut Pool<'_, P, K>,
    map: Ref<Map>,
    word: u64,
) -> Result<Aim, Errno> {
    let hit = rm::fault(pool.arena_mut(), map, Fault::from_word(word))?;
    aim_at(objects, hit).ok_or(Errno::NoMem)
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
    let aim = aim_at(objects, hit).ok_or(Errno::AddrNotAvail)?;
    show(pool, aim).map_err(|_| Errno::AddrNotAvail)
}

#[inline(always)]
fn aim_at(objects: &Objects<'_>, hit: Hit) -> Option<Aim> {
    let label = Label::from(hit.backing);
    let Some(Object::Dataspace(object)) = objects.look(label) else {
        return None;
    };
    Some(Aim {
        object,
        label,
        ask: Ask {
            offset: hit.offset,
            spot: hit.page,
            window: Some(hit.window),
            flags: hit.rights,
            // What the region may do was checked when it was attached.
            writable: true,
        },
        caching: hit.caching,
    })
}

/// Maps what a fault asks for.
///
/// # Errors
///
/// Those of [`ds::map`].
#[inline(always)]
pub fn show<P: Policy, K: Kernel>(pool: &mut Pool<'_, P, K>, aim: Aim) -> Result<Mapped, Errno> {
    let mapped = ds::map(pool, aim.object, aim.ask)?;
    Ok(Mapped {
        caching: aim.caching,
        ..mapped
    })
}
