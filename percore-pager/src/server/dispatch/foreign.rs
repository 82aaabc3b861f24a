//! Attaching what another server has: how a loader puts boot files into a program's region map.
//!
//! Upstream's root task serves the boot files and the region map alike, so a loader attaches a file's
//! read-only segments and the kernel information page as they are. When the region map is this
//! server's, they are foreign here. They are mapped into this task once, and from there on faults get
//! them like memory of our own; nothing is copied, and the page's clock runs.
//!
//! The in-task region mapper mirrors every attach of its program into this map, and wants exactly
//! NoEnt for what is not ours (CL-15): it serves such regions itself. Its mirrored attaches have no name
//! and a loader's have one; so only a region with a name, for reading, is attached here.

use l4_sys::{Errno, MsgTag, PAGE_SIZE, UtcbRef};

use crate::engine::ds;
use crate::engine::objects::{Label, Object};
use crate::engine::proto::rm::{self as message, Attach};
use crate::engine::rm::{self, AttachFlags, Contents, Place, Range, flag};
use crate::frames::{FrameNo, Reshape, Run};
use crate::server::core::{Core, Ticket, Verdict};
use crate::server::parked::{Call, Shown, Step};
use crate::server::world::World;

/// Largest region that shows a foreign dataspace.
const LARGEST: u64 = 16 << 20;

impl<'a, P: Reshape<'a>, W: World> Core<'a, P, W> {
    /// Begins to attach a foreign dataspace; `None` when the request is for something else, or must be
    /// refused as upstream refuses it.
    pub(super) fn attach_foreign(
        &mut self,
        utcb: UtcbRef,
        ticket: Ticket,
        map: Label,
        attach: &Attach,
    ) -> Option<Verdict> {
        attach.object.filter(|object| object.is_cap())?;
        let flags = AttachFlags::new(attach.flags).ok()?;
        let other = flags.has(flag::PAGER | flag::W) || flags.wants_own_memory();
        if other || !flags.wants_object() || attach.name.as_bytes().is_empty() {
            return None;
        }
        let place = Place::new(attach.start, attach.size, flags, attach.align).ok()?;
        let factory = self.objects.parent(map)?;
        if place.size() > LARGEST {
            return None;
        }
        let client = self.client_of(map);
        let from = self.pool.kernel.take_received(0, client).ok()?;
        let contents = Contents {
            backing: None,
            offset: attach.offset,
            client_cap: attach.client_cap,
            backing_offset: attach.backing_offset,
            flags: flags.region(),
            name: attach.name,
        };
        let shown = Shown {
            factory,
            map,
            from,
            place,
            contents,
        };
        Some(self.begin(Call::Show(shown), utcb, ticket))
    }

    /// A step of it. Whatever the other server refuses is NoEnt here. What is lacking may be there when
    /// objects that are ending have ended; what is shown already stays until then.
    pub(in crate::server) fn show(&mut self, it: Shown, utcb: UtcbRef) -> Step {
        let ending = self.ends();
        match self.try_show(&it, utcb) {
            Err(Errno::Again) => Step::Asleep,
            Err(Errno::NoMem) if ending => Step::Short,
            Err(Errno::NoMem | Errno::AddrNotAvail) if self.pool.is_short() => Step::Short,
            Err(error) => {
                self.pool.kernel.drop_foreign(it.from);
                Step::Done(Err(error))
            }
            shown => Step::Done(shown),
        }
    }

    /// After an error nothing has changed, and the capability is there.
    fn try_show(&mut self, it: &Shown, utcb: UtcbRef) -> Result<MsgTag, Errno> {
        if self.objects.look(it.map).is_none() {
            return Err(Errno::BadProto);
        }
        if !self.objects.has_room() {
            return Err(Errno::NoMem);
        }
        let part = (it.contents.offset & !(PAGE_SIZE - 1), it.place.size());
        let execute = it.contents.flags & flag::X != 0;
        let start = self.pool.kernel.show_foreign(it.from, part, execute)?;
        let made = self.make_shown(it, start)?;
        let entry = self.objects.number(made);
        match self.attach_shown(it, made) {
            Ok(range) => {
                self.pool.kernel.shown(it.from, entry);
                message::answer_place(utcb, range)
            }
            Err(error) => {
                self.pool.kernel.unhold(entry);
                self.objects.condemn(&mut self.pool, made);
                Err(error)
            }
        }
    }

    fn attach_shown(&mut self, it: &Shown, made: Label) -> Result<Range, Errno> {
        let Some(Object::RegionMap(map)) = self.objects.look(it.map) else {
            return Err(Errno::BadProto);
        };
        let entry = self.objects.number(made);
        self.pool.kernel.keep_shown(it.from, entry)?;
        let backing = self
            .objects
            .add_user(&mut self.pool, made)
            .ok_or(Errno::NoMem)?;
        let offset = it.contents.offset % PAGE_SIZE;
        let contents = Contents {
            backing: Some(backing),
            offset,
            ..it.contents
        };
        rm::attach(&mut self.pool, map, it.place, contents)
    }

    /// The object without a gate that stands for what is shown.
    fn make_shown(&mut self, it: &Shown, start: FrameNo) -> Result<Label, Errno> {
        let Some(Object::Factory(account)) = self.objects.look(it.factory) else {
            return Err(Errno::NoMem);
        };
        let size = it.place.size();
        let run = Run::new(start, size / PAGE_SIZE).ok_or(Errno::Inval)?;
        let rights = it.contents.flags & flag::RIGHTS & !flag::W;
        let object = ds::create_static(&mut self.pool, account, run, size, rights)?;
        let object = Object::Dataspace(object);
        match self.objects.insert(Some(it.factory), object, false) {
            Some(label) => Ok(label),
            None => {
                self.take_apart(object);
                Err(Errno::NoMem)
            }
        }
    }
}
