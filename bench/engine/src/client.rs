//! A client that touches pages: what is mapped it reads, what is not causes a message.

use l4_sys::{Fpage, MsgTag};
use percore_pager::engine::ds::flag;
use percore_pager::engine::objects::Label;

use crate::machine::{Machine, PAGE};
use crate::path;

/// How a client gets its memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Path {
    /// It asks the dataspace, as the region mapper in its task does.
    Map,
    /// Its thread's pager is a region map.
    Fault,
}

impl Path {
    /// Both.
    pub const ALL: [Path; 2] = [Path::Map, Path::Fault];

    /// Its name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Path::Map => "map",
            Path::Fault => "fault",
        }
    }
}

/// See the [module](self).
#[derive(Debug)]
pub struct Client {
    path: Path,
    /// What messages go to, with the rights of a capability for all.
    word: u64,
    /// Page number of the first page in the client's address space.
    first: u64,
    present: Vec<bool>,
    /// Faults so far.
    pub faults: u64,
}

const RIGHTS: u64 = 3;
/// Regions of a region map.
const REGIONS: u64 = 30;

impl Client {
    /// A client of a dataspace of so many bytes.
    pub fn new(m: &mut Machine, path: Path, object: Label, bytes: u64) -> Self {
        let (label, first) = match path {
            Path::Map => (object, 0),
            Path::Fault => (m.map(object, REGIONS, bytes), ((REGIONS / 3) << 30) / PAGE),
        };
        Client {
            path,
            word: label.word() | RIGHTS,
            first,
            present: vec![false; (bytes / PAGE) as usize],
            faults: 0,
        }
    }

    /// Touches a page.
    pub fn touch(&mut self, m: &mut Machine, page: u64, write: bool) {
        if !self.present[page as usize] {
            self.send(m, page, write);
        }
    }

    /// Sends the message for a page, present or not.
    pub fn send(&mut self, m: &mut Machine, page: u64, write: bool) {
        let answer = match self.path {
            Path::Map => {
                let flags = if write { flag::R | flag::W } else { flag::R };
                m.utcb.set_mr(0, 0);
                m.utcb.set_mr(1, page * PAGE);
                m.utcb.set_mr(2, page * PAGE);
                m.utcb.set_mr(3, flags.into());
                path::engine_counted_map(m, self.word, MsgTag::plain(0x4000, 4, 0))
            }
            Path::Fault => {
                let address = (self.first + page) * PAGE;
                m.utcb.set_mr(0, address | if write { 2 } else { 0 });
                m.utcb.set_mr(1, 0x40_0000);
                path::engine_counted_fault(m, self.word, MsgTag::plain(-2, 2, 0))
            }
        };
        self.faults += 1;
        assert_eq!((answer.label(), answer.items()), (0, 1), "page {page}");
        let at = answer.words();
        let (base, shown) = (m.utcb.mr(at), Fpage(m.utcb.mr(at + 1)));
        let pages = 1u64 << (shown.order() - 12);
        let first = ((base / PAGE) & !(pages - 1)).wrapping_sub(self.first);
        let mut found = false;
        for n in 0..pages {
            let shown = first.wrapping_add(n);
            found |= shown == page;
            if let Some(present) = self.present.get_mut(shown as usize) {
                *present = true;
            }
        }
        assert!(found, "page {page} is in the answer");
    }
}
