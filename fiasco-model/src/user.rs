//! What programs inside the model can do beyond system calls: use their memory, let time pass,
//! end the run. For Rust programs that stand for compiled ones.

use std::cell::Cell;

use l4_sys::host::{self, Kernel};

/// What an engine offers to the programs it runs.
pub(crate) trait Engine {
    fn access(&self, addr: u64, rights: u8) -> *mut u8;
    fn compute(&self, cycles: u64);
    fn now(&self) -> u64;
    fn cpu(&self) -> u32;
    fn stop(&self);
    fn mortal(&self, per_million: u32);
    fn totals(&self) -> crate::Counters;
    fn settled(&self);
    fn works(&self, cycles: u64);
}

std::thread_local! {
    static ENGINE: Cell<Option<*const dyn Engine>> = const { Cell::new(None) };
}

/// Runs `f` with `engine` answering this host thread's system calls and programs; what answered
/// before does so again afterwards.
pub(crate) fn installed<E: Kernel + Engine, R>(engine: &E, f: impl FnOnce() -> R) -> R {
    let kernel: &dyn Kernel = engine;
    let programs: &dyn Engine = engine;
    // SAFETY: only the lifetime is dropped; `engine` stays in place during this call, and what was
    // installed before is put back at its end.
    let kernel: *const dyn Kernel = unsafe {
        core::mem::transmute::<*const (dyn Kernel + '_), *const (dyn Kernel + 'static)>(kernel)
    };
    // SAFETY: as above.
    let programs: *const dyn Engine = unsafe {
        core::mem::transmute::<*const (dyn Engine + '_), *const (dyn Engine + 'static)>(programs)
    };
    // SAFETY: as above.
    let before = unsafe { host::enter(Some(kernel)) };
    let programs = ENGINE.with(|e| e.replace(Some(programs)));
    let result = f();
    ENGINE.with(|e| e.set(programs));
    // SAFETY: what was there before is its owner's matter.
    unsafe { host::enter(before) };
    result
}

/// Zeroes simulated memory page by page; `access` gives the host address of what is mapped writable.
pub(crate) fn zero(addr: u64, bytes: u64, access: impl Fn(u64, u8) -> *mut u8) {
    let mut at = addr;
    let end = addr + bytes;
    while at < end {
        let part = (end - at).min(4096 - at % 4096);
        let p = access(at, 6);
        // SAFETY: `part` bytes inside one simulated page that is mapped writable; the area is the
        // model's, and the caller of `mem::zero` answers for references into it.
        unsafe {
            // Memory that nobody wrote to yet stays the host's one zero page.
            if !is_zero(core::slice::from_raw_parts(p, part as usize)) {
                core::ptr::write_bytes(p, 0, part as usize);
            }
        }
        at += part;
    }
}

fn is_zero(bytes: &[u8]) -> bool {
    // SAFETY: every bit pattern is a word.
    let (head, words, tail) = unsafe { bytes.align_to::<u64>() };
    let clean = |chunk: &[u64]| chunk.iter().fold(0, |all, word| all | word) == 0;
    words.chunks(64).all(clean) && head.iter().chain(tail).all(|b| *b == 0)
}

// Not inlined: see `l4_sys::host`.
#[inline(never)]
fn with<R>(f: impl FnOnce(&dyn Engine) -> R) -> R {
    let e = ENGINE
        .with(Cell::get)
        .expect("this code runs inside fiasco-model only");
    // SAFETY: an engine is installed only while it runs programs, and stays in place then.
    f(unsafe { &*e })
}

/// Reads memory at `addr` as a load would: faults until it is mapped readable.
#[must_use]
pub fn read_u64(addr: u64) -> u64 {
    let p = with(|e| e.access(addr & !7, 4));
    // SAFETY: eight aligned bytes of a mapped page of simulated memory; programs that race here
    // race as they would on a machine, and the model's memory has no Rust references into it.
    unsafe { p.cast::<u64>().read_volatile() }
}

/// Writes memory at `addr` as a store would: faults until it is mapped writable.
pub fn write_u64(addr: u64, value: u64) {
    let p = with(|e| e.access(addr & !7, 6));
    // SAFETY: as in `read_u64`.
    unsafe { p.cast::<u64>().write_volatile(value) };
}

/// Touches memory at `addr` as a load or a store of the value that is there: faults until it is
/// mapped, and changes nothing, so that the host needs no page for it.
pub fn touch(addr: u64, write: bool) {
    let _ = with(|e| e.access(addr, if write { 6 } else { 4 }));
}

/// Lets `cycles` cycles pass.
pub fn compute(cycles: u64) {
    with(|e| e.compute(cycles));
}

/// Cycles on the running CPU's clock.
#[must_use]
pub fn now() -> u64 {
    with(|e| e.now())
}

/// Number of the CPU that runs.
#[must_use]
pub fn cpu() -> u32 {
    with(|e| e.cpu())
}

/// From now on the running thread's task may be destroyed at any of its steps: system calls, also
/// between their send and receive phase, faults, passing time. `per_million` is the chance of each.
pub fn mortal(per_million: u32) {
    with(|e| e.mortal(per_million));
}

/// The running program is a server at rest: what its task holds now is what it holds between
/// requests. A capability beyond that is reported when a run ends with nothing left to do. Said
/// again it counts from then on.
pub fn settled() {
    with(|e| e.settled());
}

/// From now on each message that a thread of the running program gets from an open wait costs that
/// thread `cycles` of its own work. Programs run on the host, so the model does not see how long they
/// compute; this charges a server for its requests without a change to it.
pub fn works(cycles: u64) {
    with(|e| e.works(cycles));
}

/// Counters of all CPUs together.
#[must_use]
pub fn totals() -> crate::Counters {
    with(|e| e.totals())
}

/// Ends the run when this program next enters the kernel.
pub fn stop() {
    with(|e| e.stop());
}
