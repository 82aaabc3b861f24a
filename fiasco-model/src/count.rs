//! What the kernel did, per CPU: the numbers that must agree with the real kernel's.

use serde::Serialize;

macro_rules! counters {
    ($($(#[$d:meta])* $name:ident,)*) => {
        /// Event counts of one CPU, or of all.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
        pub struct Counters {
            $($(#[$d])* pub $name: u64,)*
        }

        impl Counters {
            /// Names and values, in the order of the fields.
            #[must_use]
            pub fn list(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($name), self.$name),)*]
            }
        }

        impl core::ops::AddAssign for Counters {
            fn add_assign(&mut self, o: Counters) {
                $(self.$name += o.$name;)*
            }
        }

        impl core::ops::Sub for Counters {
            type Output = Counters;
            fn sub(self, o: Counters) -> Counters {
                Counters { $($name: self.$name - o.$name,)* }
            }
        }
    };
}

counters! {
    /// System calls entered.
    syscalls,
    /// Messages delivered to a thread on the sender's CPU.
    ipc_local,
    /// Messages delivered to a thread on another CPU.
    ipc_remote,
    /// Interrupts sent to other CPUs.
    ipis,
    /// Page faults that went to a pager.
    faults,
    /// Exceptions sent to a handler.
    exceptions,
    /// Memory pages entered into a page table.
    maps,
    /// Memory pages removed from a page table, or diminished.
    unmaps,
    /// Capabilities entered.
    cap_maps,
    /// Capabilities removed.
    cap_unmaps,
    /// Unmap operations: one for each flexpage.
    unmap_calls,
    /// TLB flushes of a space on the CPU itself.
    flush_local,
    /// TLB flushes of a space on another CPU (an interrupt each).
    flush_remote,
    /// Flushes of everything, because more than four spaces were concerned.
    flush_all,
    /// Messages from interrupt objects.
    irqs,
    /// Bytes zeroed by programs.
    zeroed,
}
