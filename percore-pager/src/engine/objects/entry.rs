//! Entries of the table.

use crate::engine::arena::Ref;
use crate::engine::ds::{Death, Ds};
use crate::engine::quota::Account;
use crate::engine::rm::Map;
use crate::engine::runs::Runs;

/// What an entry stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Object {
    /// A factory and its account.
    Factory(Ref<Account>),
    /// A dataspace.
    Dataspace(Ref<Ds>),
    /// A region map.
    RegionMap(Ref<Map>),
}

impl Object {
    /// Tells kinds apart in an entry's key: added to a label, whose low four bits are 0.
    #[inline(always)]
    pub(super) const fn code(self) -> u64 {
        match self {
            Object::Factory(_) => 4,
            Object::Dataspace(_) => DATASPACE,
            Object::RegionMap(_) => REGION_MAP,
        }
    }

    pub(super) fn place(self) -> Ref<[u64; 0]> {
        match self {
            Object::Factory(at) => at.cast(),
            Object::Dataspace(at) => at.cast(),
            Object::RegionMap(at) => at.cast(),
        }
    }
}

/// See [`Object::code`].
pub(super) const DATASPACE: u64 = 8;
/// See [`Object::code`].
pub(super) const REGION_MAP: u64 = 12;
/// The key of what cannot be found: no multiple of 4.
const NO_KEY: u64 = 1;
/// Stands for no object.
const NOWHERE: Ref<[u64; 0]> = match Ref::from_raw(1) {
    Some(place) => place,
    None => unreachable!(),
};

/// What an entry is at present.
#[derive(Clone, Copy, Debug)]
pub(super) enum State {
    /// In the list of free entries.
    Free,
    /// An object that can be found.
    Live(Object),
    /// On its way out: a factory whose children are to be condemned.
    Factory,
    /// On its way out: a dataspace.
    Dataspace(Death),
    /// On its way out: a region map.
    RegionMap(Ref<Map>),
}

/// Index of an entry, or [`NONE`].
pub(super) type Link = u32;
/// No entry.
pub(super) const NONE: Link = u32::MAX;

/// One entry: memory that the caller of [`Objects::new`](super::Objects::new) provides.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    pub(super) generation: u32,
    /// Whether clients can have capabilities for it.
    pub(super) gate: bool,
    pub(super) state: State,
    /// What the short ways compare: the label plus [`Object::code`] while the object can be found, else
    /// [`NO_KEY`]; and the object.
    pub(super) key: u64,
    pub(super) object: Ref<[u64; 0]>,
    /// A factory's runs, if it has any.
    pub(super) runs: Option<Ref<Runs>>,
    /// A factory: its clients gave up the right to change settings.
    pub(super) sealed: bool,
    pub(super) parent: Link,
    pub(super) child: Link,
    /// The next sibling; the next free or condemned entry.
    pub(super) next: Link,
    pub(super) prev: Link,
}

impl Entry {
    /// An entry that stands for nothing.
    pub const EMPTY: Entry = Entry {
        generation: 1,
        gate: false,
        state: State::Free,
        key: NO_KEY,
        object: NOWHERE,
        runs: None,
        sealed: false,
        parent: NONE,
        child: NONE,
        next: NONE,
        prev: NONE,
    };
}
