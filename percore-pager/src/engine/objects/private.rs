//! Attaching memory of a region's own: Anonymous and Private (MOE-RM-08, -09).
//!
//! The region gets a fresh dataspace, charged to the map's account and without a gate, which ends with the
//! last region that shows it. For Private it starts as a copy, shared page by page until written
//! where that can be. Copying may take many turns: [`Private`] is stepped until it is done, and looks each
//! time whether map and source are still there.

use l4_sys::{Errno, PAGE_SIZE};

use crate::engine::arena::{Ref, Store};
use crate::engine::ds::{self, Death, Ds, Progress, Source, Work};
use crate::engine::kernel::Kernel;
use crate::engine::pool::Pool;
use crate::engine::rm::{self, Backing, Contents, Map, Place, Range};
use crate::frames::Policy;

use super::entry::Object;
use super::label::Label;
use super::table::Objects;

/// An attach request that is being served.
#[derive(Clone, Copy, Debug)]
#[must_use = "its memory is lost unless it is stepped to the end or dropped with `stop`"]
pub struct Private {
    map: Label,
    source: Option<Label>,
    own: Backing,
    work: Option<Work>,
    place: Place,
    contents: Contents,
}

impl Private {
    /// Begins. `factory` is the one that made the map. `source` is the object to copy, from
    /// `contents.offset` on, or `None` for fresh memory; `contents.backing` is ignored.
    ///
    /// # Errors
    ///
    /// `Inval` the range is not inside the source's exact size; `NoMem`; `NoEnt` the map or the
    /// source is gone.
    pub fn begin<P: Policy, K: Kernel>(
        objects: &mut Objects<'_>,
        pool: &mut Pool<'_, P, K>,
        (factory, map): (Label, Label),
        place: Place,
        contents: Contents,
        source: Option<Label>,
    ) -> Result<Self, Errno> {
        let at = region_map(objects, map)?;
        let offset = contents.offset & !(PAGE_SIZE - 1);
        let from = match source {
            Some(source) => {
                let from = dataspace(objects, source)?;
                let room = pool.arena().get(from).size().checked_sub(offset);
                if room.is_none_or(|room| room == 0 || room < place.size()) {
                    return Err(Errno::Inval);
                }
                Some(from)
            }
            None => None,
        };
        let account = pool.arena().get(at).account().ok_or(Errno::NoMem)?;
        if !objects.has_room() || objects.look(factory).is_none() {
            return Err(Errno::NoMem);
        }
        let own = ds::create_on_demand(pool, account, place.size())?;
        let Some(label) = objects.insert(Some(factory), Object::Dataspace(own), false) else {
            // It was looked whether this can be; nothing is in it.
            let mut death = Death::begin(pool, own);
            while !death.step(pool) {}
            return Err(Errno::NoMem);
        };
        pool.arena_mut().get_mut(own).add_user();
        let private = Private {
            map,
            source,
            own: label.into(),
            work: None,
            place,
            contents: Contents {
                backing: Some(label.into()),
                offset: 0,
                ..contents
            },
        };
        let Some(from) = from else {
            return Ok(private);
        };
        let source = (Source::Own(from), offset);
        match Work::copy_in(pool, own, 0, source, place.size(), true) {
            Ok(work) => Ok(Private {
                work: Some(work),
                ..private
            }),
            Err(error) => {
                private.stop(objects, pool);
                Err(error)
            }
        }
    }

    /// Does a turn's worth. The range when it is done; `None` to be stepped again. After an error
    /// nothing is left of it.
    ///
    /// # Errors
    ///
    /// `NoMem`; `NoEnt` the map or the source is gone; those of [`rm::attach`].
    pub fn step<P: Policy, K: Kernel>(
        &mut self,
        objects: &mut Objects<'_>,
        pool: &mut Pool<'_, P, K>,
    ) -> Result<Option<Range>, Errno> {
        let done = self.advance(objects, pool);
        if done.is_err() {
            self.stop(objects, pool);
        }
        done
    }

    /// The same without giving it up after an error: after `NoMem` it can be stepped again when there is memory.
    ///
    /// # Errors
    ///
    /// As [`Private::step`].
    pub fn advance<P: Policy, K: Kernel>(
        &mut self,
        objects: &Objects<'_>,
        pool: &mut Pool<'_, P, K>,
    ) -> Result<Option<Range>, Errno> {
        let map = region_map(objects, self.map)?;
        // The factory may have ended and taken the fresh memory with it.
        dataspace(objects, Label::from(self.own))?;
        if let Some(work) = &mut self.work {
            if let Some(source) = self.source {
                dataspace(objects, source)?;
            }
            match work.step(pool)? {
                Progress::More => return Ok(None),
                Progress::Done => self.work = None,
            }
        }
        rm::attach(pool, map, self.place, self.contents).map(Some)
    }

    /// Gives it up.
    pub fn stop<P: Policy, K: Kernel>(self, objects: &mut Objects<'_>, pool: &mut Pool<'_, P, K>) {
        objects.drop_user(pool, self.own);
    }
}

fn region_map(objects: &Objects<'_>, label: Label) -> Result<Ref<Map>, Errno> {
    match objects.look(label) {
        Some(Object::RegionMap(map)) => Ok(map),
        _ => Err(Errno::NoEnt),
    }
}

fn dataspace(objects: &Objects<'_>, label: Label) -> Result<Ref<Ds>, Errno> {
    match objects.look(label) {
        Some(Object::Dataspace(ds)) => Ok(ds),
        _ => Err(Errno::NoEnt),
    }
}
