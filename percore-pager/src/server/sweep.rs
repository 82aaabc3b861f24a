//! Objects whose gate has gone (MOE-OBJ-06 to -08).
//!
//! The kernel says that gates were deleted, not which. So each notice starts a round through the table;
//! a notice during a round, which may be about an entry behind, starts another one after it.
//!
//! Rounds and the taking apart of what they found take turns: whoever drops objects so fast that no round is the
//! last one does not keep everybody's memory from coming back.

use crate::frames::Reshape;

use super::core::Core;
use super::world::World;

/// Entries that a turn looks at.
const LOOK: u32 = 32;

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct Sweep {
    cursor: u32,
    running: bool,
    again: bool,
    /// The last turn was one of a round.
    looked: bool,
}

impl Sweep {
    pub(super) fn begin(&mut self) {
        self.again = self.running;
        self.running = true;
    }

    pub(super) fn is_pending(&self) -> bool {
        self.running
    }
}

impl<'a, P: Reshape<'a>, W: World> Core<'a, P, W> {
    /// A turn's worth of ending objects.
    pub(super) fn end_some(&mut self) {
        let waits = self.objects.has_condemned();
        self.sweep.looked = self.sweep.running && !(self.sweep.looked && waits);
        if !self.sweep.looked {
            let live = self.objects.live();
            // `false`: there was nothing to end.
            let _ = self.objects.turn(&mut self.pool);
            if self.objects.live() != live {
                // Calls that wait for another server look again whether their objects are there.
                self.parked.wake();
            }
            return;
        }
        let kernel = &mut self.pool.kernel;
        let cursor = &mut self.sweep.cursor;
        let found = self
            .objects
            .sweep(cursor, LOOK, |entry| kernel.has_gate(entry));
        match found {
            Some(label) => self.end(label),
            None if self.sweep.cursor == 0 => {
                self.sweep.running = self.sweep.again;
                self.sweep.again = false;
            }
            None => {}
        }
    }
}
