//! Requests to dataspaces and region maps, in short.

use l4_sys::{CapRights, Errno, proto};
use l4re_rs::msg::Writer;

use super::{Cap, Item, Reply, Rig};

/// R and W.
pub const RW: u64 = 6;

/// The same capability without W and S.
pub fn weak(cap: Cap) -> Cap {
    Cap {
        rights: CapRights::R,
        ..cap
    }
}

/// A request to a dataspace; its error.
pub fn ds(rig: &mut Rig, cap: Cap, words: &[u64]) -> Option<Errno> {
    rig.call(cap, proto::DATASPACE, words, &[]).error()
}

/// A copy request: to, from, size.
pub fn copy(rig: &mut Rig, to: Cap, from: Item, words: [u64; 3]) -> Option<Errno> {
    let words = [3, words[0], words[1], words[2]];
    rig.call(to, proto::DATASPACE, &words, &[from]).error()
}

/// Fills a page through a mapping of a client's.
pub fn fill(rig: &mut Rig, cap: Cap, page: u64, byte: u8) {
    let got = rig.map_page(cap, page, RW);
    rig.bytes(&got).fill(byte);
}

/// A page, as a client sees it.
pub fn peek(rig: &mut Rig, cap: Cap, page: u64) -> Vec<u8> {
    let got = rig.map_page(cap, page, 4);
    rig.bytes(&got).to_vec()
}

/// An attach request's words: start, size, flags, offset, log2 of the alignment.
pub fn attach_words(rig: &mut Rig, args: (u64, u64, u32, u64, u8)) -> Vec<u64> {
    let (start, size, flags, offset, align) = args;
    let utcb = rig.utcb();
    let tag = Writer::new(utcb)
        .u32(0)
        .u64(start)
        .u64(size)
        .u32(flags)
        .u64(offset)
        .u8(align)
        .u64(0x77_f000)
        .array(b"libc\0")
        .u64(0x44)
        .finish(proto::RM)
        .expect("it fits");
    (0..tag.words()).map(|n| utcb.mr(n)).collect()
}

/// An attach request.
pub fn attach(rig: &mut Rig, map: Cap, item: Item, args: (u64, u64, u32, u64, u8)) -> Reply {
    let words = attach_words(rig, args);
    rig.call(map, proto::RM, &words, &[item])
}

/// A request to a region map.
pub fn rm(rig: &mut Rig, map: Cap, words: &[u64]) -> Reply {
    rig.call(map, proto::RM, words, &[])
}

/// A page fault.
pub fn fault(rig: &mut Rig, map: Cap, word: u64) -> Reply {
    rig.call(map, proto::PAGE_FAULT, &[word, 0x4711], &[])
}
