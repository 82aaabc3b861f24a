//! Counts the instructions of a single call exactly, by single-stepping it.
//!
//! callgrind gives sums only, and the worst of a million operations is wanted. So the processor's
//! trap flag is set around the call and the trap's handler counts. An instruction with a `rep`
//! prefix counts once for each iteration, as it does in callgrind.

use std::arch::asm;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

static STEPS: AtomicU64 = AtomicU64::new(0);

extern "C" fn on_trap(_signal: libc::c_int) {
    STEPS.store(STEPS.load(Relaxed) + 1, Relaxed);
}

/// Installs the handler. To be called once, before `count`.
pub fn install() {
    // SAFETY: an all-zero sigaction is valid; the handler only touches an atomic.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = on_trap as extern "C" fn(libc::c_int) as usize;
        let done = libc::sigaction(libc::SIGTRAP, &raw const action, std::ptr::null_mut());
        assert_eq!(done, 0, "no handler for traps");
    }
}

/// Instructions that `call` executes, and a few constant ones around it.
#[inline(never)]
pub fn count(call: &mut dyn FnMut()) -> u64 {
    STEPS.store(0, Relaxed);
    // SAFETY: only the trap flag is changed, and its handler is installed; the red zone is not in
    // use across the block, which is told to use the stack.
    unsafe { asm!("pushfq", "or qword ptr [rsp], 0x100", "popfq") };
    call();
    // SAFETY: as above.
    unsafe { asm!("pushfq", "and qword ptr [rsp], ~0x100", "popfq") };
    STEPS.load(Relaxed)
}
