//! Who has a frame: the ledger's answer at once, the object's after a search in turns.

use l4_sys::{Errno, MsgTag, UtcbRef};

use crate::api::{flag, object, reply, request, state};
use crate::engine::objects::{Label, Object};
use crate::engine::pool::META;
use crate::engine::{Store, ds, runs};
use crate::frames::{FrameNo, Owner, Reshape};
use crate::server::core::Core;
use crate::server::parked::Step;
use crate::server::world::World;

use super::{Asker, Next, Task, answer};

/// What a turn looks at: entries of the table, factories above them, records or groups of pages.
const TURN: u32 = 64;
/// What a look into an object with memory costs of it: such a look may go over some [`TURN`] words, most
/// of them empty.
const LOOK: u32 = 16;

/// A search for the object that has a frame.
#[derive(Clone, Copy, Debug)]
pub(in crate::server) struct Search {
    frame: FrameNo,
    state: u32,
    /// Only what this factory or one below it has; anything when `None`.
    pub(super) below: Option<Label>,
    /// The table entry that is looked at.
    entry: u32,
    /// How far the way up from its object has been gone: the object, and where.
    way: Option<(Label, Label)>,
    /// Where in it.
    cursor: u64,
}

impl<'a, P: Reshape<'a>, W: World> Core<'a, P, W> {
    /// The frame that an address means: the pager's own, or a physical one.
    fn frame_at(&self, address: u64) -> FrameNo {
        let own = FrameNo::containing(address);
        let frames = self.pool.frames();
        if frames.owner(own) != Owner::Absent {
            return own;
        }
        FrameNo::containing(address.wrapping_add(self.api.place.base))
    }

    pub(super) fn owner(
        &mut self,
        asker: Asker,
        it: &request::Owner,
        utcb: UtcbRef,
    ) -> Result<Next, Errno> {
        asker.need_special()?;
        if it.flags & !flag::SEARCH != 0 {
            return Err(Errno::Inval);
        }
        let frame = self.frame_at(it.address);
        let state = match self.pool.frames().owner(frame) {
            Owner::Absent => state::ABSENT,
            Owner::Free => state::FREE,
            Owner::Held => state::ZEROING,
            Owner::Tag(META) => state::BOOKKEEPING,
            Owner::Tag(_) => state::MEMORY,
        };
        let search = Search {
            frame,
            state,
            below: match asker {
                Asker::Factory(label, ..) => Some(label),
                Asker::Service(_) => None,
            },
            entry: 0,
            way: None,
            cursor: 0,
        };
        if state != state::MEMORY || it.flags & flag::SEARCH == 0 {
            return Ok(Next::Answer(search.answer(utcb, None)));
        }
        Ok(Next::Long(Task::Search(search)))
    }

    pub(super) fn step_search(&mut self, it: &mut Search, utcb: UtcbRef) -> Step {
        if it
            .below
            .is_some_and(|label| self.account_of(label).is_none())
        {
            return Step::Done(Err(Errno::BadProto));
        }
        let mut budget = TURN;
        while budget > 0 {
            budget -= 1;
            let Some(found) = self.objects.at_number(it.entry) else {
                return Step::Done(Ok(it.answer(utcb, None)));
            };
            let look = match found {
                Some((label, found)) => match self.is_below(label, it, &mut budget) {
                    Some(true) => {
                        if !matches!(found, Object::RegionMap(_)) {
                            budget = budget.saturating_sub(LOOK);
                        }
                        self.look_in(label, found, it)
                    }
                    Some(false) => Look::Not,
                    None => return Step::More,
                },
                None => Look::Not,
            };
            match look {
                Look::Found(owned) => return Step::Done(Ok(it.answer(utcb, Some(owned)))),
                Look::GoOn => return Step::More,
                Look::Not => {
                    it.entry += 1;
                    it.way = None;
                    it.cursor = 0;
                }
            }
        }
        Step::More
    }

    /// Whether an object is, or is below, the factory that asks; `None` when the turn is over before that
    /// is known.
    fn is_below(&self, label: Label, it: &mut Search, budget: &mut u32) -> Option<bool> {
        let Some(factory) = it.below else {
            return Some(true);
        };
        let mut at = match it.way {
            Some((from, at)) if from == label => at,
            _ => label,
        };
        while at != factory {
            if *budget == 0 {
                it.way = Some((label, at));
                return None;
            }
            *budget -= 1;
            match self.objects.parent(at) {
                Some(above) => at = above,
                None => return Some(false),
            }
        }
        it.way = Some((label, at));
        Some(true)
    }

    fn look_in(&self, label: Label, found: Object, it: &mut Search) -> Look {
        let (arena, frame) = (self.pool.arena(), it.frame);
        match found {
            Object::Factory(_) => {
                let Some(runs) = self.objects.runs(label) else {
                    return Look::Not;
                };
                let from = it.cursor as u32;
                let mut next = Some(from);
                while let Some(at) = next.filter(|at| *at - from < TURN) {
                    let (run, behind) = runs::next(arena, runs, at, TURN);
                    next = behind;
                    let Some(run) = run else {
                        continue;
                    };
                    let page = frame.0.wrapping_sub(run.start.0);
                    if page < run.order.frames().into() {
                        return Look::Found(Owned {
                            kind: object::RUN,
                            factory: label.word(),
                            object: run.handle.raw().into(),
                            page,
                        });
                    }
                }
                it.cursor = next.unwrap_or(0).into();
                if next.is_some() {
                    Look::GoOn
                } else {
                    Look::Not
                }
            }
            Object::Dataspace(at) => match ds::holds(arena, at, frame, &mut it.cursor, TURN) {
                ds::Holds::Page(page) => Look::Found(Owned {
                    kind: object::DATASPACE,
                    factory: self.objects.parent(label).map_or(0, Label::word),
                    object: label.word(),
                    page,
                }),
                ds::Holds::GoOn => Look::GoOn,
                ds::Holds::No => Look::Not,
            },
            Object::RegionMap(_) => Look::Not,
        }
    }
}

enum Look {
    Found(Owned),
    GoOn,
    Not,
}

#[derive(Clone, Copy)]
struct Owned {
    kind: u32,
    factory: u64,
    object: u64,
    page: u64,
}

impl Search {
    fn answer(&self, utcb: UtcbRef, owned: Option<Owned>) -> MsgTag {
        let none = Owned {
            kind: object::NONE,
            factory: 0,
            object: 0,
            page: 0,
        };
        let owned = owned.unwrap_or(none);
        let owner = reply::Owner {
            state: self.state,
            kind: owned.kind,
            factory: owned.factory,
            object: owned.object,
            page: owned.page,
        };
        answer(utcb, 0, &owner)
    }
}
