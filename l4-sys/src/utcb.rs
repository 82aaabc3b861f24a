//! The user-level thread control block: the message, the receive buffers and the error word.
//!
//! One block of 1024 bytes per thread, shared with the kernel, which reads and writes it during a
//! system call. [`UtcbRef`] therefore goes through raw pointers and holds no Rust reference across
//! a call; registers are plain values before and after.

/// Message registers of a UTCB.
pub const MESSAGE_REGISTERS: usize = 63;
/// Buffer registers of a UTCB.
pub const BUFFER_REGISTERS: usize = 58;
/// Bytes from one UTCB of an area to the next.
pub const UTCB_SIZE: u64 = 1024;
/// Buffer-descriptor flag: the message inherits the sender's FPU state.
pub const INHERIT_FPU: u64 = 1 << 24;

/// Memory layout of a UTCB.
#[repr(C)]
pub struct Utcb {
    /// Message registers: untyped words, then items of two words each.
    pub mr: [u64; MESSAGE_REGISTERS],
    /// Fills up to the buffer registers; nobody's.
    pub pad: u64,
    /// Buffer descriptor: where in `br` the buffers of each type start.
    pub bdr: u64,
    /// Buffer registers: receive windows.
    pub br: [u64; BUFFER_REGISTERS],
    /// Error of the last system call whose tag had the error flag.
    pub error: u64,
    /// Set to zero by the kernel when it no longer uses this UTCB.
    pub free_marker: u64,
    /// For the thread's own use.
    pub user: [u64; 3],
}

const _: () = {
    use core::mem::{offset_of, size_of};
    assert!(size_of::<Utcb>() == 1024);
    assert!(offset_of!(Utcb, bdr) == 64 * 8);
    assert!(offset_of!(Utcb, br) == 65 * 8);
    assert!(offset_of!(Utcb, error) == 123 * 8);
    assert!(offset_of!(Utcb, user) == 125 * 8);
};

/// The calling thread's UTCB.
///
/// Not `Send`: it is the block of the thread that asked for it. Register numbers are taken modulo
/// 64 (63 is the unused pad word), so that no value of a client can reach beyond the block and no
/// access panics; debug builds assert.
#[derive(Clone, Copy, Debug)]
pub struct UtcbRef {
    block: *mut Utcb,
}

impl UtcbRef {
    /// The calling thread's block.
    #[inline(always)]
    #[must_use]
    pub fn current() -> Self {
        UtcbRef {
            block: crate::syscall::utcb(),
        }
    }

    /// A block at a given place.
    ///
    /// # Safety
    /// `block` points to a UTCB that lives as long as this value is used, and that only the
    /// calling thread (and the kernel, during that thread's calls) accesses.
    #[must_use]
    pub const unsafe fn from_ptr(block: *mut Utcb) -> Self {
        UtcbRef { block }
    }

    /// The block's address.
    #[must_use]
    pub const fn as_ptr(self) -> *mut Utcb {
        self.block
    }

    /// Message register `i`, 0 to 62.
    #[inline(always)]
    #[must_use]
    pub fn mr(self, i: usize) -> u64 {
        debug_assert!(i < MESSAGE_REGISTERS);
        // SAFETY: the block is this thread's (see `from_ptr`); `i & 63` is at most 63, and words 0
        // to 63 (the pad included) lie inside the block.
        unsafe { self.block.cast::<u64>().add(i & 63).read() }
    }

    /// Sets message register `i`, 0 to 62.
    #[inline(always)]
    pub fn set_mr(self, i: usize, value: u64) {
        debug_assert!(i < MESSAGE_REGISTERS);
        // SAFETY: as in `mr`.
        unsafe { self.block.cast::<u64>().add(i & 63).write(value) }
    }

    /// Buffer register `i`, 0 to 57.
    #[inline(always)]
    #[must_use]
    pub fn br(self, i: usize) -> u64 {
        debug_assert!(i < BUFFER_REGISTERS);
        // SAFETY: the block is this thread's; the remainder keeps the index inside `br`.
        unsafe {
            (&raw const (*self.block).br)
                .cast::<u64>()
                .add(i % BUFFER_REGISTERS)
                .read()
        }
    }

    /// Sets buffer register `i`, 0 to 57.
    #[inline(always)]
    pub fn set_br(self, i: usize, value: u64) {
        debug_assert!(i < BUFFER_REGISTERS);
        // SAFETY: as in `br`.
        unsafe {
            (&raw mut (*self.block).br)
                .cast::<u64>()
                .add(i % BUFFER_REGISTERS)
                .write(value)
        }
    }

    /// The buffer descriptor.
    #[inline(always)]
    #[must_use]
    pub fn bdr(self) -> u64 {
        // SAFETY: the block is this thread's.
        unsafe { (&raw const (*self.block).bdr).read() }
    }

    /// Sets the buffer descriptor (see [`crate::item::bdr`]).
    #[inline(always)]
    pub fn set_bdr(self, value: u64) {
        // SAFETY: the block is this thread's.
        unsafe { (&raw mut (*self.block).bdr).write(value) }
    }

    /// The error word of the last failed call.
    #[inline(always)]
    #[must_use]
    pub fn error(self) -> u64 {
        // SAFETY: the block is this thread's.
        unsafe { (&raw const (*self.block).error).read() }
    }

    /// Byte pointer to the message registers, for text and packed arguments: 504 bytes may be
    /// used until the next system call.
    #[inline(always)]
    #[must_use]
    pub fn message_bytes(self) -> *mut u8 {
        self.block.cast()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registers_are_where_the_kernel_has_them() {
        let mut words = [0u64; 128];
        for (i, w) in words.iter_mut().enumerate() {
            *w = i as u64;
        }
        // SAFETY: `words` is 1024 bytes, used by this thread only.
        let u = unsafe { UtcbRef::from_ptr(words.as_mut_ptr().cast()) };
        assert_eq!(
            (u.mr(0), u.mr(62), u.bdr(), u.br(0), u.br(57), u.error()),
            (0, 62, 64, 65, 122, 123)
        );
        u.set_mr(3, 77);
        u.set_br(1, 78);
        u.set_bdr(79);
        assert_eq!((words[3], words[66], words[64]), (77, 78, 79));
    }
}
