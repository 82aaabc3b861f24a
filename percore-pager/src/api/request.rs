//! Requests, each with its operation number.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::{HANDLES_PER_CALL, OWN_CORE, Op};

/// The start of every request; the whole of those without arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Head {
    /// [`Op`].
    pub op: u32,
    /// Number of the core that is meant, or [`OWN_CORE`].
    pub core: u32,
}

impl Head {
    /// For the core that the capability belongs to.
    #[must_use]
    pub const fn new(op: Op) -> Self {
        Head {
            op: op as u32,
            core: OWN_CORE,
        }
    }
}

macro_rules! requests {
    ($($(#[$d:meta])* $name:ident($op:ident) {
        $($(#[$fd:meta])* $field:ident: $type:ty,)*
    })*) => {
        $(
            $(#[$d])*
            #[derive(Clone, Copy, Debug, PartialEq, Eq)]
            #[derive(FromBytes, IntoBytes, Immutable, KnownLayout)]
            #[repr(C)]
            pub struct $name {
                /// Operation and core.
                pub head: Head,
                $($(#[$fd])* pub $field: $type,)*
            }

            impl $name {
                /// The operation of this request.
                pub const OP: Op = Op::$op;
            }
        )*

        /// Names, sizes and offsets of all requests, for comparison with the C header.
        pub const LAYOUTS: &[(&str, usize, &[(&str, usize)])] = &[
            $((
                stringify!($name),
                size_of::<$name>(),
                &[$((stringify!($field), core::mem::offset_of!($name, $field)),)*],
            ),)*
        ];
    };
}

requests! {
    /// Changes a setting.
    Set(Set) {
        /// [`parameter`](super::parameter).
        parameter: u32,
        /// 0.
        zero: u32,
        /// The new value.
        value: u64,
    }
    /// Changes the policy.
    Policy(Policy) {
        /// [`policy`](super::policy).
        kind: u32,
        /// [`NO_WAIT`](super::flag::NO_WAIT).
        flags: u32,
    }
    /// Allocates runs.
    Alloc(Alloc) {
        /// log2 of the frames of each run, 0 to 18.
        order: u32,
        /// Runs, 1 to [`RUNS_PER_CALL`](super::RUNS_PER_CALL).
        count: u32,
        /// [`FROM_RESERVE`](super::flag::FROM_RESERVE), [`NO_MAP`](super::flag::NO_MAP),
        /// [`CLEAR`](super::flag::CLEAR).
        flags: u32,
        /// Rights to map with: R 4, W 2, X 1.
        rights: u32,
        /// Offset in the receive window at which the first run is mapped, a multiple of a run's bytes;
        /// the others follow.
        spot: u64,
    }
    /// Frees runs.
    Free(Free) {
        /// Handles, 1 to [`HANDLES_PER_CALL`].
        count: u32,
        /// [`TO_RESERVE`](super::flag::TO_RESERVE).
        flags: u32,
        /// So many handles count; those behind need not be sent.
        handles: [u32; HANDLES_PER_CALL],
    }
    /// Maps a run again, or an aligned part of it.
    Map(Map) {
        /// The run.
        handle: u32,
        /// R 4, W 2, X 1.
        rights: u32,
        /// log2 of the bytes to map, at least 12.
        order: u32,
        /// 0.
        zero: u32,
        /// Byte offset in the run, a multiple of `2^order`.
        offset: u64,
        /// Offset in the receive window, a multiple of `2^order`.
        spot: u64,
    }
    /// Lists runs.
    Runs(Runs) {
        /// 0 at first, then what the last answer said.
        from: u32,
        /// 0.
        zero: u32,
    }
    /// Fills or empties the reserve.
    Reserve(Reserve) {
        /// log2 of the frames of each run.
        order: u32,
        /// Runs of this order that the reserve is to have.
        count: u32,
    }
    /// Who has a frame.
    Owner(Owner) {
        /// Physical address of a byte of the frame, or its address in the pager.
        address: u64,
        /// [`SEARCH`](super::flag::SEARCH).
        flags: u32,
        /// 0.
        zero: u32,
    }
    /// States something about the factory and those below it.
    State(State) {
        /// Flags to set: [`SHARES_NOTHING`](super::flag::SHARES_NOTHING), [`SEALED`](super::flag::SEALED).
        set: u32,
        /// Flags to clear.
        clear: u32,
    }
    /// Says how much memory faults bring in dataspaces that the factory, or one below it, makes from now
    /// on. All three [`NONE`](super::NONE): as the core's settings say.
    Reach(Reach) {
        /// log2 of the frames that the first fault of a dataspace brings.
        first: u32,
        /// The same for each fault, at least: the window that is mapped ahead. At most `first`.
        least: u32,
        /// The same, at most; `first` to 9.
        most: u32,
        /// 0.
        zero: u32,
    }
    /// Which core serves a processor.
    CoreOf(CoreOf) {
        /// APIC id.
        apic: u32,
        /// 0.
        zero: u32,
    }
    /// A factory of the core that serves a processor.
    Bind(Bind) {
        /// APIC id.
        apic: u32,
        /// 0.
        zero: u32,
        /// Its limit in bytes; 0 for none of its own.
        quota: u64,
    }
}

impl Free {
    /// Bytes of a request with so many handles.
    #[must_use]
    pub const fn bytes(count: usize) -> usize {
        core::mem::offset_of!(Free, handles) + 4 * count
    }
}
