//! What a pager thread is made of: allocator, objects, places for calls, all in its own memory.

use core::ptr::NonNull;

use l4_sys::mem;

use crate::engine::arena::MAX_PAGES;
use crate::engine::objects::Objects;
use crate::engine::{Arena, Pool};
use crate::frames::{CacheShape, Cached, FrameNo, Frames, Live, Memory, Need, Window, ZeroShape};
use crate::server::{Core, Setting};

use super::effects::{self, Desk, Effects};
use super::pager::{self, PagerJob};
use super::place::SHOWN;

/// The policy with its cache.
pub type FramePolicy = Cached<Live<'static>>;
/// A thread's core.
pub type ThreadCore = Core<'static, FramePolicy, Effects>;

/// Calls that can be parked: as many as there are reply slots beside that of the next caller and those of
/// the helpers.
const PARKED: usize = pager::REPLY_SLOTS as usize - 4;
const SHORT: &str = "its memory is too small for its tables";

/// Builds the core of a thread.
///
/// # Errors
/// What it cannot have.
pub(super) fn core(job: &mut PagerJob) -> Result<ThreadCore, &'static str> {
    let entries = job.carver.entries(job.slots.entries()).ok_or(SHORT)?;
    let objects = Objects::numbered(entries, job.worker * job.slots.entries());
    let parked = job.carver.parked(PARKED).ok_or(SHORT)?;
    let desk = Desk {
        buffer: job.buffer,
        lines: job.carver.lines(effects::FOREIGN).ok_or(SHORT)?,
        windows: job.carver.windows(SHOWN).ok_or(SHORT)?,
    };
    let reserved = job.carver.ranges(job.space.reserved()).ok_or(SHORT)?;
    let mut frames = frames(job)?;
    // From here on nothing more can be cut off.
    add_regions(&mut frames, job)?;
    let base = frames.window().base();
    let start = NonNull::new(mem::at(base.0 << FrameNo::SHIFT)).ok_or("its memory begins at 0")?;
    let pages = (frames.window().frames() as usize).min(MAX_PAGES);
    // SAFETY: book-keeping pages are frames of the allocator above, so they are mapped for ever and
    // used by nobody else while the store has them. Between regions there may be holes; a reference
    // into one would be a fault that stops the thread, and none is made.
    let arena = unsafe { Arena::new(start, pages) }.ok_or("its memory makes no arena")?;
    let effects = Effects::new(job.worker, job.slots, job.handles, desk);
    let pool = Pool::new(frames, arena, base, effects).ok_or("its memory is out of reach")?;
    let setting = Setting {
        limits: job.space.limits,
        reserved,
        inline_work: false,
    };
    let mut core = Core::new(objects, pool, parked, setting);
    core.set_place(job.place);
    Ok(core)
}

/// Builds the thread's allocator in its own memory.
fn frames(job: &mut PagerJob) -> Result<Frames<'static, FramePolicy>, &'static str> {
    let span = job.regions.span().ok_or("it has no memory")?;
    let window = Window::covering(span).ok_or("its memory is more than 512 GiB apart")?;
    let carver = &mut job.carver;
    let mut memory = |need: Need| {
        Some(Memory {
            shared: carver.shared(need.shared)?,
            private: carver.words(need.private)?,
        })
    };
    let zero = ZeroShape::DEFAULT;
    let policy = memory(job.policy.need(&window)).and_then(|m| Live::new(job.policy, window, m));
    let cached = Cached::new(policy.ok_or(SHORT)?, CacheShape::DEFAULT);
    let need = Frames::<FramePolicy>::need(&window, &zero);
    let memory = memory(need).ok_or(SHORT)?;
    Frames::new(cached, zero, memory).map_err(|_| SHORT)
}

/// Hands the thread's memory to its allocator, its tables left out.
fn add_regions(
    frames: &mut Frames<'static, FramePolicy>,
    job: &PagerJob,
) -> Result<(), &'static str> {
    const BAD: &str = "its regions overlap";
    if let Some(rest) = job.carver.rest() {
        frames.add_region(rest).map_err(|_| BAD)?;
    }
    for run in job.regions.iter().skip(1) {
        frames.add_region(run).map_err(|_| BAD)?;
    }
    Ok(())
}
