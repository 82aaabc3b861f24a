//! Regions: frames that come to an allocator and leave it at run time, 2 MiB and larger runs mostly
//! when cores balance their memory, and any other run.

use super::allocator::Frames;
use super::error::RegionError;
use super::ledger::Owner;
use super::policy::Policy;
use super::units::Run;

impl<P: Policy> Frames<'_, P> {
    /// Adds frames, all free. None of them may be there yet.
    ///
    /// # Errors
    ///
    /// `OutsideWindow`, `Overlap`.
    pub fn add_region(&mut self, run: Run) -> Result<(), RegionError> {
        let span = self
            .window()
            .span_of(run)
            .ok_or(RegionError::OutsideWindow)?;
        self.ledger
            .expect(span, Owner::Absent)
            .map_err(|(ix, _)| RegionError::Overlap(self.window().frame(ix)))?;
        self.ledger.change(span, Owner::Absent, Owner::Free);
        self.present += span.frames();
        self.give(span);
        Ok(())
    }

    /// Takes frames away, all of which must be free. They need not be a region as it was added.
    ///
    /// # Errors
    ///
    /// `OutsideWindow`, `Absent`, `Busy` (also for frames that are out to be zeroed).
    pub fn remove_region(&mut self, run: Run) -> Result<(), RegionError> {
        let span = self
            .window()
            .span_of(run)
            .ok_or(RegionError::OutsideWindow)?;
        self.ledger
            .expect(span, Owner::Free)
            .map_err(|(ix, owner)| {
                let frame = self.window().frame(ix);
                if owner == Owner::Absent {
                    RegionError::Absent(frame)
                } else {
                    RegionError::Busy(frame)
                }
            })?;
        if !self.take_at(span) {
            return Err(RegionError::Busy(run.start()));
        }
        self.ledger.change(span, Owner::Free, Owner::Absent);
        self.present -= span.frames();
        Ok(())
    }
}
