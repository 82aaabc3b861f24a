//! Simulated physical memory: one piece of the host's address space whose contents exist.
//!
//! Pages cost host memory only once they are written, so a machine may have more memory than the
//! host. Contents survive every map and unmap, as in a machine: a leak of old contents shows.

use std::io;

/// The machine's memory, from physical address 0.
#[derive(Debug)]
pub struct Ram {
    base: *mut u8,
    bytes: u64,
}

// SAFETY: the area is plain memory that is valid until the value is dropped; who may access what
// is the simulated page tables' matter.
unsafe impl Send for Ram {}
// SAFETY: as above; no method reads or writes through a shared reference without `unsafe`.
unsafe impl Sync for Ram {}

impl Ram {
    /// Reserves `bytes` bytes (rounded up to 4 KiB), all zero.
    ///
    /// # Errors
    /// The host's refusal of the reservation.
    pub fn new(bytes: u64) -> io::Result<Self> {
        let bytes = bytes.next_multiple_of(4096);
        // SAFETY: an anonymous mapping at an address of the host's choice touches nothing.
        let base = unsafe {
            libc::mmap(
                core::ptr::null_mut(),
                bytes as usize,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
                -1,
                0,
            )
        };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        // Without this a host may back one written page with 2 MiB. A refusal costs memory only.
        // SAFETY: advice about the mapping just made changes no contents.
        unsafe { libc::madvise(base, bytes as usize, libc::MADV_NOHUGEPAGE) };
        Ok(Ram {
            base: base.cast(),
            bytes,
        })
    }

    /// Size in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Host address of physical address `phys`; `None` where no memory is.
    #[inline]
    #[must_use]
    pub fn host(&self, phys: u64) -> Option<*mut u8> {
        (phys < self.bytes).then(|| self.base.wrapping_add(phys as usize))
    }

    /// Copies `data` to `phys`.
    ///
    /// # Panics
    /// When the range is not inside the memory: only the model's own set-up calls this.
    pub fn write(&self, phys: u64, data: &[u8]) {
        assert!(phys + data.len() as u64 <= self.bytes);
        // SAFETY: inside the area by the assertion; nothing runs on the model yet or reads here.
        unsafe {
            core::ptr::copy_nonoverlapping(data.as_ptr(), self.base.add(phys as usize), data.len());
        }
    }

    /// A copy of `len` bytes from `phys`, for inspection while nothing runs.
    ///
    /// # Panics
    /// As [`Ram::write`].
    #[must_use]
    pub fn read(&self, phys: u64, len: usize) -> Vec<u8> {
        assert!(phys + len as u64 <= self.bytes);
        let mut out = vec![0; len];
        // SAFETY: inside the area by the assertion.
        unsafe {
            core::ptr::copy_nonoverlapping(self.base.add(phys as usize), out.as_mut_ptr(), len);
        }
        out
    }
}

impl Drop for Ram {
    fn drop(&mut self) {
        // SAFETY: `base` and `bytes` are the mapping made in `new`, and nobody uses it any more.
        unsafe {
            libc::munmap(self.base.cast(), self.bytes as usize);
        }
    }
}
