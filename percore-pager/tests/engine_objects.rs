//! Objects of several factories against a plain list: labels find what they should and nothing
//! else, what a factory made ends with it, and in the end all memory is back.

mod engine_support;
#[path = "engine_support/machine.rs"]
mod machine;

use std::collections::BTreeMap;

use engine_support::runner;
use l4_sys::Errno;
use machine::{Machine, PAGE, accounts, machine, touch};
use percore_pager::engine::ds::{self, flag};
use percore_pager::engine::objects::{self, Entry, Label, Object, Objects};
use percore_pager::engine::rm::{self, AttachFlags, Contents, Name, Place, Range};
use percore_pager::engine::{Store, slabs};
use percore_pager::frames::Kind;
use proptest::prelude::*;

#[derive(Clone, Copy, Debug)]
enum Op {
    Factory {
        parent: u8,
        pages: u64,
    },
    Dataspace {
        parent: u8,
        pages: u64,
        gate: bool,
    },
    Map {
        parent: u8,
    },
    Attach {
        map: u8,
        ds: u8,
        page: u64,
        pages: u64,
    },
    Detach {
        map: u8,
        page: u64,
        pages: u64,
    },
    Fault {
        map: u8,
        page: u64,
        write: bool,
    },
    Condemn {
        which: u8,
    },
    Look {
        word: u64,
    },
    Turn,
}

fn op() -> impl Strategy<Value = Op> {
    let n = any::<u8>;
    prop_oneof![
        2 => (n(), 1u64..120).prop_map(|(parent, pages)| Op::Factory { parent, pages }),
        4 => (n(), 1u64..40, prop::bool::weighted(0.7))
            .prop_map(|(parent, pages, gate)| Op::Dataspace { parent, pages, gate }),
        2 => n().prop_map(|parent| Op::Map { parent }),
        6 => (n(), n(), 1u64..60, 1u64..9)
            .prop_map(|(map, ds, page, pages)| Op::Attach { map, ds, page, pages }),
        3 => (n(), 1u64..60, 1u64..9)
            .prop_map(|(map, page, pages)| Op::Detach { map, page, pages }),
        8 => (n(), 1u64..68, any::<bool>())
            .prop_map(|(map, page, write)| Op::Fault { map, page, write }),
        3 => n().prop_map(|which| Op::Condemn { which }),
        2 => any::<u64>().prop_map(|word| Op::Look { word }),
        3 => Just(Op::Turn),
    ]
}

struct Known {
    object: Object,
    parent: Option<Label>,
    gate: bool,
    users: u32,
}

struct Rig {
    m: Machine,
    objects: Objects<'static>,
    known: BTreeMap<u64, Known>,
    gone: Vec<u64>,
    top: Label,
}

impl Rig {
    fn new() -> Self {
        let mut m = machine(300, Kind::Bitmap);
        let (_, account) = accounts(&mut m, 250 * PAGE);
        let entries = Box::leak(vec![Entry::EMPTY; 40].into_boxed_slice());
        let mut objects = Objects::new(entries);
        let object = Object::Factory(account);
        let top = objects.insert(None, object, true).expect("room");
        let known = Known {
            object,
            parent: None,
            gate: true,
            users: 0,
        };
        let known = BTreeMap::from([(top.word(), known)]);
        Rig {
            m,
            objects,
            known,
            gone: vec![],
            top,
        }
    }

    fn pick(&self, n: u8, fits: impl Fn(&Object) -> bool) -> Option<Label> {
        let fit: Vec<u64> = self
            .known
            .iter()
            .filter(|(_, k)| fits(&k.object))
            .map(|(l, _)| *l)
            .collect();
        let word = *fit.get(usize::from(n) % fit.len().max(1))?;
        Label::from_word(word).map(|(label, _)| label)
    }

    fn factory(
        &self,
        n: u8,
    ) -> (
        Label,
        percore_pager::engine::Ref<percore_pager::engine::Account>,
    ) {
        let label = self
            .pick(n, |o| matches!(o, Object::Factory(_)))
            .expect("the top one");
        match self.objects.look(label) {
            Some(Object::Factory(account)) => (label, account),
            other => panic!("a factory became {other:?}"),
        }
    }

    fn add(&mut self, parent: Label, object: Object, gate: bool) {
        match self.objects.insert(Some(parent), object, gate) {
            Some(label) => {
                assert!(!self.gone.contains(&label.word()), "a label came back");
                let known = Known {
                    object,
                    parent: Some(parent),
                    gate,
                    users: 0,
                };
                assert!(self.known.insert(label.word(), known).is_none());
            }
            None => {
                // The table is full: the caller takes the object back.
                assert!(self.objects.live() + 1 >= 20, "refused with room");
                match object {
                    Object::Factory(account) => slabs::close(&mut self.m, account),
                    Object::Dataspace(ds) => {
                        let mut death = ds::Death::begin(&mut self.m, ds);
                        while !death.step(&mut self.m) {}
                    }
                    Object::RegionMap(map) => {
                        while !rm::clear_some(&mut self.m, map, 9, |_| ()) {}
                        rm::free_map(&mut self.m, map);
                    }
                }
            }
        }
    }

    fn map_at(&self, n: u8) -> Option<percore_pager::engine::Ref<rm::Map>> {
        let label = self.pick(n, |o| matches!(o, Object::RegionMap(_)))?;
        match self.objects.look(label) {
            Some(Object::RegionMap(map)) => Some(map),
            other => panic!("a map became {other:?}"),
        }
    }

    fn drop_user(&mut self, backing: rm::Backing) {
        self.objects.drop_user(&mut self.m, backing);
        if let Some(known) = self.known.get_mut(&backing.0.get()) {
            known.users -= 1;
            if known.users == 0 && !known.gate {
                self.known.remove(&backing.0.get());
                self.gone.push(backing.0.get());
            }
        }
    }

    fn step(&mut self, op: Op) {
        match op {
            Op::Factory { parent, pages } => {
                let (above, account) = self.factory(parent);
                if let Ok(account) = slabs::open(&mut self.m, account, pages * PAGE) {
                    self.add(above, Object::Factory(account), true);
                }
            }
            Op::Dataspace {
                parent,
                pages,
                gate,
            } => {
                let (above, account) = self.factory(parent);
                if let Ok(ds) = ds::create_on_demand(&mut self.m, account, pages * PAGE) {
                    self.add(above, Object::Dataspace(ds), gate);
                }
            }
            Op::Map { parent } => {
                let (above, account) = self.factory(parent);
                let limits = Range::new(0, (1 << 30) - 1).expect("a range");
                if let Ok(map) = rm::create(&mut self.m, account, limits, []) {
                    self.add(above, Object::RegionMap(map), true);
                }
            }
            Op::Attach {
                map,
                ds,
                page,
                pages,
            } => {
                let ds = self.pick(ds, |o| matches!(o, Object::Dataspace(_)));
                let (Some(map), Some(ds)) = (self.map_at(map), ds) else {
                    return;
                };
                let backing = self.objects.add_user(&mut self.m, ds).expect("alive");
                self.known.get_mut(&ds.word()).expect("alive").users += 1;
                let flags = AttachFlags::new(7).expect("known");
                let place = Place::new(page * PAGE, pages * PAGE, flags, 12).expect("pages");
                let contents = Contents {
                    backing: Some(backing),
                    offset: 0,
                    client_cap: 0,
                    backing_offset: 0,
                    flags: 0,
                    name: Name::new(b""),
                };
                if rm::attach(&mut self.m, map, place, contents).is_err() {
                    self.drop_user(backing);
                }
            }
            Op::Detach { map, page, pages } => {
                let Some(map) = self.map_at(map) else { return };
                let got = rm::detach(&mut self.m, map, page * PAGE, pages * PAGE, 0);
                if let Ok(got) = got {
                    if let Some(backing) = got.dropped() {
                        self.drop_user(backing);
                    }
                    if let Some(backing) = got.shared() {
                        let label = Label::from(backing);
                        let there = self.objects.add_user(&mut self.m, label).is_some();
                        let known = self.known.get_mut(&backing.0.get());
                        assert_eq!(there, known.is_some());
                        if let Some(known) = known {
                            known.users += 1;
                        }
                    }
                }
            }
            Op::Fault { map, page, write } => {
                let Some(map) = self.map_at(map) else { return };
                let word = page * PAGE + if write { 2 } else { 0 } + 0x100;
                let hit = rm::fault(self.m.arena_mut(), map, rm::Fault::from_word(word));
                let got = objects::page_fault(&self.objects, &mut self.m, map, word);
                let Ok(hit) = hit else {
                    assert_eq!(got.err(), hit.err());
                    return;
                };
                let known = self.known.get(&hit.backing.0.get());
                let Some(Object::Dataspace(ds)) = known.map(|known| known.object) else {
                    assert_eq!(got, Err(Errno::NoMem), "the object is gone");
                    return;
                };
                let size = self.m.arena().get(ds).rounded_size();
                match got {
                    Ok(mapped) => {
                        assert!(hit.offset < size);
                        let bytes = u64::from(mapped.order.frames()) * PAGE;
                        let first = mapped.base & !(bytes - 1);
                        assert_eq!(mapped.base, page * PAGE);
                        assert!(first >= hit.window.start());
                        assert!(first + (bytes - 1) <= hit.window.end());
                        let rights = flag::R | flag::X | if write { flag::W } else { 0 };
                        assert_eq!(mapped.rights, rights);
                    }
                    Err(e) => assert!(e == Errno::NoMem),
                }
            }
            Op::Condemn { which } => {
                let label = self.pick(which, |_| true).expect("the top one");
                if label != self.top {
                    self.condemn(label);
                }
            }
            Op::Look { word } => {
                let known = self.known.get(&(word & !3));
                assert_eq!(
                    self.objects.find(word).map(|f| f.object),
                    known.map(|k| k.object)
                );
            }
            Op::Turn => {
                self.objects.turn(&mut self.m);
            }
        }
    }

    /// Ends an object, and until all that follows from it is done, looks at nothing else.
    fn condemn(&mut self, label: Label) {
        assert!(self.objects.condemn(&mut self.m, label));
        assert!(!self.objects.condemn(&mut self.m, label), "only once");
        while self.objects.turn(&mut self.m) {}
        // What was below it is gone; maps that went dropped their uses: so count them anew.
        let mut lost = vec![label.word()];
        while let Some(word) = lost.pop() {
            self.known.remove(&word);
            self.gone.push(word);
            let below = |k: &Known| k.parent.is_some_and(|p| p.word() == word);
            lost.extend(self.known.iter().filter(|(_, k)| below(k)).map(|(l, _)| *l));
        }
        let (m, objects, gone) = (&self.m, &self.objects, &mut self.gone);
        self.known.retain(|word, known| {
            let Object::Dataspace(ds) = known.object else {
                return true;
            };
            let (label, _) = Label::from_word(*word).expect("a label");
            let before = known.users;
            if objects.look(label).is_none() {
                assert!(
                    before > 0 && !known.gate,
                    "an object went with its last region only"
                );
                gone.push(*word);
                return false;
            }
            known.users = m.arena().get(ds).users();
            assert!(known.users <= before);
            true
        });
    }

    fn check(&self) {
        assert_eq!(self.objects.live() as usize, self.known.len());
        for (word, known) in &self.known {
            for rights in 0..4 {
                let found = self.objects.find(word | rights).expect("it is there");
                assert_eq!((found.object, found.label.word()), (known.object, *word));
                assert_eq!(
                    (found.rights.write, found.rights.special),
                    (rights & 1 != 0, rights & 2 != 0)
                );
            }
            assert!(self.objects.find(word | 4).is_none() && self.objects.find(word | 8).is_none());
            if let Object::Dataspace(ds) = known.object {
                assert_eq!(self.m.arena().get(ds).users(), known.users);
            }
        }
        assert!(
            self.gone
                .iter()
                .all(|word| self.objects.find(*word).is_none())
        );
        // The sweep finds exactly the objects with a gate.
        let (mut cursor, mut found, mut turns) = (0, vec![], 0);
        loop {
            turns += 1;
            match self.objects.sweep(&mut cursor, 7, |_| false) {
                Some(label) => found.push(label.word()),
                None if cursor == 0 => break,
                None => {}
            }
        }
        found.sort_unstable();
        let gates: Vec<u64> = self
            .known
            .iter()
            .filter(|(_, k)| k.gate)
            .map(|(l, _)| *l)
            .collect();
        assert_eq!(found, gates);
        // However large the table is, and a turn ends with what it finds.
        let ever = self.known.len() + self.gone.len();
        assert!(turns <= ever / 7 + 1 + found.len(), "{turns} turns");
    }
}

#[test]
fn labels_and_ends() {
    runner(400)
        .run(&proptest::collection::vec(op(), 1..120), |ops| {
            let mut rig = Rig::new();
            rig.check();
            for op in ops {
                rig.step(op);
                rig.check();
            }
            rig.condemn(rig.top);
            assert!(rig.known.is_empty() && rig.objects.live() == 0);
            while rig.m.unmap_waiting() {}
            let uses = rig.m.uses();
            // The server's own account is left.
            assert_eq!(
                (uses.data, uses.kept, uses.waiting, uses.meta),
                (0, 0, 0, 1)
            );
            Ok(())
        })
        .unwrap_or_else(|e| panic!("{e}"));
}

/// A label of an object that is gone does not find what has its place in the table now.
#[test]
fn old_labels_find_nothing() {
    let mut rig = Rig::new();
    let (top, account) = rig.factory(0);
    let mut labels = vec![];
    for _ in 0..100 {
        let ds = ds::create_on_demand(&mut rig.m, account, PAGE).expect("memory");
        touch(&mut rig.m, 1, ds, 0, flag::R).expect("memory");
        let label = rig
            .objects
            .insert(Some(top), Object::Dataspace(ds), true)
            .expect("room");
        assert!(
            labels
                .iter()
                .all(|old| rig.objects.look(*old).is_none() && *old != label)
        );
        labels.push(label);
        rig.objects.condemn(&mut rig.m, label);
        assert!(rig.objects.look(label).is_none());
        assert!(rig.objects.add_user(&mut rig.m, label).is_none());
        while rig.objects.turn(&mut rig.m) {}
    }
}
