//! A factory's memory figures (MOE-QUO-09, label 0x400b).

use l4_sys::{Errno, MsgTag, UtcbRef};
use l4re_rs::msg::{Reader, Writer};

use crate::engine::quota::Figures;

/// Decodes a request; info, operation 0, is the only one. No right is needed.
///
/// # Errors
///
/// `MsgTooShort` no opcode, `NoSys` an unknown one.
pub fn decode(utcb: UtcbRef, tag: MsgTag) -> Result<(), Errno> {
    match Reader::new(utcb, tag).u32()? {
        0 => Ok(()),
        _ => Err(Errno::NoSys),
    }
}

/// Writes the answer: five words.
///
/// # Errors
///
/// None for five words.
pub fn answer(utcb: UtcbRef, figures: &Figures) -> Result<MsgTag, Errno> {
    Writer::new(utcb)
        .u64(figures.quota)
        .u64(figures.reserved)
        .u64(figures.memory)
        .u64(figures.committed)
        .u64(figures.free)
        .finish(0)
}
