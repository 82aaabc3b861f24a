//! Dataspace, region map and memory requests and answers, word by word.

mod engine_support;

use engine_support::runner;
use l4_sys::item::Received;
use l4_sys::{Errno, MsgTag, UtcbRef};
use l4re_rs::msg::Writer;
use percore_pager::engine::Figures;
use percore_pager::engine::ds::{Info, Mapped};
use percore_pager::engine::proto::{dataspace, memory, rm};
use percore_pager::engine::rm::{Entry, Name, Range};
use percore_pager::frames::{FrameNo, PageOrder};
use proptest::prelude::*;

/// A UTCB of the test's own.
struct Block([u64; 128]);

impl Block {
    fn new() -> Self {
        Block([0xdead_beef_dead_beef; 128])
    }

    fn utcb(&mut self) -> UtcbRef {
        // SAFETY: a UTCB-sized block of this thread, which nothing else uses meanwhile.
        unsafe { UtcbRef::from_ptr(self.0.as_mut_ptr().cast()) }
    }

    fn words(&self, tag: MsgTag) -> Vec<u64> {
        self.0[..tag.words() + 2 * tag.items()].to_vec()
    }
}

fn message(words: &[u64], items: &[[u64; 2]]) -> (Block, MsgTag) {
    let mut block = Block::new();
    let all = words.iter().chain(items.iter().flatten());
    for (n, word) in all.enumerate() {
        block.0[n] = *word;
    }
    (block, MsgTag::plain(0x4000, words.len(), items.len()))
}

#[test]
fn dataspace_requests() {
    use dataspace::Request;
    let decode = |words: &[u64], items: &[[u64; 2]]| {
        let (mut block, tag) = message(words, items);
        dataspace::decode(block.utcb(), tag)
    };
    // The upper half of the first word is not the opcode's.
    let map = Request::Map {
        offset: 1,
        spot: 2,
        flags: 3,
    };
    assert_eq!(decode(&[7 << 32, 1, 2, 3], &[]), Ok(map));
    assert_eq!(
        decode(&[1, 5, 6], &[]),
        Ok(Request::Clear { offset: 5, size: 6 })
    );
    assert_eq!(decode(&[2], &[]), Ok(Request::Info));
    let source = Received::OwnGate(0x1_0000_0013);
    let copy = Request::CopyIn {
        to: 1,
        from: 2,
        size: 3,
        source,
    };
    assert_eq!(decode(&[3, 1, 2, 3], &[[0x3c, 0x1_0000_0013]]), Ok(copy));
    assert_eq!(
        decode(&[4, 5, 6], &[]),
        Ok(Request::Allocate { offset: 5, size: 6 })
    );
    assert_eq!(decode(&[5], &[]), Ok(Request::MapInfo));
    // Unknown comes before too short.
    assert_eq!(decode(&[6], &[]), Err(Errno::NoSys));
    assert_eq!(decode(&[u64::MAX], &[]), Err(Errno::NoSys));
    assert_eq!(decode(&[], &[]), Err(Errno::MsgTooShort));
    for short in [&[0, 1, 2][..], &[1, 5], &[3, 1, 2], &[4, 5]] {
        assert_eq!(decode(short, &[[0x3c, 16]]), Err(Errno::MsgTooShort));
    }
    assert_eq!(decode(&[3, 1, 2, 3], &[]), Err(Errno::MsgTooShort));
    let (mut block, _) = message(&[2], &[]);
    let too_many = MsgTag::plain(0x4000, 60, 2);
    assert_eq!(
        dataspace::decode(block.utcb(), too_many),
        Err(Errno::MsgTooShort)
    );
}

#[test]
fn dataspace_answers() {
    let mut block = Block::new();
    let mapped = |caching| Mapped {
        start: FrameNo(0x40),
        order: PageOrder::new(4).expect("small"),
        rights: 6,
        base: 0x7_5000,
        caching,
        work: 0,
    };
    // Item: base, cache mode, map; flexpage: address, order 16, type memory, rights RW.
    for (caching, bits) in [(0, 0), (0x10, 0x50), (0x20, 0x10), (0x30, 0)] {
        let tag = dataspace::answer_map(block.utcb(), &mapped(caching)).expect("it fits");
        assert_eq!((tag.label(), tag.words(), tag.items()), (0, 0, 1));
        let expected = [0x7_5000 | bits | 8, 0x4_0000 | 16 << 6 | 1 << 4 | 6];
        assert_eq!(block.words(tag), expected);
    }
    let tag = dataspace::answer_info(
        block.utcb(),
        Info {
            size: 77,
            flags: 0x105,
        },
    );
    assert_eq!(block.words(tag.expect("it fits")), [77, 0x105]);
    let tag = dataspace::answer_map_info(block.utcb()).expect("it fits");
    assert_eq!((tag.label(), tag.words()), (0, 2));
    let tag = rm::answer_page_in(block.utcb(), &mapped(0)).expect("it fits");
    assert_eq!((tag.label(), tag.words(), tag.items()), (0, 1, 1));
    assert_eq!(block.words(tag)[..2], [0, 0x7_5008]);
}

#[test]
fn region_map_requests() {
    use rm::Request;
    let decode = |words: &[u64]| {
        let (mut block, tag) = message(words, &[]);
        rm::decode(block.utcb(), tag)
    };
    assert_eq!(
        decode(&[1, 2, 3, 4 | 9 << 32]),
        Ok(Request::Detach(2, 3, 4))
    );
    assert_eq!(decode(&[2, 2, 3]), Ok(Request::Find));
    let reserve = Request::ReserveArea(2, 3, 0x20000, 12);
    assert_eq!(decode(&[3, 2, 3, 0x20000 | 12 << 32]), Ok(reserve));
    assert_eq!(decode(&[4, 9]), Ok(Request::FreeArea(9)));
    assert_eq!(decode(&[5, 9]), Ok(Request::Regions(9)));
    assert_eq!(decode(&[6, 9]), Ok(Request::Areas(9)));
    assert_eq!(decode(&[7, 9]), Ok(Request::Info(9)));
    assert_eq!(decode(&[8, 1, 2, 3]), Ok(Request::AddJump(1, 2, 3)));
    assert_eq!(decode(&[9, 9]), Ok(Request::RemoveJump(9)));
    assert_eq!(
        decode(&[10, 1, 2, 5 | 7 << 16]),
        Ok(Request::PageIn(1, 2, 5))
    );
    assert_eq!(decode(&[11, 1, 2, 3]), Err(Errno::NoSys));
    assert_eq!(decode(&[]), Err(Errno::MsgTooShort));
    for op in 0..=10 {
        assert_eq!(decode(&[op]), Err(Errno::MsgTooShort), "operation {op}");
    }
    assert_eq!(decode(&[2, 2]), Err(Errno::MsgTooShort));
}

#[test]
fn attach_requests() {
    let mut block = Block::new();
    let fill = |utcb, name: &[u8]| {
        Writer::new(utcb)
            .u32(0)
            .u64(0x1000)
            .u64(0x2000)
            .u32(0x2_0006)
            .u64(0x3000)
            .u8(21)
            .u64(0x77_f000)
            .array(name)
            .u64(0x44)
            .finish(0x4005)
            .expect("it fits")
    };
    let long = [b'n'; 300];
    for (name, kept) in [
        (&b"libc\0"[..], &b"libc"[..]),
        (b"\0", b""),
        (&long, &long[..40]),
    ] {
        let tag = fill(block.utcb(), name);
        let got = rm::decode(block.utcb(), tag).expect("complete");
        let expected = rm::Attach {
            start: 0x1000,
            size: 0x2000,
            flags: 0x2_0006,
            offset: 0x3000,
            align: 21,
            client_cap: 0x77_f000,
            name: Name::new(kept),
            backing_offset: 0x44,
            object: None,
        };
        assert_eq!(got, rm::Request::Attach(expected));
    }
    let tag = fill(block.utcb(), b"");
    let got = rm::decode(block.utcb(), tag);
    assert_eq!(got, Err(Errno::MsgTooShort), "a name has its NUL at least");
    let tag = fill(block.utcb(), b"x\0");
    let words = tag.words();
    block.0[words] = 0x3c;
    block.0[words + 1] = 0x1_0000_0012;
    let with_item = MsgTag::plain(0x4005, words, 1);
    let Ok(rm::Request::Attach(got)) = rm::decode(block.utcb(), with_item) else {
        panic!("it is complete")
    };
    assert_eq!(got.object, Some(Received::OwnGate(0x1_0000_0012)));
    // Each word less is too short; a name longer than the message, too.
    for count in 0..words {
        let short = MsgTag::plain(0x4005, count, 0);
        assert_eq!(rm::decode(block.utcb(), short), Err(Errno::MsgTooShort));
    }
    for length in [17, 505, u64::MAX] {
        block.0[7] = length;
        assert_eq!(rm::decode(block.utcb(), tag), Err(Errno::MsgTooShort));
    }
}

#[test]
fn region_map_answers() {
    let mut block = Block::new();
    let range = Range::sized(0x5000, 0x1000).expect("a page");
    let tag = rm::answer_place(block.utcb(), range).expect("it fits");
    assert_eq!((tag.label(), block.words(tag)), (0, vec![0x5000]));
    let entry = |n| Entry {
        start: n,
        end: n + 1,
        flags: 7,
    };
    let tag = rm::answer_list(block.utcb(), (0..2).map(entry)).expect("it fits");
    assert_eq!((tag.label(), block.words(tag)), (2, vec![0, 1, 7, 1, 2, 7]));
    let tag = rm::answer_list(block.utcb(), (0..50).map(entry)).expect("it fits");
    assert_eq!((tag.label(), tag.words()), (21, 63));
    let tag = rm::answer_list(block.utcb(), (0..0).map(entry)).expect("it fits");
    assert_eq!((tag.label(), tag.words()), (0, 0));
    let tag = rm::answer_info(block.utcb(), &Name::new(b"abc"), 9).expect("it fits");
    let name = u64::from_le_bytes(*b"abc\0\0\0\0\0");
    let got = block.words(tag);
    assert_eq!((got[0], got[1] & 0xffff_ffff, got[2]), (4, name, 9));
    assert!(rm::answer_info(block.utcb(), &Name::new(&[b'x'; 60]), 9).is_ok());
}

#[test]
fn memory_figures() {
    let (mut block, tag) = message(&[0], &[]);
    assert_eq!(memory::decode(block.utcb(), tag), Ok(()));
    let (mut block, tag) = message(&[1], &[]);
    assert_eq!(memory::decode(block.utcb(), tag), Err(Errno::NoSys));
    let (mut block, tag) = message(&[], &[]);
    assert_eq!(memory::decode(block.utcb(), tag), Err(Errno::MsgTooShort));
    let figures = Figures {
        quota: 1,
        reserved: 2,
        memory: 3,
        committed: 4,
        free: 5,
    };
    let tag = memory::answer(block.utcb(), &figures).expect("it fits");
    assert_eq!((tag.label(), block.words(tag)), (0, vec![1, 2, 3, 4, 5]));
}

/// Any words and any tag: an answer or one of the errors of broken messages.
#[test]
fn garbage() {
    let words = proptest::collection::vec(prop_oneof![0u64..12, any::<u64>()], 63);
    runner(3000)
        .run(&(words, any::<u64>()), |(words, tag)| {
            let (mut block, _) = message(&words, &[]);
            let tag = MsgTag(tag);
            let broken = |e| [Errno::MsgTooShort, Errno::NoSys].contains(&e);
            if let Err(e) = dataspace::decode(block.utcb(), tag) {
                assert!(broken(e));
            }
            if let Err(e) = rm::decode(block.utcb(), tag) {
                assert!(broken(e));
            }
            if let Err(e) = memory::decode(block.utcb(), tag) {
                assert!(broken(e));
            }
            Ok(())
        })
        .unwrap_or_else(|e| panic!("{e}"));
}
