//! Which windows show what of other servers' memory to clients.

use l4_sys::Fpage;

use crate::engine::kernel::Foreign;

use super::place::{Places, SHOWN, SHOWN_ORDER};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Window {
    Free,
    /// Being filled through this capability.
    Open(Foreign),
    /// Shows what belongs to this object.
    Shown(Foreign, u32),
}

/// The windows of a thread. Pure: what is told to be emptied the caller empties.
#[derive(Debug)]
pub(super) struct Windows {
    worker: u32,
    places: Places,
    all: [Window; SHOWN],
    shown: u32,
}

impl Windows {
    pub(super) fn new(worker: u32, places: Places) -> Self {
        Windows {
            worker,
            places,
            all: [Window::Free; SHOWN],
            shown: 0,
        }
    }

    fn place(&self, n: usize) -> Fpage {
        self.places.shown_window(self.worker, n)
    }

    fn find(&self, wanted: impl Fn(&Window) -> bool) -> Option<usize> {
        self.all.iter().position(wanted)
    }

    fn set(&mut self, n: usize, window: Window) {
        if let Some(place) = self.all.get_mut(n) {
            *place = window;
        }
    }

    /// The window that is being filled through a capability, or a free one for it.
    pub(super) fn open(&mut self, from: Foreign) -> Option<Fpage> {
        let open = self.find(|w| *w == Window::Open(from));
        let n = open.or_else(|| self.find(|w| *w == Window::Free))?;
        self.set(n, Window::Open(from));
        Some(self.place(n))
    }

    /// What is in the window around `address` belongs to `entry` now; without an entry nobody wants it,
    /// and the window is to be emptied and the capability dropped.
    pub(super) fn shown(&mut self, address: u64, entry: Option<u32>) -> Option<(Fpage, Foreign)> {
        let first = self.place(0).address();
        let n = (address.checked_sub(first)? >> SHOWN_ORDER) as usize;
        let Some(Window::Open(from)) = self.all.get(n).copied() else {
            return None;
        };
        match entry {
            Some(entry) => {
                self.set(n, Window::Shown(from, entry));
                self.shown += 1;
                None
            }
            None => {
                self.set(n, Window::Free);
                Some((self.place(n), from))
            }
        }
    }

    /// An object has ended: the window that it was shown in is to be emptied and its capability dropped.
    pub(super) fn close(&mut self, entry: u32) -> Option<(Fpage, Foreign)> {
        if self.shown == 0 {
            return None;
        }
        let mine = |w: &Window| matches!(w, Window::Shown(_, of) if *of == entry);
        let n = self.find(mine)?;
        let Some(Window::Shown(from, _)) = self.all.get(n).copied() else {
            return None;
        };
        self.set(n, Window::Free);
        self.shown -= 1;
        Some((self.place(n), from))
    }

    /// A capability goes while a window is being filled through it: that is to be emptied.
    pub(super) fn give_up(&mut self, from: Foreign) -> Option<Fpage> {
        let n = self.find(|w| *w == Window::Open(from))?;
        self.set(n, Window::Free);
        Some(self.place(n))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_free_again_when_its_object_or_its_capability_has_gone() {
        let mut windows = Windows::new(2, Places::KERNEL);
        let (a, b) = (Foreign(0x1000), Foreign(0x2000));
        let first = windows.open(a).expect("free");
        assert_eq!(windows.open(a), Some(first), "asked again");
        let second = windows.open(b).expect("free");
        assert_ne!(first, second);
        assert_eq!(windows.shown(first.address() + 0x5000, Some(7)), None);
        assert_eq!(windows.close(8), None);
        assert_eq!(windows.close(7), Some((first, a)));
        assert_eq!(windows.close(7), None);
        assert_eq!(windows.give_up(b), Some(second));
        assert_eq!(windows.open(b), Some(first));
        assert_eq!(windows.shown(first.address(), None), Some((first, b)));
        assert_eq!(
            windows.shown(first.address(), Some(1)),
            None,
            "nobody fills it"
        );
        for n in 0..SHOWN as u64 {
            assert!(windows.open(Foreign(n << 12)).is_some());
        }
        assert_eq!(windows.open(Foreign(99 << 12)), None);
    }
}
