//! Region map requests (MOE-RM).

use l4_sys::item::Received;
use l4_sys::{Errno, MsgTag, UtcbRef, cap};
use l4re_rs::server::Incoming;

use crate::engine::ds::{Work, flag};
use crate::engine::objects::{self, Found, Label, Object, Private};
use crate::engine::proto::rm::{self as message, Attach, Request};
use crate::engine::rm::{self, AttachFlags, Contents, Map, Place, flag as region_flag};
use crate::engine::{Ref, Store};
use crate::frames::Reshape;
use crate::server::core::{Core, Ticket, Verdict};
use crate::server::parked::Call;
use crate::server::world::{Client, World};

impl<'a, P: Reshape<'a>, W: World> Core<'a, P, W> {
    pub(super) fn region_map(
        &mut self,
        msg: Incoming,
        ticket: Ticket,
        label: Label,
        map: Ref<Map>,
    ) -> Verdict {
        let utcb = msg.utcb;
        let request = match message::decode(utcb, msg.tag) {
            Ok(request) => request,
            Err(error) => return Verdict::error(error),
        };
        let done = |result: Result<(), Errno>| result.map(|()| MsgTag::plain(0, 0, 0));
        let pool = &mut self.pool;
        Verdict::of(match request {
            Request::Attach(attach) => return self.attach(utcb, ticket, (label, map), attach),
            Request::Detach(address, size, flags) => {
                return self.detach(utcb, ticket, map, (address, size, flags));
            }
            Request::Find => Err(Errno::Perm),
            Request::ReserveArea(start, size, flags, align) => {
                let range = rm::reserve_area(pool, map, start, size, flags, align);
                range.and_then(|range| message::answer_place(utcb, range))
            }
            Request::FreeArea(address) => done(rm::free_area(pool, map, address)),
            Request::Regions(address) => {
                message::answer_list(utcb, rm::regions(pool.arena(), map, address))
            }
            Request::Areas(address) => {
                message::answer_list(utcb, rm::areas(pool.arena(), map, address))
            }
            Request::Info(address) => rm::info(pool.arena(), map, address)
                .and_then(|(name, offset)| message::answer_info(utcb, &name, offset)),
            Request::AddJump(begin, end, target) => {
                done(rm::add_jump(pool, map, begin, end, target))
            }
            Request::RemoveJump(pc) => done(rm::remove_jump(pool, map, pc)),
            Request::PageIn(first, last, rights) => {
                objects::page_in(&self.objects, pool, map, (first, last), rights)
                    .and_then(|mapped| message::answer_page_in(utcb, &mapped))
            }
        })
    }

    fn attach(
        &mut self,
        utcb: UtcbRef,
        ticket: Ticket,
        (label, map): (Label, Ref<Map>),
        attach: Attach,
    ) -> Verdict {
        if let Some(verdict) = self.attach_foreign(utcb, ticket, label, &attach) {
            return verdict;
        }
        let checked = self.check_attach(attach);
        let (place, flags, source, contents) = match checked {
            Ok(checked) => checked,
            Err(error) => return Verdict::error(error),
        };
        if !flags.wants_own_memory() {
            let range = self.attach_shared(map, place, source, contents);
            return Verdict::of(range.and_then(|range| message::answer_place(utcb, range)));
        }
        let Some(factory) = self.objects.parent(label) else {
            return Verdict::error(Errno::NoMem);
        };
        let (objects, pool) = (&mut self.objects, &mut self.pool);
        match Private::begin(objects, pool, (factory, label), place, contents, source) {
            Ok(private) => {
                let call = Call::Attach {
                    map: label,
                    private,
                };
                self.begin(call, utcb, ticket)
            }
            Err(error) => Verdict::error(error),
        }
    }

    /// The checks of a request, in upstream's order.
    fn check_attach(
        &mut self,
        attach: Attach,
    ) -> Result<(Place, AttachFlags, Option<Label>, Contents), Errno> {
        let flags = AttachFlags::new(attach.flags)?;
        let source = match flags.wants_object() {
            true => Some(self.object_to_attach(flags, attach.object)?),
            false => None,
        };
        let place = Place::new(attach.start, attach.size, flags, attach.align)?;
        let contents = Contents {
            backing: None,
            offset: attach.offset,
            client_cap: attach.client_cap,
            backing_offset: attach.backing_offset,
            flags: flags.region(),
            name: attach.name,
        };
        Ok((place, flags, source, contents))
    }

    /// The dataspace that a request means (MOE-RM-05 to -07, CL-15).
    fn object_to_attach(
        &mut self,
        flags: AttachFlags,
        received: Option<Received>,
    ) -> Result<Label, Errno> {
        if flags.has(region_flag::PAGER) {
            return Err(Errno::Inval);
        }
        let found = match received {
            Some(Received::OwnGate(word)) => self.objects.find(word),
            Some(other) if other.is_cap() => {
                // Not ours: to be gone at once.
                if let Ok(foreign) = self.pool.kernel.take_received(0, Client::NOBODY) {
                    self.pool.kernel.drop_foreign(foreign);
                }
                None
            }
            _ => None,
        };
        let Some(Found {
            label,
            object: Object::Dataspace(object),
            rights,
        }) = found
        else {
            return Err(Errno::NoEnt);
        };
        let mut allowed = self.pool.arena().get(object).allowed(rights.write);
        if flags.has(region_flag::PRIVATE) {
            allowed |= flag::W;
        }
        if flags.region() & flag::RIGHTS & !allowed != 0 {
            return Err(Errno::Perm);
        }
        Ok(label)
    }

    /// Attaches an object as it is, or nothing. The first region that shows an object keeps its gate.
    fn attach_shared(
        &mut self,
        map: Ref<Map>,
        place: Place,
        source: Option<Label>,
        contents: Contents,
    ) -> Result<rm::Range, Errno> {
        let Some(source) = source else {
            return rm::attach(&mut self.pool, map, place, contents);
        };
        let backing = self.objects.add_user(&mut self.pool, source);
        let backing = backing.ok_or(Errno::NoEnt)?;
        let entry = self.objects.number(source);
        if self.users(source) == 1 && self.pool.kernel.hold(entry).is_err() {
            self.objects.drop_user(&mut self.pool, backing);
            return Err(Errno::AddrNotAvail);
        }
        let contents = Contents {
            backing: Some(backing),
            ..contents
        };
        let range = rm::attach(&mut self.pool, map, place, contents);
        if range.is_err() {
            self.objects.drop_user(&mut self.pool, backing);
        }
        range
    }

    fn users(&self, label: Label) -> u32 {
        match self.objects.look(label) {
            Some(Object::Dataspace(object)) => self.pool.arena().get(object).users(),
            _ => 0,
        }
    }

    fn detach(
        &mut self,
        utcb: UtcbRef,
        ticket: Ticket,
        map: Ref<Map>,
        (address, size, flags): (u64, u64, u32),
    ) -> Verdict {
        let detached = match rm::detach(&mut self.pool, map, address, size, flags) {
            Ok(detached) => detached,
            Err(error) => return Verdict::error(error),
        };
        if let Some(backing) = detached.shared() {
            let shared = self.objects.add_user(&mut self.pool, Label::from(backing));
            debug_assert!(shared.is_some() || self.objects.look(backing.into()).is_none());
        }
        if let Some(backing) = detached.dropped() {
            self.objects.drop_user(&mut self.pool, backing);
        }
        let freed = detached.freed.zip(detached.contents.backing);
        let work = freed.and_then(|(freed, backing)| {
            let own = Label::from(backing);
            let Some(Object::Dataspace(object)) = self.objects.look(own) else {
                return None;
            };
            let work = Work::clear(&self.pool, object, freed.offset, freed.size, true);
            Some((own, work.ok()?))
        });
        let Some((own, work)) = work else {
            return Verdict::of(message::answer_detach(utcb, &detached));
        };
        let client_cap = detached.client_cap().unwrap_or(cap::INVALID_CAP);
        let call = Call::Detach {
            own,
            work,
            answer: [detached.range.start(), detached.range.size(), client_cap],
            label: detached.label(),
        };
        self.begin(call, utcb, ticket)
    }
}
