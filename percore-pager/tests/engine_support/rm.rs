//! A region map and a plain list of ranges, side by side.

use std::num::NonZeroU64;

use l4_sys::Errno;
use percore_pager::engine::rm::{
    self, AttachFlags, Backing, Contents, Detached, Fault, Freed, How, Map, Name, Place, Range,
    flag,
};
use percore_pager::engine::{Account, Ref, Store, slabs};

use crate::engine_support::Pages;

#[path = "rm_check.rs"]
mod check;

pub const PAGE: u64 = 4096;

/// A step of a trace.
#[derive(Clone, Copy, Debug)]
pub enum Op {
    Attach {
        start: u64,
        size: u64,
        flags: u32,
        align: u8,
    },
    Detach {
        start: u64,
        size: u64,
        flags: u32,
    },
    Reserve {
        start: u64,
        size: u64,
        flags: u32,
        align: u8,
    },
    FreeArea {
        address: u64,
    },
    AddJump {
        begin: u64,
        end: u64,
    },
    RemoveJump {
        pc: u64,
    },
    Fault {
        word: u64,
    },
    PageIn {
        first: u64,
        last: u64,
        rights: u16,
    },
    Memory {
        pages: Option<u32>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Piece {
    start: u64,
    end: u64,
    contents: Contents,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Area {
    start: u64,
    end: u64,
    flags: u32,
    fixed: bool,
}

pub struct Rig {
    pages: Pages,
    account: Ref<Account>,
    map: Ref<Map>,
    limits: Range,
    regions: Vec<Piece>,
    areas: Vec<Area>,
    jumps: Vec<(u64, u64, u64)>,
    next: u64,
}

fn touch(a: (u64, u64), b: (u64, u64)) -> bool {
    a.0 <= b.1 && b.0 <= a.1
}

pub fn contents(id: u64) -> Contents {
    Contents {
        backing: NonZeroU64::new(id).map(Backing),
        offset: id * 3 * PAGE,
        client_cap: id << 12,
        backing_offset: id * 16,
        flags: 0,
        name: Name::new(b"a region"),
    }
}

impl Rig {
    pub fn new(limits: Range, kept: &[Range]) -> Self {
        let mut pages = Pages::new(24);
        let own = slabs::root(&mut pages, 0).expect("a page");
        let account = slabs::open(&mut pages, own, 16 * PAGE).expect("no limit");
        let map = rm::create(&mut pages, account, limits, kept.iter().copied()).expect("memory");
        let mut areas: Vec<Area> = kept
            .iter()
            .map(|r| Area {
                start: r.start(),
                end: r.end(),
                flags: flag::RESERVED,
                fixed: true,
            })
            .collect();
        if !areas.iter().any(|a| a.start < PAGE) {
            areas.insert(
                0,
                Area {
                    start: 0,
                    end: PAGE - 1,
                    flags: 0,
                    fixed: true,
                },
            );
        }
        Rig {
            pages,
            account,
            map,
            limits,
            regions: vec![],
            areas,
            jumps: vec![],
            next: 1,
        }
    }

    fn region_free(&self, r: (u64, u64)) -> bool {
        !self.regions.iter().any(|p| touch((p.start, p.end), r))
    }

    fn area_free(&self, r: (u64, u64)) -> bool {
        !self.areas.iter().any(|a| touch((a.start, a.end), r))
    }

    /// The lowest aligned free place: tries every place at which one could begin.
    fn search(&self, from: u64, end: u64, size: u64, align: u32, areas: bool) -> Option<u64> {
        let low = self.limits.start();
        let begin = if from >= low && from < end { from } else { low };
        let behind = |e: u64| e.checked_add(1);
        let mut tries: Vec<u128> = self
            .regions
            .iter()
            .filter_map(|p| behind(p.end))
            .chain(self.areas.iter().filter_map(|a| behind(a.end)))
            .filter(|at| *at >= begin)
            .chain([begin])
            .map(|at| u128::from(at).next_multiple_of(1 << align))
            .collect();
        tries.sort_unstable();
        tries.into_iter().find_map(|at| {
            let last = at + u128::from(size) - 1;
            if last > u128::from(end) {
                return None;
            }
            let r = (at as u64, last as u64);
            (self.region_free(r) && (!areas || self.area_free(r))).then_some(r.0)
        })
    }

    /// Whether a call may have failed for lack of memory, which must be the exception.
    fn short(&self) -> bool {
        self.pages.fuse == Some(0) || self.pages.arena().get(self.account).reserved() > 15 * PAGE
    }

    fn attach(&mut self, start: u64, size: u64, raw: u32, align: u8) {
        let Ok(flags) = AttachFlags::new(raw) else {
            assert!(raw & (0x8 | 0x200000) != 0);
            return;
        };
        assert_eq!(raw & (0x8 | 0x200000), 0);
        let searched = raw & flag::SEARCH_ADDR != 0;
        let place = Place::new(start, size, flags, align);
        let begin = start & !(PAGE - 1);
        let bytes = u128::from(size).next_multiple_of(u128::from(PAGE));
        let last = u128::from(begin) + bytes;
        let bad = size == 0
            || searched && !(12..64).contains(&align)
            || bytes > u128::from(u64::MAX)
            || last > 1 << 64;
        assert_eq!(place.is_err(), bad, "{place:?}");
        let Ok(place) = place else { return };
        let bytes = bytes as u64;
        let asked = (begin, begin + (bytes - 1));
        let in_area = raw & flag::IN_AREA != 0;
        let area = self.areas.iter().find(|a| touch((a.start, a.end), asked));
        let end = if in_area {
            area.filter(|a| a.flags & flag::RESERVED == 0)
                .map(|a| a.end)
        } else {
            Some(self.limits.end())
        };
        let expected = end.and_then(|end| {
            let at = if searched {
                self.search(begin, end, bytes, u32::from(align), !in_area)?
            } else if !in_area && area.is_some() {
                return None;
            } else {
                begin
            };
            let last = at.checked_add(bytes - 1)?;
            let fits = at >= self.limits.start() && last <= end;
            (fits && self.region_free((at, last))).then_some((at, last))
        });
        let id = self.next;
        self.next += 1;
        match rm::attach(&mut self.pages, self.map, place, contents(id)) {
            Ok(range) => {
                assert_eq!(Some((range.start(), range.end())), expected);
                let flags = raw & 0xffff;
                let contents = Contents {
                    flags,
                    ..contents(id)
                };
                self.regions.push(Piece {
                    start: range.start(),
                    end: range.end(),
                    contents,
                });
                self.regions.sort_by_key(|p| p.start);
            }
            Err(e) => {
                assert_eq!(e, Errno::AddrNotAvail);
                assert!(
                    expected.is_none() || self.short(),
                    "should be at {expected:x?}"
                );
            }
        }
    }

    fn detach(&mut self, start: u64, size: u64, flags: u32) {
        let got = rm::detach(&mut self.pages, self.map, start, size, flags);
        let begin = start & !(PAGE - 1);
        let bytes = (u128::from(start - begin) + u128::from(size)).next_multiple_of(4096);
        let last = u128::from(begin) + bytes;
        if flags > 3 || size == 0 || bytes > u128::from(u64::MAX) || last > 1 << 64 {
            assert_eq!(got, Err(Errno::Inval));
            return;
        }
        let asked = (begin, (last - 1) as u64);
        let hits: Vec<usize> = (0..self.regions.len())
            .filter(|n| touch((self.regions[*n].start, self.regions[*n].end), asked))
            .collect();
        let Some(&n) = hits.first() else {
            assert_eq!(got, Err(Errno::NoEnt));
            return;
        };
        let old = self.regions[n];
        let gone = if flags & 2 != 0 {
            (old.start, old.end)
        } else {
            (old.start.max(asked.0), old.end.min(asked.1))
        };
        let (head, tail) = (gone.0 > old.start, gone.1 < old.end);
        if head && tail && got == Err(Errno::NoMem) {
            assert!(self.short());
            return;
        }
        let got = got.expect("a region is there");
        let own = old.contents.flags & (flag::PRIVATE | flag::ANONYMOUS) != 0;
        let expected = Detached {
            how: match (head, tail) {
                (false, false) => How::Whole,
                (true, true) => How::Split,
                _ => How::Cut,
            },
            again: hits.len() > 1,
            range: Range::new(gone.0, gone.1).expect("not empty"),
            contents: old.contents,
            freed: own.then(|| Freed {
                offset: old.contents.offset + (gone.0 - old.start),
                size: (gone.1 - gone.0).wrapping_add(1),
            }),
        };
        assert_eq!(got, expected);
        assert_eq!(got.dropped().is_some(), !head && !tail);
        assert_eq!(got.shared().is_some(), head && tail);
        assert_eq!(got.client_cap().is_none(), head != tail);
        let label = [[0, 1], [1, 2]][usize::from(head)][usize::from(tail)];
        assert_eq!(got.label(), label + if hits.len() > 1 { 4 } else { 0 });
        self.regions.remove(n);
        if head {
            self.regions.push(Piece {
                end: gone.0 - 1,
                ..old
            });
        }
        if tail {
            let moved = gone.1 + 1 - old.start;
            let contents = Contents {
                offset: old.contents.offset + moved,
                backing_offset: old.contents.backing_offset + moved,
                ..old.contents
            };
            self.regions.push(Piece {
                start: gone.1 + 1,
                end: old.end,
                contents,
            });
        }
        self.regions.sort_by_key(|p| p.start);
    }

    fn reserve(&mut self, start: u64, size: u64, flags: u32, align: u8) {
        let got = rm::reserve_area(&mut self.pages, self.map, start, size, flags, align);
        let searched = flags & flag::SEARCH_ADDR != 0;
        let wraps = u128::from(start) + u128::from(size) > 1 << 64;
        if flags & 1 != 0 || size == 0 || wraps || searched && align > 63 {
            assert_eq!(got, Err(Errno::Inval));
            return;
        }
        let expected = if searched {
            let end = self.limits.end();
            let from = start.max(self.limits.start());
            let fits = u128::from(from) + u128::from(size) - 1 <= u128::from(end);
            fits.then(|| self.search(start, end, size, u32::from(align), true))
                .flatten()
        } else {
            let asked = (start, start + (size - 1));
            let bad =
                !self.area_free(asked) || flags & flag::RESERVED != 0 && !self.region_free(asked);
            (!bad).then_some(start)
        };
        match got {
            Ok(range) => {
                assert_eq!((Some(range.start()), range.size()), (expected, size));
                let (start, end) = (range.start(), range.end());
                self.areas.push(Area {
                    start,
                    end,
                    flags: flags & 0xffff,
                    fixed: false,
                });
                self.areas.sort_by_key(|a| a.start);
            }
            Err(e) => {
                assert_eq!(e, Errno::AddrNotAvail);
                assert!(expected.is_none() || self.short());
            }
        }
    }

    fn region_at(&self, at: u64) -> Option<&Piece> {
        self.regions.iter().find(|p| p.start <= at && at <= p.end)
    }

    fn fault(&mut self, word: u64) {
        let got = rm::fault(self.pages.arena_mut(), self.map, Fault::from_word(word));
        let Some(piece) = self.region_at(word) else {
            assert_eq!(got, Err(Errno::NoMem));
            return;
        };
        let flags = piece.contents.flags;
        if word & 2 != 0 && flags & flag::W == 0 || word & 4 != 0 && flags & flag::X == 0 {
            assert_eq!(got, Err(Errno::Access));
        } else if flags & (flag::KERNEL | flag::RESERVED) != 0 {
            assert_eq!(got, Err(Errno::NoDev));
        } else {
            let hit = got.expect("resolved");
            let page = word & !(PAGE - 1);
            assert_eq!(
                (Some(hit.backing), hit.page),
                (piece.contents.backing, page)
            );
            assert_eq!(hit.offset, page - piece.start + piece.contents.offset);
            assert_eq!(
                (hit.window.start(), hit.window.end()),
                (piece.start, piece.end)
            );
            let read = flags & (flag::R | flag::X);
            assert_eq!(hit.rights, if word & 2 != 0 { flags & 7 } else { read });
            assert_eq!(hit.caching, flags & 0x30);
        }
    }

    fn page_in(&mut self, first: u64, last: u64, rights: u16) {
        let got = rm::page_in(self.pages.arena_mut(), self.map, first, last, rights);
        let wanted = u32::from(rights);
        if !first.is_multiple_of(PAGE) || last % PAGE != PAGE - 1 {
            assert_eq!(got, Err(Errno::Inval));
            return;
        }
        let Some(piece) = self.region_at(first) else {
            assert_eq!(got, Err(Errno::NoEnt));
            return;
        };
        let flags = piece.contents.flags;
        if flags & (flag::KERNEL | flag::RESERVED) != 0 {
            assert_eq!(got, Err(Errno::NoDev));
        } else if flags & wanted != wanted {
            assert_eq!(got, Err(Errno::Access));
        } else {
            let hit = got.expect("resolved");
            let end = last.min(piece.end).max(first + (PAGE - 1));
            assert_eq!((hit.window.start(), hit.window.end()), (first, end));
            assert_eq!(hit.offset, first - piece.start + piece.contents.offset);
            assert_eq!((hit.page, hit.rights), (first, wanted & 7));
        }
    }

    pub fn step(&mut self, op: Op) {
        // Half of the addresses speak of the map's own end of the address space.
        let high = self.limits.start() > 1 << 63;
        let at = |a: u64| {
            if high && a < 1 << 20 {
                a.wrapping_sub(72 * PAGE)
            } else {
                a
            }
        };
        match op {
            Op::Attach {
                start,
                size,
                flags,
                align,
            } => self.attach(at(start), size, flags, align),
            Op::Detach { start, size, flags } => self.detach(at(start), size, flags),
            Op::Reserve {
                start,
                size,
                flags,
                align,
            } => self.reserve(at(start), size, flags, align),
            Op::FreeArea { address } => {
                let address = at(address);
                let inside = |a: &Area| a.start <= address && address <= a.end && !a.fixed;
                let n = self.areas.iter().position(inside);
                let got = rm::free_area(&mut self.pages, self.map, address);
                assert_eq!(got, n.map(|_| ()).ok_or(Errno::NoEnt));
                n.map(|n| self.areas.remove(n));
            }
            Op::AddJump { begin, end } => {
                let (begin, end) = (at(begin), at(end));
                let target = begin ^ 0x1234;
                let got = rm::add_jump(&mut self.pages, self.map, begin, end, target);
                let clash = |j: &(u64, u64, u64)| j.0 < end && begin < j.1;
                if begin >= end {
                    assert_eq!(got, Err(Errno::Inval));
                } else if self.jumps.iter().any(clash) {
                    assert_eq!(got, Err(Errno::Exist));
                } else if got.is_ok() {
                    self.jumps.push((begin, end, target));
                } else {
                    assert!(got == Err(Errno::NoMem) && self.short());
                }
            }
            Op::RemoveJump { pc } => {
                let pc = at(pc);
                let n = self.jumps.iter().position(|j| j.0 <= pc && pc < j.1);
                let found = rm::jump_for(self.pages.arena(), self.map, pc);
                assert_eq!(found, n.map(|n| self.jumps[n].2).filter(|t| *t != 0));
                let got = rm::remove_jump(&mut self.pages, self.map, pc);
                assert_eq!(got, n.map(|_| ()).ok_or(Errno::NoEnt));
                n.map(|n| self.jumps.remove(n));
            }
            Op::Fault { word } => self.fault(at(word)),
            Op::PageIn {
                first,
                last,
                rights,
            } => self.page_in(at(first), at(last), rights),
            Op::Memory { pages } => self.pages.fuse = pages,
        }
    }
}
