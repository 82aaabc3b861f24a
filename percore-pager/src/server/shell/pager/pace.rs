//! Who does long work: this thread on its own, or the working thread by calling it.
//!
//! A pager thread runs before all programs. If it did all long work between looks for messages, programs of
//! its CPU would not run until that ends. So it does some turns on its own, as short work must not wait
//! for anybody; what is left then the working thread has done, a turn for each of its calls. It has the
//! priority that loaders give programs. A call lends the kernel's scheduling context to whoever is called, so a
//! turn is charged to the working thread's time slice: programs of that priority get theirs in between, those
//! above run whenever they want to, and this thread waits without polling.
//!
//! Somebody above who never rests would hold up a caller's long work for ever. So this thread waits for a
//! [`WHILE_US`] only, and then does as many turns as at first; and it does one after so many messages
//! as ever.

/// Turns that are done in a row.
const ROW: u32 = 64;
/// Microseconds until the next row, should nobody call.
pub(super) const WHILE_US: u64 = 10_000;

/// How to wait for a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wait {
    /// Not at all: there is something to do.
    Poll,
    /// For [`WHILE_US`]: there is something to do, and somebody to have it done.
    While,
    /// For ever: there is nothing to do.
    Rest,
}

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Pace {
    /// Turns that are left of the row.
    left: u32,
}

impl Default for Pace {
    fn default() -> Self {
        Pace { left: ROW }
    }
}

impl Pace {
    /// How to wait when there is long work or is none, and mail of the front thread, which is not to wait.
    pub(super) fn wait(&mut self, work: bool, mail: bool) -> Wait {
        if !work {
            self.left = ROW;
        }
        match (work, mail) {
            (_, true) => Wait::Poll,
            (false, false) => Wait::Rest,
            (true, false) if self.left > 0 => Wait::Poll,
            (true, false) => Wait::While,
        }
    }

    /// There was no message: a turn is done now.
    pub(super) fn nobody_came(&mut self) {
        self.left = match self.left {
            // That was a while.
            0 => ROW - 1,
            left => left - 1,
        };
    }

    /// Whether the working thread is to have turns done.
    pub(super) fn is_driven(&self) -> bool {
        self.left == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_of_turns_and_then_a_while() {
        let mut pace = Pace::default();
        assert_eq!(pace.wait(false, false), Wait::Rest);
        for round in 0..3 {
            for turn in 0..ROW {
                if round == 0 || turn > 0 {
                    assert_eq!(pace.wait(true, false), Wait::Poll, "{round} {turn}");
                }
                assert!(!pace.is_driven() || turn == 0);
                pace.nobody_came();
            }
            assert_eq!(pace.wait(true, false), Wait::While);
            assert!(pace.is_driven());
            assert_eq!(pace.wait(true, true), Wait::Poll, "mail does not wait");
        }
        assert_eq!(pace.wait(false, false), Wait::Rest);
        assert_eq!(
            pace.wait(true, false),
            Wait::Poll,
            "a row for the next work"
        );
    }
}
