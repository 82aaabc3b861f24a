//! The pager API's structures survive the way through the message registers, whatever is in them, and
//! a message that is too short for one is refused.

use l4_sys::utcb::MESSAGE_REGISTERS;
use l4_sys::{Errno, MsgTag, Utcb, UtcbRef};
use percore_pager::api::{self, Counters, Op, reply, request};
use proptest::prelude::*;
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// A UTCB of the test's own.
fn utcb() -> UtcbRef {
    let block = Box::leak(Box::new([0u64; 128]));
    // SAFETY: a UTCB-sized block that lives for ever and that only this thread uses.
    unsafe { UtcbRef::from_ptr(block.as_mut_ptr().cast::<Utcb>()) }
}

fn round_trip<T: FromBytes + IntoBytes + Immutable>(name: &str, bytes: &[u8]) {
    let utcb = utcb();
    for n in 0..MESSAGE_REGISTERS {
        utcb.set_mr(n, u64::MAX);
    }
    let size = size_of::<T>();
    assert!(size <= MESSAGE_REGISTERS * 8, "{name} fits a message");
    let value = T::read_from_bytes(&bytes[..size]).expect("any bytes are one");
    let words = api::write(utcb, &value, size);
    assert_eq!(words, size.div_ceil(8), "{name}");
    // Nothing behind it was touched.
    for n in words..MESSAGE_REGISTERS {
        assert_eq!(utcb.mr(n), u64::MAX, "{name}");
    }
    let back: T = api::read(utcb, MsgTag::plain(0, words, 0), size).expect("long enough");
    assert_eq!(back.as_bytes(), value.as_bytes(), "{name}");
    let short = api::read::<T>(utcb, MsgTag::plain(0, words - 1, 0), size);
    assert_eq!(short.err(), Some(Errno::MsgTooShort), "{name}");
}

proptest! {
    #[test]
    fn structures_round_trip(bytes in prop::collection::vec(any::<u8>(), 512)) {
        round_trip::<request::Head>("head", &bytes);
        round_trip::<request::Set>("set", &bytes);
        round_trip::<request::Policy>("policy", &bytes);
        round_trip::<request::Alloc>("alloc", &bytes);
        round_trip::<request::Free>("free", &bytes);
        round_trip::<request::Map>("map", &bytes);
        round_trip::<request::Runs>("runs", &bytes);
        round_trip::<request::Reserve>("reserve", &bytes);
        round_trip::<request::Owner>("owner", &bytes);
        round_trip::<request::State>("state", &bytes);
        round_trip::<request::CoreOf>("core of", &bytes);
        round_trip::<request::Bind>("bind", &bytes);
        round_trip::<reply::Info>("info answer", &bytes);
        round_trip::<reply::Memory>("memory answer", &bytes);
        round_trip::<reply::Orders>("orders answer", &bytes);
        round_trip::<reply::Own>("own answer", &bytes);
        round_trip::<reply::Set>("set answer", &bytes);
        round_trip::<reply::Policy>("policy answer", &bytes);
        round_trip::<reply::Runs>("runs answer", &bytes);
        round_trip::<reply::Reserve>("reserve answer", &bytes);
        round_trip::<reply::Owner>("owner answer", &bytes);
        round_trip::<reply::State>("state answer", &bytes);
        round_trip::<reply::CoreOf>("core of answer", &bytes);
        round_trip::<Counters>("counters", &bytes);
    }
}

#[test]
fn what_was_not_sent_is_zero() {
    let utcb = utcb();
    let request = request::Free {
        head: request::Head::new(Op::Free),
        count: 3,
        flags: 0,
        handles: [7; api::HANDLES_PER_CALL],
    };
    api::write(utcb, &request, size_of_val(&request));
    let bytes = request::Free::bytes(3);
    let tag = MsgTag::plain(api::PROTOCOL, api::words_of(bytes), 0);
    let read: request::Free = api::read(utcb, tag, bytes).expect("long enough");
    // 3 handles take a word and a half; the rest of that word was sent too.
    assert_eq!(read.handles[..5], [7, 7, 7, 7, 0]);
    assert!(read.handles[5..].iter().all(|handle| *handle == 0));
}

#[test]
fn operations_are_numbered_without_gaps() {
    for (number, op) in Op::ALL.iter().enumerate() {
        assert_eq!(*op as usize, number);
        assert_eq!(Op::from_number(number as u32), Some(*op));
    }
    assert_eq!(Op::from_number(Op::ALL.len() as u32), None);
    assert_eq!(Op::from_number(u32::MAX), None);
}

#[test]
fn counters_keep_their_order() {
    let counters = Counters::from_values(1..);
    let values: Vec<u64> = counters.values().to_vec();
    assert_eq!(
        values,
        (1..=Counters::NAMES.len() as u64).collect::<Vec<_>>()
    );
    assert_eq!((counters.faults, counters.requests()), (1, 6));
    // An older server sends fewer.
    let old = Counters::from_values(1..3);
    assert_eq!((old.maps, old.others), (2, 0));
}
