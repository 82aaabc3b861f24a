//! Timer ticks: what the kernel does from the entry of its timer interrupt until what it interrupted goes on.
//!
//! Ticks come by wall time, so how many fall into a window depends on the host, not on what is counted. A
//! tick is set apart whole: all kernel code from the entry on, a switch to another thread included,
//! until the kernel returns from an interrupt, or user code or an idle loop runs on that CPU. What is left
//! of a tick whose thread was switched away counts where it runs later.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use crate::counters::SlotId;

/// What a block is, as far as ticks are concerned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Block {
    /// User code, or an idle loop.
    pub outside: bool,
    /// Begins with the entry of the timer interrupt.
    pub entry: bool,
    /// Ends with a return from an interrupt.
    pub returns: bool,
}

impl Block {
    /// As a number.
    pub fn pack(self) -> usize {
        usize::from(self.outside) | usize::from(self.entry) << 1 | usize::from(self.returns) << 2
    }

    /// Back from [`Block::pack`].
    pub fn unpack(number: usize) -> Self {
        Block {
            outside: number & 1 != 0,
            entry: number & 2 != 0,
            returns: number & 4 != 0,
        }
    }
}

/// See the [module](self).
#[derive(Debug)]
pub struct Ticks {
    slot: Option<SlotId>,
    /// By CPU: in a tick.
    cpus: Vec<AtomicBool>,
}

impl Ticks {
    /// For `vcpus` CPUs; `slot` takes what ticks do, `None` leaves them where they are.
    pub fn new(vcpus: u32, slot: Option<SlotId>) -> Self {
        Ticks {
            slot,
            cpus: (0..vcpus).map(|_| AtomicBool::new(false)).collect(),
        }
    }

    /// A window opens: what ran before was not seen.
    pub fn open(&self) {
        for cpu in &self.cpus {
            cpu.store(false, Relaxed);
        }
    }

    /// A block of `slot` begins; gives the slot that it counts for.
    #[inline]
    pub fn pass(&self, vcpu: u32, slot: SlotId, block: Block) -> SlotId {
        let Some((tick, cpu)) = self.slot.zip(self.cpus.get(vcpu as usize)) else {
            return slot;
        };
        let before = cpu.load(Relaxed);
        let now = !block.outside && (before || block.entry);
        let after = now && !block.returns;
        if after != before {
            cpu.store(after, Relaxed);
        }
        if now { tick } else { slot }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tick_lasts_until_what_it_interrupted_goes_on() {
        let kernel = Block::default();
        let [outside, entry, returns] = [1, 2, 4].map(Block::unpack);
        assert_eq!([outside, entry, returns].map(Block::pack), [1, 2, 4]);
        let (code, tick) = (SlotId(3), SlotId(9));
        let ticks = Ticks::new(2, Some(tick));
        let run = |block| ticks.pass(0, code, block);
        // A system call that is interrupted and goes on.
        assert_eq!([outside, kernel].map(run), [code; 2]);
        assert_eq!([entry, kernel, returns].map(run), [tick; 3]);
        assert_eq!([kernel, returns, outside].map(run), [code; 3]);
        // A program that is interrupted by a tick that ends in another thread.
        assert_eq!([entry, kernel].map(run), [tick; 2]);
        assert_eq!(ticks.pass(1, code, kernel), code);
        assert_eq!([outside, kernel].map(run), [code; 2]);
        // Entry and return in one block.
        assert_eq!(run(Block::unpack(6)), tick);
        assert_eq!([kernel, entry].map(run), [code, tick]);
        ticks.open();
        assert_eq!(run(kernel), code);
        // No such CPU, and nothing to set apart.
        assert_eq!(ticks.pass(2, code, entry), code);
        assert_eq!(Ticks::new(1, None).pass(0, code, entry), code);
    }
}
