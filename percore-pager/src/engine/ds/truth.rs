//! Recounting a dataspace, for tests and for `validate` at idle.

use crate::engine::arena::{Arena, Ref};
use crate::frames::FrameNo;

use super::object::{Ds, Kind};
use super::table::{self, Found};
use super::word::{GROUP, Group, Page, frame_of};

/// What a dataspace has, counted page by page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// Frames charged to its account.
    pub own: u64,
    /// Frames kept and not used.
    pub kept: u64,
    /// Pages whose frame is shared.
    pub shared: u64,
    /// Pages that are somebody else's for good.
    pub fixed: u64,
}

/// Counts, and shows `visit` each frame that clients may see: page, frame, whether it is shared.
/// `None` when the dataspace's own figures are wrong. Takes time in proportion to its size.
pub fn census(
    arena: &Arena,
    ds: Ref<Ds>,
    mut visit: impl FnMut(u64, FrameNo, bool),
) -> Option<Census> {
    let it = arena.get(ds);
    let mut count = Census::default();
    if it.kind() != Kind::OnDemand {
        for page in 0..it.page_count() {
            visit(page, FrameNo(it.root + page), false);
        }
        let pages = it.page_count();
        match it.kind() {
            Kind::Contiguous => count.own = pages,
            _ => count.fixed = pages,
        }
        return Some(count);
    }
    let mut from = 0;
    loop {
        let mut words = u32::MAX;
        let (group, slot) = match table::next_used(arena, ds, from, &mut words) {
            Found::Group(group, slot) => (group, slot),
            Found::GoOn(group) => {
                from = group;
                continue;
            }
            Found::End => break,
        };
        from = group + 1;
        let first = group * GROUP;
        match Group::from_word(table::load(arena, slot)) {
            Group::Empty => return None,
            Group::Run { base, kept, used } => {
                if used & !kept != 0 {
                    return None;
                }
                count.kept += u64::from((kept & !used).count_ones());
                for n in (0..GROUP as u32).filter(|n| used >> n & 1 != 0) {
                    count.own += 1;
                    visit(first + u64::from(n), frame_of(base, n), false);
                }
            }
            Group::Table(table) => {
                for (n, word) in arena.get(table).iter().enumerate() {
                    let page = first + n as u64;
                    match Page::from_word(*word) {
                        Page::Empty => {}
                        Page::Own(frame) => {
                            count.own += 1;
                            visit(page, frame, false);
                        }
                        Page::Static(frame) => {
                            count.fixed += 1;
                            visit(page, frame, true);
                        }
                        Page::Shared(record) => {
                            count.shared += 1;
                            visit(page, super::share::frame(arena, record), true);
                        }
                    }
                }
            }
        }
    }
    (count.own == it.pages && count.kept == it.kept).then_some(count)
}
