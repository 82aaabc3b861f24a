//! The script's stage on the kernel.

use core::arch::asm;
use core::cell::UnsafeCell;

use bench_model::facts;
use bench_model::{ROUNDS, Stage, WINDOWS, run, serve, serve_peer};

#[repr(C, align(4096))]
struct Stack(UnsafeCell<[u8; 16384]>);
// SAFETY: only one thread uses it, through its stack pointer.
unsafe impl Sync for Stack {}
static SERVER: Stack = Stack(UnsafeCell::new([0; 16384]));
static PEER: Stack = Stack(UnsafeCell::new([0; 16384]));

impl Stack {
    /// Stack pointer to start with: as after a call, the ABI wants it 8 bytes off a multiple of 16.
    fn top(&self) -> u64 {
        self.0.get() as u64 + 16384 - 8
    }
}

struct Kernel;

impl Stage for Kernel {
    #[inline(always)]
    fn open(&self) {
        // SAFETY: exchanging a register with itself does nothing; the plugin counts from here.
        unsafe { asm!("xchg rbx, rbx", options(nostack)) };
    }

    #[inline(always)]
    fn close(&self) {
        // SAFETY: as in `open`.
        unsafe { asm!("xchg rcx, rcx", options(nostack)) };
    }

    fn touch(&self, addr: u64) {
        // SAFETY: the script maps a frame of its own here by fault; no Rust object lies there.
        unsafe { (addr as *mut u64).write_volatile(1) };
    }

    fn server(&self) -> (u64, u64) {
        (server as extern "C" fn() -> ! as usize as u64, SERVER.top())
    }

    fn peer(&self) -> (u64, u64) {
        (peer as extern "C" fn() -> ! as usize as u64, PEER.top())
    }
}

extern "C" fn server() -> ! {
    serve()
}

extern "C" fn peer() -> ! {
    serve_peer()
}

/// Entry; the kernel information page is not needed.
pub fn main(_kip: u64) -> ! {
    l4re_rs::println!("bench-model: {ROUNDS} rounds of {WINDOWS:?}, server on CPU 0 and on CPU 1");
    // The facts need the UTCB area that the script makes.
    match run(&Kernel).map(|()| facts::check()) {
        Ok(Ok(n)) => {
            l4re_rs::println!("bench-model: {n} facts are so");
            l4re_rs::println!("bench-model: done");
        }
        Ok(Err((n, got))) => l4re_rs::println!("bench-model: FAILED: fact {n} is {got}"),
        Err(e) => l4re_rs::println!("bench-model: FAILED: {e}"),
    }
    l4re_rs::panic::stop()
}
