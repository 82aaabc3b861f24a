//! The Meta protocol: what sigma0 says it speaks (S0-META).

use l4_sys::{Errno, MsgTag, UtcbRef, proto};
use l4re_rs::msg::{Reader, Writer};

use crate::ext;

/// Interfaces in the order in which they are listed.
const INTERFACES: [i64; 2] = [proto::SIGMA0, proto::FACTORY];

/// Answers a Meta request; the result is the answer's tag.
///
/// # Errors
/// `MsgTooShort`, `NoSys` unknown operation, `Range` no such interface.
pub fn answer(utcb: UtcbRef, tag: MsgTag) -> Result<MsgTag, Errno> {
    let mut r = Reader::new(utcb, tag);
    match r.u32()? {
        0 => Ok(MsgTag::plain(INTERFACES.len() as i64, 0, 0)),
        1 => {
            let index = r.u64()?;
            let protocol = usize::try_from(index).ok().and_then(|i| INTERFACES.get(i));
            let protocol = *protocol.ok_or(Errno::Range)?;
            // The name is the empty string, as upstream's, which is built without names.
            Writer::new(utcb)
                .u64(protocol.cast_unsigned())
                .array(&[0])
                .finish(0)
        }
        2 => {
            // Compared as 16 bits, as upstream does.
            let asked = r.u64()? as u16;
            let ours = INTERFACES.iter().chain([&ext::PROTOCOL]);
            let known = ours.into_iter().any(|p| *p as u16 == asked);
            Ok(MsgTag::plain(i64::from(known), 0, 0))
        }
        _ => Err(Errno::NoSys),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_what_it_speaks() {
        let mut block = [0u64; 128];
        // SAFETY: a UTCB-sized block of this thread.
        let u = unsafe { UtcbRef::from_ptr(block.as_mut_ptr().cast()) };
        let ask = |op: u32, arg: u64| {
            let tag = Writer::new(u)
                .u32(op)
                .u64(arg)
                .finish(proto::META)
                .expect("fits");
            answer(u, tag).map(|t| (t.label(), t.words(), u.mr(0).cast_signed()))
        };
        assert_eq!(ask(0, 0).map(|a| a.0), Ok(2));
        assert_eq!(ask(1, 0), Ok((0, 3, -6)));
        assert_eq!(ask(1, 1), Ok((0, 3, -15)));
        assert_eq!(ask(1, 2), Err(Errno::Range));
        assert_eq!(ask(1, u64::MAX), Err(Errno::Range));
        assert_eq!(ask(2, 0xffff_fffa).map(|a| a.0), Ok(1));
        assert_eq!(ask(2, 5).map(|a| a.0), Ok(0));
        assert_eq!(ask(3, 0), Err(Errno::NoSys));
        assert_eq!(
            answer(u, MsgTag::plain(proto::META, 0, 0)),
            Err(Errno::MsgTooShort)
        );
        assert_eq!(
            answer(u, MsgTag::plain(proto::META, 1, 0)),
            Err(Errno::NoSys)
        );
    }
}
