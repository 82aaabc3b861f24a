//! Opening and closing gaps in a node's arrays, and moving entries between nodes.
//!
//! Moves are by 8-byte words that may overlap their neighbours: the word at the far end is read
//! before anything is written and written last, so lengths that are no multiple of 8 need no byte
//! loop.

use super::node::{CAP, Entry, Node};

/// Moves `n` words of 8 bytes at `p` upwards by `by` bytes. Written out in fours, which also keeps the
/// compiler from calling memmove.
///
/// # Safety
/// `p` must be valid for reads and writes of `n * 8 + by` bytes.
#[inline(always)]
unsafe fn words_up(p: *mut u8, n: usize, by: usize) {
    // SAFETY: every access lies in the bytes that the caller vouches for, and is unaligned-safe.
    unsafe {
        let mut from = p.add(n * 8).cast::<u64>();
        let mut to = p.add(n * 8 + by).cast::<u64>();
        for _ in 0..n / 4 {
            from = from.sub(4);
            to = to.sub(4);
            let d = from.add(3).read_unaligned();
            let c = from.add(2).read_unaligned();
            let b = from.add(1).read_unaligned();
            let a = from.read_unaligned();
            to.add(3).write_unaligned(d);
            to.add(2).write_unaligned(c);
            to.add(1).write_unaligned(b);
            to.write_unaligned(a);
        }
        if n & 2 != 0 {
            from = from.sub(2);
            to = to.sub(2);
            let b = from.add(1).read_unaligned();
            let a = from.read_unaligned();
            to.add(1).write_unaligned(b);
            to.write_unaligned(a);
        }
        if n & 1 != 0 {
            let a = from.sub(1).read_unaligned();
            to.sub(1).write_unaligned(a);
        }
    }
}

/// Moves `n` words of 8 bytes at `p + by` downwards to `p`, as [`words_up`].
///
/// # Safety
/// `p` must be valid for reads and writes of `n * 8 + by` bytes.
#[inline(always)]
unsafe fn words_down(p: *mut u8, n: usize, by: usize) {
    // SAFETY: as in `words_up`.
    unsafe {
        let mut from = p.add(by).cast::<u64>();
        let mut to = p.cast::<u64>();
        for _ in 0..n / 4 {
            let a = from.read_unaligned();
            let b = from.add(1).read_unaligned();
            let c = from.add(2).read_unaligned();
            let d = from.add(3).read_unaligned();
            to.write_unaligned(a);
            to.add(1).write_unaligned(b);
            to.add(2).write_unaligned(c);
            to.add(3).write_unaligned(d);
            from = from.add(4);
            to = to.add(4);
        }
        if n & 2 != 0 {
            let a = from.read_unaligned();
            let b = from.add(1).read_unaligned();
            to.write_unaligned(a);
            to.add(1).write_unaligned(b);
            from = from.add(2);
            to = to.add(2);
        }
        if n & 1 != 0 {
            to.write_unaligned(from.read_unaligned());
        }
    }
}

/// Moves `len` bytes at `p` upwards by `by` bytes.
///
/// # Safety
/// `p` must be valid for reads and writes of `len + by` bytes.
#[inline(always)]
unsafe fn move_up(p: *mut u8, len: usize, by: usize) {
    // SAFETY: the whole words at the top and the first word together are the `len` bytes.
    unsafe {
        if len >= 8 {
            let first = p.cast::<u64>().read_unaligned();
            words_up(p.add(len % 8), len / 8, by);
            p.add(by).cast::<u64>().write_unaligned(first);
        } else {
            small(p, p.add(by), len);
        }
    }
}

/// Moves `len` bytes at `p + by` downwards to `p`.
///
/// # Safety
/// `p` must be valid for reads and writes of `len + by` bytes.
#[inline(always)]
unsafe fn move_down(p: *mut u8, len: usize, by: usize) {
    // SAFETY: the whole words at the bottom and the last word together are the `len` bytes.
    unsafe {
        if len >= 8 {
            let last = p.add(by + len - 8).cast::<u64>().read_unaligned();
            words_down(p, len / 8, by);
            p.add(len - 8).cast::<u64>().write_unaligned(last);
        } else {
            small(p.add(by), p, len);
        }
    }
}

/// Copies fewer than 8 bytes between places that may overlap.
///
/// # Safety
/// `from` must be valid for reads, `to` for writes, of `len` bytes each.
#[inline(always)]
unsafe fn small(from: *const u8, to: *mut u8, len: usize) {
    // SAFETY: both halves lie inside the `len` bytes; all reads come before the writes.
    unsafe {
        if len >= 4 {
            let a = from.cast::<u32>().read_unaligned();
            let b = from.add(len - 4).cast::<u32>().read_unaligned();
            to.cast::<u32>().write_unaligned(a);
            to.add(len - 4).cast::<u32>().write_unaligned(b);
        } else if len >= 2 {
            let a = from.cast::<u16>().read_unaligned();
            let b = from.add(len - 2).cast::<u16>().read_unaligned();
            to.cast::<u16>().write_unaligned(a);
            to.add(len - 2).cast::<u16>().write_unaligned(b);
        } else if len == 1 {
            to.write(from.read());
        }
    }
}

impl Node {
    /// Shifts the entries from `i` on up by `by` and counts them in; the caller then fills the gap.
    /// False, and nothing done, if there is no room.
    #[inline(never)]
    pub(super) fn open(&mut self, i: usize, by: usize) -> bool {
        let n = self.count as usize;
        if i > n || n + by > CAP {
            return false;
        }
        let m = n - i;
        self.count = (n + by) as u32;
        // SAFETY: entries i .. n + by lie inside the arrays because n + by <= CAP.
        unsafe {
            words_up(self.keys.as_mut_ptr().add(i).cast(), m, by * 8);
            move_up(self.vals.as_mut_ptr().add(i).cast(), m * 4, by * 4);
            move_up(self.ord[0].as_mut_ptr().add(i), m, by);
            if self.kept != 0 {
                move_up(self.ord[1].as_mut_ptr().add(i), m, by);
            }
        }
        true
    }

    /// Overwrites slot `i`.
    #[inline(always)]
    pub(super) fn put(&mut self, i: usize, e: Entry) {
        if i < CAP {
            self.keys[i] = e.key;
            self.vals[i] = e.val;
            self.ord[0][i] = e.ord[0];
            if self.kept | e.ord[1] as u16 != 0 {
                self.ord[1][i] = e.ord[1];
                self.kept = 1;
            }
        }
    }

    /// Removes entry `i`. Nothing happens if it does not exist.
    #[inline(never)]
    pub(super) fn remove(&mut self, i: usize) {
        let n = self.count as usize;
        if i >= n || n > CAP {
            return;
        }
        let m = n - 1 - i;
        // SAFETY: entries i .. n lie inside the arrays because n <= CAP.
        unsafe {
            words_down(self.keys.as_mut_ptr().add(i).cast(), m, 8);
            move_down(self.vals.as_mut_ptr().add(i).cast(), m * 4, 4);
            move_down(self.ord[0].as_mut_ptr().add(i), m, 1);
            if self.kept != 0 {
                move_down(self.ord[1].as_mut_ptr().add(i), m, 1);
            }
        }
        self.put(n - 1, Entry::UNUSED);
        self.count = (n - 1) as u32;
    }

    /// Inserts before slot `i`. False if the node is full.
    pub(super) fn insert(&mut self, i: usize, e: Entry) -> bool {
        let ok = self.open(i, 1);
        if ok {
            self.put(i, e);
        }
        ok
    }

    /// Moves entries so that `left` keeps `keep` of all and `right`, its neighbour on the
    /// right, has the rest. Both must then fit.
    pub(super) fn share(left: &mut Node, right: &mut Node, keep: usize) {
        let (l, r) = (left.count(), right.count());
        if keep < l && r == 0 {
            // A split: the upper part goes over in one sweep.
            for i in keep..l {
                right.put(i - keep, left.entry(i));
                left.put(i, Entry::UNUSED);
            }
            right.count = (l - keep) as u32;
            left.count = keep as u32;
        } else if keep == l + r && keep <= CAP {
            // A merge.
            for i in 0..r {
                left.put(l + i, right.entry(i));
                right.put(i, Entry::UNUSED);
            }
            right.count = 0;
            left.count = keep as u32;
        }
        // Sharing is rare and moves few entries: one by one.
        while left.count() > keep {
            let last = left.count() - 1;
            if !right.insert(0, left.entry(last)) {
                return;
            }
            left.remove(last);
        }
        while left.count() < keep && right.count() > 0 {
            if !left.insert(left.count(), right.entry(0)) {
                return;
            }
            right.remove(0);
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::vec::Vec;

    fn entry(i: usize) -> Entry {
        Entry {
            key: i as u64 * 10,
            val: i as u32,
            ord: [i as u8 % 66, 65 - i as u8 % 66],
        }
    }

    fn filled(n: usize) -> Node {
        let mut node = Node::EMPTY;
        node.reset(true);
        for i in 0..n {
            assert!(node.insert(i, entry(i)));
        }
        node
    }

    fn content(n: &Node) -> Vec<Entry> {
        (0..CAP).map(|i| n.entry(i)).collect()
    }

    #[test]
    fn find_agrees_with_a_scan_at_every_count() {
        for n in 1..=CAP {
            let node = filled(n);
            for a in 0..(n as u64 * 10 + 5) {
                assert_eq!(
                    node.find(a),
                    (a / 10).min(n as u64 - 1) as usize,
                    "n {n} a {a}"
                );
            }
            assert_eq!(node.find_last(), n - 1);
        }
    }

    #[test]
    fn open_and_close_agree_with_a_vector_at_every_place() {
        for n in 0..=CAP {
            for i in 0..=n {
                for by in 1..=2 {
                    let mut node = filled(n);
                    let opened = node.open(i, by);
                    assert_eq!(opened, n + by <= CAP);
                    if opened {
                        for j in i..i + by {
                            node.put(j, entry(70 + j));
                        }
                        let mut want: Vec<Entry> = (0..n).map(entry).collect();
                        for j in (i..i + by).rev() {
                            want.insert(i, entry(70 + j));
                        }
                        want.resize(CAP, Entry::UNUSED);
                        assert_eq!(content(&node), want, "n {n} i {i} by {by}");
                        (0..by).for_each(|_| node.remove(i));
                    }
                    assert_eq!(node.count(), n);
                    assert_eq!(content(&node), content(&filled(n)), "n {n} i {i} by {by}");
                }
            }
        }
    }

    #[test]
    fn share_keeps_every_entry_in_order() {
        for total in 1..=CAP {
            for cut in 0..=total {
                for keep in 0..=total {
                    let mut l = filled(cut);
                    let mut r = Node::EMPTY;
                    r.reset(true);
                    for i in cut..total {
                        r.insert(i - cut, entry(i));
                    }
                    Node::share(&mut l, &mut r, keep);
                    assert_eq!(l.count(), keep);
                    let all: Vec<Entry> = (0..keep)
                        .map(|i| l.entry(i))
                        .chain((0..r.count()).map(|i| r.entry(i)))
                        .collect();
                    assert_eq!(all, (0..total).map(entry).collect::<Vec<_>>());
                }
            }
        }
    }
}
