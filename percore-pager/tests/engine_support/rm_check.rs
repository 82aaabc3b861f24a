//! What must hold of a map after each step, and at the end.

use percore_pager::engine::rm::{self, Entry, Truth};
use percore_pager::engine::{Store, slabs};

use super::{PAGE, Rig};

impl Rig {
    pub fn check(&self) {
        let arena = self.pages.arena();
        let truth = rm::validate(arena, self.map).expect("sound");
        let count = |n: usize| n as u32;
        let expected = Truth {
            regions: count(self.regions.len()),
            areas: count(self.areas.len()),
            jumps: count(self.jumps.len()),
        };
        assert_eq!(truth, expected);
        // What lies behind the map's highest address is not listed, but for the first.
        let listed = |all: Vec<Entry>| {
            let ends = all.iter().position(|e| e.end >= self.limits.end());
            all[..ends.map_or(all.len(), |n| n + 1)].to_vec()
        };
        let entry = |start, end, flags| Entry { start, end, flags };
        let regions = self
            .regions
            .iter()
            .map(|p| entry(p.start, p.end, p.contents.flags as u16));
        let areas = self
            .areas
            .iter()
            .map(|a| entry(a.start, a.end, a.flags as u16));
        let (regions, areas) = (listed(regions.collect()), listed(areas.collect()));
        assert_eq!(rm::regions(arena, self.map, 0).collect::<Vec<_>>(), regions);
        assert_eq!(rm::areas(arena, self.map, 0).collect::<Vec<_>>(), areas);
        for piece in &self.regions {
            let (name, offset) = rm::info(arena, self.map, piece.end).expect("a region");
            assert_eq!(
                (name.as_bytes(), offset),
                (&b"a region"[..], piece.contents.backing_offset)
            );
        }
        assert_eq!(
            self.pages.used() * PAGE,
            arena.get(self.account).committed() + 2 * PAGE
        );
    }

    pub fn destroy(mut self) {
        let mut left: Vec<u64> = self
            .regions
            .iter()
            .filter_map(|p| p.contents.backing.map(|b| b.0.get()))
            .collect();
        let mut dropped = vec![];
        while !rm::clear_some(&mut self.pages, self.map, 3, |b| dropped.push(b.0.get())) {}
        rm::free_map(&mut self.pages, self.map);
        left.sort_unstable();
        dropped.sort_unstable();
        assert_eq!(left, dropped);
        assert_eq!(self.pages.arena().get(self.account).reserved(), 0);
        slabs::close(&mut self.pages, self.account);
        assert_eq!(self.pages.used(), 1);
    }
}
