//! The fetching thread: asks other servers for the pager thread of its core (see [`fetch`](super::fetch)).
//!
//! # What a hostile server can do
//!
//! Not answer: the question is given up when it has not been taken for [`PATIENCE_US`], or not been answered for
//! as long after that, and later questions wait so long. Take
//! memory away while it is copied, or send less than it says: the copy runs over the hole, the fault
//! comes to the pager thread as a message ([`rescue`]), and the question is answered with an error.

use l4_sys::exc::{EXC_WORDS, ExcRegs};
use l4_sys::{
    CapIdx, Errno, Fpage, MemRights, MsgTag, PAGE_SIZE, Timeout, Timeouts, UtcbRef, proto,
};
use l4re_rs::cap::kind;
use l4re_rs::client::ipc;
use l4re_rs::msg::Writer;
use l4re_rs::{Cap, Error};

use super::fetch::READ;
use super::place::FOREIGN_ORDER;
use super::windows::Blocks;

/// How long another server may take for a request, in microseconds. An emulated machine with many
/// CPUs can need seconds for what takes a real one microseconds.
pub const PATIENCE_US: u64 = 10_000_000;
/// Bytes of a window.
const WINDOW: u64 = 1 << FOREIGN_ORDER;

/// What the fetching thread works with.
#[derive(Clone, Copy, Debug)]
pub struct Fetcher {
    /// Where it calls the pager thread.
    pub gate: Cap<kind::Gate>,
    /// The program's task.
    pub task: Cap<kind::Task>,
    /// Where it maps what it reads.
    pub window: Fpage,
    /// Where it leaves bytes.
    pub buffer: u64,
}

/// What is in the window: a capability, since when, and which bytes of its dataspace.
type Shown = (u64, u64, u64, u64);

/// The fetching thread. Ends when the pager thread is gone.
#[inline(never)]
pub fn run(it: Fetcher) {
    let utcb = UtcbRef::current();
    let mut shown: Option<Shown> = None;
    let mut answer: Result<u64, Errno> = Ok(0);
    let mut took = 0;
    loop {
        let words = [
            answer.err().map_or(0, |e| u64::from(e.number())),
            answer.unwrap_or(0),
            took,
        ];
        let message = words.iter().fold(Writer::new(utcb), |w, word| w.u64(*word));
        let message = message.finish(0);
        let Ok(Ok(tag)) = message.map(|tag| ipc::call(it.gate, tag)) else {
            return;
        };
        if tag.words() < 7 {
            return;
        }
        let [from, offset, bytes, epoch, at, flags, clear] = core::array::from_fn(|n| utcb.mr(n));
        let from: Cap<kind::Dataspace> = Cap::new(CapIdx::from_raw(from));
        let start = ticks();
        answer = if bytes == 0 {
            size(from)
        } else if at != 0 {
            it.show(from, (offset, bytes), (at, clear), flags)
        } else {
            it.read(from, epoch, (offset, bytes), &mut shown)
        };
        took = ticks().wrapping_sub(start);
    }
}

fn timeouts() -> Timeouts {
    let patience = Timeout::from_us(PATIENCE_US);
    Timeouts::new(patience, patience)
}

fn size(from: Cap<kind::Dataspace>) -> Result<u64, Errno> {
    let info = from.info_within(timeouts()).map_err(Error::errno)?;
    Ok(info.size)
}

impl Fetcher {
    /// Maps a part of a dataspace where it is to be shown: as much as one request brings, which is the answer.
    /// So many blocks are emptied first: somebody who went may have left something there, late.
    fn show(
        &self,
        from: Cap<kind::Dataspace>,
        (offset, bytes): (u64, u64),
        (at, clear): (u64, u64),
        flags: u64,
    ) -> Result<u64, Errno> {
        let block = at & !(WINDOW - 1);
        if clear > 0 {
            let blocks = Blocks {
                start: block,
                count: clear as u32,
            };
            let mut room = [Fpage(0); Blocks::MOST];
            // SAFETY: the blocks are for this alone, and there are no references into them.
            let _ = unsafe { self.task.unmap(blocks.pages(&mut room)) };
        }
        let window = Fpage::mem(block, FOREIGN_ORDER, MemRights::RX);
        // What lies behind the last byte that an offset can name the other server has to refuse.
        let here = (offset, at % WINDOW);
        // SAFETY: as above.
        let sent = unsafe { from.map_within(here, flags, window, timeouts()) };
        let order = sent.map_err(Error::errno)?.clamp(12, FOREIGN_ORDER);
        // The piece around `at` of that size is there now.
        let end = (at & !((1 << order) - 1)) + (1 << order);
        Ok((end - at).min(bytes))
    }

    /// Copies bytes into the buffer: as many as are in the page.
    fn read(
        &self,
        from: Cap<kind::Dataspace>,
        epoch: u64,
        (offset, bytes): (u64, u64),
        shown: &mut Option<Shown>,
    ) -> Result<u64, Errno> {
        let here = |it: &Shown| {
            (it.0, it.1) == (from.idx().raw(), epoch) && (it.2..it.3).contains(&offset)
        };
        if !shown.as_ref().is_some_and(here) {
            *shown = None;
            // SAFETY: only this thread uses the window, by address, and holds no reference into it.
            let _ = unsafe { self.task.unmap(&[self.window]) };
            let spot = offset % WINDOW;
            // SAFETY: as above.
            let sent = unsafe { from.map_within((offset, spot), READ, self.window, timeouts()) };
            let order = sent.map_err(Error::errno)?.clamp(12, FOREIGN_ORDER);
            let start = offset & !((1 << order) - 1);
            *shown = Some((
                from.idx().raw(),
                epoch,
                start,
                start.saturating_add(1 << order),
            ));
        }
        let bytes = bytes.min(PAGE_SIZE - offset % PAGE_SIZE);
        let source = self.window.address() + offset % WINDOW;
        // SAFETY: the buffer is a page of this thread's until it calls again. Whether there is memory at
        // the source is the other server's choice: the copy survives a fault.
        if unsafe { copy(self.buffer, source, bytes) } {
            Ok(bytes)
        } else {
            *shown = None;
            Err(Errno::Fault)
        }
    }
}

/// Answers a fault or an exception of the fetching thread, which is in the UTCB. `None` when it did
/// not happen in the copy: the thread stays stopped then.
pub fn rescue(tag: MsgTag, utcb: UtcbRef) -> Option<MsgTag> {
    const IP: usize = core::mem::offset_of!(ExcRegs, ip) / 8;
    match tag.label() {
        // No memory will come: after an error the kernel raises an exception.
        proto::PAGE_FAULT => Some(MsgTag::plain(Errno::Fault.label(), 0, 0)),
        proto::EXCEPTION if tag.words() >= EXC_WORDS => {
            utcb.set_mr(IP, rescue_of(utcb.mr(IP))?);
            Some(MsgTag::plain(0, EXC_WORDS, 0))
        }
        _ => None,
    }
}

#[cfg(l4re)]
mod survive {
    //! A copy that may fault: the handler moves the instruction pointer to its second end.

    core::arch::global_asm!(
        ".globl percore_fetch_copy, percore_fetch_rescue",
        // rdi = destination, rsi = source, rdx = bytes; 1 in rax when all of it was copied.
        "percore_fetch_copy:",
        "mov rcx, rdx",
        "rep movsb",
        "mov eax, 1",
        "ret",
        "percore_fetch_rescue:",
        "xor eax, eax",
        "ret",
    );

    unsafe extern "C" {
        fn percore_fetch_copy(to: u64, from: u64, bytes: u64) -> u64;
        fn percore_fetch_rescue();
    }

    /// # Safety
    /// The destination is writable memory without references into it.
    pub unsafe fn copy(to: u64, from: u64, bytes: u64) -> bool {
        // SAFETY: the caller's promise; a fault at the source ends the copy.
        unsafe { percore_fetch_copy(to, from, bytes) != 0 }
    }

    /// The time, in units that only matter among themselves.
    pub fn ticks() -> u64 {
        // SAFETY: every x86-64 processor has the instruction, and the kernel lets programs use it.
        unsafe { core::arch::x86_64::_rdtsc() }
    }

    pub fn rescue_of(ip: u64) -> Option<u64> {
        let start = percore_fetch_copy as *const () as u64;
        let rescue = percore_fetch_rescue as *const () as u64;
        (start..rescue).contains(&ip).then_some(rescue)
    }
}

#[cfg(not(l4re))]
mod survive {
    //! In a kernel model memory is there or the model says so.

    use l4_sys::mem;

    /// # Safety
    /// The destination is writable memory without references into it.
    pub unsafe fn copy(to: u64, from: u64, bytes: u64) -> bool {
        // SAFETY: the caller's promise.
        unsafe {
            core::ptr::copy(mem::at(from), mem::at(to), bytes as usize);
        }
        true
    }

    /// A model's time is not the host's: all questions take as long.
    pub fn ticks() -> u64 {
        0
    }

    pub fn rescue_of(_: u64) -> Option<u64> {
        None
    }
}

use survive::{copy, rescue_of, ticks};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_becomes_an_exception_and_a_stranger_stays_stopped() {
        let mut words = [0u64; 128];
        // SAFETY: a UTCB-sized block of this thread.
        let u = unsafe { UtcbRef::from_ptr(words.as_mut_ptr().cast()) };
        let tag = rescue(MsgTag::plain(proto::PAGE_FAULT, 2, 0), u).expect("answered");
        assert!(tag.label() < 0);
        assert_eq!(
            rescue(MsgTag::plain(proto::EXCEPTION, EXC_WORDS, 0), u),
            None
        );
        assert_eq!(rescue(MsgTag::plain(proto::EXCEPTION, 3, 0), u), None);
    }
}
