//! Runs of any length, for contiguous dataspaces.

use crate::engine::kernel::Kernel;
use crate::engine::slabs::NoMemory;
use crate::frames::{FrameNo, PageOrder, Policy, Request, Run};

use super::{DATA, Pool};

impl<P: Policy, K: Kernel> Pool<'_, P, K> {
    /// `frames` consecutive frames, the first aligned to `align`, or to 1 GiB for more than 2^18. Takes a few steps,
    /// and for those a few for each GiB of the window.
    pub(in crate::engine) fn take_run(
        &mut self,
        frames: u64,
        align: PageOrder,
    ) -> Result<Run, NoMemory> {
        // Not even with all that can be given back.
        let uses = self.uses();
        if uses.free + uses.held + uses.waiting + uses.kept < frames {
            return Err(NoMemory);
        }
        let run = match u32::try_from(frames) {
            Ok(some) if some <= PageOrder::MAX.frames() => {
                let request = Request::frames(DATA, some).aligned(align);
                self.relieved(|pool| {
                    let enough = pool.may_have(frames);
                    let grant = enough.then(|| pool.frames.alloc(&request));
                    grant?.ok().map(|grant| grant.run)
                })
            }
            _ => self.take_long(frames),
        };
        self.effects.pieces += u64::from(run.is_some());
        run.ok_or(NoMemory)
    }

    /// Whether so many frames are free, beside the reserve for single faults.
    fn may_have(&self, frames: u64) -> bool {
        u64::from(self.frames.free_frames()) >= frames && self.leaves_reserve(frames)
    }

    /// Looking for so much takes long: it is done once before something is made free, and once when all is.
    fn take_long(&mut self, frames: u64) -> Option<Run> {
        if self.may_have(frames)
            && let Some(run) = self.find_long(frames)
        {
            return Some(run);
        }
        if !self.relieve() {
            return None;
        }
        while self.relieve() {}
        if self.is_short() || !self.may_have(frames) {
            return None;
        }
        self.find_long(frames)
    }

    fn find_long(&mut self, frames: u64) -> Option<Run> {
        let unit = u64::from(PageOrder::MAX.frames());
        let all = self.frames.window().run(self.frames.window().span())?;
        let mut start = all.start().0.next_multiple_of(unit);
        let mut got = 0;
        while start + frames <= all.end().0 {
            let part = Run::new(FrameNo(start + got), unit.min(frames - got))?;
            if self.frames.alloc_at(part, DATA).is_ok() {
                got += part.frames();
                if got == frames {
                    return Run::new(FrameNo(start), frames);
                }
                continue;
            }
            // Not before the part that is taken.
            self.give_unseen(FrameNo(start), got);
            start += got + unit;
            got = 0;
        }
        None
    }
}
