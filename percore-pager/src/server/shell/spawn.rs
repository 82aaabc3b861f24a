//! Threads: how they are made, and where they begin.

use l4_sys::CapIdx;
use l4re_rs::cap::kind;
use l4re_rs::client::ipc;
use l4re_rs::client::scheduler::CpuSet;
use l4re_rs::client::thread::Binding;
use l4re_rs::{Cap, Error};

use super::fetcher::{self, Fetcher};
use super::pager::{self, PagerJob};

/// What a thread is to do. Moved into its hands by its address, so it lies in memory that stays.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "there is no heap, and each has a place of its own"
)]
pub enum Job {
    /// Serve.
    Pager(PagerJob),
    /// Ask other servers for a pager thread.
    Fetch(Fetcher),
    /// Give a pager thread one's time: call it again and again.
    Lend(Cap<kind::Gate>),
}

/// What a thread needs.
#[derive(Clone, Copy, Debug)]
pub struct Thread {
    /// Its slot, empty.
    pub slot: Cap<kind::Thread>,
    /// Its UTCB.
    pub utcb: u64,
    /// First address behind its stack, a multiple of 16.
    pub stack_top: u64,
    /// Priority.
    pub prio: u8,
    /// CPU.
    pub cpu: u32,
    /// Who handles its faults and exceptions.
    pub handler: CapIdx,
}

/// Whom to ask.
#[derive(Clone, Copy, Debug)]
pub struct Makers {
    /// For the thread.
    pub factory: Cap<kind::Factory>,
    /// For its CPU.
    pub scheduler: Cap<kind::Scheduler>,
    /// Where it belongs.
    pub task: Cap<kind::Task>,
}

/// Makes a thread and binds it to the task; it does not run yet, but gates can be bound to it.
///
/// # Errors
/// The kernel's.
///
/// # Safety
/// Nobody else uses the UTCB, ever.
pub unsafe fn make(makers: Makers, thread: Thread) -> Result<(), Error> {
    makers.factory.create_thread(thread.slot)?;
    let binding = Binding {
        task: makers.task,
        utcb: thread.utcb,
        pager: thread.handler,
        exception_handler: thread.handler,
    };
    // SAFETY: the caller's promise.
    unsafe { thread.slot.bind(binding) }
}

/// Lets a made thread do its job.
///
/// # Errors
/// The kernel's.
///
/// # Safety
/// The stack is nobody else's and large enough. `job` is the address of a [`Job`] that nobody else
/// uses and that stays where it is.
pub unsafe fn start(makers: Makers, thread: Thread, job: u64) -> Result<(), Error> {
    let (ip, sp) = entry(thread.stack_top, job);
    // SAFETY: `ip` is the entry made for this, and the caller vouches for the stack.
    unsafe { thread.slot.ex_regs(ip, sp, 0) }?;
    makers
        .scheduler
        .run(thread.slot, thread.prio, CpuSet::one(thread.cpu), 0)
}

/// The first Rust code of each thread.
extern "C" fn begin(job: u64) {
    // SAFETY: `start`'s caller gave the address of a `Job` that is this thread's alone, and this is the
    // only time that it is taken.
    match unsafe { take(job) } {
        Job::Pager(job) => pager::run(job),
        Job::Fetch(fetcher) => fetcher::run(fetcher),
        Job::Lend(gate) => lend(gate),
    }
    l4re_rs::panic::stop()
}

/// Takes the job of the thread that calls this.
///
/// # Safety
/// `job` is the address of a [`Job`] that is this thread's alone, and this is the only time that it is
/// taken.
unsafe fn take(job: u64) -> Job {
    // SAFETY: the caller's promise.
    unsafe { l4_sys::mem::at(job).cast::<Job>().read() }
}

/// Calls the pager thread, which answers when it has used the time, as long as it lives.
fn lend(gate: Cap<kind::Gate>) {
    while ipc::call(gate, l4_sys::MsgTag(0)).is_ok() {}
}

/// Where threads enter: the job's address is on top of the stack.
#[cfg(l4re)]
#[unsafe(naked)]
extern "C" fn enter() -> ! {
    core::arch::naked_asm!(
        "pop rdi",
        "xor ebp, ebp",
        "call {begin}",
        "ud2",
        begin = sym begin,
    )
}

#[cfg(l4re)]
fn entry(stack_top: u64, job: u64) -> (u64, u64) {
    // The pop leaves a multiple of 16, as the ABI wants it at a call.
    let sp = stack_top - 8;
    // SAFETY: inside the stack, on which nothing lies yet.
    unsafe { l4_sys::mem::at(sp).cast::<u64>().write(job) };
    (enter as *const () as u64, sp)
}

#[cfg(not(l4re))]
fn entry(stack_top: u64, job: u64) -> (u64, u64) {
    extern crate std;
    let start = std::boxed::Box::new(move |_| begin(job));
    (l4_sys::host::entry(start), stack_top)
}
