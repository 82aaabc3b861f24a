//! What a pager thread has done: plain numbers of its own, one addition a message.

/// See the [module](self). Each message is counted in one of the first three, each time
/// that it is tried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Page faults answered or refused by region maps.
    pub faults: u64,
    /// Map requests to dataspaces.
    pub maps: u64,
    /// All other messages.
    pub others: u64,
    /// Calls that were put aside because they take several turns.
    pub parked: u64,
    /// Calls that were put aside because memory was short while objects were ending.
    pub retried: u64,
    /// Turns of work done between messages.
    pub turns: u64,
    /// Objects that clients had made.
    pub created: u64,
    /// Objects whose gate was found gone, or whose answer nobody took.
    pub ended: u64,
}

impl Counters {
    /// All messages.
    pub fn requests(&self) -> u64 {
        self.faults + self.maps + self.others
    }
}
