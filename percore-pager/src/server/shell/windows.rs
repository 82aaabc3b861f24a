//! Where other servers' memory appears that clients are shown.
//!
//! A thread has [`SHOWN`] blocks of 2 MiB. What is shown takes as many neighbouring ones as it needs. They
//! are shared out among clients: one has at most as many as are free then, so the first that wants many gets
//! half of them, the next one half of the rest, and a client that has none gets some as long as there are any.

use l4_sys::{Fpage, MemRights};

use crate::engine::kernel::Foreign;
use crate::server::Client;

use super::place::{FOREIGN_ORDER, Places, SHOWN};

/// Bytes of a block.
const BLOCK: u64 = 1 << FOREIGN_ORDER;
/// Most bytes that are shown at a time: what a region may have, from any place in a block on.
const MOST: u64 = 9 << FOREIGN_ORDER;
/// Stands for no object.
const OPEN: u32 = u32::MAX;

/// Some blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blocks {
    /// Address of the first one.
    pub start: u64,
    /// How many.
    pub count: u32,
}

impl Blocks {
    /// Room for the flexpages of what is shown at a time.
    pub const MOST: usize = (MOST >> FOREIGN_ORDER) as usize;

    /// Writes them as flexpages.
    pub fn pages(self, room: &mut [Fpage; Blocks::MOST]) -> &[Fpage] {
        let pages = (0..u64::from(self.count)).map(|n| self.start + n * BLOCK);
        for (page, at) in room.iter_mut().zip(pages) {
            *page = Fpage::mem(at, FOREIGN_ORDER, MemRights::RX);
        }
        room.get(..self.count as usize).unwrap_or(&[])
    }
}

/// What is shown, or is about to be: memory that the caller of [`Windows::new`] provides.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    /// Through which capability it comes.
    from: Foreign,
    /// The object that it belongs to, or [`OPEN`].
    entry: u32,
    client: Client,
    first: u32,
    count: u32,
    /// Bytes that are there, the first ones.
    filled: u64,
}

impl Window {
    /// A place with nothing in it.
    pub const EMPTY: Window = Window {
        from: Foreign(0),
        entry: OPEN,
        client: Client::NOBODY,
        first: 0,
        count: 0,
        filled: 0,
    };
}

/// A window that is being filled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Open {
    pub(super) blocks: Blocks,
    /// Bytes that are there.
    pub(super) filled: u64,
}

/// The blocks of a thread. Pure: what is told to be emptied the caller empties.
#[derive(Debug)]
pub(super) struct Windows {
    start: u64,
    /// The first `used` ones are windows.
    all: &'static mut [Window],
    used: usize,
    taken: [u64; SHOWN / 64],
}

impl Windows {
    pub(super) fn new(worker: u32, places: Places, all: &'static mut [Window]) -> Self {
        Windows {
            start: places.shown_windows(worker),
            all,
            used: 0,
            taken: [0; SHOWN / 64],
        }
    }

    fn used(&self) -> &[Window] {
        self.all.get(..self.used).unwrap_or(&[])
    }

    fn find(&self, wanted: impl Fn(&Window) -> bool) -> Option<usize> {
        self.used().iter().position(wanted)
    }

    fn find_open(&self, from: Foreign) -> Option<usize> {
        self.find(|w| w.entry == OPEN && w.from == from)
    }

    fn blocks(&self, it: &Window) -> Blocks {
        Blocks {
            start: self.start + u64::from(it.first) * BLOCK,
            count: it.count,
        }
    }

    fn is_taken(&self, block: usize) -> bool {
        let word = self.taken.get(block / 64).copied();
        word.is_none_or(|word| word >> (block % 64) & 1 != 0)
    }

    fn mark(&mut self, it: &Window, taken: bool) {
        for block in it.first as usize..(it.first + it.count) as usize {
            if let Some(word) = self.taken.get_mut(block / 64) {
                let bit = 1 << (block % 64);
                *word = if taken { *word | bit } else { *word & !bit };
            }
        }
    }

    /// First of so many neighbouring free blocks.
    fn room(&self, count: usize) -> Option<usize> {
        let mut length = 0;
        let last = (0..SHOWN).find(|block| {
            length = if self.is_taken(*block) { 0 } else { length + 1 };
            length == count
        })?;
        Some(last + 1 - count)
    }

    /// The window that is being filled through a capability, or a new one, for so many bytes from `spot` on,
    /// an offset in the first block. `None` when there is no room, or no more for this client.
    pub(super) fn open(
        &mut self,
        from: Foreign,
        client: Client,
        (spot, bytes): (u64, u64),
    ) -> Option<Open> {
        if let Some(it) = self.find_open(from).and_then(|n| self.all.get(n)) {
            return Some(Open {
                blocks: self.blocks(it),
                filled: it.filled,
            });
        }
        let end = spot.checked_add(bytes).filter(|end| *end <= MOST)?;
        let count = end.div_ceil(BLOCK) as u32;
        let mine = self.used().iter().filter(|w| w.client == client);
        let mine: u32 = mine.map(|w| w.count).sum();
        let taken: u32 = self.taken.iter().map(|word| word.count_ones()).sum();
        if mine + count > SHOWN as u32 - taken {
            return None;
        }
        let window = Window {
            from,
            entry: OPEN,
            client,
            first: self.room(count as usize)? as u32,
            count,
            filled: 0,
        };
        *self.all.get_mut(self.used)? = window;
        self.used += 1;
        self.mark(&window, true);
        Some(Open {
            blocks: self.blocks(&window),
            filled: 0,
        })
    }

    /// So many bytes more are there.
    pub(super) fn fill(&mut self, from: Foreign, bytes: u64) {
        let n = self.find_open(from);
        if let Some(window) = n.and_then(|n| self.all.get_mut(n)) {
            window.filled = window.filled.saturating_add(bytes);
        }
    }

    /// What came through this capability belongs to `entry` now.
    pub(super) fn shown(&mut self, from: Foreign, entry: u32) {
        let n = self.find_open(from);
        if let Some(window) = n.and_then(|n| self.all.get_mut(n)) {
            window.entry = entry;
        }
    }

    /// Takes a window out: what is to be emptied.
    fn close_at(&mut self, n: usize) -> Option<Blocks> {
        let window = *self.all.get(n)?;
        self.mark(&window, false);
        self.used -= 1;
        self.all.swap(n, self.used);
        Some(self.blocks(&window))
    }

    /// An object has ended: what it was shown in is to be emptied.
    pub(super) fn close(&mut self, entry: u32) -> Option<Blocks> {
        self.close_at(self.find(|w| w.entry == entry)?)
    }

    /// A capability goes: what is being filled through it is to be emptied.
    pub(super) fn give_up(&mut self, from: Foreign) -> Option<Blocks> {
        self.close_at(self.find_open(from)?)
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;

    const ONE: Client = Client(1 << 32);
    const TWO: Client = Client(2 << 32);
    const PAGE: (u64, u64) = (0, 4096);

    fn windows() -> Windows {
        let all = std::vec![Window::EMPTY; SHOWN].leak();
        Windows::new(2, Places::KERNEL, all)
    }

    #[test]
    fn a_window_is_free_again_when_its_object_or_its_capability_has_gone() {
        let mut windows = windows();
        let (a, b) = (Foreign(0x1000), Foreign(0x2000));
        let first = windows.open(a, ONE, PAGE).expect("free");
        windows.fill(a, 4096);
        let again = windows.open(a, ONE, PAGE).expect("asked again");
        assert_eq!((again.blocks, again.filled), (first.blocks, 4096));
        let second = windows.open(b, ONE, (BLOCK - 4096, 8192)).expect("free");
        assert_eq!(second.blocks.start, first.blocks.start + BLOCK);
        assert_eq!((second.blocks.count, second.filled), (2, 0));
        windows.shown(a, 7);
        assert_eq!(windows.close(8), None);
        assert_eq!(windows.give_up(a), None, "its object has it");
        assert_eq!(windows.close(7), Some(first.blocks));
        assert_eq!(windows.close(7), None);
        assert_eq!(windows.give_up(b), Some(second.blocks));
        assert_eq!(windows.close(OPEN), None);
        let anew = windows.open(b, TWO, PAGE).expect("free");
        assert_eq!((anew.blocks, anew.filled), (first.blocks, 0));
        assert_eq!(windows.open(a, TWO, (4096, MOST)), None, "too large");
        assert!(windows.open(a, TWO, (0, MOST)).is_some());
        assert_eq!(
            (windows.used, windows.taken[0].count_ones()),
            (2, 1 + Blocks::MOST as u32)
        );
        let mut room = [Fpage(0); Blocks::MOST];
        let pages = second.blocks.pages(&mut room);
        assert_eq!(pages.len(), 2);
        assert_eq!(pages[1].address(), second.blocks.start + BLOCK);
    }

    /// Who takes all that he can get leaves others some of the largest size.
    #[test]
    fn one_client_does_not_take_all() {
        for large in [PAGE, (4096, MOST - 4096)] {
            let mut windows = windows();
            let mut next = 0;
            let mut take = |windows: &mut Windows, client, what| {
                next += 0x1000;
                let open = windows.open(Foreign(next), client, what);
                if open.is_some() {
                    windows.shown(Foreign(next), next as u32);
                }
                open
            };
            while take(&mut windows, ONE, large).is_some() {}
            while take(&mut windows, ONE, PAGE).is_some() {}
            assert_eq!(
                windows.taken.iter().map(|w| w.count_ones()).sum::<u32>(),
                SHOWN as u32 / 2
            );
            for other in 2..5 {
                let client = Client(other << 32);
                assert!(take(&mut windows, client, (4096, MOST - 4096)).is_some());
            }
            while take(&mut windows, TWO, PAGE).is_some() {}
            assert!(take(&mut windows, Client(9 << 32), PAGE).is_some());
            assert_eq!(take(&mut windows, ONE, PAGE), None, "he has enough");
            while windows.used > 0 {
                let last = windows.all[windows.used - 1].entry;
                assert!(windows.close(last).is_some());
            }
            assert_eq!(windows.taken, [0; SHOWN / 64]);
        }
    }
}
