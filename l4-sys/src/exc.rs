//! Register frame of an exception message (label -5), as it lies in the message registers.

/// Registers of the faulting thread, 26 words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
#[allow(missing_docs)] // The names are the processor's.
pub struct ExcRegs {
    pub r15: u64,
    pub r14: u64,
    pub r13: u64,
    pub r12: u64,
    pub r11: u64,
    pub r10: u64,
    pub r9: u64,
    pub r8: u64,
    pub rdi: u64,
    pub rsi: u64,
    pub rbp: u64,
    /// Page-fault address.
    pub pfa: u64,
    pub rbx: u64,
    pub rdx: u64,
    pub rcx: u64,
    pub rax: u64,
    /// Trap number.
    pub trapno: u64,
    /// Error code.
    pub err: u64,
    pub ip: u64,
    pub dummy1: u64,
    pub flags: u64,
    pub sp: u64,
    pub ss: u64,
    pub fs_base: u64,
    pub gs_base: u64,
    pub ds: u16,
    pub es: u16,
    pub fs: u16,
    pub gs: u16,
}

/// Words of the frame.
pub const EXC_WORDS: usize = core::mem::size_of::<ExcRegs>() / 8;

const _: () = {
    assert!(EXC_WORDS == 26);
    assert!(core::mem::offset_of!(ExcRegs, pfa) == 11 * 8);
    assert!(core::mem::offset_of!(ExcRegs, ip) == 18 * 8);
};
