//! The slow truth about a pyramid: everything recounted from the bits.

use super::super::tier::{GROUP_ORDER, Wrong};
use super::super::units::PageOrder;
use super::super::validate::Fault;
use super::Pyramid;

impl Pyramid<'_> {
    /// Compares all redundant state with what the bits say.
    pub(in super::super) fn check(&self) -> Result<(), Fault> {
        let mut runs = [0u32; PageOrder::COUNT];
        let wrong = |number, wrong| match wrong {
            Wrong::Count => Fault::Count(number),
            Wrong::Listed => Fault::Listed(number),
        };
        for (tier, first) in [(&self.frames, 0), (&self.blocks, GROUP_ORDER as usize)] {
            let mut found = [0; 9];
            for group in 0..tier.groups() {
                if tier.is_out(group) {
                    tier.check_out(group).map_err(|w| wrong(group, w))?;
                } else {
                    tier.check_group(group, &mut found)
                        .map_err(|w| wrong(group, w))?;
                }
            }
            runs[first..first + 9].copy_from_slice(&found);
            if !tier.check_sets() {
                return Err(Fault::Summary);
            }
        }
        if !self.whole.is_consistent() {
            return Err(Fault::Summary);
        }
        for block in 0..self.frames.groups() {
            let broken = !self.frames.is_out(block);
            if self.next_broken(block, block + 1).is_some() != broken
                || (broken && self.block_is_free(block))
            {
                return Err(Fault::Listed(block));
            }
        }
        runs[PageOrder::COUNT - 1] = (0..self.blocks.groups())
            .filter(|group| self.whole.contains(*group))
            .count() as u32;
        for order in (0..PageOrder::COUNT - 1).rev() {
            // A whole group has all runs of the orders below; runs of 9 are whole blocks.
            let above = if order < 9 { runs[9] } else { runs[18] };
            runs[order] += above << (if order < 9 { 9 } else { 18 } - order);
        }
        for order in PageOrder::all() {
            let (kept, found) = (self.free_runs(order), runs[order.get() as usize]);
            if kept != found {
                return Err(Fault::Runs(order, kept, found));
            }
        }
        Ok(())
    }
}
