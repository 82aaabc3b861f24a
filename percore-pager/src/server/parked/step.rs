//! A turn's worth of a call.

use l4_sys::{Errno, MsgTag, UtcbRef};
use l4re_rs::msg::Writer;

use crate::engine::ds::{self, Progress, Source, Work};
use crate::engine::kernel::Foreign;
use crate::engine::objects::{Label, Object};
use crate::engine::proto::rm as rm_proto;
use crate::frames::Reshape;
use crate::server::core::Core;
use crate::server::world::World;

use super::call::{Call, ForeignCopy};

/// How far a step brought a call.
#[derive(Debug)]
pub(in crate::server) enum Step {
    /// To be stepped again.
    More,
    /// To be stepped again when objects that are ending, or later turns, have given memory back.
    Short,
    /// To be stepped again when another server has answered.
    Asleep,
    /// Done: the answer, which is in the UTCB, or the error.
    Done(Result<MsgTag, Errno>),
}

impl<'a, P: Reshape<'a>, W: World> Core<'a, P, W> {
    /// Does a turn's worth of a call; its answer is written when it is done.
    pub(super) fn step(&mut self, call: &mut Call, utcb: UtcbRef) -> Step {
        match call {
            Call::Work { target, work } => {
                if !self.is_dataspace(*target) {
                    return Step::Done(Err(Errno::BadProto));
                }
                self.step_work(work)
            }
            Call::Copy {
                target,
                source,
                work,
            } => {
                if !self.is_dataspace(*target) {
                    return Step::Done(Err(Errno::BadProto));
                }
                if !self.is_dataspace(*source) {
                    return Step::Done(Err(Errno::Inval));
                }
                self.step_work(work)
            }
            Call::AskForeign(ask) => {
                let ask = *ask;
                match self.ask_foreign(ask) {
                    Ok(next) => {
                        *call = next;
                        Step::More
                    }
                    Err(Errno::Again) => Step::Asleep,
                    Err(error) => self.foreign_done(ask.from, Err(error)),
                }
            }
            Call::CopyForeign { target, from, work } => {
                let (target, from) = (*target, *from);
                if !self.is_dataspace(target) {
                    return self.foreign_done(from, Err(Errno::BadProto));
                }
                match work.step(&mut self.pool) {
                    Ok(Progress::More) => Step::More,
                    Ok(Progress::Done) => self.foreign_done(from, Ok(())),
                    Err(Errno::Again) => Step::Asleep,
                    Err(Errno::NoMem) if self.comes_back() => Step::Short,
                    Err(error) => self.foreign_done(from, Err(foreign_error(error))),
                }
            }
            Call::Zero { made } => {
                let Some(Object::Dataspace(object)) = self.objects.look(*made) else {
                    return Step::Done(Err(Errno::BadProto));
                };
                if ds::zero_some(&mut self.pool, object) {
                    Step::Done(self.hand_out(*made, utcb))
                } else {
                    Step::More
                }
            }
            Call::Attach { map, private } => {
                let here = self.objects.look(*map).is_some();
                let error = match private.advance(&self.objects, &mut self.pool) {
                    Ok(Some(range)) => return Step::Done(rm_proto::answer_place(utcb, range)),
                    Ok(None) => return Step::More,
                    Err(Errno::NoMem) if self.comes_back() => return Step::Short,
                    // The search for a place is not done.
                    Err(Errno::AddrNotAvail) if self.pool.is_short() => return Step::Short,
                    Err(_) if !here => Errno::BadProto,
                    Err(error) => error,
                };
                private.stop(&mut self.objects, &mut self.pool);
                Step::Done(Err(error))
            }
            Call::Show(shown) => self.show(*shown, utcb),
            Call::Detach {
                own,
                work,
                answer,
                label,
            } => {
                // Should the memory be gone, there is nothing to give back.
                if self.is_dataspace(*own) {
                    match work.step(&mut self.pool) {
                        Ok(Progress::More) => return Step::More,
                        Err(Errno::NoMem) if self.pool.is_short() => return Step::Short,
                        Ok(Progress::Done) | Err(_) => {}
                    }
                }
                Step::Done(answer_detach(utcb, *answer, *label))
            }
            Call::Factory { .. } if self.ends() => Step::Short,
            Call::Factory { quota } => match self.create_factory(utcb, *quota) {
                Err(Errno::NoMem) if self.pool.is_short() => Step::Short,
                made => Step::Done(made),
            },
            Call::Api(task) => match self.step_api(task, utcb) {
                Step::Done(Err(Errno::NoMem)) if self.comes_back() => Step::Short,
                step => step,
            },
            Call::Bring {
                saved,
                object,
                work,
            } => {
                if self.is_dataspace(*object) {
                    match work.step(&mut self.pool) {
                        Ok(Progress::More) => return Step::More,
                        Err(Errno::NoMem) if self.comes_back() => return Step::Short,
                        // Without memory for all of it, the fault brings what there is.
                        Ok(Progress::Done) | Err(_) => {}
                    }
                }
                *call = Call::Retry(*saved);
                Step::More
            }
            Call::Retry(_) if self.ends() => Step::Short,
            // The caller tries now.
            Call::Retry(_) => Step::More,
        }
    }

    /// Without memory the work stands still while there may be more later.
    fn step_work(&mut self, work: &mut Work) -> Step {
        match work.step(&mut self.pool) {
            Ok(Progress::More) => Step::More,
            Ok(Progress::Done) => Step::Done(Ok(MsgTag::plain(0, 0, 0))),
            Err(Errno::NoMem) if self.comes_back() => Step::Short,
            Err(error) => Step::Done(Err(error)),
        }
    }

    /// Begins the copy when the foreign dataspace's size is known.
    fn ask_foreign(&mut self, ask: ForeignCopy) -> Result<Call, Errno> {
        let Some(Object::Dataspace(target)) = self.objects.look(ask.target) else {
            return Err(Errno::BadProto);
        };
        let size = match self.pool.kernel.foreign_size(ask.from) {
            Err(Errno::Again) => return Err(Errno::Again),
            size => size.map_err(foreign_error)?,
        };
        let source = (Source::Foreign(ask.from, size), ask.from_offset);
        let work = Work::copy_in(
            &self.pool,
            target,
            ask.to_offset,
            source,
            ask.size,
            ask.writable,
        )?;
        Ok(Call::CopyForeign {
            target: ask.target,
            from: ask.from,
            work,
        })
    }

    fn foreign_done(&mut self, from: Foreign, answer: Result<(), Errno>) -> Step {
        self.pool.kernel.drop_foreign(from);
        Step::Done(answer.map(|()| MsgTag::plain(0, 0, 0)))
    }

    /// Gives back what a call holds that is not finished.
    pub(super) fn give_up(&mut self, call: Call) {
        match call {
            Call::AskForeign(ForeignCopy { from, .. }) | Call::CopyForeign { from, .. } => {
                self.pool.kernel.drop_foreign(from);
            }
            Call::Show(shown) => self.pool.kernel.drop_foreign(shown.from),
            Call::Attach { private, .. } => private.stop(&mut self.objects, &mut self.pool),
            Call::Zero { made } => self.end(made),
            Call::Api(task) => self.drop_api(task),
            _ => {}
        }
    }

    fn is_dataspace(&self, label: Label) -> bool {
        matches!(self.objects.look(label), Some(Object::Dataspace(_)))
    }
}

/// Writes the answer to detach: start, bytes and the client's index of what is detached.
pub(super) fn answer_detach(
    utcb: UtcbRef,
    [start, size, cap]: [u64; 3],
    label: i64,
) -> Result<MsgTag, Errno> {
    let words = Writer::new(utcb).u64(start).u64(size).u64(cap);
    words.finish(label)
}

/// What a client is told when another server refused: that its argument is no dataspace.
fn foreign_error(error: Errno) -> Errno {
    match error {
        Errno::NoMem => Errno::NoMem,
        _ => Errno::Inval,
    }
}
