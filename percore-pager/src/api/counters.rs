//! What a pager thread counts.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

macro_rules! counters {
    ($($(#[$d:meta])* $name:ident,)*) => {
        /// Counters of one core since its start, each 64 bits. Only its thread writes them. New ones
        /// are added at the end.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        #[derive(FromBytes, IntoBytes, Immutable, KnownLayout)]
        #[repr(C)]
        pub struct Counters { $($(#[$d])* pub $name: u64,)* }

        impl Counters {
            /// Names in the order of the fields.
            pub const NAMES: &'static [&'static str] = &[$(stringify!($name),)*];

            /// The values in the order of the fields.
            #[must_use]
            pub const fn values(&self) -> [u64; Self::NAMES.len()] {
                [$(self.$name,)*]
            }

            /// From values in that order; those that are missing are 0.
            #[must_use]
            pub fn from_values(mut values: impl Iterator<Item = u64>) -> Self {
                Counters { $($name: values.next().unwrap_or(0),)* }
            }
        }
    };
}

counters! {
    /// Page faults that the kernel sent to region maps.
    faults,
    /// Map requests to dataspaces.
    maps,
    /// All other messages.
    others,
    /// Calls that were put aside because they take several turns.
    parked,
    /// Calls that were put aside because memory was short while objects were ending.
    retried,
    /// Turns of work done between messages.
    turns,
    /// Objects that clients had made.
    created,
    /// Objects whose gate was found gone, or whose answer nobody took.
    ended,
    /// Frames zeroed while a client waited.
    zeroed_now,
    /// Frames zeroed ahead, in idle turns.
    zeroed_ahead,
    /// Pieces of memory taken from the allocator for clients.
    pieces,
    /// Of these, from memory zeroed ahead.
    pieces_zeroed,
    /// Unmap system calls.
    unmap_calls,
    /// Flexpages in them.
    unmapped,
    /// Runs allocated directly.
    runs_taken,
    /// Runs freed.
    runs_given,
    /// Runs that went into a client's reserve by FREE, without an unmap.
    runs_recycled,
    /// Changes of policy finished.
    policies,
    /// Frames asked of other cores.
    asked,
    /// Frames given to other cores.
    given,
    /// Frames of ended dataspaces that went to their own client's next one without an unmap.
    recycled,
}

impl Counters {
    /// All messages.
    #[must_use]
    pub const fn requests(&self) -> u64 {
        self.faults + self.maps + self.others
    }
}
