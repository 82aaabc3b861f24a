//! Argument lists of factory requests.
//!
//! Behind the object type (64 bits) each argument is a header word (type in bits 0 to 7, byte
//! length from bit 16) and its data, padded to words. A header of 0 ends the list.

use l4_sys::ops::varg;
use l4_sys::{Errno, Fpage, MsgTag, UtcbRef};

use crate::msg::Writer;

/// One argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arg<'a> {
    /// Nothing: ends the list.
    Nil,
    /// A signed number.
    Int(i64),
    /// An unsigned number.
    Uint(u64),
    /// Bytes; strings count their final NUL.
    Bytes(&'a [u8]),
    /// A flexpage.
    Fpage(Fpage),
}

impl Writer {
    /// Appends a factory argument.
    #[must_use = "the writer moves along the chain"]
    pub fn varg(self, arg: Arg<'_>) -> Self {
        let head = |kind: u64, len: usize| kind | (len as u64) << 16;
        match arg {
            Arg::Nil => self.u64(varg::NIL),
            Arg::Int(v) => self.u64(head(varg::MWORD, 8)).u64(v.cast_unsigned()),
            Arg::Uint(v) => self.u64(head(varg::UMWORD, 8)).u64(v),
            Arg::Fpage(f) => self.u64(head(varg::FPAGE, 8)).u64(f.0),
            Arg::Bytes(b) => {
                let pad = b.len().next_multiple_of(8) - b.len();
                self.u64(head(varg::STRING, b.len()))
                    .raw(b)
                    .raw(&[0u8; 8][..pad])
            }
        }
    }
}

/// A received argument. Bytes stay in the UTCB; [`ArgReader::bytes`] copies them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RawArg {
    /// The list is over, here or before.
    Nil,
    /// A number; signed and unsigned headers are taken alike, as upstream does.
    Int(u64),
    /// A string of `len` bytes at byte `at` of the message.
    Bytes {
        /// Byte offset in the message registers.
        at: usize,
        /// Length in bytes, the final NUL included where the sender counts it.
        len: usize,
    },
    /// A flexpage.
    Fpage(Fpage),
    /// A header of an unknown type.
    Other(u8),
}

/// Reads the arguments of a received factory request.
#[derive(Debug, Clone)]
pub struct ArgReader {
    utcb: UtcbRef,
    words: usize,
    next: usize,
}

impl ArgReader {
    /// Starts behind the object type (word 0).
    #[must_use]
    pub fn new(utcb: UtcbRef, tag: MsgTag) -> Self {
        ArgReader {
            utcb,
            words: tag.words(),
            next: 1,
        }
    }

    /// The next argument; [`RawArg::Nil`] for ever once the list has ended.
    ///
    /// # Errors
    /// `MsgTooLong` when an argument runs over the message, `Inval` when a number or flexpage has
    /// a length other than 8 (BUG-20). The list is
    /// over after an error.
    pub fn next_arg(&mut self) -> Result<RawArg, Errno> {
        if self.next >= self.words {
            return Ok(RawArg::Nil);
        }
        let head = self.utcb.mr(self.next);
        if head == 0 {
            self.next = self.words;
            return Ok(RawArg::Nil);
        }
        let data = self.next + 1;
        let len = (head >> 16) as usize & 0xffff;
        let end = data + len.div_ceil(8);
        if end > self.words {
            self.next = self.words;
            return Err(Errno::MsgTooLong);
        }
        self.next = end;
        let kind = head as u8;
        let number = || {
            if len == 8 {
                Ok(self.utcb.mr(data))
            } else {
                Err(Errno::Inval)
            }
        };
        match u64::from(kind) {
            varg::UMWORD | varg::MWORD => number().map(RawArg::Int),
            varg::FPAGE => number().map(|v| RawArg::Fpage(Fpage(v))),
            varg::STRING => Ok(RawArg::Bytes { at: data * 8, len }),
            _ => Ok(RawArg::Other(kind)),
        }
    }

    /// Copies the start of a string argument into `out`; returns the number of bytes copied.
    pub fn bytes(&self, at: usize, len: usize, out: &mut [u8]) -> usize {
        let room = (self.words * 8).saturating_sub(at);
        let n = len.min(out.len()).min(room);
        // SAFETY: `at + n` is inside the words that the tag announced, so inside the UTCB; `out`
        // is not in the UTCB.
        unsafe {
            core::ptr::copy_nonoverlapping(self.utcb.message_bytes().add(at), out.as_mut_ptr(), n);
        }
        n
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_comes_back() {
        let mut words = [0u64; 128];
        // SAFETY: a UTCB-sized block of this thread.
        let u = unsafe { UtcbRef::from_ptr(words.as_mut_ptr().cast()) };
        let tag = Writer::new(u)
            .u64(0x4000)
            .varg(Arg::Int(-5))
            .varg(Arg::Bytes(b"hello\0"))
            .varg(Arg::Fpage(Fpage(0x1234)))
            .varg(Arg::Nil)
            .varg(Arg::Uint(9))
            .finish(-15)
            .expect("fits");
        let mut r = ArgReader::new(u, tag);
        assert_eq!(r.next_arg(), Ok(RawArg::Int((-5i64).cast_unsigned())));
        let Ok(RawArg::Bytes { at, len }) = r.next_arg() else {
            panic!("a string")
        };
        let mut text = [0; 16];
        assert_eq!(r.bytes(at, len, &mut text), 6);
        assert_eq!(&text[..6], b"hello\0");
        assert_eq!(r.next_arg(), Ok(RawArg::Fpage(Fpage(0x1234))));
        assert_eq!(r.next_arg(), Ok(RawArg::Nil));
        assert_eq!(r.next_arg(), Ok(RawArg::Nil), "nothing behind nil");
    }

    #[test]
    fn overruns_and_wrong_lengths() {
        let mut words = [0u64; 128];
        // SAFETY: a UTCB-sized block of this thread.
        let u = unsafe { UtcbRef::from_ptr(words.as_mut_ptr().cast()) };
        u.set_mr(1, 2 | 100 << 16);
        assert_eq!(
            ArgReader::new(u, MsgTag::plain(-15, 4, 0)).next_arg(),
            Err(Errno::MsgTooLong)
        );
        u.set_mr(1, 1 | 4 << 16);
        assert_eq!(
            ArgReader::new(u, MsgTag::plain(-15, 4, 0)).next_arg(),
            Err(Errno::Inval)
        );
        assert_eq!(
            ArgReader::new(u, MsgTag::plain(-15, 1, 0)).next_arg(),
            Ok(RawArg::Nil)
        );
        assert_eq!(
            ArgReader::new(u, MsgTag::plain(-15, 0, 0)).next_arg(),
            Ok(RawArg::Nil)
        );
    }
}
