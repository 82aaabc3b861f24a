//! Settings, statements, and changes of policy.

use l4_sys::{Errno, MsgTag, UtcbRef};

use crate::api::{self, NONE, flag, parameter, policy, reply, request};
use crate::engine::Store;
use crate::engine::pool::{Refused, Switching};
use crate::engine::quota::Reach;
use crate::frames::{CacheShape, Kind, Policies, Reshape};
use crate::server::core::Core;
use crate::server::parked::Step;
use crate::server::world::World;

use super::figures::number;
use super::{Asker, Next, Task, answer};

/// A change of policy that is under way, or the last one.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::server) struct Change {
    /// Steps are needed.
    moving: bool,
    /// Somebody waits for its end.
    awaited: bool,
    /// Number of the policy before.
    before: u32,
    turns: u64,
    finished: bool,
}

impl Change {
    /// Whether there is something to do.
    #[inline]
    pub(in crate::server) fn is_moving(&self) -> bool {
        self.moving
    }
}

fn kind(number: u32) -> Option<Kind> {
    match number {
        policy::BITMAP => Some(Kind::Bitmap),
        policy::BUDDY => Some(Kind::Buddy),
        policy::AVL => Some(Kind::Avl),
        policy::SLAB => Some(Kind::Slab),
        _ => None,
    }
}

/// The policies that a number stands for.
fn policies(number: u32) -> Option<Policies> {
    let (small, large) = policy::parts(number)?;
    Some(Policies::new(kind(small)?, kind(large)?))
}

/// A value that is at most `most`.
fn narrow<T: TryFrom<u64>>(value: u64, most: u64) -> Result<T, Errno> {
    if value > most {
        return Err(Errno::Range);
    }
    T::try_from(value).map_err(|_| Errno::Range)
}

impl<'a, P: Reshape<'a>, W: World> Core<'a, P, W> {
    /// Whether the core's settings may be changed.
    pub(super) fn may_tune(&self, asker: Asker) -> Result<(), Errno> {
        asker.need_special()?;
        match asker {
            Asker::Factory(label, ..) if self.objects.is_sealed(label) => Err(Errno::Perm),
            _ => Ok(()),
        }
    }

    pub(super) fn flags_of(&self, asker: Asker) -> u32 {
        let Asker::Factory(label, account, _) = asker else {
            return 0;
        };
        let private = self.pool.arena().get(account).is_private();
        let shares = if private { flag::SHARES_NOTHING } else { 0 };
        let sealed = self.objects.is_sealed(label);
        shares | if sealed { flag::SEALED } else { 0 }
    }

    /// All values, by number.
    fn values(&self) -> [u64; parameter::COUNT] {
        let (cache, tuning) = (self.pool.cache(), self.pool.tuning);
        let mut values = [0; parameter::COUNT];
        let known = [
            (parameter::PREFAULT, u64::from(tuning.prefault)),
            (parameter::RUN, tuning.run.into()),
            (parameter::ZERO_AHEAD, tuning.zero_ahead.into()),
            (parameter::CACHE_DEPTH, cache.depth.into()),
            (parameter::CACHE_REFILL, cache.batch.into()),
            (parameter::CACHE_BLOCKS, cache.blocks.into()),
            (parameter::RESERVE, tuning.reserve.into()),
        ];
        for (number, value) in known {
            if let Some(place) = values.get_mut(number as usize) {
                *place = value;
            }
        }
        values
    }

    pub(super) fn parameters(&mut self, utcb: UtcbRef) -> MsgTag {
        answer(utcb, 0, &self.values())
    }

    pub(super) fn set_parameter(
        &mut self,
        asker: Asker,
        it: &request::Set,
        utcb: UtcbRef,
    ) -> Result<MsgTag, Errno> {
        self.may_tune(asker)?;
        let before = self.values();
        let before = before.get(it.parameter as usize);
        let before = *before.ok_or(Errno::Inval)?;
        let most = u64::from(Reach::MAX);
        let tuning = &mut self.pool.tuning;
        let mut cache = None;
        match it.parameter {
            parameter::PREFAULT => tuning.prefault = narrow(it.value, tuning.run.into())?,
            parameter::RUN if it.value >= tuning.prefault.into() => {
                tuning.run = narrow(it.value, most)?;
            }
            parameter::ZERO_AHEAD => tuning.zero_ahead = narrow(it.value, 1 << 27)?,
            parameter::RESERVE => {
                let present = self.pool.frames().present_frames();
                self.pool.tuning.reserve = narrow(it.value, present.into())?;
            }
            parameter::CACHE_DEPTH => {
                let depth = narrow(it.value, 255)?;
                cache = Some(CacheShape {
                    depth,
                    ..self.pool.cache()
                });
            }
            parameter::CACHE_REFILL if it.value > 0 => {
                let batch = narrow(it.value, 255)?;
                cache = Some(CacheShape {
                    batch,
                    ..self.pool.cache()
                });
            }
            parameter::CACHE_BLOCKS => {
                let blocks = narrow(it.value, 4)?;
                cache = Some(CacheShape {
                    blocks,
                    ..self.pool.cache()
                });
            }
            _ => return Err(Errno::Range),
        }
        // An allocator without a cache has none to change.
        if cache.is_some_and(|shape| !self.pool.set_cache(shape)) {
            return Err(Errno::Range);
        }
        Ok(answer(utcb, 0, &reply::Set { before }))
    }

    pub(super) fn reach(
        &mut self,
        asker: Asker,
        it: &request::Reach,
        utcb: UtcbRef,
    ) -> Result<MsgTag, Errno> {
        let (_, account) = asker.factory()?;
        let wanted = match (it.first, it.least, it.most) {
            (NONE, NONE, NONE) => None,
            (first, least, most) => {
                let narrow = |value: u32| narrow(value.into(), Reach::MAX.into());
                let reach = Reach::new(narrow(first)?, narrow(least)?, narrow(most)?);
                Some(reach.ok_or(Errno::Range)?)
            }
        };
        let before = self.pool.arena().get(account).reach();
        let number = |part: fn(Reach) -> u8| before.map_or(NONE, |reach| part(reach).into());
        let reply = reply::Reach {
            first: number(Reach::start),
            least: number(Reach::least),
            most: number(Reach::most),
            zero: 0,
        };
        self.pool.arena_mut().get_mut(account).set_reach(wanted);
        Ok(answer(utcb, 0, &reply))
    }

    pub(super) fn state(
        &mut self,
        asker: Asker,
        it: &request::State,
        utcb: UtcbRef,
    ) -> Result<MsgTag, Errno> {
        let (label, account) = asker.factory()?;
        const ALL: u32 = flag::SHARES_NOTHING | flag::SEALED;
        if (it.set | it.clear) & !ALL != 0 || it.set & it.clear != 0 {
            return Err(Errno::Inval);
        }
        if it.clear & flag::SEALED != 0 {
            return Err(Errno::Perm);
        }
        if it.set & flag::SHARES_NOTHING != 0 && !self.pool.set_private(account) {
            return Err(Errno::Perm);
        }
        if it.clear & flag::SHARES_NOTHING != 0 {
            self.pool.end_private(account);
        }
        if it.set & flag::SEALED != 0 {
            self.objects.seal(label);
        }
        let flags = self.flags_of(asker);
        Ok(answer(utcb, 0, &reply::State { flags, zero: 0 }))
    }

    // ---- The policy ----

    fn policy_answer(&self, utcb: UtcbRef) -> MsgTag {
        let change = self.api.change;
        let done = reply::Policy {
            before: change.before,
            now: number(self.pool.frames().policy().policies()),
            turns: change.turns,
        };
        answer(utcb, 0, &done)
    }

    pub(super) fn change_policy(
        &mut self,
        asker: Asker,
        it: &request::Policy,
        utcb: UtcbRef,
    ) -> Result<Next, Errno> {
        self.may_tune(asker)?;
        let policies = policies(it.kind).ok_or(Errno::Inval)?;
        if it.flags & !flag::NO_WAIT != 0 {
            return Err(Errno::Inval);
        }
        let change = self.api.change;
        if change.moving || change.awaited {
            return Err(Errno::Busy);
        }
        let before = number(self.pool.frames().policy().policies());
        let begun = match self.pool.begin_switch(policies) {
            Ok(()) => true,
            Err(Refused::Same) => false,
            Err(Refused::Busy) => return Err(Errno::Busy),
            Err(Refused::NoMemory) => return Err(Errno::NoMem),
        };
        let waits = begun && it.flags & flag::NO_WAIT == 0;
        self.api.change = Change {
            moving: begun,
            awaited: waits,
            before,
            turns: 0,
            finished: !begun,
        };
        Ok(if waits {
            Next::Long(Task::Switch)
        } else {
            Next::Answer(self.policy_answer(utcb))
        })
    }

    pub(super) fn abandon_policy(&mut self, asker: Asker, utcb: UtcbRef) -> Result<MsgTag, Errno> {
        self.may_tune(asker)?;
        if !self.pool.abandon_switch() {
            return Err(Errno::NoEnt);
        }
        Ok(self.policy_answer(utcb))
    }

    /// Moves one free run of a change that is under way.
    pub(in crate::server) fn policy_turn(&mut self) {
        let change = &mut self.api.change;
        change.turns += 1;
        match self.pool.step_switch() {
            Switching::Moving => return,
            Switching::Finished => {
                change.finished = true;
                self.api.policies += 1;
            }
            Switching::Abandoned | Switching::Idle => {}
        }
        change.moving = false;
    }

    /// A call that waits for a change was refused: nothing is to be changed.
    pub(super) fn drop_switch(&mut self) {
        self.api.change.awaited = false;
        // `false`: it is done already.
        let _ = self.pool.abandon_switch();
    }

    /// A turn of a call that waits for a change.
    pub(super) fn step_switch(&mut self, utcb: UtcbRef) -> Step {
        if self.api.change.moving {
            self.policy_turn();
        }
        if self.api.change.moving {
            return Step::More;
        }
        self.api.change.awaited = false;
        Step::Done(if self.api.change.finished {
            Ok(self.policy_answer(utcb))
        } else {
            Err(Errno::Again)
        })
    }
}

const _: () = assert!(api::policy::NAMES.len() == Kind::ALL.len());
