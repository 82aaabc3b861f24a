//! Region maps against a plain list of ranges: same answers, same contents, after every step, also
//! when memory runs out at any point; and the edges of the address space one by one.

mod engine_support;
#[path = "engine_support/rm.rs"]
mod rig;

use engine_support::{Pages, runner};
use l4_sys::Errno;
use percore_pager::engine::rm::{self, AttachFlags, How, Place, Range, flag};
use percore_pager::engine::{Store, slabs};
use proptest::prelude::*;
use rig::{Op, PAGE, Rig, contents};

/// Addresses near the map: low or at the very end, mostly page-aligned.
fn address() -> impl Strategy<Value = u64> {
    let low = prop_oneof![4 => Just(0u64), 1 => Just(1), 1 => Just(4095), 1 => 0u64..4096];
    prop_oneof![
        12 => (0u64..72, low).prop_map(|(page, low)| page * PAGE + low),
        1 => Just(u64::MAX), 1 => Just(u64::MAX - 4095), 1 => any::<u64>(),
    ]
}

fn size() -> impl Strategy<Value = u64> {
    prop_oneof![
        8 => (1u64..9).prop_map(|pages| pages * PAGE),
        3 => 1u64..(20 * PAGE),
        1 => Just(0), 1 => Just(u64::MAX), 1 => Just(u64::MAX - 4094), 1 => any::<u64>(),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    let bits = |all: &'static [u32]| {
        proptest::collection::vec(proptest::sample::select(all), 0..4)
            .prop_map(|bits| bits.into_iter().fold(0, |a, b| a | b))
    };
    const ATTACH: &[u32] = &[
        flag::R,
        flag::W,
        flag::X,
        flag::R | flag::W,
        flag::R | flag::X,
        7,
        0x10,
        0x20,
        flag::KERNEL,
        flag::RESERVED,
        flag::PRIVATE,
        flag::ANONYMOUS,
        flag::SEARCH_ADDR,
        flag::SEARCH_ADDR,
        flag::IN_AREA,
        flag::IN_AREA,
        flag::EAGER_MAP,
        0x8,
        0x200000,
    ];
    const RESERVE: &[u32] = &[flag::SEARCH_ADDR, flag::RESERVED, flag::KERNEL, 1];
    let align = || prop_oneof![6 => Just(12u8), 2 => 12u8..17, 1 => 0u8..12, 1 => any::<u8>()];
    prop_oneof![
        12 => (address(), size(), bits(ATTACH), align())
            .prop_map(|(start, size, flags, align)| Op::Attach { start, size, flags, align }),
        8 => (address(), size(), prop_oneof![4 => Just(0u32), 2 => Just(1), 2 => Just(2), 1 => 3u32..9])
            .prop_map(|(start, size, flags)| Op::Detach { start, size, flags }),
        4 => (address(), size(), bits(RESERVE), align())
            .prop_map(|(start, size, flags, align)| Op::Reserve { start, size, flags, align }),
        3 => address().prop_map(|address| Op::FreeArea { address }),
        2 => (address(), address()).prop_map(|(begin, end)| Op::AddJump { begin, end }),
        1 => address().prop_map(|pc| Op::RemoveJump { pc }),
        6 => address().prop_map(|word| Op::Fault { word }),
        4 => (address(), address(), prop_oneof![0u16..8, any::<u16>()])
            .prop_map(|(first, last, rights)| Op::PageIn { first, last, rights }),
        1 => proptest::option::weighted(0.3, 0u32..2).prop_map(|pages| Op::Memory { pages }),
    ]
}

fn settings() -> Vec<(Range, Vec<Range>)> {
    let pages = |first: u64, count: u64| Range::sized(first * PAGE, count * PAGE).expect("small");
    let top = Range::new((72 * PAGE).wrapping_neg(), u64::MAX).expect("at the end");
    vec![
        (pages(0, 64), vec![]),
        (pages(0, 64), vec![pages(0, 2), pages(40, 3)]),
        (pages(3, 50), vec![pages(60, 10)]),
        (top, vec![]),
        (Range::new(0, u64::MAX).expect("all"), vec![top]),
    ]
}

#[test]
fn maps_do_what_a_list_of_ranges_does() {
    let traces = (0..settings().len(), proptest::collection::vec(op(), 1..120));
    runner(1500)
        .run(&traces, |(setting, ops)| {
            let (limits, kept) = settings().swap_remove(setting);
            let mut rig = Rig::new(limits, &kept);
            rig.check();
            for op in ops {
                rig.step(op);
                rig.check();
            }
            rig.destroy();
            Ok(())
        })
        .unwrap_or_else(|e| panic!("{e}"));
}

/// All of a map in small pieces, so that trees grow and shrink: many more than random traces make.
#[test]
fn a_thousand_regions_come_and_go() {
    let limits = Range::new(0, (1 << 40) - 1).expect("a range");
    let mut pages = Pages::new(200);
    let own = slabs::root(&mut pages, 0).expect("a page");
    let map = rm::create(&mut pages, own, limits, []).expect("memory");
    let flags = AttachFlags::new(7).expect("known");
    let order: Vec<u64> = (0..1024u64).map(|n| (n * 389) % 1024).collect();
    for n in &order {
        let place = Place::new((n + 1) * 2 * PAGE, PAGE, flags, 12).expect("a page");
        rm::attach(&mut pages, map, place, contents(n + 1)).expect("free");
    }
    let truth = rm::validate(pages.arena(), map).expect("sound");
    assert_eq!(truth.regions, 1024);
    for n in order.iter().rev() {
        let got = rm::detach(&mut pages, map, (n + 1) * 2 * PAGE, PAGE, 0).expect("there");
        assert_eq!((got.how, got.again), (How::Whole, false));
        if n % 64 == 0 {
            rm::validate(pages.arena(), map).expect("sound");
        }
    }
}

#[test]
fn splitting_without_memory_leaves_the_region_whole() {
    let limits = Range::new(0, (1 << 30) - 1).expect("a range");
    let mut pages = Pages::new(20);
    let own = slabs::root(&mut pages, 0).expect("a page");
    let account = slabs::open(&mut pages, own, 8 * PAGE).expect("no limit");
    let map = rm::create(&mut pages, account, limits, []).expect("memory");
    let flags = AttachFlags::new(7).expect("known");
    // Fills the page of region nodes: 31 of them.
    for n in 0..31 {
        let place = Place::new((1 + n) << 20, 3 * PAGE, flags, 12).expect("three pages");
        rm::attach(&mut pages, map, place, contents(n + 1)).expect("free");
    }
    pages.fuse = Some(0);
    let before: Vec<_> = rm::regions(pages.arena(), map, 0).collect();
    let got = rm::detach(&mut pages, map, (1 << 20) + PAGE, PAGE, 0);
    assert_eq!(got, Err(Errno::NoMem));
    assert_eq!(
        rm::regions(pages.arena(), map, 0).collect::<Vec<_>>(),
        before
    );
    pages.fuse = None;
    let got = rm::detach(&mut pages, map, (1 << 20) + PAGE, PAGE, 0).expect("memory");
    assert_eq!(got.how, How::Split);
}

#[test]
fn making_a_map_without_memory_leaves_nothing() {
    for fuse in 0..3 {
        let mut pages = Pages::new(20);
        let own = slabs::root(&mut pages, 0).expect("a page");
        let account = slabs::open(&mut pages, own, 8 * PAGE).expect("no limit");
        let used = pages.used();
        pages.fuse = Some(fuse);
        let limits = Range::new(0, (1 << 30) - 1).expect("a range");
        match rm::create(&mut pages, account, limits, []) {
            Ok(map) => {
                assert!(fuse >= 1, "one page holds a map and its first areas");
                assert!(rm::validate(pages.arena(), map).is_some());
            }
            Err(e) => {
                assert_eq!((e, pages.used(), fuse), (Errno::NoMem, used, 0));
                assert_eq!(pages.arena().get(account).reserved(), 0);
            }
        }
    }
}

#[test]
fn page_zero_stays_guarded() {
    let limits = Range::new(0, (1 << 30) - 1).expect("a range");
    let mut pages = Pages::new(20);
    let own = slabs::root(&mut pages, 0).expect("a page");
    let map = rm::create(&mut pages, own, limits, []).expect("memory");
    assert_eq!(rm::free_area(&mut pages, map, 0), Err(Errno::NoEnt));
    let fixed = AttachFlags::new(7).expect("known");
    let place = Place::new(0, PAGE, fixed, 12).expect("a page");
    let got = rm::attach(&mut pages, map, place, contents(1));
    assert_eq!(got, Err(Errno::AddrNotAvail));
    let search = AttachFlags::new(7 | flag::SEARCH_ADDR).expect("known");
    let place = Place::new(0, PAGE, search, 12).expect("a page");
    let got = rm::attach(&mut pages, map, place, contents(1)).expect("room");
    assert_eq!(got.start(), PAGE);
}

/// A map of `count` regions of a page, with gaps of `gap` pages in front of each.
fn rows(pages: &mut Pages, count: u64, gap: u64) -> percore_pager::engine::Ref<rm::Map> {
    let limits = Range::new(0, (1 << 40) - 1).expect("a range");
    let own = slabs::root(pages, 0).expect("a page");
    let map = rm::create(pages, own, limits, []).expect("memory");
    let flags = AttachFlags::new(7).expect("known");
    for n in 0..count {
        let at = (n + 1) * (gap + 1) * PAGE;
        let place = Place::new(at, PAGE, flags, 12).expect("a page");
        rm::attach(pages, map, place, contents(n + 1)).expect("free");
    }
    map
}

fn seek(
    pages: &mut Pages,
    map: percore_pager::engine::Ref<rm::Map>,
    size: u64,
    align: u8,
) -> Result<u64, Errno> {
    let flags = AttachFlags::new(7 | flag::SEARCH_ADDR).expect("known");
    let place = Place::new(0, size * PAGE, flags, align).expect("pages");
    rm::attach(pages, map, place, contents(1)).map(|range| range.start() / PAGE)
}

/// Looking for a place among 10 000 regions takes a few steps, not one for each.
#[test]
fn a_search_does_not_look_at_each_region() {
    const COUNT: u64 = 10_000;
    let mut pages = Pages::new(1000);
    let map = rows(&mut pages, COUNT, 1);
    for n in 0..1000 {
        pages.steps = 0;
        // Two pages fit behind the last one only.
        let got = seek(&mut pages, map, 2, 12);
        assert_eq!(got, Ok(2 * COUNT + 1 + 2 * n));
        assert!(pages.steps <= 4, "{} steps", pages.steps);
    }
    // A gap in the middle is found as it comes, and the lowest of several.
    for n in [9000, 100, 5000] {
        let got = rm::detach(&mut pages, map, 2 * n * PAGE, PAGE, 0).expect("there");
        assert_eq!(got.how, How::Whole);
        rm::validate(pages.arena(), map).expect("sound");
    }
    for n in [100, 5000, 9000] {
        pages.steps = 0;
        assert_eq!(seek(&mut pages, map, 3, 12), Ok(2 * n - 1));
        assert!(pages.steps <= 4, "{} steps", pages.steps);
    }
    rm::validate(pages.arena(), map).expect("sound");
}

/// Gaps that are large enough but have no aligned place in them have to be looked at: in turns, with the same end.
#[test]
fn a_search_that_takes_long_goes_on_in_turns() {
    const COUNT: u64 = 1000;
    const STEPS: u32 = 32;
    let mut pages = Pages::new(200);
    // Gaps of three pages, of which two are never a multiple of four.
    let map = rows(&mut pages, COUNT, 3);
    // The gaps are pages 1 to 3, 5 to 7 and so on: an aligned place for three pages is only behind all of them.
    let mut turns = 0;
    let got = loop {
        (pages.steps_left, turns) = (Some(STEPS), turns + 1);
        match seek(&mut pages, map, 3, 14) {
            Err(Errno::AddrNotAvail) if pages.steps_left == Some(0) => {}
            got => break got,
        }
    };
    assert_eq!(got, Ok(4 * (COUNT + 1)));
    println!("{} steps in {turns} turns", pages.steps);
    assert!(turns > 10 && turns <= 2 + pages.steps / u64::from(STEPS));
    // What becomes free meanwhile, below where it is, is found.
    pages.steps_left = Some(STEPS);
    assert_eq!(seek(&mut pages, map, 3, 14), Err(Errno::AddrNotAvail));
    let _ = rm::detach(&mut pages, map, 4 * 2 * PAGE, PAGE, 0).expect("there");
    pages.steps_left = Some(STEPS);
    assert_eq!(seek(&mut pages, map, 3, 14), Ok(4 * 2));
    // Another search begins at its own start.
    pages.steps_left = Some(STEPS);
    assert_eq!(seek(&mut pages, map, 3, 14), Err(Errno::AddrNotAvail));
    pages.steps_left = Some(STEPS);
    assert_eq!(seek(&mut pages, map, 1, 12), Ok(1));
}
