//! Questions that are answered at once.

use l4_sys::{Errno, MsgTag, UtcbRef};

use crate::api::{self, Counters, NONE, ORDERS, RUNS_PER_CALL, flag, policy, reply, request};
use crate::engine::{Store, runs};
use crate::frames::{Kind, PageOrder, Policies, Reshape};
use crate::server::core::Core;
use crate::server::world::World;

use super::{Asker, Next, answer};

/// The number of policies.
pub(super) fn number(policies: Policies) -> u32 {
    let small = single(policies.small());
    if policies.is_one() {
        return small;
    }
    policy::pair(small, single(policies.large()))
}

const fn single(kind: Kind) -> u32 {
    match kind {
        Kind::Bitmap => policy::BITMAP,
        Kind::Buddy => policy::BUDDY,
        Kind::Avl => policy::AVL,
        Kind::Slab => policy::SLAB,
    }
}

impl<'a, P: Reshape<'a>, W: World> Core<'a, P, W> {
    pub(super) fn info(&mut self, asker: Asker, utcb: UtcbRef) -> MsgTag {
        let place = self.api.place;
        let mut flags = self.flags_of(asker);
        if self.may_tune(asker).is_ok() {
            flags |= flag::MAY_TUNE;
        }
        if let Asker::Service(_) = asker {
            flags |= flag::SERVICE;
        }
        let info = reply::Info {
            version: api::VERSION,
            core: place.core,
            node: place.node,
            cores: place.cores,
            policy: number(self.pool.frames().policy().policies()),
            changing_to: self.pool.changing_to().map_or(NONE, number),
            flags,
            runs_per_call: RUNS_PER_CALL as u32,
        };
        answer(utcb, 0, &info)
    }

    pub(super) fn memory(&mut self, asker: Asker, utcb: UtcbRef) -> Result<MsgTag, Errno> {
        asker.need_special()?;
        let uses = self.pool.uses();
        let frames = self.pool.frames();
        let memory = reply::Memory {
            present: frames.present_frames().into(),
            free: uses.free,
            zeroed: self.pool.zeroed_frames(),
            held: uses.held,
            used: uses.data - uses.kept,
            kept: uses.kept,
            waiting: uses.waiting,
            meta: uses.meta,
            // Cores do not lend to each other yet.
            borrowed: 0,
            lent: 0,
        };
        Ok(answer(utcb, 0, &memory))
    }

    pub(super) fn orders(&mut self, asker: Asker, utcb: UtcbRef) -> Result<MsgTag, Errno> {
        asker.need_special()?;
        let frames = self.pool.frames();
        let mut orders = reply::Orders {
            largest: frames.largest().map_or(NONE, PageOrder::get),
            runs: [0; ORDERS],
        };
        for (runs, order) in orders.runs.iter_mut().zip(PageOrder::all()) {
            *runs = frames.free_runs(order);
        }
        Ok(answer(utcb, 0, &orders))
    }

    /// What this thread and its pool have done.
    pub fn api_counters(&self) -> Counters {
        let (core, pool, api) = (&self.counters, &self.pool.effects, &self.api);
        Counters {
            faults: core.faults,
            maps: core.maps,
            others: core.others,
            parked: core.parked,
            retried: core.retried,
            turns: core.turns,
            created: core.created,
            ended: core.ended,
            zeroed_now: pool.zeroed_now,
            zeroed_ahead: pool.zeroed_ahead,
            pieces: pool.pieces,
            pieces_zeroed: pool.pieces_zeroed,
            unmap_calls: pool.unmap_calls,
            unmapped: pool.unmapped,
            runs_taken: api.runs_taken,
            runs_given: api.runs_given,
            runs_recycled: api.runs_recycled,
            policies: api.policies,
            asked: 0,
            given: 0,
            recycled: pool.recycled,
        }
    }

    pub(super) fn all_counters(&mut self, asker: Asker, utcb: UtcbRef) -> Result<MsgTag, Errno> {
        asker.need_special()?;
        Ok(answer(utcb, 0, &self.api_counters()))
    }

    pub(super) fn own(&mut self, asker: Asker, utcb: UtcbRef) -> Result<MsgTag, Errno> {
        let Asker::Factory(label, account, _) = asker else {
            return Err(Errno::NoDev);
        };
        let runs = self.objects.runs(label);
        let arena = self.pool.arena();
        let totals = runs.map(|runs| runs::totals(arena, runs));
        let totals = totals.unwrap_or_default();
        let it = arena.get(account);
        let own = reply::Own {
            limit: it.limit(),
            reserved: it.reserved(),
            committed: it.committed(),
            runs: totals.live.into(),
            run_frames: totals.live_frames,
            kept_runs: totals.kept.into(),
            kept_frames: totals.kept_frames,
        };
        Ok(answer(utcb, 0, &own))
    }

    pub(super) fn core_of(&mut self, it: &request::CoreOf, utcb: UtcbRef) -> Result<MsgTag, Errno> {
        let at = self.api.place.serving(it.apic)?;
        let core = reply::CoreOf {
            core: at.core,
            node: at.node,
        };
        Ok(answer(utcb, 0, &core))
    }

    pub(super) fn bind(&mut self, asker: Asker, it: &request::Bind) -> Result<Next, Errno> {
        asker.need_special()?;
        let Asker::Service(_) = asker else {
            return Err(Errno::NoDev);
        };
        if self.api.place.serving(it.apic)?.core != self.api.place.core {
            return Err(Errno::Range);
        }
        Ok(Next::Factory(Some(it.quota).filter(|quota| *quota != 0)))
    }
}
