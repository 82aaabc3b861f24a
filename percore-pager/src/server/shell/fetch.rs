//! Reading from dataspaces of other servers, without waiting for them.
//!
//! A pager thread must not call a client's server: that may never answer, or wait for this thread.
//! So each pager thread has a *fetching thread* on its core, which does the calls. It calls the pager
//! thread, whose answer is a question; it asks the other server, copies the bytes into a page of its
//! own, and calls again with what came of it. In between the pager thread serves others, and the core
//! that asked hears `Again` (see [`World`](crate::server::World)).
//!
//! [`Fetch`] is the pager thread's side and pure; [`run`] is the fetching thread.
//!
//! # What a hostile server can do
//!
//! Not answer: the question is given up after [`PATIENCE_US`], and later questions wait so long. Take
//! memory away while it is copied, or send less than it says: the copy runs over the hole, the fault
//! comes to the pager thread as a message ([`rescue`]), and the question is answered with an error.

use l4_sys::exc::{EXC_WORDS, ExcRegs};
use l4_sys::{
    CapIdx, Errno, Fpage, MemRights, MsgTag, PAGE_SIZE, Timeout, Timeouts, UtcbRef, mem, proto,
};
use l4re_rs::cap::kind;
use l4re_rs::client::ipc;
use l4re_rs::msg::Writer;
use l4re_rs::{Cap, Error};

use crate::engine::kernel::Foreign;

use super::place::FOREIGN_ORDER;

/// How long another server may take for a request, in microseconds. An emulated machine with many
/// CPUs can need seconds for what takes a real one microseconds.
pub const PATIENCE_US: u64 = 10_000_000;
/// Bytes of a window.
const WINDOW: u64 = 1 << FOREIGN_ORDER;
/// Dataspace flags: to be read, to be run.
const READ: u64 = 4;
const EXECUTE: u64 = 1;
/// After so many other questions an answer that nobody has taken is dropped: whoever it was for has
/// ended.
const UNCLAIMED: u32 = 128;

/// What another server is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    /// How large the dataspace is.
    Size {
        /// The dataspace.
        from: Foreign,
    },
    /// To be mapped, for reading, at `at`.
    Show {
        /// The dataspace.
        from: Foreign,
        /// From where on.
        offset: u64,
        /// How much.
        bytes: u64,
        /// Whether instructions may be fetched, too.
        execute: bool,
        /// The window. It is emptied first; the first byte comes at its start plus `offset` modulo 2 MiB.
        window: Fpage,
    },
    /// What is in it.
    Bytes {
        /// The dataspace.
        from: Foreign,
        /// Where.
        offset: u64,
        /// How much, at most a page.
        bytes: u32,
    },
}

impl Question {
    fn from(self) -> Foreign {
        match self {
            Question::Size { from }
            | Question::Show { from, .. }
            | Question::Bytes { from, .. } => from,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nothing is asked.
    Free,
    /// To be asked when the fetching thread rests.
    Waiting(Question),
    /// The fetching thread is at it; `None` when nobody wants to know any more.
    Asked(Option<Question>),
    /// Answered; not taken for so many other questions.
    Done(Question, Result<u64, Errno>, u32),
}

/// See the [module](self).
#[derive(Debug)]
pub struct Fetch {
    state: State,
    buffer: u64,
    /// Changes when a capability goes: what was mapped through it is not used any more.
    epoch: u64,
}

impl Fetch {
    pub(super) fn new(buffer: u64) -> Self {
        Fetch {
            state: State::Free,
            buffer,
            epoch: 0,
        }
    }

    /// Address of the page that bytes come in.
    pub fn buffer(&self) -> u64 {
        self.buffer
    }

    /// The answer to a question; bytes are in the buffer until the next question.
    ///
    /// # Errors
    /// `Again`: it is being asked. Otherwise what the other server said.
    pub fn answer(&mut self, question: Question) -> Result<u64, Errno> {
        match self.state {
            State::Done(asked, answer, _) if asked == question => {
                self.state = State::Free;
                return answer;
            }
            State::Done(asked, answer, others) if others < UNCLAIMED => {
                self.state = State::Done(asked, answer, others + 1);
            }
            State::Free | State::Done(..) => self.state = State::Waiting(question),
            State::Waiting(_) | State::Asked(_) => {}
        }
        Err(Errno::Again)
    }

    /// A capability goes; nobody wants to know more about it.
    pub(super) fn forget(&mut self, foreign: Foreign) {
        self.epoch += 1;
        match self.state {
            State::Waiting(q) | State::Done(q, ..) if q.from() == foreign => {
                self.state = State::Free;
            }
            State::Asked(Some(q)) if q.from() == foreign => self.state = State::Asked(None),
            _ => {}
        }
    }

    /// Whether the fetching thread has something to ask.
    pub fn is_waiting(&self) -> bool {
        matches!(self.state, State::Waiting(_))
    }

    /// Writes the question for the fetching thread, which rests.
    pub fn ask(&mut self, utcb: UtcbRef) -> Option<MsgTag> {
        let State::Waiting(question) = self.state else {
            return None;
        };
        self.state = State::Asked(Some(question));
        let (offset, bytes, window, flags) = match question {
            Question::Size { .. } => (0, 0, 0, 0),
            Question::Bytes { offset, bytes, .. } => (offset, u64::from(bytes), 0, READ),
            Question::Show {
                offset,
                bytes,
                window,
                execute,
                ..
            } => (
                offset,
                bytes,
                window.0,
                if execute { READ | EXECUTE } else { READ },
            ),
        };
        let words = [question.from().0, offset, bytes, self.epoch, window, flags];
        words
            .iter()
            .enumerate()
            .for_each(|(n, word)| utcb.set_mr(n, *word));
        Some(MsgTag::plain(0, words.len(), 0))
    }

    /// The fetching thread calls: word 0 is 0 or an error, word 1 the answer. `true` when somebody may
    /// go on.
    pub fn answered(&mut self, utcb: UtcbRef) -> bool {
        let State::Asked(question) = self.state else {
            return false;
        };
        let error = Errno::from_number(utcb.mr(0) as u16);
        let answer = error.map_or(Ok(utcb.mr(1)), Err);
        self.state = question.map_or(State::Free, |question| State::Done(question, answer, 0));
        true
    }
}

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
    loop {
        let words = [
            answer.err().map_or(0, |e| u64::from(e.number())),
            answer.unwrap_or(0),
        ];
        let message = Writer::new(utcb).u64(words[0]).u64(words[1]).finish(0);
        let Ok(Ok(tag)) = message.map(|tag| ipc::call(it.gate, tag)) else {
            return;
        };
        if tag.words() < 6 {
            return;
        }
        let [from, offset, bytes, epoch, window, flags] = core::array::from_fn(|n| utcb.mr(n));
        let from: Cap<kind::Dataspace> = Cap::new(CapIdx::from_raw(from));
        answer = if bytes == 0 {
            size(from)
        } else if window != 0 {
            it.show(from, (offset, bytes), Fpage(window), flags)
        } else {
            it.read(from, epoch, (offset, bytes), &mut shown)
        };
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
    /// Maps part of a dataspace into a window of its own; how much of it does not fit is left out.
    fn show(
        &self,
        from: Cap<kind::Dataspace>,
        (offset, bytes): (u64, u64),
        window: Fpage,
        flags: u64,
    ) -> Result<u64, Errno> {
        // SAFETY: the window is for this alone, and there are no references into it.
        let _ = unsafe { self.task.unmap(&[window]) };
        let start = window.address() + offset % WINDOW;
        let end = (start + bytes).min(window.address() + (1 << window.order()));
        let mut at = start;
        while at < end {
            let block = Fpage::mem(at & !(WINDOW - 1), FOREIGN_ORDER, MemRights::RX);
            let here = (offset + (at - start), at % WINDOW);
            // SAFETY: as above.
            let sent = unsafe { from.map_within(here, flags, block, timeouts()) };
            let order = sent.map_err(Error::errno)?.clamp(12, FOREIGN_ORDER);
            // The piece around `at` of that size is there now.
            at = (at & !((1 << order) - 1)) + (1 << order);
        }
        Ok(0)
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
            *shown = Some((from.idx().raw(), epoch, start, start + (1 << order)));
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
        // No memory will come: an exception shall be raised.
        proto::PAGE_FAULT => Some(MsgTag::plain(proto::PF_EXCEPTION, 0, 0)),
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

    pub fn rescue_of(ip: u64) -> Option<u64> {
        let start = percore_fetch_copy as *const () as u64;
        let rescue = percore_fetch_rescue as *const () as u64;
        (start..rescue).contains(&ip).then_some(rescue)
    }
}

#[cfg(not(l4re))]
mod survive {
    //! In a kernel model memory is there or the model says so.

    /// # Safety
    /// The destination is writable memory without references into it.
    pub unsafe fn copy(to: u64, from: u64, bytes: u64) -> bool {
        // SAFETY: the caller's promise.
        unsafe {
            core::ptr::copy(super::mem::at(from), super::mem::at(to), bytes as usize);
        }
        true
    }

    pub fn rescue_of(_: u64) -> Option<u64> {
        None
    }
}

use survive::{copy, rescue_of};

#[cfg(l4re)]
const _: fn(u64) -> *mut u8 = mem::at;

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(n: u64) -> Question {
        Question::Bytes {
            from: Foreign(n << 12),
            offset: 0,
            bytes: 64,
        }
    }

    fn utcb(words: &mut [u64; 128]) -> UtcbRef {
        // SAFETY: a UTCB-sized block of this thread.
        unsafe { UtcbRef::from_ptr(words.as_mut_ptr().cast()) }
    }

    #[test]
    fn a_question_is_asked_once_and_its_answer_taken_once() {
        let mut words = [0; 128];
        let u = utcb(&mut words);
        let mut fetch = Fetch::new(0x1000);
        assert!(!fetch.is_waiting() && fetch.ask(u).is_none());
        assert_eq!(fetch.answer(bytes(1)), Err(Errno::Again));
        assert!(fetch.is_waiting());
        assert_eq!(fetch.ask(u).map(|tag| tag.words()), Some(6));
        assert_eq!((u.mr(0), u.mr(2)), (1 << 12, 64));
        assert_eq!(fetch.answer(bytes(1)), Err(Errno::Again));
        assert!(!fetch.is_waiting());
        u.set_mr(0, 0);
        u.set_mr(1, 64);
        assert!(fetch.answered(u));
        assert_eq!(
            fetch.answer(bytes(2)),
            Err(Errno::Again),
            "another question waits"
        );
        assert_eq!(fetch.answer(bytes(1)), Ok(64));
        assert_eq!(fetch.answer(bytes(1)), Err(Errno::Again), "taken");
        assert!(!fetch.answered(u), "nothing was asked");
    }

    #[test]
    fn errors_come_through() {
        let mut words = [0; 128];
        let u = utcb(&mut words);
        let mut fetch = Fetch::new(0);
        let size = Question::Size {
            from: Foreign(5 << 12),
        };
        assert_eq!(fetch.answer(size), Err(Errno::Again));
        assert!(fetch.ask(u).is_some());
        u.set_mr(0, u64::from(Errno::Perm.number()));
        assert!(fetch.answered(u));
        assert_eq!(fetch.answer(size), Err(Errno::Perm));
    }

    #[test]
    fn what_nobody_wants_any_more_blocks_nobody() {
        let mut words = [0; 128];
        let u = utcb(&mut words);
        let mut fetch = Fetch::new(0);
        assert_eq!(fetch.answer(bytes(1)), Err(Errno::Again));
        assert!(fetch.ask(u).is_some());
        fetch.forget(Foreign(1 << 12));
        u.set_mr(0, 0);
        assert!(fetch.answered(u));
        assert_eq!(
            fetch.answer(bytes(1)),
            Err(Errno::Again),
            "an older answer is not taken"
        );
        assert!(fetch.ask(u).is_some() && fetch.answered(u));
        for _ in 0..=UNCLAIMED {
            assert!(!fetch.is_waiting());
            assert_eq!(fetch.answer(bytes(2)), Err(Errno::Again));
        }
        assert!(
            fetch.is_waiting(),
            "an answer that nobody takes is dropped at last"
        );
    }

    #[test]
    fn a_fault_becomes_an_exception_and_a_stranger_stays_stopped() {
        let mut words = [0; 128];
        let u = utcb(&mut words);
        let tag = rescue(MsgTag::plain(proto::PAGE_FAULT, 2, 0), u).expect("answered");
        assert_eq!(tag.label(), 1);
        assert_eq!(
            rescue(MsgTag::plain(proto::EXCEPTION, EXC_WORDS, 0), u),
            None
        );
        assert_eq!(rescue(MsgTag::plain(proto::EXCEPTION, 3, 0), u), None);
    }
}
