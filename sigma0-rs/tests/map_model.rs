//! The region map against a plain model: random traces, fixed seeds, edges, growth.

mod model;

use model::{Met, drive, memory, taken, window};
use proptest::prelude::*;
use sigma0_rs::map::{MIN_SLOTS, MapError, MapId, OwnerId, Range, Regions, Rights, State};

const PAGE: u64 = 4096;

fn owner(n: u16) -> OwnerId {
    OwnerId::new(n).unwrap()
}

fn page(n: u64) -> Range {
    Range::block(n * PAGE, 12).unwrap()
}

fn pages(a: u64, b: u64) -> Range {
    Range::new(a * PAGE, b * PAGE + (PAGE - 1)).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]
    #[test]
    fn map_and_model_agree(data in proptest::collection::vec(any::<u8>(), 1..1200)) {
        drive(&data);
    }
}

/// The fuzzer's body on fixed seeds: long traces, every kind of universe.
#[test]
fn fixed_seeds() {
    let mut sum = Met::default();
    for seed in 0..256u64 {
        let mut x = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut data: Vec<u8> = (0..3000)
            .map(|_| {
                x ^= x << 13;
                x ^= x >> 7;
                x ^= x << 17;
                (x >> 24) as u8
            })
            .collect();
        data[0] = seed as u8;
        let met = drive(&data);
        sum.done += met.done;
        sum.refused += met.refused;
        sum.no_nodes += met.no_nodes;
        sum.pages += met.pages;
    }
    println!("{sum:?}");
    assert!(sum.done > 10_000 && sum.refused > 10_000, "{sum:?}");
    assert!(sum.no_nodes > 100 && sum.pages > 5, "{sum:?}");
}

/// Claims every second page until nodes run out, at every size of pool: each refusal changes nothing,
/// and everything can be given back afterwards.
#[test]
fn out_of_nodes_changes_nothing() {
    for slots in MIN_SLOTS..MIN_SLOTS + 40 {
        let (_memory, nodes) = memory(slots, 0);
        let mut maps = Regions::new(nodes).unwrap();
        maps.add_free(MapId::Ram, pages(0, 9_999), Rights::RWX)
            .unwrap();
        let mut claimed = 0;
        let refused = (0..5_000).find(|i| {
            let before: Vec<_> = maps.runs(MapId::Ram).collect();
            let pool = maps.pool();
            match maps.claim(MapId::Ram, page(i * 2), owner(9), Rights::RWX) {
                Ok(()) => {
                    claimed += 1;
                    false
                }
                Err(e) => {
                    assert_eq!(e, MapError::NoNodes);
                    assert_eq!(maps.runs(MapId::Ram).collect::<Vec<_>>(), before);
                    assert_eq!(maps.pool(), pool);
                    maps.validate().unwrap();
                    true
                }
            }
        });
        assert!(refused.is_some(), "{slots} slots");
        assert_eq!(maps.totals(MapId::Ram).owned, claimed * PAGE);
        for i in 0..claimed {
            maps.release(MapId::Ram, page(i * 2), owner(9), Rights::RWX)
                .unwrap();
        }
        maps.validate().unwrap();
        assert_eq!(maps.totals(MapId::Ram).free, 10_000 * PAGE);
        assert_eq!(maps.run_count(MapId::Ram), 2);
    }
    assert!(Regions::new(memory(MIN_SLOTS - 1, 0).1).is_none());
}

/// 20 000 runs out of 32 KiB of static nodes: the rest comes from the top of RAM, and the sum of
/// free, owned and taken memory stays what it was.
#[test]
fn growth_takes_pages_from_the_top() {
    const PAGES: u64 = 50_000;
    let (_memory, nodes) = memory(64, 600);
    let mut maps = Regions::new(nodes).unwrap();
    // SAFETY: `window` gives memory that nobody else uses.
    unsafe { maps.set_growth(window) };
    maps.add_free(MapId::Ram, pages(1, PAGES), Rights::RWX)
        .unwrap();
    let mut next_top = PAGES;
    for i in 0..10_000 {
        maps.claim(MapId::Ram, page(2 + i * 2), owner(5), Rights::RWX)
            .unwrap();
        for taken in taken() {
            assert_eq!(taken, next_top * PAGE);
            next_top -= 1;
        }
        if i % 500 == 0 {
            maps.validate().unwrap();
        }
    }
    let t = maps.totals(MapId::Ram);
    assert!(t.runs >= 20_000);
    assert_eq!(u64::from(maps.pool().pages), PAGES - next_top);
    assert_eq!(
        t.free + t.owned + u64::from(maps.pool().pages) * PAGE,
        PAGES * PAGE
    );
    maps.validate().unwrap();
}

/// The page that a request asks for is never the one that growth takes to serve it.
#[test]
fn growth_spares_what_was_asked_for() {
    let (_memory, nodes) = memory(64, 600);
    let mut maps = Regions::new(nodes).unwrap();
    // SAFETY: `window` gives memory that nobody else uses.
    unsafe { maps.set_growth(window) };
    maps.add_free(MapId::Ram, pages(1, 4_000), Rights::RWX)
        .unwrap();
    // From the top down, so that the page asked for is always the highest free one or next to it.
    let mut top = 4_000;
    let mut got = 0;
    while top > 2_000 {
        let want = page(top);
        if maps.lookup(MapId::Ram, want.start()).state.is_free() {
            maps.claim(MapId::Ram, want, owner(5 + got % 2), Rights::RWX)
                .unwrap();
            assert_eq!(
                maps.lookup(MapId::Ram, want.start()).state.owner(),
                Some(owner(5 + got % 2))
            );
            got += 1;
        }
        top -= 1;
    }
    assert!(maps.pool().pages > 5);
    maps.validate().unwrap();
}

#[test]
fn the_ends_of_the_address_space() {
    let (_memory, nodes) = memory(64, 0);
    let mut maps = Regions::new(nodes).unwrap();
    let m = MapId::Io;
    maps.add_free(m, Range::ALL, Rights::RW).unwrap();
    assert_eq!(maps.lookup(m, u64::MAX).range, Range::ALL);
    assert_eq!(maps.largest_order(m, false), Some(64));
    assert_eq!(
        maps.alloc(m, 64, owner(7), Rights::RW),
        Err(MapError::NotFound)
    );
    let top = Range::block(u64::MAX - 0xfff, 12).unwrap();
    maps.claim(m, top, owner(7), Rights::RW).unwrap();
    assert_eq!(maps.lookup(m, u64::MAX).range, top);
    assert_eq!(maps.largest_order(m, false), Some(63));
    assert_eq!(
        maps.alloc(m, 63, owner(8), Rights::RW),
        Ok(Range::block(0, 63).unwrap())
    );
    assert_eq!(
        maps.alloc(m, 63, owner(8), Rights::RW),
        Err(MapError::NotFound)
    );
    assert_eq!(maps.find_block(m, top, 0, false), None);
    maps.release(m, top, owner(7), Rights::RW).unwrap();
    assert_eq!(maps.find_block(m, top, 12, false), Some(top));
    let last = Range::new(u64::MAX, u64::MAX).unwrap();
    maps.claim(m, last, owner(9), Rights::RW).unwrap();
    assert_eq!(maps.lookup(m, u64::MAX).range, last);
    assert_eq!(maps.lookup(m, u64::MAX - 1).state, State::free(Rights::RW));
    maps.release(m, last, owner(9), Rights::RW).unwrap();
    maps.validate().unwrap();
    assert_eq!(Range::block(0, 64), None);
    assert_eq!(Range::block(1, 12), None);
    assert_eq!(Range::new(1, 0), None);
    assert_eq!(OwnerId::new(0), None);
}

#[test]
fn the_reserve_keeps_to_itself_and_takes_back_its_own() {
    let (_memory, nodes) = memory(64, 0);
    let mut maps = Regions::new(nodes).unwrap();
    let m = MapId::Ram;
    maps.add_free(m, pages(0, 99), Rights::RWX).unwrap();
    assert_eq!(maps.keep_bytes(m, pages(0, 79), 30 * PAGE), Ok(30 * PAGE));
    assert_eq!(maps.lookup(m, 50 * PAGE).range, pages(50, 79));
    assert_eq!(maps.totals(m).kept, 30 * PAGE);
    // Requests for any memory never come from it.
    for _ in 0..3 {
        let _ = maps.alloc(m, 16, owner(5), Rights::RWX);
    }
    assert_eq!(
        maps.alloc(m, 16, owner(5), Rights::RWX),
        Ok(Range::block(80 * PAGE, 16).unwrap())
    );
    assert_eq!(
        maps.alloc(m, 16, owner(5), Rights::RWX),
        Err(MapError::NotFound)
    );
    let bounds = pages(40, 99);
    let got = maps
        .alloc_in(m, bounds, 14, owner(6), Rights::RWX, true)
        .unwrap();
    assert_eq!(got, Range::block(52 * PAGE, 14).unwrap());
    assert_eq!(maps.totals(m).owned_kept, 4 * PAGE);
    // Given RAM and faults take it, over its border too, and it goes back where it came from.
    assert_eq!(
        maps.release(m, got, owner(5), Rights::RWX),
        Err(MapError::Conflict)
    );
    maps.release(m, got, owner(6), Rights::RWX).unwrap();
    assert_eq!(maps.totals(m).kept, 30 * PAGE);
    maps.claim(m, pages(48, 51), owner(7), Rights::RWX).unwrap();
    assert_eq!(maps.totals(m).kept, 28 * PAGE);
    maps.release(m, pages(48, 51), owner(7), Rights::RWX)
        .unwrap();
    assert_eq!(maps.totals(m).kept, 30 * PAGE);
    assert_eq!(
        maps.keep_bytes(m, pages(0, 99), u64::MAX),
        Ok(maps.totals(m).kept - 30 * PAGE)
    );
    assert_eq!(maps.totals(m).free, 0);
    maps.validate().unwrap();
}
