//! What a thread asks its processor directly.

/// APIC id of the CPU that runs the calling thread at this moment.
///
/// x2APIC id where CPUID has the topology leaf, else the 8-bit initial APIC id. Only meaningful for
/// a thread that stays where it is.
#[must_use]
pub fn apic_id() -> u32 {
    #[cfg(l4re)]
    {
        use core::arch::x86_64::__cpuid_count;
        if __cpuid_count(0, 0).eax >= 0xb {
            let leaf = __cpuid_count(0xb, 0);
            // A level type of 0 in ecx[15:8] means that the leaf is not filled in.
            if leaf.ecx & 0xff00 != 0 {
                return leaf.edx;
            }
        }
        __cpuid_count(1, 0).ebx >> 24
    }
    #[cfg(not(l4re))]
    crate::host::apic_id()
}
