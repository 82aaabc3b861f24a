//! Structures in the message registers.

use l4_sys::utcb::MESSAGE_REGISTERS;
use l4_sys::{Errno, MsgTag, UtcbRef};
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// Message words that `bytes` bytes take.
#[must_use]
pub const fn words_of(bytes: usize) -> usize {
    bytes.div_ceil(8)
}

/// Reads a structure from the start of a message of which at least `needed` bytes must have been
/// sent; what is missing behind them is 0.
///
/// # Errors
///
/// `MsgTooShort`.
#[inline]
pub fn read<T: FromBytes + IntoBytes>(
    utcb: UtcbRef,
    tag: MsgTag,
    needed: usize,
) -> Result<T, Errno> {
    let sent = tag.words().min(MESSAGE_REGISTERS);
    if sent * 8 < needed {
        return Err(Errno::MsgTooShort);
    }
    let mut value = T::new_zeroed();
    for (index, bytes) in value.as_mut_bytes().chunks_mut(8).enumerate().take(sent) {
        let word = utcb.mr(index).to_le_bytes();
        for (to, from) in bytes.iter_mut().zip(word) {
            *to = from;
        }
    }
    Ok(value)
}

/// Writes the first `bytes` bytes of a structure to the start of the message; the message words that
/// it took. What does not fit a message is cut off.
#[inline]
pub fn write<T: IntoBytes + Immutable>(utcb: UtcbRef, value: &T, bytes: usize) -> usize {
    let all = value.as_bytes();
    let all = all.get(..bytes).unwrap_or(all);
    let words = words_of(all.len()).min(MESSAGE_REGISTERS);
    for (index, bytes) in all.chunks(8).enumerate().take(words) {
        let mut word = [0; 8];
        for (to, from) in word.iter_mut().zip(bytes) {
            *to = *from;
        }
        utcb.set_mr(index, u64::from_le_bytes(word));
    }
    words
}
