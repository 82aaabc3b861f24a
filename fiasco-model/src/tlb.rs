//! TLB flushes: which spaces and CPUs an unmap concerns, and what the kernel does about it.
//!
//! The kernel flushes whole address spaces, once for each flexpage, on every CPU that ran the
//! space since its last flush there.

use crate::object::ObjId;
use crate::state::State;

/// More spaces than this are flushed by flushing everything.
const FLUSH_SPACES: usize = 4;

/// Microseconds from one timer tick to the next, as the kernel is usually built.
const TICK_US: u64 = 1000;

/// Address spaces whose TLB entries became wrong.
#[derive(Debug, Default)]
pub(crate) struct Flush {
    spaces: Vec<ObjId>,
}

impl Flush {
    pub fn add(&mut self, task: ObjId) {
        if !self.spaces.contains(&task) {
            self.spaces.push(task);
        }
    }
}

impl State {
    /// An idle CPU has its last space loaded until its next timer tick.
    fn leave_idle(&mut self, cpu: u32) {
        let (now, tick) = (self.now(), TICK_US * self.cost.mhz);
        let c = &mut self.cpus[cpu as usize];
        if c.is_idle() && now >= c.clock.saturating_add(tick) {
            c.space = None;
        }
    }

    /// Makes the TLBs forget: here at once, on other CPUs by an interrupt each that is waited for.
    pub fn flush(&mut self, flush: Flush) {
        if flush.spaces.is_empty() {
            return;
        }
        let mut cpus = vec![0u64; self.cpus.len().div_ceil(64)];
        for s in &flush.spaces {
            if let Some(t) = self.objs.task(*s) {
                for (all, one) in cpus.iter_mut().zip(&t.active) {
                    *all |= one;
                }
            }
        }
        let everything = flush.spaces.len() > FLUSH_SPACES;
        for cpu in 0..self.cpus.len() as u32 {
            if cpus[cpu as usize / 64] >> (cpu % 64) & 1 == 0 {
                continue;
            }
            self.leave_idle(cpu);
            if cpu == self.cpu {
                self.charge(self.cost.tlb_flush);
                self.count().flush_local += 1;
            } else {
                // Awaited by looking at memory: no interrupt comes back.
                let done = self.ipi(cpu) + self.cost.tlb_flush;
                self.cpus[cpu as usize].clock += self.cost.tlb_flush;
                let here = &mut self.cpus[self.cpu as usize];
                here.clock = here.clock.max(done);
                self.count().flush_remote += 1;
            }
            if everything {
                self.count().flush_all += 1;
            }
            let target = &mut self.cpus[cpu as usize];
            let current = target.space;
            // An idle CPU still has its last space loaded; the interrupt makes it leave that.
            if target.running.is_none() {
                target.space = None;
            }
            for s in &flush.spaces {
                // The kernel drops a space from the set only when its CPU runs another one.
                if current != Some(*s)
                    && let Some(t) = self.objs.task_mut(*s)
                {
                    t.clear_active(cpu);
                }
            }
        }
    }
}
