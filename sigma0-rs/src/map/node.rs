//! One tree node: 36 entries in 512 bytes, kept as four arrays side by side.
//!
//! An entry is (first address, value, two order bytes). In a leaf the value is a [`State`] word and
//! the entry's run reaches up to the next entry's first address. In an inner node the value is a
//! child and the key is the first address below that child, exactly.
//!
//! The order bytes make searches for free memory cheap: byte `PLAIN` is 1 + the order of the largest
//! naturally aligned block inside the entry that any request may have, byte `KEPT` the same for the
//! pagers' reserve, 0 if there is none. An inner entry carries the maximum of its child's bytes.
//!
//! Unused entries have key `u64::MAX` and zeros, so that searches run a fixed number of steps without
//! looking at the count. Searches are branch-free; entries move by whole words, because the target
//! has no vector registers and the library's memmove costs more than the move itself.

use super::arena::NodeId;
use super::types::State;

/// Entries per node.
pub(super) const CAP: usize = 36;
/// Fewer entries than this make a node look for a neighbour to merge or share with. It lies well
/// below half of `CAP` so that a node which was just split or merged is several changes away from
/// the next split or merge.
pub(super) const MIN: usize = 14;
/// Two neighbours with up to this many entries together become one node.
pub(super) const MERGE_MAX: usize = 30;

/// Index of an order array.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Pool {
    /// Free for every request.
    Plain = 0,
    /// Free, but kept for pagers.
    Kept = 1,
}

/// An entry on its way into or out of a node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Entry {
    pub key: u64,
    pub val: u32,
    pub ord: [u8; 2],
}

impl Entry {
    /// What the slots behind the last entry hold.
    pub(super) const UNUSED: Entry = Entry {
        key: u64::MAX,
        val: 0,
        ord: [0; 2],
    };
}

/// See the module header.
#[repr(C)]
pub(super) struct Node {
    pub(super) keys: [u64; CAP],
    pub(super) vals: [u32; CAP],
    pub(super) ord: [[u8; CAP]; 2],
    pub(super) count: u32,
    leaf: u16,
    /// Not 0 if the `Kept` bytes may be other than 0: most nodes never see one and skip their moves.
    pub(super) kept: u16,
}

const _: () = assert!(size_of::<Node>() == super::arena::NODE_BYTES);
const _: () = assert!(MERGE_MAX >= 2 * MIN && MERGE_MAX + 2 < CAP && MIN <= CAP / 2);

impl Node {
    /// All zero: a slot that no tree uses.
    pub(super) const EMPTY: Node = Node {
        keys: [0; CAP],
        vals: [0; CAP],
        ord: [[0; CAP]; 2],
        count: 0,
        leaf: 0,
        kept: 0,
    };

    /// Makes it an empty leaf or inner node.
    pub(super) fn reset(&mut self, leaf: bool) {
        self.keys = [u64::MAX; CAP];
        self.vals = [0; CAP];
        self.ord = [[0; CAP]; 2];
        self.count = 0;
        self.leaf = leaf as u16;
        self.kept = 0;
    }

    pub(super) fn set_link(&mut self, link: u32) {
        self.vals[0] = link;
    }

    pub(super) fn link(&self) -> u32 {
        self.vals[0]
    }

    /// Number of entries, at most `CAP`.
    #[inline(always)]
    pub(super) fn count(&self) -> usize {
        // SAFETY: only `open`, `remove`, `share` and `reset` in this and the next file set the field,
        // none of them above CAP.
        unsafe { core::hint::assert_unchecked(self.count <= CAP as u32) };
        self.count as usize
    }

    pub(super) fn is_leaf(&self) -> bool {
        self.leaf != 0
    }

    /// Key of entry `i`; the largest key if there is no such entry.
    #[inline(always)]
    pub(super) fn key(&self, i: usize) -> u64 {
        self.keys.get(i).copied().unwrap_or(u64::MAX)
    }

    #[inline(always)]
    pub(super) fn set_key(&mut self, i: usize, key: u64) {
        if let Some(k) = self.keys.get_mut(i) {
            *k = key;
        }
    }

    /// Value of entry `i`: 0 if there is no such entry.
    #[inline(always)]
    pub(super) fn val(&self, i: usize) -> u32 {
        self.vals.get(i).copied().unwrap_or(0)
    }

    /// Sets the value of entry `i`.
    pub(super) fn set_val(&mut self, i: usize, val: u32) {
        if let Some(v) = self.vals.get_mut(i) {
            *v = val;
        }
    }

    /// Child behind inner entry `i`, which must exist.
    #[inline(always)]
    pub(super) fn child(&self, i: usize) -> NodeId {
        debug_assert!(!self.is_leaf() && i < self.count());
        NodeId::from_val(self.val(i))
    }

    /// State of leaf entry `i`.
    #[inline(always)]
    pub(super) fn state(&self, i: usize) -> State {
        State(self.val(i))
    }

    #[inline(always)]
    pub(super) fn ord(&self, i: usize, pool: Pool) -> u8 {
        self.ord[pool as usize].get(i).copied().unwrap_or(0)
    }

    #[inline(always)]
    pub(super) fn set_ord(&mut self, i: usize, pool: Pool, o: u8) {
        if let Some(x) = self.ord[pool as usize].get_mut(i) {
            *x = o;
            if pool == Pool::Kept {
                self.kept |= o as u16;
            }
        }
    }

    /// Both order bytes of entry `i`.
    #[inline(always)]
    pub(super) fn ords(&self, i: usize) -> [u8; 2] {
        [self.ord(i, Pool::Plain), self.ord(i, Pool::Kept)]
    }

    /// Sets both order bytes of entry `i`.
    #[inline(always)]
    pub(super) fn set_ords(&mut self, i: usize, o: [u8; 2]) {
        if i < CAP {
            self.ord[0][i] = o[0];
            if self.kept | o[1] as u16 != 0 {
                self.ord[1][i] = o[1];
                self.kept = 1;
            }
        }
    }

    pub(super) fn entry(&self, i: usize) -> Entry {
        Entry {
            key: self.key(i),
            val: self.val(i),
            ord: [self.ord(i, Pool::Plain), self.ord(i, Pool::Kept)],
        }
    }

    /// The last entry whose key is not above `addr`, which must not be `u64::MAX` (see
    /// [`Node::find_last`]). The first key of a node is never above the addresses looked for in it,
    /// so entry 0 is the answer of last resort. The result is below `CAP`.
    #[inline(always)]
    pub(super) fn find(&self, addr: u64) -> usize {
        let mut base = 0usize;
        // 36 -> 18 -> 9 -> 5 -> 3 -> 2 -> 1 candidates: six steps whatever the count is. Unused keys
        // are above every address.
        macro_rules! step {
            ($half:expr) => {
                // SAFETY: the halves add up to 35, so `base + half` stays below CAP.
                let k = unsafe { *self.keys.get_unchecked(base + $half) };
                base = core::hint::select_unpredictable(k <= addr, base + $half, base);
            };
        }
        step!(18);
        step!(9);
        step!(4);
        step!(2);
        step!(1);
        step!(1);
        base
    }

    /// The last entry: what [`Node::find`] is for the address `u64::MAX`.
    pub(super) fn find_last(&self) -> usize {
        self.count().saturating_sub(1)
    }
}
