//! Answers of traces: what the model allows, and how it changes.

use std::collections::BTreeMap;

use l4_sys::{Errno, proto};

use super::Reply;
use super::model::{Kind, Model, Shown, UNITS};
use super::traces::{Effect, Trace};
use crate::machine::PAGE;

impl Trace {
    /// Compares an answer with what the model allows, and changes the model.
    pub(super) fn finish(&mut self, client: usize, effect: Effect, reply: &Reply) {
        let error = reply.error();
        let dead = |model: &Model, id: u64| !model.alive(id);
        let gone = [
            Some(Errno::BadProto),
            Some(Errno::NoEnt),
            Some(Errno::Inval),
            Some(Errno::NoMem),
        ];
        match effect {
            Effect::Create { parent, kib, kind } => {
                if error.is_some() {
                    let gone = dead(&self.model, parent) && error == Some(Errno::BadProto);
                    assert!(gone || error == Some(Errno::NoMem), "{effect:?} {error:?}");
                    return;
                }
                let cap = self.rig.receive(reply).expect("a capability");
                let new = match (kib, kind) {
                    (Some(kib), _) => Model::zeros(kib),
                    (_, proto::RM) => Kind::Map(BTreeMap::new()),
                    _ => Kind::Factory,
                };
                self.model.add(cap.id, parent, new);
                self.caps[client].push(cap);
            }
            Effect::Map {
                ds,
                page,
                flags,
                write,
            } => {
                let there = self.model.page(ds, page).is_some();
                let expected = match () {
                    () if flags & 2 != 0 && !write => Some(Errno::Perm),
                    () if !there => Some(Errno::Range),
                    () => None,
                };
                if error.is_some() {
                    let short = expected.is_none() && error == Some(Errno::NoMem);
                    let gone = dead(&self.model, ds) && gone.contains(&error);
                    assert!(error == expected || short || gone, "{effect:?} {error:?}");
                    return;
                }
                assert_eq!(expected, None, "{effect:?}");
                assert_eq!(reply.memory().3, flags & 7);
                // The spot is the page's own number, so neighbours are neighbours.
                self.show(
                    reply,
                    1_000_000 + client as u64 * 1_000_000 + ds,
                    |_, at| (ds, at),
                );
            }
            Effect::Fault {
                map,
                page,
                write,
                fetch,
            } => {
                let shown = self
                    .model
                    .map(map)
                    .and_then(|pages| pages.get(&page).copied());
                let rights = shown.map_or(0, |s| s.rights);
                let there = shown.is_some_and(|s| self.model.page(s.ds, s.page).is_some());
                let expected = match () {
                    () if shown.is_none() => Some(Errno::NoMem),
                    () if write && rights & 2 == 0 || fetch && rights & 1 == 0 => {
                        Some(Errno::Access)
                    }
                    () if !there => Some(Errno::NoMem),
                    () => None,
                };
                if error.is_some() {
                    let short = expected.is_none() && error == Some(Errno::NoMem);
                    let gone = dead(&self.model, map) && gone.contains(&error);
                    assert!(error == expected || short || gone, "{effect:?} {error:?}");
                    return;
                }
                assert_eq!(expected, None, "{effect:?}");
                let granted = if write { rights } else { rights & !2 };
                assert_eq!(reply.memory().3, granted);
                self.show(reply, map, |model, at| {
                    let pages = model.map(map).expect("a map");
                    let other = pages.get(&at).expect("the flexpage stays in its region");
                    assert_eq!(granted & !other.rights, 0);
                    (other.ds, other.page)
                });
            }
            Effect::Clear {
                ds,
                at,
                units,
                write,
            } => {
                let size = self.model.ds(ds).map_or(0, |(_, bytes)| bytes.len() as u64);
                let expected = match () {
                    () if !write => Some(Errno::Access),
                    () if at >= size => Some(Errno::Range),
                    () => None,
                };
                match error {
                    None => {
                        assert_eq!(expected, None, "{effect:?}");
                        self.model.set(ds, at, units, Some(0));
                    }
                    error if error == expected => {}
                    error => {
                        let gone = dead(&self.model, ds) && gone.contains(&error);
                        assert!(gone || error == Some(Errno::NoMem), "{effect:?} {error:?}");
                        self.model.set(ds, at, units, None);
                    }
                }
            }
            Effect::Allocate { ds, at, units } => {
                let size = self.model.ds(ds).map_or(0, |(kib, _)| kib);
                let block = at >= size || units > size - at;
                let may = [None, Some(Errno::NoMem)];
                let gone = dead(&self.model, ds) && gone.contains(&error);
                // Contiguous ones say yes to any range.
                let range = block && error == Some(Errno::Range);
                assert!(
                    may.contains(&error) || range || gone,
                    "{effect:?} {error:?}"
                );
            }
            Effect::Copy {
                to,
                from,
                units,
                write,
            } => match error {
                None => {
                    assert!(write, "{effect:?}");
                    self.model.copy(to, from, units);
                }
                Some(Errno::Access) => assert!(!write, "{effect:?}"),
                error => {
                    let dead = dead(&self.model, to.0) || dead(&self.model, from.0);
                    let gone = dead && gone.contains(&error);
                    assert!(gone || error == Some(Errno::NoMem), "{effect:?} {error:?}");
                    self.model.set(to.0, to.1, units, None);
                }
            },
            Effect::Attach { .. } => self.attached(effect, reply),
            Effect::Detach {
                map,
                start,
                pages,
                whole,
            } => {
                let Some(shown) = self.model.map(map) else {
                    return;
                };
                let any = shown.range(start..start + pages).next().is_some();
                if let Some(error) = error {
                    let none = !any && error == Errno::NoEnt;
                    let gone = dead(&self.model, map) && gone.contains(&Some(error));
                    assert!(
                        none || gone || error == Errno::NoMem,
                        "{effect:?} {error:?}"
                    );
                    return;
                }
                let (first, count) = (reply.words[0] / PAGE, reply.words[1] / PAGE);
                let inside = first >= start && first + count <= start + pages;
                assert!(whole || inside, "{effect:?} {reply:?}");
                self.detached(map, first, first + count);
            }
        }
    }

    /// Pages are gone from a map; the client unmaps them.
    fn detached(&mut self, map: u64, first: u64, end: u64) {
        for page in first..end {
            let shown = self.model.map(map).expect("a map");
            let was = shown.remove(&page).expect("it was shown");
            if was.own {
                self.model.set(was.ds, was.page * UNITS, UNITS, Some(0));
            }
            self.rig.tables().fake.maps.remove(&(map, page));
        }
    }

    fn attached(&mut self, effect: Effect, reply: &Reply) {
        let Effect::Attach {
            map,
            start,
            pages,
            ds,
            page,
            rights,
            own,
            write,
        } = effect
        else {
            return;
        };
        let taken = self
            .model
            .map(map)
            .is_none_or(|s| s.range(start..start + pages).next().is_some());
        let sizes = ds.map(|ds| self.model.ds(ds).map_or(0, |(kib, _)| kib));
        let inside =
            sizes.is_none_or(|kib| page * UNITS < kib && pages * UNITS <= kib - page * UNITS);
        match reply.error() {
            None => {
                assert!(!taken && (inside || !own), "{effect:?}");
                assert!(own || write || rights & 2 == 0, "{effect:?}");
            }
            Some(Errno::Perm) => return assert!(!own && !write && rights & 2 != 0, "{effect:?}"),
            Some(Errno::Inval) if own && !inside => return,
            Some(Errno::NoMem) => return assert!(own, "{effect:?}"),
            // A place that is taken, or no memory.
            Some(Errno::AddrNotAvail) => return,
            Some(error) => {
                let dead = !self.model.alive(map) || ds.is_some_and(|ds| !self.model.alive(ds));
                return assert!(dead, "{effect:?} {error:?}");
            }
        }
        let (ds, page) = match (ds, own) {
            (Some(ds), false) => (ds, page),
            (source, _) => {
                let mut bytes = vec![Some(0); (pages * UNITS) as usize];
                if let Some((_, from)) = source.and_then(|ds| self.model.ds(ds)) {
                    let from = &from[(page * UNITS) as usize..];
                    for (to, from) in bytes.iter_mut().zip(from) {
                        *to = *from;
                    }
                }
                (self.model.add_own(map, bytes), 0)
            }
        };
        let shown = self.model.map(map).expect("it answered");
        for n in 0..pages {
            let page = page + n;
            shown.insert(
                start + n,
                Shown {
                    ds,
                    page,
                    rights,
                    own,
                },
            );
        }
    }
}
