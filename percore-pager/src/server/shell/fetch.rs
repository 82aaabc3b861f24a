//! Reading from dataspaces of other servers, without waiting for them.
//!
//! A pager thread must not call a client's server: that may never answer, or wait for this thread.
//! So each pager thread has a *fetching thread* on its core, which does the calls. It calls the pager
//! thread, whose answer is a question; it asks the other server, copies the bytes into a page of its
//! own, and calls again with what came of it. In between the pager thread serves others, and the core
//! that asked hears `Again` (see [`World`](crate::server::World)).
//!
//! One question is under way at a time; which one is next says [`Queue`](queue::Queue).
//!
//! [`Fetch`] is the pager thread's side and pure; the thread is in [`fetcher`](super::fetcher).

mod queue;

use l4_sys::{Errno, MsgTag, UtcbRef};

use crate::engine::kernel::Foreign;
use crate::server::Client;

pub use queue::Line;
use queue::Queue;

/// Dataspace flags: to be read, to be run.
pub(super) const READ: u64 = 4;
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
    /// To be mapped, for reading, at `at`: as much as one request brings.
    Show {
        /// The dataspace.
        from: Foreign,
        /// From where on.
        offset: u64,
        /// How much, at most.
        bytes: u64,
        /// Whether instructions may be fetched, too.
        execute: bool,
        /// Where the first byte comes.
        at: u64,
        /// So many blocks of 2 MiB, from that of `at` on, are emptied first.
        clear: u32,
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
    pub(super) fn from(self) -> Foreign {
        match self {
            Question::Size { from }
            | Question::Show { from, .. }
            | Question::Bytes { from, .. } => from,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The fetching thread rests.
    Free,
    /// It is at this client's question; without one nobody wants to know any more.
    Asked(Client, Option<Question>),
    /// Answered; not taken for so many other questions.
    Done(Question, Result<u64, Errno>, u32),
}

/// See the [module](self).
#[derive(Debug)]
pub struct Fetch {
    state: State,
    queue: Queue,
    buffer: u64,
    /// Changes when a capability goes: what was mapped through it is not used any more.
    epoch: u64,
}

impl Fetch {
    /// Nothing is asked; bytes come in a page at this address.
    /// `lines` are as many as there are capabilities through which something can be asked.
    pub fn new(buffer: u64, lines: &'static mut [Line]) -> Self {
        Fetch {
            state: State::Free,
            queue: Queue::new(lines),
            buffer,
            epoch: 0,
        }
    }

    /// Address of the page that bytes come in.
    pub fn buffer(&self) -> u64 {
        self.buffer
    }

    /// The answer to a question; bytes are in the buffer until the next question. It is the only one through
    /// its capability: another one that waits is forgotten.
    ///
    /// # Errors
    /// `Again`: it waits, or is being asked. Otherwise what the other server said.
    pub fn answer(&mut self, question: Question, client: Client) -> Result<u64, Errno> {
        match self.state {
            State::Done(asked, answer, _) if asked == question => {
                self.state = State::Free;
                return answer;
            }
            State::Done(asked, ..) if asked.from() == question.from() => self.state = State::Free,
            State::Done(asked, answer, others) if others < UNCLAIMED => {
                self.state = State::Done(asked, answer, others + 1);
            }
            State::Done(..) => self.state = State::Free,
            State::Asked(_, asked) if asked == Some(question) => return Err(Errno::Again),
            State::Asked(..) | State::Free => {}
        }
        self.queue.put(question, client);
        Err(Errno::Again)
    }

    /// A capability goes; nobody wants to know more about it.
    pub fn forget(&mut self, foreign: Foreign) {
        self.epoch += 1;
        self.queue.forget(foreign);
        match self.state {
            State::Done(q, ..) if q.from() == foreign => self.state = State::Free,
            State::Asked(client, Some(q)) if q.from() == foreign => {
                self.state = State::Asked(client, None);
            }
            _ => {}
        }
    }

    /// Whether the fetching thread has something to ask.
    pub fn is_waiting(&self) -> bool {
        self.state == State::Free && !self.queue.is_empty()
    }

    /// Whether nothing is asked, waits, or was answered and not taken.
    pub fn rests(&self) -> bool {
        self.state == State::Free && self.queue.is_empty()
    }

    /// Writes the next question for the fetching thread, which rests.
    pub fn ask(&mut self, utcb: UtcbRef) -> Option<MsgTag> {
        if !self.is_waiting() {
            return None;
        }
        let (question, client) = self.queue.next()?;
        self.state = State::Asked(client, Some(question));
        let (offset, bytes, at, flags, clear) = match question {
            Question::Size { .. } => (0, 0, 0, 0, 0),
            Question::Bytes { offset, bytes, .. } => (offset, u64::from(bytes), 0, READ, 0),
            Question::Show {
                offset,
                bytes,
                at,
                execute,
                clear,
                ..
            } => {
                let flags = if execute { READ | EXECUTE } else { READ };
                (offset, bytes, at, flags, u64::from(clear))
            }
        };
        let words = [
            question.from().0,
            offset,
            bytes,
            self.epoch,
            at,
            flags,
            clear,
        ];
        words
            .iter()
            .enumerate()
            .for_each(|(n, word)| utcb.set_mr(n, *word));
        Some(MsgTag::plain(0, words.len(), 0))
    }

    /// The fetching thread calls: word 0 is 0 or an error, word 1 the answer, word 2 the time that it took. The
    /// capability whose asker may go on.
    pub fn answered(&mut self, utcb: UtcbRef) -> Option<Foreign> {
        let State::Asked(client, question) = self.state else {
            return None;
        };
        self.queue.charge(client, utcb.mr(2));
        let error = Errno::from_number(utcb.mr(0) as u16);
        let answer = error.map_or(Ok(utcb.mr(1)), Err);
        self.state = question.map_or(State::Free, |question| State::Done(question, answer, 0));
        question.map(Question::from)
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;

    const ONE: Client = Client(1 << 32);
    const TWO: Client = Client(2 << 32);

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

    fn fetch() -> Fetch {
        Fetch::new(0x1000, std::vec![Line::EMPTY; 8].leak())
    }

    /// The fetching thread asks, and has an answer after so much time: about which capability.
    fn one(fetch: &mut Fetch, u: UtcbRef, time: u64) -> u64 {
        assert!(fetch.ask(u).is_some());
        let from = u.mr(0) >> 12;
        u.set_mr(0, 0);
        u.set_mr(1, 64);
        u.set_mr(2, time);
        assert_eq!(fetch.answered(u), Some(Foreign(from << 12)));
        from
    }

    #[test]
    fn a_question_is_asked_once_and_its_answer_taken_once() {
        let mut words = [0; 128];
        let u = utcb(&mut words);
        let mut fetch = fetch();
        assert!(!fetch.is_waiting() && fetch.ask(u).is_none());
        assert_eq!(fetch.answer(bytes(1), ONE), Err(Errno::Again));
        assert!(fetch.is_waiting());
        assert_eq!(fetch.ask(u).map(|tag| tag.words()), Some(7));
        assert_eq!((u.mr(0), u.mr(2)), (1 << 12, 64));
        assert_eq!(fetch.answer(bytes(1), ONE), Err(Errno::Again));
        assert!(!fetch.is_waiting());
        assert_eq!(fetch.answer(bytes(2), ONE), Err(Errno::Again));
        assert!(!fetch.is_waiting(), "one at a time");
        u.set_mr(0, 0);
        u.set_mr(1, 64);
        assert_eq!(fetch.answered(u), Some(Foreign(1 << 12)));
        assert!(!fetch.is_waiting(), "the buffer is not read yet");
        assert_eq!(fetch.answer(bytes(1), ONE), Ok(64));
        assert!(fetch.is_waiting(), "the other one");
        assert_eq!(fetch.answer(bytes(1), ONE), Err(Errno::Again), "taken");
        assert_eq!(fetch.answered(u), None, "nothing was asked");
    }

    #[test]
    fn errors_come_through() {
        let mut words = [0; 128];
        let u = utcb(&mut words);
        let mut fetch = fetch();
        let size = Question::Size {
            from: Foreign(5 << 12),
        };
        assert_eq!(fetch.answer(size, ONE), Err(Errno::Again));
        assert!(fetch.ask(u).is_some());
        u.set_mr(0, u64::from(Errno::Perm.number()));
        assert!(fetch.answered(u).is_some());
        assert_eq!(fetch.answer(size, ONE), Err(Errno::Perm));
    }

    #[test]
    fn what_nobody_wants_any_more_blocks_nobody() {
        let mut words = [0; 128];
        let u = utcb(&mut words);
        let mut fetch = fetch();
        assert_eq!(fetch.answer(bytes(1), ONE), Err(Errno::Again));
        assert!(fetch.ask(u).is_some());
        fetch.forget(Foreign(1 << 12));
        u.set_mr(0, 0);
        assert_eq!(fetch.answered(u), None);
        assert_eq!(
            fetch.answer(bytes(1), ONE),
            Err(Errno::Again),
            "an older answer is not taken"
        );
        assert_eq!(one(&mut fetch, u, 1), 1);
        for _ in 0..=UNCLAIMED {
            assert!(!fetch.is_waiting());
            assert_eq!(fetch.answer(bytes(2), TWO), Err(Errno::Again));
        }
        assert!(
            fetch.is_waiting(),
            "an answer that nobody takes is dropped at last"
        );
        fetch.forget(Foreign(2 << 12));
        assert!(!fetch.is_waiting() && fetch.ask(u).is_none());
    }
}
