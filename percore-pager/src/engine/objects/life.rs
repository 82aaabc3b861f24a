//! How objects end.

use crate::engine::arena::Store;
use crate::engine::ds::Death;
use crate::engine::kernel::Kernel;
use crate::engine::pool::Pool;
use crate::engine::rm::{self, Backing};
use crate::engine::runs;
use crate::engine::slabs;
use crate::frames::Policy;

use super::entry::{Entry, Link, NONE, Object, State};
use super::label::Label;
use super::table::Objects;

/// Nodes of a region map that one turn takes out.
const TURN_NODES: usize = 32;
/// Runs of a factory that one turn frees.
const TURN_RUNS: u32 = 64;

impl Objects<'_> {
    /// Begins the end of an object: nobody finds it any more, and what it is charged with itself is
    /// given back as far as that takes no time. `false` when it is gone already.
    pub fn condemn<P: Policy, K: Kernel>(
        &mut self,
        pool: &mut Pool<'_, P, K>,
        label: Label,
    ) -> bool {
        let Some(object) = self.look(label) else {
            return false;
        };
        let at = self.at(label);
        self.detach(at);
        pool.arena_mut().note_change();
        let state = match object {
            Object::Factory(account) => {
                slabs::close(pool, account);
                State::Factory
            }
            Object::Dataspace(ds) => State::Dataspace(Death::begin(pool, ds)),
            Object::RegionMap(map) => State::RegionMap(map),
        };
        if let Some(entry) = self.entry(at) {
            entry.state = state;
            entry.key = Entry::EMPTY.key;
            if entry.gate {
                pool.kernel.drop_gate(at);
            } else {
                pool.kernel.ended(at);
            }
        }
        self.put_last(at);
        true
    }

    /// Objects that end take turns: neither a large one nor many small ones hold up others.
    fn put_last(&mut self, at: Link) {
        let last = self.last;
        match self.entry(last) {
            Some(entry) => entry.next = at,
            None => self.condemned = at,
        }
        if let Some(entry) = self.entry(at) {
            entry.next = NONE;
        }
        self.last = at;
    }

    /// Takes the first object that ends out of the list.
    fn take_first(&mut self) {
        let at = self.condemned;
        let next = self.entry(at).map_or(NONE, |entry| entry.next);
        self.condemned = next;
        if next == NONE {
            self.last = NONE;
        }
    }

    /// Whether there is something for [`Objects::turn`].
    pub fn has_condemned(&self) -> bool {
        self.condemned != NONE
    }

    /// Does a bounded piece of work on objects that end; `false` when there are none.
    pub fn turn<P: Policy, K: Kernel>(&mut self, pool: &mut Pool<'_, P, K>) -> bool {
        let at = self.condemned;
        let Some(entry) = self.entry(at) else {
            return false;
        };
        let (child, runs) = (entry.child, entry.runs);
        let done = match &mut entry.state {
            State::Dataspace(death) => death.step(pool),
            State::RegionMap(map) => {
                let map = *map;
                let mut dropped = [None; TURN_NODES];
                let mut slots = dropped.iter_mut();
                let done = rm::clear_some(pool, map, TURN_NODES as u32, |backing| {
                    if let Some(slot) = slots.next() {
                        *slot = Some(backing);
                    }
                });
                if done {
                    rm::free_map(pool, map);
                }
                self.take_first();
                if done {
                    self.release(at);
                } else {
                    self.put_last(at);
                }
                for backing in dropped.into_iter().flatten() {
                    self.drop_user(pool, backing);
                }
                return true;
            }
            State::Factory => match self.entries.get(child as usize) {
                Some(below) => {
                    if let Some(label) = self.label(child, below.generation) {
                        self.condemn(pool, label);
                    }
                    false
                }
                None => runs.is_none_or(|runs| runs::drop_some(pool, runs, TURN_RUNS)),
            },
            State::Free | State::Live(_) => true,
        };
        self.take_first();
        if done {
            self.release(at);
        } else {
            self.put_last(at);
        }
        true
    }

    /// One region more shows the dataspace; `None` when it is gone or is none.
    pub fn add_user<S: Store>(&self, mem: &mut S, label: Label) -> Option<Backing> {
        let Some(Object::Dataspace(ds)) = self.look(label) else {
            return None;
        };
        mem.arena_mut().get_mut(ds).add_user();
        Some(label.into())
    }

    /// One region less shows the object, which may be gone. The last one of memory of a region's
    /// own, which has no gate, ends it.
    pub fn drop_user<P: Policy, K: Kernel>(&mut self, pool: &mut Pool<'_, P, K>, backing: Backing) {
        let label = Label::from(backing);
        let Some(Object::Dataspace(ds)) = self.look(label) else {
            return;
        };
        let it = pool.arena_mut().get_mut(ds);
        it.drop_user();
        let unused = it.users() == 0;
        let at = self.at(label);
        let gate = self.entries.get(at as usize).is_some_and(|e| e.gate);
        match (unused, gate) {
            (true, true) => pool.kernel.unhold(at),
            (true, false) => {
                self.condemn(pool, label);
            }
            (false, _) => {}
        }
    }
}
