//! Test results of a guest: TAP (the Test Anything Protocol) in a serial log.
//!
//! What the guest prints, each on a line of its own, in any mixture with other output:
//!
//! ```text
//! 1..3
//! ok 1 - S0-REQ-02 given RAM: base of a page
//! not ok 2 - S0-REQ-05 any RAM: order 12
//! # got ENOMEM
//! ok 3 - S0-REQ-09 coverage dump # SKIP not a coverage build
//! TAP-END 2/3
//! ```
//!
//! The plan comes first or last. [`SENTINEL`] with passed and all tests (a skipped one has passed)
//! ends the boot; `Bail out! REASON` gives up. moe's and ned's tags before a line are dropped.
//! Names are what two runs are compared by, so they must differ from each other.

mod compare;
mod expected;
mod parse;

pub use compare::{Row, compare};
pub use expected::{Difference, Differences};
pub use parse::Parser;

/// Starts the line that ends a test boot: `TAP-END PASSED/ALL`.
pub const SENTINEL: &str = "TAP-END ";
/// Starts the line with which a test program gives up.
pub const BAIL_OUT: &str = "Bail out!";

/// How one test ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// `ok`.
    Passed,
    /// `not ok`.
    Failed,
    /// `ok ... # SKIP`: not run.
    Skipped,
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Status::Passed => "ok",
            Status::Failed => "not ok",
            Status::Skipped => "skipped",
        })
    }
}

/// One test's line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Test {
    /// Number in the plan, from 1.
    pub number: u32,
    /// What is tested.
    pub name: String,
    /// How it ended.
    pub status: Status,
    /// Why it was skipped, and the comment lines behind it.
    pub notes: Vec<String>,
}

/// All that one guest reported.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Results {
    /// The tests in the order of the log.
    pub tests: Vec<Test>,
    /// What is wrong with the report itself: no plan, missing or doubled tests, a wrong count.
    pub problems: Vec<String>,
}

impl Results {
    /// How many tests ended so.
    pub fn count(&self, status: Status) -> usize {
        self.tests
            .iter()
            .filter(|test| test.status == status)
            .count()
    }
}
