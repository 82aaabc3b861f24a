//! The region map with tens of thousands of runs against an ordered map from the standard library.

mod model;

use model::memory;
use sigma0_rs::map::{MapId, OwnerId, Range, Regions, Rights, State};
use std::collections::BTreeMap;

const PAGE: u64 = 4096;
const PAGES: u64 = 1 << 20;
const BASE: u64 = 1 << 32;

/// Runs by first address, as the partition they are.
struct Reference(BTreeMap<u64, State>);

impl Reference {
    fn run(&self, addr: u64) -> (u64, u64, State) {
        let (lo, s) = self.0.range(..=addr).next_back().unwrap();
        let hi = self
            .0
            .range(addr.saturating_add(1)..)
            .next()
            .map_or(u64::MAX, |(k, _)| k - 1);
        (*lo, hi, *s)
    }

    fn set(&mut self, r: Range, s: State) {
        let (_, hi, behind) = self.run(r.end());
        let before = r.start().checked_sub(1).map(|a| self.run(a).2);
        let inside: Vec<u64> = self.0.range(r.start()..=r.end()).map(|(k, _)| *k).collect();
        inside.iter().for_each(|k| {
            self.0.remove(k);
        });
        if before != Some(s) {
            self.0.insert(r.start(), s);
        }
        if r.end() < hi {
            self.0.insert(r.end() + 1, behind);
        }
        if let Some(next) = r.end().checked_add(1)
            && self.0.get(&next) == Some(&s)
        {
            self.0.remove(&next);
        }
    }

    fn claim(&mut self, r: Range, o: OwnerId) -> bool {
        let (_, hi, s) = self.run(r.start());
        let ok = hi >= r.end() && (s.is_free() || s.owner() == Some(o));
        if ok && s != State::owned(o, Rights::RWX) {
            self.set(r, State::owned(o, Rights::RWX));
        }
        ok
    }

    fn alloc(&mut self, order: u8, o: OwnerId) -> Option<u64> {
        let mask = (1u64 << order) - 1;
        let found = self
            .0
            .iter()
            .filter(|(_, s)| s.is_free())
            .find_map(|(lo, _)| {
                let at = lo.checked_add(mask)? & !mask;
                (at | mask <= self.run(*lo).1).then_some(at)
            })?;
        self.set(
            Range::block(found, order).unwrap(),
            State::owned(o, Rights::RWX),
        );
        Some(found)
    }

    fn release(&mut self, r: Range, o: OwnerId) -> bool {
        let ok = self.run(r.start()).2.owner() == Some(o)
            && self
                .0
                .range(r.start()..=r.end())
                .all(|(_, s)| s.owner() == Some(o));
        if ok {
            self.set(r, State::free(Rights::RWX));
        }
        ok
    }
}

fn equal(maps: &Regions, reference: &Reference) {
    maps.validate().unwrap();
    let got: Vec<_> = maps
        .runs(MapId::Ram)
        .map(|r| (r.range.start(), r.range.end(), r.state))
        .collect();
    let want: Vec<_> = reference
        .0
        .keys()
        .map(|k| reference.run(*k))
        .filter(|r| !r.2.is_absent())
        .collect();
    assert_eq!(got, want);
}

/// Grows to more runs than three levels hold, stays there, and shrinks to one run again.
#[test]
fn random_traces_with_many_runs() {
    for seed in 1..=3u64 {
        let (_memory, nodes) = memory(12_000, 0);
        let mut maps = Regions::new(nodes).unwrap();
        let mut reference = Reference(BTreeMap::from([(0, State::ABSENT)]));
        let all = Range::new(BASE, BASE + PAGES * PAGE - 1).unwrap();
        maps.add_free(MapId::Ram, all, Rights::RWX).unwrap();
        reference.set(all, State::free(Rights::RWX));
        let mut x = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut random = |n: u64| {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            (x >> 20) % n
        };
        let mut most = 0;
        for i in 0..60_000u64 {
            let o = OwnerId::new(10 + random(3) as u16).unwrap();
            let order = 12 + random(4) as u8;
            let at = BASE + ((random(PAGES) * PAGE) & !((1 << order) - 1));
            let r = Range::block(at, order).unwrap();
            match random(100) {
                // The walk over all runs makes the reference slow here.
                0 => {
                    let order = 12 + random(9) as u8;
                    let got = maps.alloc(MapId::Ram, order, o, Rights::RWX).ok();
                    assert_eq!(got.map(|r| r.start()), reference.alloc(order, o));
                }
                1..=20 => {
                    let got = maps.release(MapId::Ram, r, o, Rights::RWX).is_ok();
                    assert_eq!(got, reference.release(r, o));
                }
                _ => {
                    let got = maps.claim(MapId::Ram, r, o, Rights::RWX).is_ok();
                    assert_eq!(got, reference.claim(r, o));
                }
            }
            most = most.max(maps.run_count(MapId::Ram));
            if i % 10_000 == 0 {
                equal(&maps, &reference);
            }
        }
        equal(&maps, &reference);
        assert!(most > 40_000, "{most} runs");
        // Everything back, in random order of owners' runs.
        let mut owned: Vec<_> = maps
            .runs(MapId::Ram)
            .filter_map(|r| Some((r.range, r.state.owner()?)))
            .collect();
        let mut left = owned.len();
        while let Some(n) = owned.len().checked_sub(1) {
            let (r, o) = owned.swap_remove(random(n as u64 + 1) as usize);
            maps.release(MapId::Ram, r, o, Rights::RWX).unwrap();
            assert!(reference.release(r, o));
            left -= 1;
            if left.is_multiple_of(8_000) {
                equal(&maps, &reference);
            }
        }
        assert_eq!(
            (
                maps.run_count(MapId::Ram),
                maps.largest_order(MapId::Ram, false)
            ),
            (3, Some(32))
        );
        // Three trees of the least height.
        assert_eq!(maps.pool().total - maps.pool().free, 9);
    }
}
