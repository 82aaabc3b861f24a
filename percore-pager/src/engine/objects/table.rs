//! The table: making, finding, and the tree of factories.

use super::entry::{Entry, Link, NONE, Object, State};
use super::label::{Label, MAX_ENTRIES, Rights};
use super::quick::{RECENT, Recent};
use crate::engine::arena::Ref;

/// An object that a message is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its label.
    pub label: Label,
    /// What it is.
    pub object: Object,
    /// What the sender's capability allows.
    pub rights: Rights,
}

/// See the [module](super).
#[derive(Debug)]
pub struct Objects<'a> {
    pub(super) entries: &'a mut [Entry],
    free: Link,
    /// Objects on their way out.
    pub(super) condemned: Link,
    /// The last of them, if there is one.
    pub(super) last: Link,
    live: u32,
    /// Entries that were ever used: the first ones, as free ones are taken in order and given back in front.
    begun: u32,
    /// The number of entry 0 in labels.
    first: u32,
    /// The regions that faults were in last.
    pub(super) recent: [Recent; RECENT],
}

impl<'a> Objects<'a> {
    /// A table without objects in this memory; entries beyond 2^28 are not used.
    pub fn new(entries: &'a mut [Entry]) -> Self {
        Self::numbered(entries, 0)
    }

    /// The same with labels that count from `first` on, so that those of several tables differ.
    pub fn numbered(entries: &'a mut [Entry], first: u32) -> Self {
        let room = MAX_ENTRIES.saturating_sub(first as usize);
        let count = entries.len().min(room);
        let entries = entries.split_at_mut(count).0;
        for (n, entry) in entries.iter_mut().enumerate() {
            *entry = Entry {
                next: if n + 1 < count { n as Link + 1 } else { NONE },
                ..Entry::EMPTY
            };
        }
        Objects {
            free: if count > 0 { 0 } else { NONE },
            entries,
            condemned: NONE,
            last: NONE,
            live: 0,
            begun: 0,
            first,
            recent: [const { Recent::NONE }; RECENT],
        }
    }

    /// Objects that can be found.
    pub fn live(&self) -> u32 {
        self.live
    }

    pub(super) fn entry(&mut self, at: Link) -> Option<&mut Entry> {
        self.entries.get_mut(at as usize)
    }

    /// Whether there is a free entry.
    pub fn has_room(&self) -> bool {
        self.free != NONE
    }

    /// The factory that made an object, if it was one and the object is there.
    pub fn parent(&self, label: Label) -> Option<Label> {
        self.look(label)?;
        let parent = self.entries.get(self.at(label) as usize)?.parent;
        let above = self.entries.get(parent as usize)?;
        self.label(parent, above.generation)
    }

    /// The entry that a label means; out of the table for labels of others.
    #[inline]
    pub(super) fn at(&self, label: Label) -> Link {
        (label.index() as u32).wrapping_sub(self.first)
    }

    /// The label of an entry.
    pub(super) fn label(&self, at: Link, generation: u32) -> Option<Label> {
        Label::new(at.checked_add(self.first)?, generation)
    }

    /// Adds an object made by `parent`, or by the server itself. With `gate`, clients will have
    /// capabilities for it; without, only regions use it. `None` when the table is full (MOE-OBJ-13)
    /// or the parent is gone.
    #[must_use = "an object without a label cannot be found"]
    pub fn insert(&mut self, parent: Option<Label>, object: Object, gate: bool) -> Option<Label> {
        let above = match parent {
            Some(label) => {
                self.look(label)?;
                self.at(label)
            }
            None => NONE,
        };
        let at = self.free;
        let sibling = self.entry(above).map_or(NONE, |above| above.child);
        let generation = self.entry(at)?.generation;
        let label = self.label(at, generation)?;
        let entry = self.entry(at)?;
        let free = entry.next;
        *entry = Entry {
            generation: entry.generation,
            gate,
            state: State::Live(object),
            key: label.word() + object.code(),
            object: object.place(),
            runs: None,
            sealed: false,
            parent: above,
            child: NONE,
            next: sibling,
            prev: NONE,
        };
        self.free = free;
        self.begun = self.begun.max(at + 1);
        if let Some(sibling) = self.entry(sibling) {
            sibling.prev = at;
        }
        if let Some(above) = self.entry(above) {
            above.child = at;
        }
        self.live += 1;
        Some(label)
    }

    /// The object of a label, if it is there.
    #[inline]
    pub fn look(&self, label: Label) -> Option<Object> {
        let entry = self.entries.get(self.at(label) as usize)?;
        match entry.state {
            State::Live(object) if entry.generation == label.generation() => Some(object),
            _ => None,
        }
    }

    /// The object of the kind with this code that a message's label names. `T` is what such objects are.
    #[inline(always)]
    pub(super) fn look_word<T>(&self, word: u64, code: u64) -> Option<Ref<T>> {
        let at = (word as u32 >> 4).wrapping_sub(self.first);
        let entry = self.entries.get(at as usize)?;
        // The low two bits are rights. Where the next two are not 0, as in every label, the sum is no key
        // of this entry: it has another number in it.
        if entry.key != word.wrapping_add(code) & !3 {
            return None;
        }
        Some(entry.object.cast())
    }

    /// The object that a message's label, or a received item, names.
    #[inline]
    pub fn find(&self, word: u64) -> Option<Found> {
        let (label, rights) = Label::from_word(word)?;
        Some(Found {
            label,
            object: self.look(label)?,
            rights,
        })
    }

    /// Takes a live entry out of its parent's children.
    pub(super) fn detach(&mut self, at: Link) {
        let Some(&mut Entry {
            parent, next, prev, ..
        }) = self.entry(at)
        else {
            return;
        };
        if let Some(next) = self.entry(next) {
            next.prev = prev;
        }
        if let Some(prev) = self.entry(prev) {
            prev.next = next;
        } else if let Some(parent) = self.entry(parent) {
            parent.child = next;
        }
        self.live -= 1;
    }

    /// Makes an entry free; its old labels find nothing for 2^32 uses.
    pub(super) fn release(&mut self, at: Link) {
        let free = self.free;
        if let Some(entry) = self.entry(at) {
            let generation = entry.generation.checked_add(1).unwrap_or(1);
            *entry = Entry {
                generation,
                next: free,
                ..Entry::EMPTY
            };
            self.free = at;
        }
    }

    /// One of the objects with a gate that `alive` says have none any more, looking at no more than
    /// `most` entries from `cursor` on: after a deletion notice, call it until the cursor is back
    /// at 0 and condemn what it finds (MOE-OBJ-08). `alive` gets the entry's number. A round is through the
    /// entries that were ever used, not the whole table, which is as large as the core's memory allows.
    pub fn sweep(
        &self,
        cursor: &mut u32,
        most: u32,
        mut alive: impl FnMut(u32) -> bool,
    ) -> Option<Label> {
        for _ in 0..most {
            let at = *cursor;
            let begun = self.entries.get(..self.begun as usize);
            let Some(entry) = begun.and_then(|begun| begun.get(at as usize)) else {
                *cursor = 0;
                return None;
            };
            *cursor = at + 1;
            if entry.gate && matches!(entry.state, State::Live(_)) && !alive(at) {
                return self.label(at, entry.generation);
            }
        }
        None
    }

    /// Number of a label's entry, for the slot of its gate.
    pub fn number(&self, label: Label) -> u32 {
        self.at(label)
    }
}
