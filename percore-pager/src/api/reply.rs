//! Answers.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::{ORDERS, RUNS_PER_LIST};

macro_rules! replies {
    ($($(#[$d:meta])* $name:ident {
        $($(#[$fd:meta])* $field:ident: $type:ty,)*
    })*) => {
        $(
            $(#[$d])*
            #[derive(Clone, Copy, Debug, PartialEq, Eq)]
            #[derive(FromBytes, IntoBytes, Immutable, KnownLayout)]
            #[repr(C)]
            pub struct $name { $($(#[$fd])* pub $field: $type,)* }
        )*

        /// Names, sizes and offsets of all answers, for comparison with the C header.
        pub const LAYOUTS: &[(&str, usize, &[(&str, usize)])] = &[
            $((
                stringify!($name),
                size_of::<$name>(),
                &[$((stringify!($field), core::mem::offset_of!($name, $field)),)*],
            ),)*
        ];
    };
}

replies! {
    /// INFO: what answers.
    Info {
        /// Version of the protocol.
        version: u32,
        /// Number of the core.
        core: u32,
        /// Its NUMA node.
        node: u32,
        /// Cores that the service has pagers on.
        cores: u32,
        /// Policy in use.
        policy: u32,
        /// Policy that is taking over, or [`NONE`](super::NONE).
        changing_to: u32,
        /// [`flag`](super::flag).
        flags: u32,
        /// Runs in one ALLOC.
        runs_per_call: u32,
    }
    /// MEMORY: the core's frames. All but the last two add up to `present`.
    Memory {
        /// Frames that the core has.
        present: u64,
        /// Nobody's, zeroed or not.
        free: u64,
        /// Of these, zeroed.
        zeroed: u64,
        /// Being zeroed.
        held: u64,
        /// In use by clients.
        used: u64,
        /// Beside what clients use, kept so that their runs can grow.
        kept: u64,
        /// Given up by clients, not yet unmapped everywhere.
        waiting: u64,
        /// The pager's book-keeping.
        meta: u64,
        /// Of `present`, borrowed from other cores.
        borrowed: u64,
        /// Lent to other cores; not in `present`.
        lent: u64,
    }
    /// ORDERS: the core's free runs.
    Orders {
        /// The largest order of which there is one, or [`NONE`](super::NONE).
        largest: u32,
        /// By order: so many aligned runs are free, those inside longer ones included.
        runs: [u32; ORDERS],
    }
    /// OWN: the factory's figures.
    Own {
        /// Its limit in bytes; 0 is none.
        limit: u64,
        /// Bytes taken out of it.
        reserved: u64,
        /// Bytes really used, factories below it included.
        committed: u64,
        /// Runs allocated directly.
        runs: u64,
        /// Their frames.
        run_frames: u64,
        /// Runs in the reserve.
        kept_runs: u64,
        /// Their frames.
        kept_frames: u64,
    }
    /// SET: the value before.
    Set {
        /// The value before.
        before: u64,
    }
    /// POLICY and ABANDON.
    Policy {
        /// Policy before.
        before: u32,
        /// Policy in use now.
        now: u32,
        /// Turns that the change took.
        turns: u64,
    }
    /// One run in a list.
    Run {
        /// Its handle.
        handle: u32,
        /// log2 of its frames.
        order: u16,
        /// 1 when it is in the reserve.
        kept: u16,
        /// Address of its first byte in the pager.
        address: u64,
    }
    /// RUNS: the label says how many.
    Runs {
        /// Where to go on, 0 at the end.
        next: u32,
        /// 0.
        zero: u32,
        /// The runs.
        runs: [Run; RUNS_PER_LIST],
    }
    /// RESERVE.
    Reserve {
        /// Runs of this order that the reserve has now.
        have: u32,
        /// 0.
        zero: u32,
    }
    /// OWNER.
    Owner {
        /// [`state`](super::state).
        state: u32,
        /// [`object`](super::object).
        kind: u32,
        /// Number of the factory, 0 if unknown.
        factory: u64,
        /// Number of the object, or the run's handle.
        object: u64,
        /// Page of it that the frame is.
        page: u64,
    }
    /// STATE: the flags now.
    State {
        /// Flags.
        flags: u32,
        /// 0.
        zero: u32,
    }
    /// REACH: the values before.
    Reach {
        /// See the request.
        first: u32,
        /// See the request.
        least: u32,
        /// See the request.
        most: u32,
        /// 0.
        zero: u32,
    }
    /// CORE_OF.
    CoreOf {
        /// Number of the core whose pager serves the processor.
        core: u32,
        /// The processor's NUMA node.
        node: u32,
    }
}
