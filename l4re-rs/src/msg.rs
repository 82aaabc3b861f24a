//! Messages, packed and unpacked as upstream's RPC does.
//!
//! Arguments lie in the message registers one behind the other, each at its natural alignment,
//! from byte 0; the whole is rounded up to words; items (two words each) follow. The same code
//! serves both sides: a client writes a request and reads an answer, a server the other way round.

use l4_sys::item::{Received, SendItem};
use l4_sys::{Errno, MsgTag, UtcbRef};

/// Bytes of the message registers.
pub const MESSAGE_BYTES: usize = l4_sys::utcb::MESSAGE_REGISTERS * 8;
/// Most items that a [`Writer`] keeps.
pub const MAX_ITEMS: usize = 4;

/// Packs a message into the UTCB.
///
/// An argument that does not fit is remembered and reported once by [`Writer::finish`]; so the
/// calls chain without a check each.
#[derive(Debug)]
pub struct Writer {
    utcb: UtcbRef,
    pos: usize,
    items: [SendItem; MAX_ITEMS],
    item_count: usize,
    overflow: bool,
}

impl Writer {
    /// Starts at byte 0 of the message.
    #[inline]
    #[must_use]
    pub fn new(utcb: UtcbRef) -> Self {
        const VOID: SendItem = SendItem {
            control: 0,
            fpage: l4_sys::Fpage(0),
        };
        Writer {
            utcb,
            pos: 0,
            items: [VOID; MAX_ITEMS],
            item_count: 0,
            overflow: false,
        }
    }

    #[inline]
    fn room(&mut self, size: usize, align: usize) -> Option<*mut u8> {
        let start = self.pos.next_multiple_of(align);
        match start.checked_add(size) {
            Some(end) if end <= MESSAGE_BYTES => {
                self.pos = end;
                // SAFETY: `start + size` is inside the message registers.
                Some(unsafe { self.utcb.message_bytes().add(start) })
            }
            _ => {
                self.overflow = true;
                None
            }
        }
    }

    /// Appends a 64-bit argument.
    #[inline]
    #[must_use = "the writer moves along the chain"]
    pub fn u64(mut self, v: u64) -> Self {
        if let Some(p) = self.room(8, 8) {
            // SAFETY: `room` gave 8 bytes, aligned to 8.
            unsafe { p.cast::<u64>().write(v) }
        }
        self
    }

    /// Appends a 32-bit argument.
    #[inline]
    #[must_use = "the writer moves along the chain"]
    pub fn u32(mut self, v: u32) -> Self {
        if let Some(p) = self.room(4, 4) {
            // SAFETY: `room` gave 4 bytes, aligned to 4.
            unsafe { p.cast::<u32>().write(v) }
        }
        self
    }

    /// Appends a 16-bit argument.
    #[inline]
    #[must_use = "the writer moves along the chain"]
    pub fn u16(mut self, v: u16) -> Self {
        if let Some(p) = self.room(2, 2) {
            // SAFETY: `room` gave 2 bytes, aligned to 2.
            unsafe { p.cast::<u16>().write(v) }
        }
        self
    }

    /// Appends a byte.
    #[inline]
    #[must_use = "the writer moves along the chain"]
    pub fn u8(mut self, v: u8) -> Self {
        if let Some(p) = self.room(1, 1) {
            // SAFETY: `room` gave a byte.
            unsafe { p.write(v) }
        }
        self
    }

    /// Appends bytes as they are, without a length.
    #[inline]
    #[must_use = "the writer moves along the chain"]
    pub fn raw(mut self, bytes: &[u8]) -> Self {
        if let Some(p) = self.room(bytes.len(), 1) {
            // SAFETY: `room` gave `bytes.len()` bytes of the UTCB, which `bytes` does not overlap:
            // references into the UTCB are never handed out.
            unsafe { core::ptr::copy_nonoverlapping(bytes.as_ptr(), p, bytes.len()) }
        }
        self
    }

    /// Appends an array argument: the length as 64-bit word, then the bytes.
    #[inline]
    #[must_use = "the writer moves along the chain"]
    pub fn array(self, bytes: &[u8]) -> Self {
        self.u64(bytes.len() as u64).raw(bytes)
    }

    /// Appends an item; items go behind all words, in the order of these calls.
    #[inline]
    #[must_use = "the writer moves along the chain"]
    pub fn item(mut self, item: SendItem) -> Self {
        match self.items.get_mut(self.item_count) {
            Some(place) => {
                *place = item;
                self.item_count += 1;
            }
            None => self.overflow = true,
        }
        self
    }

    /// The tag of the finished message.
    ///
    /// # Errors
    /// `MsgTooLong` when something did not fit.
    #[inline]
    pub fn finish(self, label: i64) -> Result<MsgTag, Errno> {
        let words = self.pos.div_ceil(8);
        let tag = MsgTag::plain(label, words, self.item_count);
        if self.overflow || !tag.fits() {
            return Err(Errno::MsgTooLong);
        }
        for (i, item) in self.items.iter().take(self.item_count).enumerate() {
            self.utcb.set_mr(words + 2 * i, item.control);
            self.utcb.set_mr(words + 2 * i + 1, item.fpage.0);
        }
        Ok(tag)
    }
}

/// Unpacks a message from the UTCB; reads only words that the tag says were sent.
#[derive(Debug, Clone)]
pub struct Reader {
    utcb: UtcbRef,
    tag: MsgTag,
    pos: usize,
    item: usize,
}

impl Reader {
    /// Starts at byte 0 of a message with this tag.
    #[inline]
    #[must_use]
    pub fn new(utcb: UtcbRef, tag: MsgTag) -> Self {
        Reader {
            utcb,
            tag,
            pos: 0,
            item: 0,
        }
    }

    #[inline]
    fn take(&mut self, size: usize, align: usize) -> Result<*const u8, Errno> {
        let start = self.pos.next_multiple_of(align);
        match start.checked_add(size) {
            Some(end) if end <= self.tag.words() * 8 => {
                self.pos = end;
                // SAFETY: a tag has at most 63 words, so the range is inside the UTCB.
                Ok(unsafe { self.utcb.message_bytes().add(start) })
            }
            _ => Err(Errno::MsgTooShort),
        }
    }

    /// The next 64-bit argument.
    ///
    /// # Errors
    /// `MsgTooShort` when the message ends before; the same for the other readers.
    #[inline]
    pub fn u64(&mut self) -> Result<u64, Errno> {
        let p = self.take(8, 8)?;
        // SAFETY: `take` checked 8 bytes, aligned to 8.
        Ok(unsafe { p.cast::<u64>().read() })
    }

    /// The next 64-bit argument, signed.
    ///
    /// # Errors
    /// As [`Reader::u64`].
    #[inline]
    pub fn i64(&mut self) -> Result<i64, Errno> {
        self.u64().map(u64::cast_signed)
    }

    /// The next 32-bit argument.
    ///
    /// # Errors
    /// As [`Reader::u64`].
    #[inline]
    pub fn u32(&mut self) -> Result<u32, Errno> {
        let p = self.take(4, 4)?;
        // SAFETY: `take` checked 4 bytes, aligned to 4.
        Ok(unsafe { p.cast::<u32>().read() })
    }

    /// The next 16-bit argument.
    ///
    /// # Errors
    /// As [`Reader::u64`].
    #[inline]
    pub fn u16(&mut self) -> Result<u16, Errno> {
        let p = self.take(2, 2)?;
        // SAFETY: `take` checked 2 bytes, aligned to 2.
        Ok(unsafe { p.cast::<u16>().read() })
    }

    /// The next byte.
    ///
    /// # Errors
    /// As [`Reader::u64`].
    #[inline]
    pub fn u8(&mut self) -> Result<u8, Errno> {
        let p = self.take(1, 1)?;
        // SAFETY: `take` checked a byte.
        Ok(unsafe { p.read() })
    }

    /// Copies an array argument (64-bit length, bytes) into `out`; returns its length in bytes.
    ///
    /// # Errors
    /// `MsgTooShort` when the message ends before the array, `MsgTooLong` when `out` is too small.
    #[inline]
    pub fn array(&mut self, out: &mut [u8]) -> Result<usize, Errno> {
        let len = self.u64()?;
        if len > MESSAGE_BYTES as u64 {
            return Err(Errno::MsgTooShort);
        }
        let len = len as usize;
        let p = self.take(len, 1)?;
        let out = out.get_mut(..len).ok_or(Errno::MsgTooLong)?;
        // SAFETY: `take` checked `len` bytes of the UTCB; `out` is elsewhere (see `Writer::raw`).
        unsafe { core::ptr::copy_nonoverlapping(p, out.as_mut_ptr(), len) }
        Ok(len)
    }

    /// The next item; they stand behind all words, whatever has been read so far.
    ///
    /// # Errors
    /// `MsgTooShort` when there is no further item, or words and items exceed a message.
    #[inline]
    pub fn item(&mut self) -> Result<Received, Errno> {
        let at = self.tag.words() + 2 * self.item;
        if self.item >= self.tag.items() || at + 2 > l4_sys::utcb::MESSAGE_REGISTERS {
            return Err(Errno::MsgTooShort);
        }
        self.item += 1;
        Ok(Received::decode(self.utcb.mr(at), self.utcb.mr(at + 1)))
    }

    /// Bytes not read yet.
    #[inline]
    #[must_use]
    pub fn rest(&self) -> usize {
        (self.tag.words() * 8).saturating_sub(self.pos)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use l4_sys::{CapIdx, CapRights, Fpage};

    fn block(words: &mut [u64; 128]) -> UtcbRef {
        // SAFETY: a UTCB-sized block of this thread.
        unsafe { UtcbRef::from_ptr(words.as_mut_ptr().cast()) }
    }

    #[test]
    fn natural_alignment() {
        let mut words = [0u64; 128];
        let u = block(&mut words);
        let tag = Writer::new(u)
            .u32(7)
            .u64(8)
            .u8(9)
            .u16(10)
            .u32(11)
            .finish(5)
            .expect("fits");
        assert_eq!((tag.label(), tag.words()), (5, 3));
        let mut r = Reader::new(u, tag);
        assert_eq!((r.u32(), r.u64(), r.u8()), (Ok(7), Ok(8), Ok(9)));
        assert_eq!(
            (r.u16(), r.u32(), r.u64()),
            (Ok(10), Ok(11), Err(Errno::MsgTooShort))
        );
        assert_eq!(words[1], 8);
        assert_eq!(words[2], 9 | 10 << 16 | 11 << 32);
    }

    #[test]
    fn items_follow_the_words() {
        let mut words = [0u64; 128];
        let u = block(&mut words);
        let item = SendItem::plain(Fpage::obj(CapIdx::from_slot(3), 0, CapRights::RWS));
        let tag = Writer::new(u)
            .u32(1)
            .item(item)
            .array(b"abc")
            .finish(-7)
            .expect("fits");
        assert_eq!((tag.words(), tag.items()), (3, 1));
        assert_eq!((words[3], words[4]), (8, 3 << 12 | 0x30 | 7));
        let mut r = Reader::new(block(&mut words), tag);
        assert_eq!(r.u32(), Ok(1));
        let mut name = [0; 8];
        assert_eq!(r.array(&mut name), Ok(3));
        assert_eq!(&name[..3], b"abc");
        assert!(r.item().is_ok());
        assert_eq!(r.item(), Err(Errno::MsgTooShort));
    }

    #[test]
    fn limits_are_errors() {
        let mut words = [0u64; 128];
        let u = block(&mut words);
        assert_eq!(
            Writer::new(u).raw(&[0; 505]).finish(0),
            Err(Errno::MsgTooLong)
        );
        assert!(Writer::new(u).raw(&[0; 504]).finish(0).is_ok());
        let item = SendItem::plain(Fpage::INVALID);
        assert_eq!(
            Writer::new(u).raw(&[0; 500]).item(item).finish(0),
            Err(Errno::MsgTooLong)
        );
        u.set_mr(0, u64::MAX);
        let mut r = Reader::new(u, MsgTag::plain(0, 2, 0));
        assert_eq!(r.array(&mut [0; 600]), Err(Errno::MsgTooShort));
        u.set_mr(0, 8);
        let mut r = Reader::new(u, MsgTag::plain(0, 2, 0));
        assert_eq!(r.array(&mut [0; 4]), Err(Errno::MsgTooLong));
        let mut r = Reader::new(u, MsgTag::plain(0, 62, 1));
        assert_eq!(r.item(), Err(Errno::MsgTooShort));
    }
}
