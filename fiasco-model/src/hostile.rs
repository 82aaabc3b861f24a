//! Clients that misbehave: for running servers against what no correct client does.
//!
//! Every program is made from a seed, so a failing run replays.

use l4_sys::cap::REPLY_CAP_BIT;
use l4_sys::item::{ITEM_CONT, ITEM_GRANT, ITEM_MAP, SendItem};
use l4_sys::{CapIdx, Fpage, MsgTag, Timeout, Timeouts, proto, syscall};

use crate::kit;
use crate::rng::Rng;
use crate::user;

/// Labels that a server may take seriously.
const LABELS: [i64; 12] = [
    proto::SIGMA0,
    proto::PAGE_FAULT,
    proto::IO_PAGE_FAULT,
    proto::EXCEPTION,
    proto::FACTORY,
    proto::META,
    proto::IRQ,
    proto::DATASPACE,
    proto::RM,
    proto::NAMESPACE,
    proto::KOBJECT,
    0,
];

/// A word that is more often interesting than chance would have it.
fn word(rng: &mut Rng) -> u64 {
    match rng.below(8) {
        0 => 0,
        1 => u64::MAX,
        2 => 1 << rng.below(64),
        3 => rng.below(0x200),
        4 => !0xff | rng.below(0x100),
        5 => (rng.below(1 << 20) << 12) | (rng.below(64) << 6) | rng.below(64),
        _ => rng.next_u64(),
    }
}

/// An item that names anything of the caller's.
fn item(rng: &mut Rng) -> SendItem {
    let control = match rng.below(4) {
        0 => 0,
        1 => word(rng),
        _ => (word(rng) & !0xfff) | ITEM_MAP | (rng.below(4) & (ITEM_CONT | ITEM_GRANT)),
    };
    SendItem {
        control,
        fpage: Fpage(word(rng)),
    }
}

/// One system call with a sender's label of the client's own choice.
fn send(
    target: CapIdx,
    (flags, forged): (u64, u64),
    label: i64,
    (words, items): (&[u64], &[SendItem]),
    timeouts: Timeouts,
) {
    let u = kit::utcb();
    for (i, w) in words.iter().enumerate() {
        u.set_mr(i, *w);
    }
    for (i, it) in items.iter().enumerate() {
        u.set_mr(words.len() + 2 * i, it.control);
        u.set_mr(words.len() + 2 * i + 1, it.fpage.0);
    }
    let tag = MsgTag::plain(label, words.len(), items.len());
    // SAFETY: simulated memory has no Rust references into it.
    let _ = unsafe { syscall::invoke(target, flags, forged, tag, timeouts) };
}

/// Sends `rounds` random messages to `target`: any protocol, any words and items, a forged sender's
/// label, receive windows that are missing, closed or everywhere, sends without receive, waits for
/// anybody, replies to nobody, receives that give up at once, pauses. Never uses what it gets.
pub fn garbage(seed: u64, target: CapIdx, rounds: u32) {
    let mut rng = Rng::new(seed);
    for _ in 0..rounds {
        let label = if rng.below(3) == 0 {
            word(&mut rng) as i64 >> 16
        } else {
            LABELS[rng.below(LABELS.len() as u64) as usize]
        };
        let items: Vec<SendItem> = (0..rng.below(4).saturating_sub(1))
            .map(|_| item(&mut rng))
            .collect();
        let words: Vec<u64> = (0..rng.below(6)).map(|_| word(&mut rng)).collect();
        let u = kit::utcb();
        u.set_bdr(if rng.below(4) == 0 { word(&mut rng) } else { 0 });
        for i in 0..4 {
            u.set_br(i, word(&mut rng));
        }
        if rng.below(2) == 0 {
            kit::receive_memory(Fpage::mem(0x1000_0000, 24, l4_sys::MemRights::empty()));
        }
        let flags = match rng.below(12) {
            0..3 => syscall::SEND,
            3 => syscall::SEND_AND_WAIT,
            4 => syscall::RECV,
            5 => syscall::REPLY_AND_WAIT | (rng.below(2) * REPLY_CAP_BIT),
            _ => syscall::CALL,
        };
        let receive = match rng.below(4) {
            0 => Timeout::ZERO,
            1 => Timeout::from_us(rng.below(100)),
            // Long enough for every server that answers at all.
            _ => Timeout::from_us(100_000),
        };
        let timeouts = Timeouts::new(Timeout::from_us(100_000), receive);
        let forged = word(&mut rng);
        send(target, (flags, forged), label, (&words, &items), timeouts);
        if rng.below(8) == 0 {
            user::compute(rng.below(100_000));
        }
    }
}
