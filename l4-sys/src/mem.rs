//! Memory that a program reaches by number: its own address space, as the kernel sees it.
//!
//! On the kernel an address is an address. Under a kernel model the program's RAM is one piece of
//! the host's memory, and an address of the model is an offset into it; servers that map their
//! RAM one to one therefore write `at(addr)` where they would cast.

/// Pointer to the byte at `addr` of the calling program's address space.
///
/// Making the pointer is safe; what it may be used for is the mapping's matter.
#[inline(always)]
#[must_use]
pub fn at(addr: u64) -> *mut u8 {
    #[cfg(l4re)]
    return addr as usize as *mut u8;
    #[cfg(not(l4re))]
    crate::host::at(addr)
}

/// Zeroes `bytes` bytes at `addr` with the processor's string store.
///
/// # Safety
/// The range is mapped writable in the calling program, and no Rust reference points into it.
#[inline(always)]
pub unsafe fn zero(addr: u64, bytes: u64) {
    #[cfg(l4re)]
    // SAFETY: the caller's promise covers the bytes written; the direction flag is clear by the
    // ABI.
    unsafe {
        core::arch::asm!("rep stosq", inout("rcx") bytes / 8 => _, inout("rdi") addr => _,
            in("rax") 0u64, options(nostack, preserves_flags));
        if bytes % 8 != 0 {
            core::arch::asm!("rep stosb", inout("rcx") bytes % 8 => _,
                inout("rdi") addr + bytes / 8 * 8 => _, in("rax") 0u64,
                options(nostack, preserves_flags));
        }
    }
    #[cfg(not(l4re))]
    crate::host::zero(addr, bytes);
}
