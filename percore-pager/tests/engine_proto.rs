//! Factory and Meta requests, message by message.

mod engine_support;

use engine_support::runner;
use l4_sys::{Errno, MsgTag, UtcbRef, proto};
use l4re_rs::msg::{Reader, Writer};
use l4re_rs::varg::Arg;
use percore_pager::engine::ds::ContiguousAlign;
use percore_pager::engine::proto::{Class, Contiguous, Create, NewDataspace, factory, meta};
use proptest::prelude::*;

/// A UTCB of the test's own.
struct Block([u64; 128]);

impl Block {
    fn utcb(&mut self) -> UtcbRef {
        // SAFETY: a UTCB-sized block of this thread, which nothing else uses meanwhile.
        unsafe { UtcbRef::from_ptr(self.0.as_mut_ptr().cast()) }
    }
}

fn create(kind: i64, args: &[Arg<'_>]) -> Result<Create, Errno> {
    let mut block = Block([0; 128]);
    let utcb = block.utcb();
    let mut writer = Writer::new(utcb).u64(kind.cast_unsigned());
    for arg in args {
        writer = writer.varg(*arg);
    }
    let tag = writer.finish(proto::FACTORY).expect("it fits");
    factory::decode(utcb, tag)
}

fn on_demand(size: u64) -> Result<Create, Errno> {
    Ok(Create::Dataspace(NewDataspace::OnDemand(size)))
}

fn contiguous(size: Contiguous, log2: u64) -> Result<Create, Errno> {
    let align = ContiguousAlign::new(log2, false).expect("small");
    Ok(Create::Dataspace(NewDataspace::Contiguous(size, align)))
}

#[test]
fn dataspaces() {
    use Arg::{Bytes, Int, Nil, Uint};
    let ds = |args: &[Arg<'_>]| create(proto::DATASPACE, args);
    assert_eq!(ds(&[Int(5)]), on_demand(5));
    assert_eq!(ds(&[Uint(5), Uint(0), Uint(300)]), on_demand(5));
    // Unknown flags, and flags and alignments that are no numbers, are ignored.
    assert_eq!(ds(&[Int(5), Int(0x70), Bytes(b"x\0")]), on_demand(5));
    assert_eq!(ds(&[Int(5), Bytes(b"x\0")]), on_demand(5));
    // Superpages alone are no reason to be contiguous.
    assert_eq!(ds(&[Int(5), Int(4)]), on_demand(5));
    let bytes = Contiguous::Bytes;
    assert_eq!(ds(&[Int(5), Int(1)]), contiguous(bytes(5), 12));
    assert_eq!(ds(&[Int(5), Int(2), Int(3)]), contiguous(bytes(5), 12));
    assert_eq!(ds(&[Int(5), Int(1), Int(16)]), contiguous(bytes(5), 16));
    assert_eq!(ds(&[Int(5), Int(5), Int(16)]), contiguous(bytes(5), 21));
    assert_eq!(ds(&[Int(5), Int(5), Int(30)]), contiguous(bytes(5), 30));
    assert_eq!(
        ds(&[Int(-7), Int(1)]),
        contiguous(Contiguous::AllBut(7), 12)
    );
    let least = Contiguous::AllBut(1 << 63);
    assert_eq!(ds(&[Int(i64::MIN), Int(1)]), contiguous(least, 12));
    // BUG-04: 256 is not 0.
    assert_eq!(ds(&[Int(5), Int(1), Int(256)]), Err(Errno::NoMem));
    assert_eq!(ds(&[Int(5), Int(1), Int(-1)]), Err(Errno::NoMem));
    assert_eq!(ds(&[]), Err(Errno::Inval));
    assert_eq!(ds(&[Bytes(b"5\0")]), Err(Errno::Inval));
    assert_eq!(ds(&[Nil, Int(5)]), Err(Errno::Inval));
    assert_eq!(ds(&[Int(5), Int(0), Int(0), Int(0)]), Err(Errno::Inval));
    assert_eq!(ds(&[Int(0), Int(0), Int(0), Int(0)]), Err(Errno::Inval));
    assert_eq!(ds(&[Int(5), Int(0), Int(0), Nil, Int(7)]), on_demand(5));
    assert_eq!(ds(&[Int(0)]), Err(Errno::Range));
    assert_eq!(ds(&[Int(-1)]), Err(Errno::Range));
    assert_eq!(ds(&[Int(0), Int(1)]), Err(Errno::Range));
}

#[test]
fn other_objects() {
    use Arg::{Bytes, Int, Uint};
    assert_eq!(create(proto::RM, &[]), Ok(Create::RegionMap));
    assert_eq!(create(proto::RM, &[Int(1)]), Ok(Create::RegionMap));
    let factory = |args: &[Arg<'_>]| create(proto::FACTORY, args);
    assert_eq!(factory(&[Int(1)]), Ok(Create::Factory(1)));
    assert_eq!(factory(&[Uint(4096)]), Ok(Create::Factory(4096)));
    for bad in [Int(0), Int(-1), Uint(1 << 63), Bytes(b"1\0")] {
        assert_eq!(factory(&[bad]), Err(Errno::Inval));
    }
    assert_eq!(factory(&[]), Err(Errno::Inval));
    // Kernel objects, name spaces, logs, schedulers, DMA spaces: not here.
    for kind in [
        -11,
        -12,
        0,
        -13,
        -14,
        0x4001,
        0x4008,
        i64::MAX,
        i64::MIN,
        -1,
        0x1_4000,
    ] {
        assert_eq!(create(kind, &[Int(5)]), Err(Errno::NoDev));
    }
}

#[test]
fn broken_messages() {
    let mut block = Block([0; 128]);
    let utcb = block.utcb();
    let tag = |words, items| MsgTag::plain(proto::FACTORY, words, items);
    assert_eq!(factory::decode(utcb, tag(0, 0)), Err(Errno::MsgTooShort));
    utcb.set_mr(0, 0x4000);
    assert_eq!(factory::decode(utcb, tag(60, 2)), Err(Errno::MsgTooShort));
    // A number of 4 bytes (BUG-20), and one that lies behind the message.
    utcb.set_mr(1, 0x81 | 4 << 16);
    assert_eq!(factory::decode(utcb, tag(3, 0)), Err(Errno::Inval));
    utcb.set_mr(1, 0x81 | 8 << 16);
    assert_eq!(factory::decode(utcb, tag(2, 0)), Err(Errno::MsgTooShort));
    assert_eq!(factory::decode(utcb, tag(1, 0)), Err(Errno::Inval));
}

/// Whatever is in the message: an answer, and what it says holds.
#[test]
fn garbage() {
    let kinds = prop_oneof![Just(0x4000u64), Just(0x4005), Just(15u64.wrapping_neg())];
    let messages = (
        proptest::collection::vec(any::<u64>(), 63),
        0usize..64,
        kinds,
    );
    runner(2000)
        .run(&messages, |(words, count, kind)| {
            let mut block = Block([0; 128]);
            let utcb = block.utcb();
            for (n, word) in words.iter().enumerate() {
                // Headers that are nearly right.
                utcb.set_mr(n, if n % 2 == 1 { word & 0xf_0083 } else { *word });
            }
            utcb.set_mr(0, kind);
            let tag = MsgTag::plain(proto::FACTORY, count, 0);
            match factory::decode(utcb, tag) {
                Ok(Create::Factory(quota)) => assert!(quota > 0 && quota < 1 << 63),
                Ok(Create::Dataspace(NewDataspace::OnDemand(size))) => {
                    assert!(size > 0 && size < 1 << 63);
                }
                Ok(Create::Dataspace(NewDataspace::Contiguous(size, _))) => match size {
                    Contiguous::Bytes(size) => assert!(size > 0 && size < 1 << 63),
                    Contiguous::AllBut(size) => assert!(size > 0 && size <= 1 << 63),
                },
                Ok(Create::RegionMap) | Err(_) => {}
            }
            Ok(())
        })
        .unwrap_or_else(|e| panic!("{e}"));
}

fn ask(class: Class, op: u32, arg: u64) -> (Result<i64, Errno>, Vec<u8>) {
    let mut block = Block([0; 128]);
    let utcb = block.utcb();
    let request = Writer::new(utcb).u32(op).u64(arg).finish(proto::META);
    match meta::answer(class, utcb, request.expect("it fits")) {
        Ok(tag) if tag.words() > 0 => {
            let mut reader = Reader::new(utcb, tag);
            let protocol = reader.i64().expect("a protocol");
            let mut name = [0; 64];
            let length = reader.array(&mut name).expect("a name");
            assert_eq!(tag.label(), 0);
            (Ok(protocol), name[..length].to_vec())
        }
        other => (other.map(|tag| tag.label()), vec![]),
    }
}

#[test]
fn interfaces() {
    let list = |class| -> Vec<(i64, String)> {
        let count = ask(class, 0, 0).0.expect("a number");
        let one = |n| {
            let (protocol, name) = ask(class, 1, n);
            let name = String::from_utf8(name).expect("text");
            (protocol.expect("there"), name)
        };
        let all = (0..count.cast_unsigned()).map(one).collect();
        assert_eq!(ask(class, 1, count.cast_unsigned()).0, Err(Errno::Range));
        assert_eq!(ask(class, 1, u64::MAX).0, Err(Errno::Range));
        assert_eq!(ask(class, 3, 0).0, Err(Errno::NoSys));
        for (protocol, known) in [(0, 0), (-21, 0), (-6, 0)] {
            assert_eq!(ask(class, 2, i64::cast_unsigned(protocol)).0, Ok(known));
        }
        all
    };
    let named = |all: &[(i64, &str)]| -> Vec<(i64, String)> {
        all.iter().map(|(p, n)| (*p, format!("{n}\0"))).collect()
    };
    assert_eq!(
        list(Class::Dataspace),
        named(&[(0x4000, "N4L4Re9DataspaceE")])
    );
    let factory = [
        (0x400b, "N4L4Re9Mem_allocE"),
        (-15, "N2L47FactoryE"),
        (-32768, "N4L4Re9Debug_objE"),
    ];
    assert_eq!(list(Class::Factory), named(&factory));
    let rm = [
        (0, "v"),
        (0x4005, "N4L4Re2RmE"),
        (-2, "N2L45PagerE"),
        (-8, "N2L48Io_pagerE"),
        (-5, "N2L49ExceptionE"),
    ];
    assert_eq!(list(Class::RegionMap), named(&rm));
    for (class, protocol, known) in [
        (Class::Dataspace, 0x4000i64, 1),
        (Class::Dataspace, 0x4005, 0),
        (Class::Factory, -15, 1),
        (Class::Factory, 0x400b, 1),
        (Class::RegionMap, -2, 1),
        (Class::RegionMap, -15, 0),
    ] {
        assert_eq!(ask(class, 2, protocol.cast_unsigned()).0, Ok(known));
    }
    let mut block = Block([0; 128]);
    let short = meta::answer(
        Class::Factory,
        block.utcb(),
        MsgTag::plain(proto::META, 0, 0),
    );
    assert_eq!(short.err(), Some(Errno::MsgTooShort));
}
