//! Reading from dataspaces of other servers, without waiting for them.
//!
//! A pager thread must not call a client's server: that may never answer, or wait for this thread.
//! So each pager thread has a *fetching thread* on its core, which does the calls. It calls the pager
//! thread, whose answer is a question; it asks the other server, copies the bytes into a page of its
//! own, and calls again with what came of it. In between the pager thread serves others, and the core
//! that asked hears `Again` (see [`World`](crate::server::World)).
//!
//! [`Fetch`] is the pager thread's side and pure; the thread is in [`fetcher`](super::fetcher).

use l4_sys::{Errno, Fpage, MsgTag, UtcbRef};

use crate::engine::kernel::Foreign;

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
    /// Nothing is asked; bytes come in a page at this address.
    pub fn new(buffer: u64) -> Self {
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
    pub fn forget(&mut self, foreign: Foreign) {
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
}
