//! Which page of a dataspace a frame is, for debuggers.

use crate::engine::arena::{Arena, Ref};
use crate::frames::FrameNo;

use super::object::{Ds, Kind};
use super::share;
use super::table::{self, Found};
use super::word::{GROUP, Group, Page, frame_of};

/// Answer of [`holds`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holds {
    /// This page.
    Page(u64),
    /// Not found so far: ask again.
    GoOn,
    /// None.
    No,
}

/// Looks for `frame` among the memory that clients of the dataspace can see, from `cursor` on, which is 0 at
/// first. Looks at about `words` words of its table.
pub fn holds(
    arena: &Arena,
    ds: Ref<Ds>,
    frame: FrameNo,
    cursor: &mut u64,
    mut words: u32,
) -> Holds {
    let it = arena.get(ds);
    if it.kind() != Kind::OnDemand {
        let page = frame.0.wrapping_sub(it.root);
        return if page < it.page_count() {
            Holds::Page(page)
        } else {
            Holds::No
        };
    }
    loop {
        let (group, slot) = match table::next_used(arena, ds, *cursor, &mut words) {
            Found::Group(group, slot) => (group, slot),
            Found::GoOn(group) => {
                *cursor = group;
                return Holds::GoOn;
            }
            Found::End => return Holds::No,
        };
        *cursor = group + 1;
        let first = group * GROUP;
        match Group::from_word(table::load(arena, slot)) {
            Group::Empty => {}
            Group::Run { base, used, .. } => {
                let n = frame.0.wrapping_sub(frame_of(base, 0).0);
                if n < GROUP && used >> n & 1 != 0 {
                    return Holds::Page(first + n);
                }
            }
            Group::Table(table) => {
                words = words.saturating_sub(GROUP as u32);
                for (page, word) in (first..).zip(arena.get(table)) {
                    let shown = match Page::from_word(*word) {
                        Page::Empty => continue,
                        Page::Own(frame) | Page::Static(frame) => frame,
                        Page::Shared(record) => share::frame(arena, record),
                    };
                    if shown == frame {
                        return Holds::Page(page);
                    }
                }
            }
        }
    }
}
