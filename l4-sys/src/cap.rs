//! Capability indices: where a capability is in the caller's object space.
//!
//! An index counts slots; the kernel takes it shifted left by 12, with system-call flags in the
//! low bits. [`CapIdx`] holds the shifted form, so passing it to the kernel costs nothing.

/// Bits that an index is shifted left by in its kernel form.
pub const CAP_SHIFT: u32 = 12;
/// Bit that marks an invalid capability index.
pub const INVALID_CAP_BIT: u64 = 1 << (CAP_SHIFT - 1);
/// Bit that marks an index as naming a reply-capability slot.
pub const REPLY_CAP_BIT: u64 = 1 << (CAP_SHIFT - 2);
/// Raw value of the invalid capability index.
pub const INVALID_CAP: u64 = !0 << (CAP_SHIFT - 1);
/// Raw value of the invalid reply-capability index.
pub const INVALID_REPLY_CAP: u64 = !0 << (CAP_SHIFT - 2);

/// Index of a slot in the caller's object space, in kernel form (slot number times 4096).
///
/// Says nothing about what the slot holds, nor whether it holds anything.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct CapIdx(u64);

impl CapIdx {
    /// No capability. As a destination of a receive it means "nobody" (a sleep), of a wait "anybody".
    pub const INVALID: CapIdx = CapIdx(INVALID_CAP);
    /// The caller's own task.
    pub const TASK: CapIdx = CapIdx::from_slot(1);
    /// Factory for kernel objects.
    pub const FACTORY: CapIdx = CapIdx::from_slot(2);
    /// The first thread of the task.
    pub const THREAD: CapIdx = CapIdx::from_slot(3);
    /// The task's pager at start; empty in sigma0.
    pub const PAGER: CapIdx = CapIdx::from_slot(4);
    /// Log output.
    pub const LOG: CapIdx = CapIdx::from_slot(5);
    /// Interrupt controller.
    pub const ICU: CapIdx = CapIdx::from_slot(6);
    /// Scheduler.
    pub const SCHEDULER: CapIdx = CapIdx::from_slot(7);
    /// IO-MMU, where the machine has one.
    pub const IOMMU: CapIdx = CapIdx::from_slot(8);
    /// Kernel debugger, where the kernel has one.
    pub const DEBUGGER: CapIdx = CapIdx::from_slot(10);
    /// First slot that no fixed capability uses.
    pub const FIRST_FREE: CapIdx = CapIdx::from_slot(12);

    /// The index of slot number `slot` (0 to 2^52 - 1; higher bits are lost).
    #[must_use]
    pub const fn from_slot(slot: u64) -> Self {
        CapIdx(slot << CAP_SHIFT)
    }

    /// An index from its kernel form; the low 12 bits are dropped unless the value is invalid.
    #[must_use]
    pub const fn from_raw(raw: u64) -> Self {
        if raw & INVALID_CAP_BIT != 0 {
            CapIdx::INVALID
        } else {
            CapIdx(raw >> CAP_SHIFT << CAP_SHIFT)
        }
    }

    /// The kernel form.
    #[must_use]
    pub const fn raw(self) -> u64 {
        self.0
    }

    /// The slot number.
    #[must_use]
    pub const fn slot(self) -> u64 {
        self.0 >> CAP_SHIFT
    }

    /// Whether this names a slot at all.
    #[must_use]
    pub const fn is_valid(self) -> bool {
        self.0 & INVALID_CAP_BIT == 0
    }

    /// The slot `n` places further on.
    #[must_use]
    pub const fn offset(self, n: u64) -> Self {
        CapIdx(self.0.wrapping_add(n << CAP_SHIFT))
    }
}

impl core::fmt::Debug for CapIdx {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        if self.is_valid() {
            write!(f, "cap:{:x}", self.slot())
        } else {
            f.write_str("cap:-")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_and_invalid() {
        assert_eq!(CapIdx::from_slot(5).raw(), 0x5000);
        assert_eq!(CapIdx::from_raw(0x5fff & !INVALID_CAP_BIT).slot(), 5);
        assert!(!CapIdx::INVALID.is_valid());
        assert!(!CapIdx::from_raw(INVALID_CAP).is_valid());
        assert_eq!(CapIdx::LOG.offset(2), CapIdx::SCHEDULER);
    }
}
