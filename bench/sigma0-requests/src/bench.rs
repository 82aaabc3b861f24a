//! The requests and the windows around them.

use core::arch::asm;

use l4_sys::ops::sigma0;
use l4_sys::{CapIdx, Fpage, MemRights, proto};
use l4re_rs::Cap;
use l4re_rs::cap::kind;
use l4re_rs::client::ipc;
use l4re_rs::msg::Writer;

/// Requests in one window.
pub const REQUESTS: u64 = 64;
/// Foreign pages that make the map long; each gives two regions.
const COMB: u64 = 5000;
/// Where the windows' own memory starts, above everything that the comb touches.
const AREA: u64 = 0x1000_0000;
/// Distance of the stretches that windows use.
const STRIDE: u64 = 0x40_0000;
/// I/O memory that every PC has.
const VGA: u64 = 0xa_0000;

const PAGE: u64 = l4_sys::PAGE_SIZE;

/// Entry; the kernel information page is not needed.
pub fn main(_kip: u64) -> ! {
    let own = Cap::<kind::Sigma0>::new(CapIdx::PAGER);
    let other = Cap::<kind::Sigma0>::new(CapIdx::FIRST_FREE);
    if let Err(e) = own.new_client(other) {
        fail("a second client", e);
    }
    l4re_rs::println!("bench-sigma0: {REQUESTS} requests a window");
    all_windows(own, 0, "few regions");
    comb(other);
    all_windows(own, 4, "10000 regions");
    l4re_rs::println!("bench-sigma0: done");
    l4re_rs::panic::stop()
}

fn fail(what: &str, e: l4re_rs::Error) -> ! {
    l4re_rs::println!("bench-sigma0: FAILED: {what}: {e:?}");
    l4re_rs::panic::stop()
}

/// Four windows: page fault, given RAM, any RAM of 64 KiB, I/O memory.
fn all_windows(own: Cap<kind::Sigma0>, first: u64, when: &str) {
    let base = AREA + first * STRIDE;
    announce(first, "page fault", when);
    open();
    for i in 0..REQUESTS {
        // SAFETY: free RAM in the middle of the machine, which nobody else in this system has; the
        // access makes the kernel ask our pager for it.
        unsafe { ((base + i * PAGE) as *mut u8).write_volatile(1) };
    }
    close();
    announce(first + 1, "given RAM", when);
    open();
    for i in 0..REQUESTS {
        request(
            own,
            sigma0::RAM,
            Fpage::mem(base + STRIDE + i * PAGE, 12, MemRights::RWX),
        );
    }
    close();
    announce(first + 2, "any RAM, 64 KiB", when);
    open();
    for _ in 0..REQUESTS {
        request(own, sigma0::ANY_RAM, Fpage::mem(0, 16, MemRights::RWX));
    }
    close();
    announce(first + 3, "I/O memory", when);
    open();
    for _ in 0..REQUESTS {
        request(own, sigma0::IOMEM, Fpage::mem(VGA, 12, MemRights::RW));
    }
    close();
}

fn announce(n: u64, what: &str, when: &str) {
    l4re_rs::println!("window {n}: {what}, {when}");
}

/// One request whose memory is not taken: the receive window is closed, so that the count is the
/// server's alone and the client's map stays small.
fn request(s: Cap<kind::Sigma0>, id: u64, block: Fpage) {
    let utcb = l4_sys::UtcbRef::current();
    let Ok(tag) = Writer::new(utcb).u64(id).u64(block.0).finish(proto::SIGMA0) else {
        return;
    };
    // SAFETY: the window is one page far above the machine's memory, where nothing of ours is.
    let answer = unsafe { ipc::call_for_memory(s, tag, Fpage::mem(1 << 40, 12, MemRights::RWX)) };
    if let Err(e) = answer {
        fail("a request", e);
    }
}

/// Makes [`COMB`] foreign pages, one page apart, in the lowest free memory above 16 MiB; what is
/// free in larger blocks below goes away, so that a search has to pass them all.
fn comb(other: Cap<kind::Sigma0>) {
    let window = Fpage::mem(1 << 40, 16, MemRights::RWX);
    let low = loop {
        // SAFETY: as in `request`.
        match unsafe { other.any_ram(16, window) } {
            Ok(got) if got.address() >= 0x100_0000 => break got.address() + 0x1_0000,
            Ok(_) => {}
            Err(e) => fail("low memory", e),
        }
    };
    for i in 0..COMB {
        request(
            other,
            sigma0::RAM,
            Fpage::mem(low + 2 * i * PAGE, 12, MemRights::RWX),
        );
    }
    l4re_rs::println!("comb: {COMB} pages from {low:#x}");
}

/// Start marker of the counting plugin.
#[inline(always)]
fn open() {
    // SAFETY: exchanging a register with itself does nothing.
    unsafe { asm!("xchg rbx, rbx", options(nostack, preserves_flags)) };
}

/// Stop marker of the counting plugin.
#[inline(always)]
fn close() {
    // SAFETY: as in `open`.
    unsafe { asm!("xchg rcx, rcx", options(nostack, preserves_flags)) };
}
