//! Whose question the fetching thread asks next.
//!
//! One question is under way at a time, and a server can let it wait for as long as the fetching thread has
//! patience. So it is the thread's *time* that is shared out: each question's is added to its client's, and
//! the client that has used least is next; of its questions, the one that has waited longest. Who comes, or
//! comes back, begins with what the one had used whose question is under way: no time is saved up, and none
//! is forgotten by going away. So a client waits for one question of each other one at most, and after that
//! nobody is asked for who has used more than it has.

use crate::engine::kernel::Foreign;
use crate::server::Client;

use super::Question;

/// A question that waits.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    question: Question,
    client: Client,
    since: u64,
}

/// A place for a question, and one for what a client has used: memory that the caller of
/// [`Fetch::new`](super::Fetch::new) provides.
#[derive(Clone, Copy, Debug)]
pub struct Line {
    waiting: Option<Waiting>,
    share: Option<(Client, u64)>,
}

impl Line {
    /// Nothing is in it.
    pub const EMPTY: Line = Line {
        waiting: None,
        share: None,
    };
}

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Queue {
    lines: &'static mut [Line],
    waiting: u32,
    /// Questions that came so far.
    came: u64,
    /// What the client had used whose question was asked last.
    now: u64,
}

impl Queue {
    pub(super) fn new(lines: &'static mut [Line]) -> Self {
        Queue {
            lines,
            waiting: 0,
            came: 0,
            now: 0,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting == 0
    }

    /// Puts a question in its place. Should there be none, it comes again when its asker looks again.
    pub(super) fn put(&mut self, question: Question, client: Client) {
        let same = |line: &Line| {
            line.waiting
                .is_some_and(|w| w.question.from() == question.from())
        };
        let free = |line: &Line| line.waiting.is_none();
        let old = self.lines.iter().position(same);
        let at = old.or_else(|| self.lines.iter().position(free));
        let Some(line) = at.and_then(|at| self.lines.get_mut(at)) else {
            return;
        };
        let since = match line.waiting {
            Some(waiting) if waiting.question == question => return,
            Some(waiting) => waiting.since,
            None => self.came,
        };
        line.waiting = Some(Waiting {
            question,
            client,
            since,
        });
        if old.is_none() {
            self.came += 1;
            self.waiting += 1;
            self.enter(client);
        }
    }

    fn used(&self, client: Client) -> Option<u64> {
        let mut shares = self.lines.iter().filter_map(|line| line.share);
        shares.find(|(of, _)| *of == client).map(|(_, used)| used)
    }

    /// A client has a question: it has used no less than whoever is asked for.
    fn enter(&mut self, client: Client) {
        let used = self.used(client).unwrap_or(0).max(self.now);
        self.set_used(client, used);
    }

    fn set_used(&mut self, client: Client, used: u64) {
        let idle = |queue: &Self, of: Client| {
            let waits = |line: &Line| line.waiting.is_some_and(|w| w.client == of);
            !queue.lines.iter().any(waits)
        };
        // Its place, a free one, or that of the one who wants nothing and has used least: he loses nothing
        // by it, or what he has used is forgotten last.
        let rank = |n: usize| match self.lines.get(n)?.share {
            Some((of, _)) if of == client => Some((0, 0)),
            None => Some((1, 0)),
            Some((of, used)) if idle(self, of) => Some((2, used)),
            Some(_) => None,
        };
        let ranked = (0..self.lines.len()).filter_map(|n| rank(n).map(|rank| (rank, n)));
        if let Some(line) = ranked.min().and_then(|(_, n)| self.lines.get_mut(n)) {
            line.share = Some((client, used));
        }
    }

    /// A client's question has taken so much time, or a little at least.
    pub(super) fn charge(&mut self, client: Client, time: u64) {
        let used = self.used(client).unwrap_or(self.now);
        self.set_used(client, used.saturating_add(time.max(1)));
    }

    /// A capability goes: no question through it waits any more.
    pub(super) fn forget(&mut self, foreign: Foreign) {
        for line in self.lines.iter_mut() {
            if line.waiting.is_some_and(|w| w.question.from() == foreign) {
                line.waiting = None;
                self.waiting -= 1;
            }
        }
    }

    /// Takes the next question out.
    pub(super) fn next(&mut self) -> Option<(Question, Client)> {
        let key = |n: usize| {
            let waiting = self.lines.get(n)?.waiting?;
            // There is a place for the share of each who waits; if not, he is last.
            let used = self.used(waiting.client);
            Some((used.is_none(), used.unwrap_or(0), waiting.since, n))
        };
        let (_, used, _, n) = (0..self.lines.len()).filter_map(key).min()?;
        let waiting = self.lines.get_mut(n)?.waiting.take()?;
        self.waiting -= 1;
        self.now = self.now.max(used);
        Some((waiting.question, waiting.client))
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;

    const ONE: Client = Client(1 << 32);
    const TWO: Client = Client(2 << 32);

    fn about(n: u64) -> Question {
        Question::Size { from: Foreign(n) }
    }

    fn queue() -> Queue {
        Queue::new(std::vec![Line::EMPTY; 8].leak())
    }

    /// The next question is asked and takes what `time` says: about which capability.
    fn one(queue: &mut Queue, time: impl Fn(u64) -> u64) -> u64 {
        let (question, client) = queue.next().expect("somebody asks");
        let from = question.from().0;
        queue.charge(client, time(from));
        from
    }

    /// A slow source takes the thread for one question; then the other client has as much time.
    #[test]
    fn time_is_shared_out() {
        let mut queue = queue();
        let slow = |from| if from < 4 { 10_000 } else { 1 };
        let mut served = std::vec![];
        for _ in 0..300 {
            // Three calls of one client with slow servers, one of another with a prompt one. Who has an
            // answer asks again at once.
            (1..4).for_each(|n| queue.put(about(n), ONE));
            queue.put(about(4), TWO);
            served.push(one(&mut queue, slow));
        }
        let slow_ones = served.iter().filter(|n| **n < 4).count();
        assert!(slow_ones <= 2, "{served:?}");
        // The slow ones are asked in turn when nobody else asks.
        queue.forget(Foreign(4));
        let mut turns = std::vec![];
        for _ in 0..6 {
            (1..4).for_each(|n| queue.put(about(n), ONE));
            turns.push(one(&mut queue, slow));
        }
        assert_eq!(turns[..3], turns[3..]);
        turns[..3].sort_unstable();
        assert_eq!(turns[..3], [1, 2, 3]);
    }

    /// Going away and coming back gives nobody more, and waiting long without a question gives no credit.
    #[test]
    fn no_time_is_saved_up_or_forgotten() {
        let mut queue = queue();
        for n in 1..20 {
            // A new call each time.
            queue.put(about(n), ONE);
            queue.put(about(100), TWO);
            let from = one(&mut queue, |_| if n == 1 { 50 } else { 1 });
            assert!(n == 1 || from == 100, "{n}: {from}");
            queue.forget(Foreign(n));
        }
        queue.forget(Foreign(100));
        assert!(queue.is_empty());
        // More clients than places, one after the other.
        for n in 0..50 {
            queue.put(about(n), Client(n << 33 | 1 << 32));
            assert_eq!(one(&mut queue, |_| 3), n);
        }
        let late = Client(1000 << 32);
        queue.put(about(1), late);
        assert_eq!(queue.used(late), Some(queue.now));
        assert!(queue.now > 0);
    }
}
