//! I/O port faults: ports are owned one by one, like pages of RAM (S0-PF-04, S0-OWN-10).

use l4_sys::{Errno, Fpage, FpageType};

use crate::map::{MapId, OwnerId, Range, Regions, Rights};

/// Number of the last port.
const LAST_PORT: u64 = 0xffff;

/// Gives the ports that a fault names to `owner`.
///
/// A range that is not aligned to its size is refused: the kernel would round it down and open
/// ports that were never checked (BUG-25). So is one beyond the last port (BUG-26).
///
/// # Errors
/// `Inval` not a port flexpage, or misaligned; `NoMem` not free and not the owner's.
pub fn claim(maps: &mut Regions, fpage: Fpage, owner: OwnerId) -> Result<(), Errno> {
    if fpage.kind() != FpageType::Io {
        return Err(Errno::Inval);
    }
    if fpage.order() > l4_sys::fpage::WHOLE_IO_SPACE {
        return Err(Errno::NoMem);
    }
    let range = Range::block(fpage.number(), fpage.order() as u8).ok_or(Errno::Inval)?;
    if range.end() > LAST_PORT {
        return Err(Errno::NoMem);
    }
    maps.claim(MapId::Ports, range, owner, Rights::RW)
        .map_err(|_| Errno::NoMem)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::map::NodeSlot;

    #[test]
    fn ports_have_owners() {
        let mut m = Regions::new(
            (0..64)
                .map(|_| NodeSlot::EMPTY)
                .collect::<std::vec::Vec<_>>()
                .leak(),
        )
        .expect("slots");
        let all = Range::new(0, LAST_PORT).expect("a range");
        m.add_free(MapId::Ports, all, Rights::RW).expect("room");
        let (a, b) = (
            OwnerId::new(12).expect("not 0"),
            OwnerId::new(13).expect("not 0"),
        );
        assert_eq!(claim(&mut m, Fpage::io(0x3f8, 3), a), Ok(()));
        assert_eq!(claim(&mut m, Fpage::io(0x3f8, 3), a), Ok(()), "again");
        assert_eq!(claim(&mut m, Fpage::io(0x3fc, 0), b), Err(Errno::NoMem));
        assert_eq!(claim(&mut m, Fpage::io(0x3f0, 4), b), Err(Errno::NoMem));
        assert_eq!(claim(&mut m, Fpage::io(0x3f9, 3), a), Err(Errno::Inval));
        assert_eq!(claim(&mut m, Fpage::io(0, 55), b), Err(Errno::NoMem));
        assert_eq!(claim(&mut m, Fpage::io(0x10000, 0), b), Err(Errno::NoMem));
        assert_eq!(
            claim(&mut m, Fpage::io(0, 16), b),
            Err(Errno::NoMem),
            "not all of it free"
        );
        assert_eq!(claim(&mut m, Fpage(0x3f8 << 12), b), Err(Errno::Inval));
        assert_eq!(claim(&mut m, Fpage::io(0xffff, 0), b), Ok(()));
        m.validate().expect("consistent");
    }
}
