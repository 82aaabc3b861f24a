//! Messages between the front thread and a pager thread.
//!
//! Each pager thread has a [`Mailbox`] in its own memory: a ring of requests that only the front thread
//! fills and only the pager thread empties, and a ring of answers the other way round. Neither waits for
//! the other: a full ring refuses. After a message the sender raises the receiver's interrupt, which
//! the kernel keeps until the receiver waits, so none is lost.

use core::sync::atomic::{AtomicU64, Ordering};

use l4_sys::utcb::MESSAGE_REGISTERS;
use l4_sys::{MsgTag, UtcbRef};

/// Messages that a ring holds.
pub const DEPTH: usize = 8;

/// What a message is about: its kind, and a number that means something to its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Kind {
    /// Make a factory: word 0 the quota, 0 for none. To be answered.
    Create = 1,
    /// A request of the pager's own protocol, as it came; the number is the capability's rights.
    Request = 2,
    /// An answer; the number is the request's.
    Answer = 3,
}

impl Kind {
    const fn from_number(number: u64) -> Option<Self> {
        match number {
            1 => Some(Kind::Create),
            2 => Some(Kind::Request),
            3 => Some(Kind::Answer),
            _ => None,
        }
    }
}

/// A message's head.
#[derive(Clone, Copy, Debug)]
pub struct Head {
    /// What it is.
    pub kind: Kind,
    /// Which reply of the front thread it is about.
    pub ticket: u32,
    /// The rights of the capability that was used (bits 0 and 1).
    pub rights: u64,
    /// Its tag: of the request, or of the answer.
    pub tag: MsgTag,
}

#[repr(C, align(64))]
struct Line(AtomicU64);

#[repr(C, align(64))]
struct Cell {
    kind: AtomicU64,
    ticket: AtomicU64,
    rights: AtomicU64,
    tag: AtomicU64,
    words: [AtomicU64; MESSAGE_REGISTERS],
}

/// One direction.
#[repr(C, align(64))]
pub struct Ring {
    /// Messages put in; the sender's line.
    put: Line,
    /// Messages taken out; the receiver's line.
    taken: Line,
    cells: [Cell; DEPTH],
}

impl Ring {
    /// Puts a message in whose words are in the UTCB. `false` when the ring is full.
    #[must_use = "a message that was not taken is lost"]
    pub fn put(&self, head: Head, utcb: UtcbRef) -> bool {
        let put = self.put.0.load(Ordering::Relaxed);
        // Pairs with `take`: its reads of the cell come before we write to it again.
        let taken = self.taken.0.load(Ordering::Acquire);
        let Some(cell) = self.cells.get(put as usize % DEPTH) else {
            return false;
        };
        if put.wrapping_sub(taken) >= DEPTH as u64 {
            return false;
        }
        cell.kind.store(head.kind as u64, Ordering::Relaxed);
        cell.ticket.store(u64::from(head.ticket), Ordering::Relaxed);
        cell.rights.store(head.rights, Ordering::Relaxed);
        cell.tag.store(head.tag.0, Ordering::Relaxed);
        for (n, word) in cell.words.iter().enumerate().take(used(head.tag)) {
            word.store(utcb.mr(n), Ordering::Relaxed);
        }
        // Pairs with `take`: who sees the count sees the message.
        self.put.0.store(put.wrapping_add(1), Ordering::Release);
        true
    }

    /// Takes the next message; its words are in the UTCB then.
    pub fn take(&self, utcb: UtcbRef) -> Option<Head> {
        let taken = self.taken.0.load(Ordering::Relaxed);
        if self.put.0.load(Ordering::Acquire) == taken {
            return None;
        }
        let cell = self.cells.get(taken as usize % DEPTH)?;
        let tag = MsgTag(cell.tag.load(Ordering::Relaxed));
        for (n, word) in cell.words.iter().enumerate().take(used(tag)) {
            utcb.set_mr(n, word.load(Ordering::Relaxed));
        }
        let head = Kind::from_number(cell.kind.load(Ordering::Relaxed)).map(|kind| Head {
            kind,
            ticket: cell.ticket.load(Ordering::Relaxed) as u32,
            rights: cell.rights.load(Ordering::Relaxed),
            tag,
        });
        self.taken.0.store(taken.wrapping_add(1), Ordering::Release);
        head
    }
}

fn used(tag: MsgTag) -> usize {
    (tag.words() + 2 * tag.items()).min(MESSAGE_REGISTERS)
}

/// How far a pager thread is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Stage {
    /// It has not said anything yet.
    Starting = 0,
    /// It serves.
    Ready = 1,
    /// It could not begin; it has said why on the log.
    Failed = 2,
}

/// Both directions. All zero is an empty one.
#[repr(C, align(64))]
pub struct Mailbox {
    /// From the front thread.
    pub requests: Ring,
    /// To the front thread.
    pub answers: Ring,
    stage: Line,
}

impl Mailbox {
    /// Tells the front thread how far the pager thread is.
    pub fn set_stage(&self, stage: Stage) {
        self.stage.0.store(stage as u64, Ordering::Release);
    }

    /// How far the pager thread is.
    pub fn stage(&self) -> Stage {
        match self.stage.0.load(Ordering::Acquire) {
            0 => Stage::Starting,
            1 => Stage::Ready,
            _ => Stage::Failed,
        }
    }
}

impl core::fmt::Debug for Mailbox {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "mailbox({:?})", self.stage())
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;

    fn utcb(words: &mut [u64; 128]) -> UtcbRef {
        // SAFETY: a UTCB-sized block of this thread.
        unsafe { UtcbRef::from_ptr(words.as_mut_ptr().cast()) }
    }

    fn empty() -> std::boxed::Box<Mailbox> {
        let cells = std::boxed::Box::<Mailbox>::new_zeroed();
        // SAFETY: all zero is an empty mailbox.
        unsafe { cells.assume_init() }
    }

    fn head(ticket: u32, words: usize) -> Head {
        Head {
            kind: Kind::Create,
            ticket,
            rights: 3,
            tag: MsgTag::plain(-15, words, 0),
        }
    }

    #[test]
    fn messages_come_in_order_and_a_full_ring_refuses() {
        let mailbox = empty();
        let ring = &mailbox.requests;
        let mut words = [0; 128];
        let u = utcb(&mut words);
        assert!(ring.take(u).is_none());
        for round in 0..3u64 {
            for n in 0..DEPTH as u64 {
                u.set_mr(1, round * 100 + n);
                assert!(ring.put(head(n as u32, 2), u));
            }
            assert!(!ring.put(head(99, 2), u));
            for n in 0..DEPTH as u64 {
                let head = ring.take(u).expect("as many as were put in");
                assert_eq!(
                    (head.ticket, head.rights, head.tag.label()),
                    (n as u32, 3, -15)
                );
                assert_eq!(u.mr(1), round * 100 + n);
            }
            assert!(ring.take(u).is_none());
        }
    }

    #[test]
    fn two_threads_lose_nothing() {
        let mailbox = std::sync::Arc::new(empty());
        let other = mailbox.clone();
        let sender = std::thread::spawn(move || {
            let mut words = [0; 128];
            let u = utcb(&mut words);
            for n in 0..10_000u64 {
                u.set_mr(0, n);
                u.set_mr(62, !n);
                let head = Head {
                    tag: MsgTag::plain(0, 63, 0),
                    ..head(n as u32, 0)
                };
                while !other.requests.put(head, u) {
                    std::thread::yield_now();
                }
            }
        });
        let mut words = [0; 128];
        let u = utcb(&mut words);
        for n in 0..10_000u64 {
            let head = loop {
                match mailbox.requests.take(u) {
                    Some(head) => break head,
                    None => std::thread::yield_now(),
                }
            };
            assert_eq!((head.ticket, u.mr(0), u.mr(62)), (n as u32, n, !n));
        }
        sender.join().expect("no panic");
    }
}
