//! Typed capabilities and slots.
//!
//! A [`Cap`] names a slot of the caller's object space and says what the program believes is in
//! it. The belief costs nothing and proves nothing: an object that speaks another protocol answers
//! with an error. It is `Copy` and owns nothing; who must give a slot back says so in its own type.

use core::marker::PhantomData;

use l4_sys::{CapIdx, CapRights, Fpage};

/// What kind of object a capability is for. Markers only; never constructed.
pub mod kind {
    macro_rules! kinds {
        ($($(#[$d:meta])* $name:ident,)*) => {
            $($(#[$d])* #[derive(Clone, Copy, Debug, PartialEq, Eq)] pub enum $name {})*
        };
    }
    kinds! {
        /// Anything.
        Any,
        /// A task: address and object space.
        Task,
        /// A thread.
        Thread,
        /// A factory, of the kernel or of a server.
        Factory,
        /// A scheduler.
        Scheduler,
        /// A gate of a server.
        Gate,
        /// An interrupt object.
        Irq,
        /// A log.
        Log,
        /// The root pager.
        Sigma0,
        /// A memory object.
        Dataspace,
        /// A region map.
        Rm,
        /// A name space.
        Namespace,
        /// The kernel debugger.
        Debugger,
        /// A program's parent.
        Parent,
    }
}

/// A capability for an object of kind `K`.
pub struct Cap<K> {
    idx: CapIdx,
    kind: PhantomData<K>,
}

impl<K> Clone for Cap<K> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K> Copy for Cap<K> {}

impl<K> PartialEq for Cap<K> {
    fn eq(&self, other: &Self) -> bool {
        self.idx == other.idx
    }
}

impl<K> Eq for Cap<K> {}

impl<K> core::fmt::Debug for Cap<K> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.idx.fmt(f)
    }
}

impl<K> Cap<K> {
    /// The capability at an index, taken to be of kind `K`.
    #[must_use]
    pub const fn new(idx: CapIdx) -> Self {
        Cap {
            idx,
            kind: PhantomData,
        }
    }

    /// Where it is.
    #[must_use]
    pub const fn idx(self) -> CapIdx {
        self.idx
    }

    /// The same slot, taken to hold another kind.
    #[must_use]
    pub const fn cast<L>(self) -> Cap<L> {
        Cap::new(self.idx)
    }

    /// Flexpage that passes this capability on with `rights`.
    #[must_use]
    pub const fn fpage(self, rights: CapRights) -> Fpage {
        Fpage::obj(self.idx, 0, rights)
    }
}

/// Hands out free slots of the caller's object space from `WORDS * 64` consecutive ones.
///
/// Constant memory, one bit a slot; the search starts where the last one ended.
#[derive(Debug)]
pub struct Slots<const WORDS: usize> {
    first: CapIdx,
    used: [u64; WORDS],
    hint: usize,
}

impl<const WORDS: usize> Slots<WORDS> {
    /// All slots from `first` on are free.
    #[must_use]
    pub const fn new(first: CapIdx) -> Self {
        Slots {
            first,
            used: [0; WORDS],
            hint: 0,
        }
    }

    /// A free slot, or `None` when all are in use.
    pub fn alloc<K>(&mut self) -> Option<Cap<K>> {
        for step in 0..WORDS {
            let w = (self.hint + step) % WORDS;
            let word = self.used.get_mut(w)?;
            if *word != u64::MAX {
                let bit = word.trailing_ones();
                *word |= 1 << bit;
                self.hint = w;
                return Some(Cap::new(self.first.offset(w as u64 * 64 + u64::from(bit))));
            }
        }
        None
    }

    /// Gives a slot back; the caller has emptied it. `false` when it is not one of these slots or
    /// was free already: nothing has changed then.
    #[must_use = "false means that the slot was not in use: a bug of the caller"]
    pub fn free<K>(&mut self, cap: Cap<K>) -> bool {
        let Some(n) = cap.idx().slot().checked_sub(self.first.slot()) else {
            return false;
        };
        let Some(word) = self.used.get_mut((n / 64) as usize) else {
            return false;
        };
        let bit = 1u64 << (n % 64);
        let was = *word & bit != 0;
        *word &= !bit;
        was
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_unique_and_come_back() {
        let mut s: Slots<2> = Slots::new(CapIdx::from_slot(100));
        let mut seen = [false; 128];
        for _ in 0..128 {
            let c = s.alloc::<kind::Any>().expect("128 slots");
            let i = (c.idx().slot() - 100) as usize;
            assert!(!seen[i]);
            seen[i] = true;
        }
        assert!(s.alloc::<kind::Any>().is_none());
        let c: Cap<kind::Any> = Cap::new(CapIdx::from_slot(170));
        assert!(s.free(c));
        assert!(!s.free(c), "double free is told");
        assert!(!s.free(Cap::<kind::Any>::new(CapIdx::from_slot(99))));
        assert!(!s.free(Cap::<kind::Any>::new(CapIdx::from_slot(228))));
        assert_eq!(s.alloc::<kind::Any>(), Some(c));
    }
}
