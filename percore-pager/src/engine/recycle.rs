//! Frames of dead dataspaces whose client says that it shares nothing.
//!
//! They wait for the same account's next dataspace. Its client may still have them mapped where they
//! were, so they go to nobody else before they are unmapped; see `docs/memory-engine.md`. There is room
//! for a few runs; the oldest go first. A run that nobody may have again is an *orphan*: it is here until there is room
//! for it among what waits to be unmapped.

use crate::frames::{FrameNo, PageOrder, Run};

use super::arena::Ref;
use super::quota::Account;

/// Most runs that wait.
const SPANS: usize = 32;

#[derive(Clone, Copy, Debug)]
struct Span {
    /// `None`: an orphan.
    account: Option<Ref<Account>>,
    start: u32,
    frames: u32,
}

const NOTHING: Span = Span {
    account: None,
    start: 0,
    frames: 0,
};

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Recycle {
    /// The newest last.
    spans: [Span; SPANS],
    used: usize,
    frames: u64,
    orphans: usize,
}

impl Recycle {
    pub(super) const fn new() -> Self {
        Recycle {
            spans: [NOTHING; SPANS],
            used: 0,
            frames: 0,
            orphans: 0,
        }
    }

    /// Frames that wait.
    pub(super) fn frames(&self) -> u64 {
        self.frames
    }

    /// Adds a run of an account; gives one that has to go for it.
    pub(super) fn push(&mut self, account: Ref<Account>, run: Run) -> Option<Run> {
        let (start, frames) = (run.start().0 as u32, run.frames() as u32);
        self.frames += run.frames();
        let last = self.used.checked_sub(1).and_then(|n| self.spans.get_mut(n));
        if let Some(last) = last.filter(|last| last.account == Some(account)) {
            if last.start + last.frames == start {
                last.frames += frames;
                return None;
            }
            if start + frames == last.start {
                last.start = start;
                last.frames += frames;
                return None;
            }
        }
        let mut gone = None;
        if self.used == SPANS {
            gone = self.remove(0);
        }
        if let Some(slot) = self.spans.get_mut(self.used) {
            *slot = Span {
                account: Some(account),
                start,
                frames,
            };
            self.used += 1;
        }
        gone
    }

    fn remove(&mut self, at: usize) -> Option<Run> {
        let span = *self.spans.get(at)?;
        self.spans.copy_within(at + 1..self.used, at);
        self.used -= 1;
        self.frames -= u64::from(span.frames);
        self.orphans -= usize::from(span.account.is_none());
        Run::new(FrameNo(span.start.into()), span.frames.into())
    }

    /// An aligned run of `order` of the account's own.
    pub(super) fn take(&mut self, account: Ref<Account>, order: PageOrder) -> Option<FrameNo> {
        let size = order.frames();
        for at in (0..self.used).rev() {
            let span = *self.spans.get(at)?;
            let first = span.start.next_multiple_of(size);
            let before = first - span.start;
            if span.account != Some(account) || span.frames < before + size {
                continue;
            }
            let after = span.frames - before - size;
            let rest = |start, frames| Span {
                start,
                frames,
                ..span
            };
            if before > 0 && after > 0 {
                // Two pieces are left: there must be room for them.
                if self.used == SPANS {
                    continue;
                }
                self.spans[at] = rest(span.start, before);
                self.spans.copy_within(at + 1..self.used, at + 2);
                self.spans[at + 1] = rest(first + size, after);
                self.used += 1;
            } else if before > 0 {
                self.spans[at] = rest(span.start, before);
            } else if after > 0 {
                self.spans[at] = rest(first + size, after);
            } else {
                self.spans.copy_within(at + 1..self.used, at);
                self.used -= 1;
            }
            self.frames -= u64::from(size);
            return Some(FrameNo(first.into()));
        }
        None
    }

    /// Makes the runs of an account orphans.
    pub(super) fn disown(&mut self, account: Ref<Account>) {
        self.disown_where(|span| span.account == Some(account));
    }

    /// Makes all runs orphans.
    pub(super) fn disown_all(&mut self) {
        self.disown_where(|_| true);
    }

    fn disown_where(&mut self, which: impl Fn(&Span) -> bool) {
        for span in self.spans.iter_mut().take(self.used) {
            if which(span) {
                span.account = None;
            }
        }
        let spans = self.spans.iter().take(self.used);
        self.orphans = spans.filter(|span| span.account.is_none()).count();
    }

    pub(super) fn has_orphans(&self) -> bool {
        self.orphans > 0
    }

    /// Takes out an orphan.
    pub(super) fn drain(&mut self) -> Option<Run> {
        let spans = self.spans.get(..self.used)?;
        let at = spans.iter().position(|span| span.account.is_none())?;
        self.remove(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_come_back_to_their_account_alone() {
        let account = |raw| Ref::from_raw(raw).expect("not 0");
        let run = |start, frames| Run::new(FrameNo(start), frames).expect("a run");
        let order = |order| PageOrder::new(order).expect("small");
        let mut bin = Recycle::new();
        assert_eq!(bin.push(account(1), run(100, 20)), None);
        assert_eq!(bin.push(account(1), run(120, 8)), None, "joined");
        assert_eq!(bin.push(account(2), run(128, 1)), None);
        assert_eq!((bin.used, bin.frames()), (2, 29));
        assert_eq!(bin.take(account(2), order(1)), None);
        // From the middle: two pieces are left.
        assert_eq!(bin.take(account(1), order(4)), Some(FrameNo(112)));
        assert_eq!((bin.used, bin.frames()), (2, 13));
        assert_eq!(bin.take(account(1), order(3)), Some(FrameNo(104)));
        assert_eq!(bin.take(account(1), order(2)), Some(FrameNo(100)));
        assert_eq!(bin.used, 1, "only the other account's is left");
        for n in 0..SPANS as u64 - 1 {
            assert_eq!(bin.push(account(3), run(1000 + 2 * n, 1)), None);
        }
        assert_eq!(bin.push(account(3), run(5000, 1)), Some(run(128, 1)));
        bin.disown(account(2));
        assert!(!bin.has_orphans());
        bin.disown_all();
        assert_eq!(bin.take(account(3), order(0)), None, "orphans are nobody's");
        while bin.drain().is_some() {}
        assert_eq!((bin.used, bin.frames(), bin.orphans), (0, 0, 0));
    }
}
