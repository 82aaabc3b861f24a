//! Orders of aligned blocks, and searches over arrays of order bytes eight at a time.
//!
//! An order byte is 0 for "no block" and else 1 + the order; it never exceeds 65, so bit 7 of each
//! byte is free for carries.

use super::node::{CAP, Node, Pool};

const LOW: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = LOW << 7;

/// 1 + the order of the largest naturally aligned block of 2^order addresses inside
/// `start..=end`, which must not be empty.
#[inline]
pub(super) fn order_byte(start: u64, end: u64) -> u8 {
    let below = start.wrapping_sub(1);
    let above = end.wrapping_add(1);
    let top = if start == 0 {
        if above == 0 {
            return 65;
        }
        above
    } else if above == 0 {
        start.wrapping_neg()
    } else {
        // A block of order k fits iff (above >> k) - (below >> k) >= 2. Where the two first differ
        // the difference is 1; one bit lower it is 2 or more unless `below` has a 1 and `above` a 0
        // there, which only moves the question one bit lower still.
        let differ = below ^ above;
        let p = 63 - (differ | 1).leading_zeros();
        (!below | above) & ((1u64 << p) - 1)
    };
    // `top` is not 0; saying so saves the test for it.
    (64 - (top | 1).leading_zeros()) as u8
}

/// First aligned address at or above `start` (which lies in a run that has such a block).
#[inline(always)]
pub(super) fn align_up(start: u64, order: u8) -> u64 {
    let mask = (1u64 << (order & 63)) - 1;
    start.wrapping_add(mask) & !mask
}

#[inline(always)]
fn word(a: &[u8; CAP], i: usize) -> u64 {
    let mut w = [0u8; 8];
    for (j, b) in w.iter_mut().enumerate() {
        *b = a.get(i * 8 + j).copied().unwrap_or(0);
    }
    u64::from_le_bytes(w)
}

const WORDS: usize = CAP.div_ceil(8);

impl Node {
    /// First entry from slot `from` on whose byte in `pool` is at least `min` (1..=65); `None` if
    /// there is none. The result is below `CAP`.
    #[inline(always)]
    pub(super) fn first_ge(&self, pool: Pool, min: u8, from: usize) -> Option<usize> {
        let a = &self.ord[pool as usize];
        let k = LOW * min as u64;
        let skip = from / 8;
        let mut keep = u64::MAX << (from % 8 * 8);
        macro_rules! step {
            ($i:expr) => {
                if $i >= skip {
                    let hit = ((word(a, $i) | HIGH) - k) & HIGH & keep;
                    if hit != 0 {
                        return Some($i * 8 + hit.trailing_zeros() as usize / 8);
                    }
                    keep = u64::MAX;
                }
            };
        }
        step!(0);
        step!(1);
        step!(2);
        step!(3);
        step!(4);
        let _ = keep;
        None
    }

    /// Whether any byte in `pool` is at least `min` (1..=66).
    #[inline(always)]
    pub(super) fn any_ge(&self, pool: Pool, min: u8) -> bool {
        let a = &self.ord[pool as usize];
        let k = LOW * min as u64;
        let ge = |i| ((word(a, i) | HIGH) - k) & HIGH != 0;
        ge(0) || ge(1) || ge(2) || ge(3) || ge(4)
    }

    /// The largest byte in `pool`.
    pub(super) fn max_ord(&self, pool: Pool) -> u8 {
        let a = &self.ord[pool as usize];
        let mut m = 0u64;
        for i in 0..WORDS {
            m = max8(m, word(a, i));
        }
        m = max8(m, m >> 32);
        m = max8(m, m >> 16);
        m = max8(m, m >> 8);
        m as u8
    }
}

/// Byte-wise maximum of words whose bytes are below 128.
#[inline(always)]
fn max8(a: u64, b: u64) -> u64 {
    let ge = (((a | HIGH) - b) & HIGH) >> 7;
    let mask = ge.wrapping_mul(0xff);
    (a & mask) | (b & !mask)
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;

    fn slow_order(start: u64, end: u64) -> u8 {
        (0..=63u8)
            .rev()
            .find(|&k| {
                let size = 1u128 << k;
                let first = (start as u128).div_ceil(size) * size;
                first + size - 1 <= end as u128
            })
            .map_or(0, |k| k + 1)
    }

    #[test]
    fn order_of_every_small_range() {
        for s in 0..200u64 {
            for e in s..200 {
                assert_eq!(order_byte(s, e), slow_order(s, e), "{s}..={e}");
                let (s, e) = (u64::MAX - e, u64::MAX - s);
                assert_eq!(order_byte(s, e), slow_order(s, e), "{s}..={e}");
            }
        }
        assert_eq!(order_byte(0, u64::MAX), 65);
    }

    #[test]
    fn order_of_random_ranges() {
        let mut x = 0x9e37_79b9_7f4a_7c15u64;
        let mut next = || {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            x
        };
        for _ in 0..100_000 {
            let (sa, sb) = (next() % 64, next() % 64);
            let (a, b) = (next() >> sa, next() >> sb);
            let (s, e) = (a.min(b), a.max(b));
            if (s, e) != (0, u64::MAX) {
                assert_eq!(order_byte(s, e), slow_order(s, e), "{s:#x}..={e:#x}");
            }
        }
    }

    #[test]
    fn byte_searches_agree_with_scans() {
        let mut x = 88172645463325252u64;
        for _ in 0..2_000 {
            let mut node = Node::EMPTY;
            node.reset(true);
            for i in 0..CAP {
                x = x
                    .wrapping_mul(6364136223846793005)
                    .wrapping_add(1442695040888963407);
                node.ord[1][i] = ((x >> 33) % 66) as u8;
            }
            assert_eq!(node.max_ord(Pool::Kept), *node.ord[1].iter().max().unwrap());
            assert_eq!(node.max_ord(Pool::Plain), 0);
            for min in [1u8, 13, 40, 65] {
                for from in 0..CAP {
                    let want = (from..CAP).find(|&i| node.ord[1][i] >= min);
                    assert_eq!(node.first_ge(Pool::Kept, min, from), want);
                }
            }
        }
    }
}
