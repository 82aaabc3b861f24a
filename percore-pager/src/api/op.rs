//! Operation numbers.

macro_rules! operations {
    ($($(#[$d:meta])* $name:ident = $n:literal,)*) => {
        /// An operation of the protocol.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u32)]
        pub enum Op { $($(#[$d])* $name = $n,)* }

        impl Op {
            /// All operations in the order of their numbers.
            pub const ALL: &'static [Op] = &[$(Op::$name,)*];

            /// The operation with this number.
            #[must_use]
            pub const fn from_number(n: u32) -> Option<Op> {
                match n {
                    $($n => Some(Op::$name),)*
                    _ => None,
                }
            }
        }
    };
}

operations! {
    /// What answers: core, node, policy, rights.
    Info = 0,
    /// The core's frames.
    Memory = 1,
    /// The core's free runs by order.
    Orders = 2,
    /// The core's counters.
    Counters = 3,
    /// The factory's own figures.
    Own = 4,
    /// The core's settings.
    Parameters = 5,
    /// Changes a setting.
    Set = 6,
    /// Changes the policy.
    Policy = 7,
    /// Gives a change of policy up.
    Abandon = 8,
    /// Allocates runs.
    Alloc = 9,
    /// Frees runs.
    Free = 10,
    /// Maps a run, or a part of it, again.
    Map = 11,
    /// Lists the factory's runs.
    Runs = 12,
    /// Fills or empties the factory's reserve.
    Reserve = 13,
    /// Who has a frame.
    Owner = 14,
    /// What the factory's clients promise or give up.
    State = 15,
    /// Which core's pager serves a processor.
    CoreOf = 16,
    /// A factory of the pager that serves a processor.
    Bind = 17,
    /// How much memory a fault of the factory's dataspaces brings.
    Reach = 18,
}
