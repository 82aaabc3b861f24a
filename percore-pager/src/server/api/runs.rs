//! Runs allocated directly, and the reserve.

use l4_sys::item::{Caching, ITEM_CONT, SendItem};
use l4_sys::{Errno, Fpage, MemRights, MsgTag, PAGE_SHIFT, UtcbRef};

use crate::api::{self, HANDLES_PER_CALL, RUNS_PER_CALL, RUNS_PER_LIST, flag, reply, request};
use crate::engine::objects::Label;
use crate::engine::runs::{self, Handle, Runs, Taken};
use crate::engine::{Ref, Store};
use crate::frames::{FrameNo, PageOrder, Reshape, Run};
use crate::server::core::Core;
use crate::server::parked::Step;
use crate::server::world::World;

use super::{Asker, Next, Task, answer};

/// Frames that a turn zeroes.
const TURN_FRAMES: u64 = 16;
/// Runs that a turn of RESERVE takes or gives back.
const TURN_RUNS: u32 = 16;
/// Records that a turn of a list looks at.
const TURN_RECORDS: u32 = 256;

/// Frames that are still to be zeroed before their client may see them.
#[derive(Clone, Copy, Debug)]
struct Dirty {
    handle: Handle,
    start: FrameNo,
    frames: u64,
}

impl Dirty {
    fn of(taken: Taken, order: PageOrder) -> Self {
        Dirty {
            handle: taken.handle,
            start: taken.start,
            frames: order.frames().into(),
        }
    }
}

/// An ALLOC that is being served.
#[derive(Clone, Copy, Debug)]
pub(in crate::server) struct Alloc {
    pub(super) factory: Label,
    order: PageOrder,
    flags: u32,
    rights: MemRights,
    spot: u64,
    want: u32,
    have: u32,
    handles: [u32; RUNS_PER_CALL],
    dirty: Option<Dirty>,
}

/// A RESERVE that is being served.
#[derive(Clone, Copy, Debug)]
pub(in crate::server) struct Fill {
    pub(super) factory: Label,
    order: PageOrder,
    /// Runs that there are to be.
    count: u32,
    /// Runs that are taken or given back at most: what was missing, or too many, at the start. So two
    /// that want different numbers do not undo each other's work for ever.
    left: u32,
    /// Runs are to be taken.
    more: bool,
    dirty: Option<Dirty>,
}

fn order_of(number: u32) -> Result<PageOrder, Errno> {
    PageOrder::new(number).ok_or(Errno::Inval)
}

/// Rights to map memory with: some, and none but R, W and X.
fn rights_of(bits: u32) -> Result<MemRights, Errno> {
    let bits = u8::try_from(bits).map_err(|_| Errno::Inval)?;
    MemRights::from_bits(bits)
        .filter(|rights| !rights.is_empty())
        .ok_or(Errno::Inval)
}

impl<'a, P: Reshape<'a>, W: World> Core<'a, P, W> {
    /// The factory's table of runs, made if there is none.
    fn runs_of(&mut self, factory: Label) -> Result<Ref<Runs>, Errno> {
        if let Some(runs) = self.objects.runs(factory) {
            return Ok(runs);
        }
        let account = self.account_of(factory).ok_or(Errno::BadProto)?;
        let runs = runs::open(&mut self.pool, account).map_err(|_| Errno::NoMem)?;
        if self.objects.set_runs(factory, runs) {
            return Ok(runs);
        }
        while !runs::drop_some(&mut self.pool, runs, 1) {}
        Err(Errno::NoMem)
    }

    /// Zeroes up to `budget` frames, which is less so many afterwards; `true` when nothing is left.
    fn clean(&mut self, dirty: &mut Dirty, budget: &mut u64) -> bool {
        let now = dirty.frames.min(*budget);
        if let Some(run) = Run::new(dirty.start, now) {
            self.pool.zero_now(run);
        }
        dirty.start = FrameNo(dirty.start.0 + now);
        dirty.frames -= now;
        *budget -= now;
        dirty.frames == 0
    }

    pub(super) fn alloc_runs(&mut self, asker: Asker, it: &request::Alloc) -> Result<Next, Errno> {
        let (factory, _) = asker.factory()?;
        let order = order_of(it.order)?;
        let count = 1..=RUNS_PER_CALL as u32;
        if !count.contains(&it.count) || it.flags & !flag::ALLOC_ALL != 0 {
            return Err(Errno::Inval);
        }
        let mapped = it.flags & flag::NO_MAP == 0;
        let rights = if mapped {
            rights_of(it.rights)?
        } else {
            MemRights::empty()
        };
        let size = u64::from(order.frames()) << PAGE_SHIFT;
        let end = it.spot.checked_add(size * u64::from(it.count));
        if mapped && (!it.spot.is_multiple_of(size) || end.is_none()) {
            return Err(Errno::Inval);
        }
        if it.flags & flag::FROM_RESERVE == 0 {
            self.runs_of(factory)?;
        }
        Ok(Next::Long(Task::Alloc(Alloc {
            factory,
            order,
            flags: it.flags,
            rights,
            spot: it.spot,
            want: it.count,
            have: 0,
            handles: [0; RUNS_PER_CALL],
            dirty: None,
        })))
    }

    pub(super) fn step_alloc(&mut self, it: &mut Alloc, utcb: UtcbRef) -> Step {
        if self.account_of(it.factory).is_none() {
            return Step::Done(Err(Errno::BadProto));
        }
        let mut budget = TURN_FRAMES;
        if let Some(dirty) = &mut it.dirty {
            if !self.clean(dirty, &mut budget) {
                return Step::More;
            }
            it.dirty = None;
        }
        while it.have < it.want {
            let taken = match self.take_for(it) {
                Ok(taken) => taken,
                Err(error) if it.have == 0 => return Step::Done(Err(error)),
                // As many as there are, when all memory is given back that can be.
                Err(_) if self.pool.is_short() => return Step::Short,
                Err(_) => break,
            };
            if let Some(place) = it.handles.get_mut(it.have as usize) {
                *place = taken.handle.raw();
            }
            it.have += 1;
            let wanted = it.flags & flag::FROM_RESERVE == 0 || it.flags & flag::CLEAR != 0;
            if !taken.clean && wanted {
                let mut dirty = Dirty::of(taken, it.order);
                if !self.clean(&mut dirty, &mut budget) {
                    it.dirty = Some(dirty);
                    return Step::More;
                }
            }
        }
        Step::Done(self.answer_alloc(it, utcb))
    }

    fn take_for(&mut self, it: &Alloc) -> Result<Taken, Errno> {
        if it.flags & flag::FROM_RESERVE != 0 {
            let runs = self.objects.runs(it.factory).ok_or(Errno::NoEnt)?;
            return runs::take_kept(self.pool.arena_mut(), runs, it.order).ok_or(Errno::NoEnt);
        }
        let runs = self.objects.runs(it.factory).ok_or(Errno::BadProto)?;
        let taken = runs::take(&mut self.pool, runs, it.order)?;
        self.api.runs_taken += 1;
        Ok(taken)
    }

    /// Nobody waits for an ALLOC any more: its runs go back to where they came from.
    pub(super) fn drop_alloc(&mut self, it: &Alloc) {
        let Some(runs) = self.objects.runs(it.factory) else {
            return;
        };
        let handles = it.handles.get(..it.have as usize).unwrap_or(&[]);
        if it.flags & flag::FROM_RESERVE != 0 {
            for handle in handles {
                runs::ready(self.pool.arena_mut(), runs, Handle::from_raw(*handle));
            }
            let kept = runs::give(&mut self.pool, runs, handles, true);
            debug_assert!(kept.is_ok(), "they are live, each once");
            return;
        }
        for handle in handles {
            runs::abandon(&mut self.pool, runs, Handle::from_raw(*handle));
            self.api.runs_given += 1;
        }
    }

    /// Nobody waits for a RESERVE any more.
    pub(super) fn drop_fill(&mut self, it: &Fill) {
        if let (Some(runs), Some(dirty)) = (self.objects.runs(it.factory), it.dirty) {
            runs::abandon(&mut self.pool, runs, dirty.handle);
            self.api.runs_given += 1;
        }
    }

    /// Writes the handles and, behind them, the runs, which are the client's from now on.
    fn answer_alloc(&mut self, it: &Alloc, utcb: UtcbRef) -> Result<MsgTag, Errno> {
        let handles = it.handles.get(..it.have as usize).unwrap_or(&[]);
        let runs = self.objects.runs(it.factory).ok_or(Errno::BadProto)?;
        for handle in handles {
            runs::ready(self.pool.arena_mut(), runs, Handle::from_raw(*handle));
        }
        let words = api::write(utcb, &it.handles, handles.len() * 4);
        if it.flags & flag::NO_MAP != 0 {
            return Ok(MsgTag::plain(i64::from(it.have), words, 0));
        }
        let order = it.order.get() + PAGE_SHIFT;
        for (n, handle) in handles.iter().enumerate() {
            let run = runs::look(self.pool.arena(), runs, Handle::from_raw(*handle));
            let run = run.ok_or(Errno::BadProto)?;
            let page = Fpage::mem(run.start.address(), order, it.rights);
            let spot = it.spot + ((n as u64) << order);
            let item = SendItem::mem(spot, Caching::AsSender, page);
            // All but the last go on with the same receive window.
            let more = if n + 1 < handles.len() { ITEM_CONT } else { 0 };
            utcb.set_mr(words + 2 * n, item.control | more);
            utcb.set_mr(words + 2 * n + 1, item.fpage.0);
        }
        Ok(MsgTag::plain(i64::from(it.have), words, handles.len()))
    }

    pub(super) fn free_runs(&mut self, asker: Asker, it: &request::Free) -> Result<MsgTag, Errno> {
        let (factory, _) = asker.factory()?;
        let count = it.count as usize;
        if count == 0 || count > HANDLES_PER_CALL || it.flags & !flag::TO_RESERVE != 0 {
            return Err(Errno::Inval);
        }
        let handles = it.handles.get(..count).ok_or(Errno::Inval)?;
        let runs = self.objects.runs(factory).ok_or(Errno::NoEnt)?;
        let keep = it.flags & flag::TO_RESERVE != 0;
        runs::give(&mut self.pool, runs, handles, keep)?;
        if keep {
            self.api.runs_recycled += count as u64;
        } else {
            self.api.runs_given += count as u64;
        }
        Ok(MsgTag::plain(0, 0, 0))
    }

    pub(super) fn map_run(
        &mut self,
        asker: Asker,
        it: &request::Map,
        utcb: UtcbRef,
    ) -> Result<MsgTag, Errno> {
        let (factory, _) = asker.factory()?;
        let rights = rights_of(it.rights)?;
        if it.order < PAGE_SHIFT || it.order > l4_sys::GIGAPAGE_SHIFT {
            return Err(Errno::Inval);
        }
        let size = 1u64 << it.order;
        if !it.offset.is_multiple_of(size) || !it.spot.is_multiple_of(size) {
            return Err(Errno::Inval);
        }
        let runs = self.objects.runs(factory).ok_or(Errno::NoEnt)?;
        let run = runs::look(self.pool.arena(), runs, Handle::from_raw(it.handle));
        // What is in the reserve is the client's too, but not in use.
        let run = run.filter(|run| !run.kept).ok_or(Errno::NoEnt)?;
        let bytes = u64::from(run.order.frames()) << PAGE_SHIFT;
        if it.offset >= bytes || size > bytes - it.offset {
            return Err(Errno::Range);
        }
        let page = Fpage::mem(run.start.address() + it.offset, it.order, rights);
        let item = SendItem::mem(it.spot, Caching::AsSender, page);
        utcb.set_mr(0, item.control);
        utcb.set_mr(1, item.fpage.0);
        Ok(MsgTag::plain(0, 0, 1))
    }

    pub(super) fn list_runs(
        &mut self,
        asker: Asker,
        it: &request::Runs,
        utcb: UtcbRef,
    ) -> Result<MsgTag, Errno> {
        let (factory, _) = asker.factory()?;
        let none = reply::Run {
            handle: 0,
            order: 0,
            kept: 0,
            address: 0,
        };
        let mut list = reply::Runs {
            next: 0,
            zero: 0,
            runs: [none; RUNS_PER_LIST],
        };
        let mut count = 0;
        if let Some(runs) = self.objects.runs(factory) {
            let mut from = Some(it.from);
            let mut left = TURN_RECORDS;
            while let Some(at) = from.filter(|_| count < RUNS_PER_LIST && left > 0) {
                let (run, next) = runs::next(self.pool.arena(), runs, at, left);
                left = left.saturating_sub(next.map_or(left, |next| next - at));
                if let (Some(run), Some(place)) = (run, list.runs.get_mut(count)) {
                    *place = reply::Run {
                        handle: run.handle.raw(),
                        order: run.order.get() as u16,
                        kept: run.kept.into(),
                        address: run.start.address(),
                    };
                    count += 1;
                }
                from = next;
            }
            list.next = from.unwrap_or(0);
        }
        let bytes = core::mem::offset_of!(reply::Runs, runs) + count * size_of::<reply::Run>();
        let words = api::write(utcb, &list, bytes);
        Ok(MsgTag::plain(count as i64, words, 0))
    }

    pub(super) fn fill_reserve(
        &mut self,
        asker: Asker,
        it: &request::Reserve,
    ) -> Result<Next, Errno> {
        let (factory, _) = asker.factory()?;
        let order = order_of(it.order)?;
        let runs = self.runs_of(factory)?;
        let have = runs::kept(self.pool.arena(), runs, order);
        Ok(Next::Long(Task::Fill(Fill {
            factory,
            order,
            count: it.count,
            left: it.count.abs_diff(have),
            more: it.count > have,
            dirty: None,
        })))
    }

    pub(super) fn step_fill(&mut self, it: &mut Fill, utcb: UtcbRef) -> Step {
        let Some(runs) = self.objects.runs(it.factory) else {
            return Step::Done(Err(Errno::BadProto));
        };
        let mut budget = TURN_FRAMES;
        if let Some(dirty) = &mut it.dirty {
            if !self.clean(dirty, &mut budget) {
                return Step::More;
            }
            runs::keep_fresh(self.pool.arena_mut(), runs, dirty.handle);
            it.dirty = None;
        }
        for _ in 0..TURN_RUNS {
            let have = runs::kept(self.pool.arena(), runs, it.order);
            let there = if it.more {
                have >= it.count
            } else {
                have <= it.count
            };
            if there || it.left == 0 {
                it.left = 0;
                break;
            }
            if !it.more && self.pool.must_unmap() {
                // Much waits already: a turn for that.
                self.pool.unmap_waiting();
                return Step::More;
            }
            if !it.more {
                runs::drop_kept(&mut self.pool, runs, it.order);
                self.api.runs_given += 1;
                it.left -= 1;
                continue;
            }
            let Ok(taken) = runs::take(&mut self.pool, runs, it.order) else {
                if self.comes_back() {
                    // There may be more later.
                    return Step::Short;
                }
                // As many as there are.
                it.left = 0;
                break;
            };
            self.api.runs_taken += 1;
            it.left -= 1;
            let mut dirty = Dirty::of(taken, it.order);
            if !taken.clean && !self.clean(&mut dirty, &mut budget) {
                it.dirty = Some(dirty);
                return Step::More;
            }
            runs::keep_fresh(self.pool.arena_mut(), runs, taken.handle);
        }
        if it.left > 0 {
            return Step::More;
        }
        let have = runs::kept(self.pool.arena(), runs, it.order);
        Step::Done(Ok(answer(utcb, 0, &reply::Reserve { have, zero: 0 })))
    }
}
