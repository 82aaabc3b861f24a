//! MOE-DS-17 from a dataspace of another server, which may be anything: late, mute, or lying.
//!
//! Upstream's root task copies from its own dataspaces only, so all of this is ours alone.

use l4_sys::Errno;
use l4re_rs::Cap;
use l4re_rs::cap::kind;
use test_sigma0::tap::Tap;

use super::need;
use crate::ask::Got;
use crate::bench::{Bench, peek};
use crate::elsewhere::{Elsewhere, LIARS, Mood, PAGES, word};
use crate::ops::{copy_in, map};

const PAGE: u64 = 4096;
/// Bytes of all of it.
const ALL: u64 = PAGES * PAGE;

const NAMES: [&str; 7] = [
    "FOREIGN copy_in from an honest server",
    "FOREIGN copy_in from a late server",
    "FOREIGN a server that does not say its size",
    "FOREIGN a server that does not send memory",
    "FOREIGN others are served meanwhile",
    "FOREIGN a server that lies",
    "FOREIGN an honest server after all these",
];

/// All moods.
pub fn run(t: &mut Tap, b: &mut Bench) {
    if !b.ours {
        for name in NAMES {
            t.skip(name, "only percore-pager copies from other servers");
        }
        return;
    }
    let f = need!(t, NAMES[0], b.factory(b.f, 4 << 20));
    let other = need!(t, NAMES[0], b.ds(f, PAGE));
    let start = Elsewhere::start(b, other).ok_or("a thread with a gate");
    let from = need!(t, NAMES[0], start);

    t.equal(NAMES[0], copy(b, f, from.ds), Ok(()));
    from.be(Mood::Late);
    t.equal(NAMES[1], copy(b, f, from.ds), Ok(()));

    from.counts();
    for (name, mood) in [(NAMES[2], Mood::MuteInfo), (NAMES[3], Mood::MuteMap)] {
        from.be(mood);
        let got = copy(b, f, from.ds);
        let (served, unserved) = from.counts();
        t.result(
            name,
            matches!(got, Err(Wrong::Answer(Got::Refused(_)))) && served + unserved > 0,
            format_args!("{got:?}, asked {} times", served + unserved),
        );
        if mood == Mood::MuteMap {
            t.equal(NAMES[4], (served > 0, unserved), (true, 0));
        }
    }

    // What is refused, and what happens to be right, are both answers; what is neither is not.
    let lies = LIARS.iter().map(|mood| {
        from.be(*mood);
        (*mood, copy(b, f, from.ds))
    });
    let wrong = lies.fold(None, |wrong, (mood, got)| {
        let fine = match mood {
            // Readable on this processor whatever is said; and sizes do not matter where memory is.
            Mood::NoRead | Mood::Larger | Mood::Largest => {
                matches!(got, Ok(()) | Err(Wrong::Answer(Got::Refused(_))))
            }
            // What is behind the end of the source is not copied, and no error (MOE-DS-18).
            Mood::Nothing => got == Err(Wrong::Word(0, 0)),
            _ => matches!(got, Err(Wrong::Answer(Got::Refused(_)))),
        };
        wrong.or((!fine).then_some((mood, got)))
    });
    t.equal(NAMES[5], wrong, None);

    from.be(Mood::Honest);
    t.equal(NAMES[6], copy(b, f, from.ds), Ok(()));
    from.end(b);
    b.delete(other);
    b.delete(f);
}

/// What was not as it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wrong {
    /// The answer to the copy.
    Answer(Got),
    /// A page's first word.
    Word(u64, u64),
}

/// Copies all of it into a fresh dataspace and looks at each page.
fn copy(b: &mut Bench, f: Cap<kind::Factory>, from: Cap<kind::Dataspace>) -> Result<(), Wrong> {
    let ds = b.ds(f, ALL).map_err(Wrong::Answer)?;
    let spot = b.spot();
    let got = copy_in(ds, 0, from, 0, ALL);
    let mut result = if got == Got::OK {
        Ok(())
    } else {
        Err(Wrong::Answer(got))
    };
    for page in 0..PAGES {
        let at = page * PAGE;
        if map(ds, at, spot + at, 4).memory().is_none() {
            result = result.and(Err(Wrong::Answer(Got::err(Errno::NoMem))));
            continue;
        }
        let found = peek(spot + at);
        // After a refusal a page is as it was, zero, or copied: nothing else.
        let fine = found == word(page) || result.is_err() && found == 0;
        if !fine {
            result = Err(Wrong::Word(page, found));
        }
        crate::bench::unmap(spot + at, 12);
    }
    b.delete(ds);
    result
}
