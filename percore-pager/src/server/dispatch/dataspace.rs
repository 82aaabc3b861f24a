//! Dataspace requests (MOE-DS).

use l4_sys::item::Received;
use l4_sys::{Errno, MsgTag};
use l4re_rs::server::Incoming;

use crate::engine::ds::{self, Ask, Ds, Source, Work};
use crate::engine::kernel::Foreign;
use crate::engine::objects::{Found, Object};
use crate::engine::proto::dataspace::{self, Request};
use crate::engine::{Ref, Store};
use crate::frames::Reshape;
use crate::server::core::{Core, Ticket, Verdict};
use crate::server::parked::{Call, ForeignCopy};
use crate::server::world::World;

/// A copy request's numbers.
#[derive(Clone, Copy, Debug)]
struct Copy {
    to: u64,
    from: u64,
    size: u64,
    source: Received,
}

impl<'a, P: Reshape<'a>, W: World> Core<'a, P, W> {
    pub(super) fn dataspace(
        &mut self,
        msg: Incoming,
        ticket: Ticket,
        found: Found,
        object: Ref<Ds>,
    ) -> Verdict {
        let (target, writable) = (found.label, found.rights.write);
        let request = match dataspace::decode(msg.utcb, msg.tag) {
            Ok(request) => request,
            Err(error) => return Verdict::error(error),
        };
        let work = match request {
            Request::Map {
                offset,
                spot,
                flags,
            } => {
                let ask = Ask {
                    offset,
                    spot,
                    window: None,
                    flags: flags as u32,
                    writable,
                };
                let mapped = ds::map(&mut self.pool, object, ask);
                return Verdict::of(mapped.and_then(|m| dataspace::answer_map(msg.utcb, &m)));
            }
            Request::Info => {
                let info = self.pool.arena().get(object).info(writable);
                return Verdict::of(dataspace::answer_info(msg.utcb, info));
            }
            Request::MapInfo => return Verdict::of(dataspace::answer_map_info(msg.utcb)),
            Request::CopyIn {
                to,
                from,
                size,
                source,
            } => {
                let copy = Copy {
                    to,
                    from,
                    size,
                    source,
                };
                return match self.copy_in(found, object, copy) {
                    Ok(Some(call)) => self.begin(call, msg.utcb, ticket),
                    Ok(None) => Verdict::Answer(MsgTag::plain(0, 0, 0)),
                    Err(error) => Verdict::error(error),
                };
            }
            Request::Clear { offset, size } => {
                Work::clear(&self.pool, object, offset, size, writable)
            }
            Request::Allocate { offset, size } => {
                Work::allocate(&self.pool, object, offset, size, writable)
            }
        };
        match work {
            Ok(work) => self.begin(Call::Work { target, work }, msg.utcb, ticket),
            Err(error) => Verdict::error(error),
        }
    }

    /// Checks a copy request; `None` when nothing is to be copied.
    fn copy_in(
        &mut self,
        found: Found,
        object: Ref<Ds>,
        copy: Copy,
    ) -> Result<Option<Call>, Errno> {
        let (target, writable) = (found.label, found.rights.write);
        if !self.pool.arena().get(object).may_write(writable) {
            return Err(Errno::Access);
        }
        let client = self.client_of(target);
        let from = match copy.source {
            Received::OwnGate(word) => match self.objects.find(word) {
                Some(Found {
                    label,
                    object: Object::Dataspace(source),
                    ..
                }) => {
                    let from = (Source::Own(source), copy.from);
                    let work =
                        Work::copy_in(&self.pool, object, copy.to, from, copy.size, writable)?;
                    return Ok(Some(Call::Copy {
                        target,
                        source: label,
                        work,
                    }));
                }
                Some(_) => return Err(Errno::Inval),
                None => self
                    .pool
                    .kernel
                    .peer(word & !3, client)
                    .ok_or(Errno::Inval)?,
            },
            other if other.is_cap() => self.pool.kernel.take_received(0, client)?,
            _ => return Err(Errno::Inval),
        };
        self.copy_from(found, copy, from)
    }

    fn copy_from(
        &mut self,
        found: Found,
        copy: Copy,
        from: Foreign,
    ) -> Result<Option<Call>, Errno> {
        if copy.size == 0 {
            self.pool.kernel.drop_foreign(from);
            return Ok(None);
        }
        Ok(Some(Call::AskForeign(ForeignCopy {
            target: found.label,
            writable: found.rights.write,
            from,
            to_offset: copy.to,
            from_offset: copy.from,
            size: copy.size,
        })))
    }
}
