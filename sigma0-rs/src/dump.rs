//! The maps as text: at start and on request.
//!
//! One line a run, `[owner:rights:first;last]` in hexadecimal but for the owner, so that it can be
//! compared line by line with upstream's.

use core::fmt::{self, Write};

use crate::map::{MapId, OwnerId, Regions, Run};

/// Prints all three maps.
///
/// # Errors
/// Those of the writer.
pub fn maps(out: &mut impl Write, maps: &Regions) -> fmt::Result {
    for (id, title) in [
        (MapId::Ram, "RAM"),
        (MapId::Io, "IOMEM"),
        (MapId::Ports, "IO PORTS"),
    ] {
        writeln!(out, "SIGMA0: {title}:")?;
        for r in maps.runs(id) {
            run(out, r)?;
        }
    }
    Ok(())
}

fn run(out: &mut impl Write, r: Run) -> fmt::Result {
    let bits = r.state.rights().bits();
    let letter = |bit: u8, c: char| if bits & bit != 0 { c } else { '-' };
    writeln!(
        out,
        "[{}:{}{}{}:{:x};{:x}]{}",
        r.state.owner().map_or(0, OwnerId::get),
        letter(4, 'R'),
        letter(2, 'W'),
        letter(1, 'X'),
        r.range.start(),
        r.range.end(),
        if r.state.is_reserved() { " pagers" } else { "" }
    )
}

/// Prints what the bookkeeping costs.
///
/// # Errors
/// Those of the writer.
pub fn pool(out: &mut impl Write, maps: &Regions) -> fmt::Result {
    let p = maps.pool();
    writeln!(
        out,
        "SIGMA0: bookkeeping: {} of {} nodes of {} bytes in use, {} pages taken from RAM",
        p.total - p.free,
        p.total,
        crate::map::NODE_BYTES,
        p.pages
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::map::{NodeSlot, Range, Rights, State};

    #[test]
    fn lines() {
        let mut m = Regions::new(
            (0..64)
                .map(|_| NodeSlot::EMPTY)
                .collect::<std::vec::Vec<_>>()
                .leak(),
        )
        .expect("slots");
        let r = |a, b| Range::new(a, b).expect("a range");
        m.add_free(MapId::Ram, r(0x1000, 0x4fff), Rights::RWX)
            .expect("room");
        m.reserve_for(MapId::Ram, r(0x2000, 0x2fff), OwnerId::ROOT, Rights::RX)
            .expect("room");
        m.set(
            MapId::Ram,
            r(0x4000, 0x4fff),
            State::free_reserved(Rights::RWX),
        )
        .expect("room");
        let mut s = std::string::String::new();
        maps(&mut s, &m).expect("strings take all");
        assert_eq!(
            s,
            "SIGMA0: RAM:\n[0:RWX:1000;1fff]\n[4:R-X:2000;2fff]\n[0:RWX:3000;3fff]\n\
             [0:RWX:4000;4fff] pagers\nSIGMA0: IOMEM:\nSIGMA0: IO PORTS:\n"
        );
    }
}
