//! Further threads of our task, as many as the root task has UTCBs for.

use core::cell::UnsafeCell;

use l4_sys::utcb::UTCB_SIZE;
use l4_sys::{CapIdx, Timeout};
use l4re_rs::Cap;
use l4re_rs::cap::kind;
use l4re_rs::client::ipc;
use l4re_rs::client::scheduler::CpuSet;
use l4re_rs::client::thread::Binding;
use test_sigma0::context::{Context, OWN_TASK};

/// Most helpers at once: the kernel gives the root task four UTCBs, one is ours and one the
/// `test_sigma0` probe's.
pub const MOST: usize = 2;

/// Bytes of a helper's stack.
const STACK: usize = 16384;

#[repr(C, align(16))]
struct Stack(UnsafeCell<[u8; STACK]>);
// SAFETY: each is used by one helper only, through its stack pointer.
unsafe impl Sync for Stack {}
static STACKS: [Stack; MOST] = [const { Stack(UnsafeCell::new([0; STACK])) }; MOST];

/// A running helper.
#[derive(Clone, Copy, Debug)]
pub struct Helper {
    /// Its thread.
    pub thread: Cap<kind::Thread>,
}

/// Priority of helpers: below the root task's first thread, so that on one CPU they run while that
/// one waits.
pub const PRIORITY: u8 = 1;

/// Number of CPUs that are online, at least 1.
#[must_use]
pub fn cpus(c: &Context) -> u32 {
    c.scheduler
        .cpus(0, 0)
        .map_or(1, |i| i.online.count_ones().max(1))
}

/// Starts `entry` in slot `thread` as helper number `n` (below [`MOST`]) on a CPU. `None` when the
/// kernel refuses any part of it.
pub fn start(
    c: &Context,
    thread: Cap<kind::Thread>,
    n: usize,
    cpu: u32,
    entry: extern "C" fn() -> !,
) -> Option<Helper> {
    let binding = Binding {
        task: OWN_TASK,
        utcb: c.free_utcb + (1 + n as u64) * UTCB_SIZE,
        pager: CapIdx::PAGER,
        exception_handler: CapIdx::PAGER,
    };
    start_as(c, thread, n, cpu, entry, binding)
}

/// As [`start`], bound as told: to a task that has our memory at the same addresses, and a UTCB
/// there that nobody has.
pub fn start_as(
    c: &Context,
    thread: Cap<kind::Thread>,
    n: usize,
    cpu: u32,
    entry: extern "C" fn() -> !,
    binding: Binding,
) -> Option<Helper> {
    let stack = STACKS.get(n)?;
    c.factory.create_thread(thread).ok()?;
    // A helper that was deleted a moment ago may still hold its UTCB.
    let bound = (0..1000).any(|_| {
        // SAFETY: the UTCB is one of the root task's own, and this helper's alone.
        let ok = unsafe { thread.bind(binding) }.is_ok();
        if !ok {
            ipc::sleep(Timeout::from_us(1000));
        }
        ok
    });
    if !bound {
        return None;
    }
    c.scheduler
        .run(thread, PRIORITY, CpuSet::one(cpu), 0)
        .ok()?;
    // As at a function's entry: a return address below a multiple of 16.
    let sp = stack.0.get() as u64 + STACK as u64 - 8;
    // SAFETY: `entry` never returns, and the stack is this helper's own.
    unsafe { thread.ex_regs(entry as *const () as u64, sp, 0) }.ok()?;
    Some(Helper { thread })
}

impl Helper {
    /// Ends the thread, wherever it is.
    pub fn kill(self) -> bool {
        OWN_TASK.delete(self.thread).is_ok()
    }
}
