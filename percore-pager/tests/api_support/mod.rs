//! Requests of the pager API to a rig.

#![allow(dead_code)] // Each test program uses a part of it.

use l4_sys::item::{ITEM_CONT, ITEM_MAP};
use l4_sys::{CapRights, Errno, Fpage, FpageType, MsgTag, PAGE_SIZE};
use l4re_rs::server::Incoming;
use percore_pager::api::{self, Op, flag, reply, request};
use percore_pager::server::{CoreAt, Ticket, Verdict, Where};
use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::machine::BASE;
use crate::server_support::{Cap, Outcome, Reply, Rig, Shape};

/// Distance between physical addresses and the pager's, as the rig says it.
pub const OFFSET: u64 = 64 * PAGE_SIZE;

/// Processors of the rig's server: this core is number 1 and serves APIC ids 4 and 6.
pub const PROCESSORS: [CoreAt; 3] = [
    CoreAt {
        apic: 2,
        core: 0,
        node: 0,
    },
    CoreAt {
        apic: 4,
        core: 1,
        node: 1,
    },
    CoreAt {
        apic: 6,
        core: 1,
        node: 2,
    },
];

pub fn rig() -> Rig {
    shaped(Shape::USUAL)
}

pub fn shaped(shape: Shape) -> Rig {
    let mut rig = Rig::shaped(shape);
    rig.core.set_place(place());
    rig
}

pub fn place() -> Where<'static> {
    Where {
        core: 1,
        node: 1,
        cores: 2,
        base: OFFSET,
        processors: &PROCESSORS,
    }
}

pub fn words<T: IntoBytes + Immutable>(request: &T) -> Vec<u64> {
    words_of(request, size_of::<T>())
}

pub fn words_of<T: IntoBytes + Immutable>(request: &T, bytes: usize) -> Vec<u64> {
    let mut all = request.as_bytes()[..bytes].to_vec();
    all.resize(bytes.next_multiple_of(8), 0);
    let word = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().expect("8 bytes"));
    all.chunks(8).map(word).collect()
}

pub fn head(op: Op) -> request::Head {
    request::Head::new(op)
}

/// The answer as a structure.
pub fn parse<T: FromBytes>(reply: &Reply) -> Result<T, Errno> {
    if let Some(error) = reply.error() {
        return Err(error);
    }
    let mut bytes: Vec<u8> = reply.words.iter().flat_map(|w| w.to_le_bytes()).collect();
    assert!(bytes.len() + 8 > size_of::<T>(), "{reply:?} is too short");
    bytes.resize(bytes.len().max(size_of::<T>()), 0);
    Ok(T::read_from_bytes(&bytes[..size_of::<T>()]).expect("any bytes are one"))
}

pub fn ask<R: IntoBytes + Immutable, T: FromBytes>(
    rig: &mut Rig,
    cap: Cap,
    request: &R,
) -> Result<T, Errno> {
    let reply = rig.call(cap, api::PROTOCOL, &words(request), &[]);
    parse(&reply)
}

/// The same through the service capability.
pub fn ask_service<R: IntoBytes + Immutable>(rig: &mut Rig, request: &R, rights: u64) -> Reply {
    let words = words(request);
    let utcb = rig.utcb();
    for (n, word) in words.iter().enumerate() {
        utcb.set_mr(n, *word);
    }
    let tag = MsgTag::plain(api::PROTOCOL, words.len(), 0);
    let ticket = Ticket(rig.next_ticket);
    rig.next_ticket += 1;
    let msg = Incoming {
        label: 0x1000 | rights,
        tag,
        utcb,
    };
    match rig.core.handle_service(msg, ticket) {
        Verdict::Answer(tag) => rig.take(tag),
        Verdict::Parked => {
            rig.run();
            rig.answers.remove(&ticket.0).expect("answered")
        }
        Verdict::Nothing => panic!("no answer"),
    }
}

/// A capability without these rights.
pub fn weak(cap: Cap, rights: CapRights) -> Cap {
    Cap { rights, ..cap }
}

/// Rights of a capability that cannot create.
pub const PLAIN: CapRights = CapRights::RW;

/// Runs in an answer to ALLOC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Got {
    pub handles: Vec<u32>,
    /// Spot, first frame, rights of each; empty when nothing was mapped.
    pub mapped: Vec<(u64, u64, u8)>,
}

pub fn got(reply: &Reply, order: u32) -> Result<Got, Errno> {
    if let Some(error) = reply.error() {
        return Err(error);
    }
    let count = reply.label as usize;
    assert!((1..=api::RUNS_PER_CALL).contains(&count));
    assert_eq!(reply.words.len(), count.div_ceil(2));
    let handle = |n: usize| (reply.words[n / 2] >> (n % 2 * 32)) as u32;
    let mapped: Vec<_> = reply
        .items
        .iter()
        .enumerate()
        .map(|(n, (control, word))| {
            let page = Fpage(*word);
            assert_eq!((page.kind(), page.order()), (FpageType::Memory, 12 + order));
            let more = if n + 1 < count { ITEM_CONT } else { 0 };
            assert_eq!(control & 0xfff, ITEM_MAP | more);
            let first = page.address() / PAGE_SIZE;
            (control >> 12 << 12, first, page.rights())
        })
        .collect();
    assert!(mapped.is_empty() || mapped.len() == count);
    Ok(Got {
        handles: (0..count).map(handle).collect(),
        mapped,
    })
}

pub fn alloc_request(order: u32, count: u32, flags: u32, spot: u64) -> request::Alloc {
    request::Alloc {
        head: head(Op::Alloc),
        order,
        count,
        flags,
        rights: 6,
        spot,
    }
}

pub fn alloc(
    rig: &mut Rig,
    cap: Cap,
    (order, count): (u32, u32),
    flags: u32,
) -> Result<Got, Errno> {
    let request = alloc_request(order, count, flags, 0);
    let reply = rig.call(cap, api::PROTOCOL, &words(&request), &[]);
    got(&reply, order)
}

pub fn free_request(handles: &[u32], flags: u32) -> Vec<u64> {
    let mut request = request::Free {
        head: head(Op::Free),
        count: handles.len() as u32,
        flags,
        handles: [0; api::HANDLES_PER_CALL],
    };
    for (to, from) in request.handles.iter_mut().zip(handles) {
        *to = *from;
    }
    let count = handles.len().min(api::HANDLES_PER_CALL);
    words_of(&request, request::Free::bytes(count))
}

pub fn free(rig: &mut Rig, cap: Cap, handles: &[u32], keep: bool) -> Result<(), Errno> {
    let flags = if keep { flag::TO_RESERVE } else { 0 };
    let reply = rig.call(cap, api::PROTOCOL, &free_request(handles, flags), &[]);
    match reply.error() {
        Some(error) => Err(error),
        None => {
            assert_eq!(
                (reply.label, reply.words.len(), reply.items.len()),
                (0, 0, 0)
            );
            Ok(())
        }
    }
}

pub fn own(rig: &mut Rig, cap: Cap) -> reply::Own {
    ask(rig, cap, &head(Op::Own)).expect("no right is needed")
}

pub fn info(rig: &mut Rig, cap: Cap) -> reply::Info {
    ask(rig, cap, &head(Op::Info)).expect("no right is needed")
}

pub fn memory(rig: &mut Rig, cap: Cap) -> reply::Memory {
    ask(rig, cap, &head(Op::Memory)).expect("S")
}

pub fn policy_request(kind: u32, flags: u32) -> request::Policy {
    request::Policy {
        head: head(Op::Policy),
        kind,
        flags,
    }
}

/// Sends a request without waiting for its answer.
pub fn begin(rig: &mut Rig, cap: Cap, words: &[u64]) -> Outcome {
    rig.send(cap, api::PROTOCOL, words, &[])
}

/// Everything is counted once.
pub fn conserved(rig: &mut Rig, cap: Cap) {
    let it = memory(rig, cap);
    let sum = it.free + it.held + it.used + it.kept + it.waiting + it.meta;
    assert_eq!(sum, it.present, "{it:?}");
    assert!(it.zeroed <= it.free);
}

/// First frame that the engine may have.
pub const FIRST: u64 = BASE + 1;

pub fn set(rig: &mut Rig, cap: Cap, parameter: u32, value: u64) -> Result<u64, Errno> {
    let request = request::Set {
        head: head(Op::Set),
        parameter,
        zero: 0,
        value,
    };
    ask::<_, reply::Set>(rig, cap, &request).map(|set| set.before)
}

pub fn say(rig: &mut Rig, cap: Cap, set: u32, clear: u32) -> Result<u32, Errno> {
    let request = request::State {
        head: head(Op::State),
        set,
        clear,
    };
    ask::<_, reply::State>(rig, cap, &request).map(|state| state.flags)
}

pub fn owner(rig: &mut Rig, cap: Cap, address: u64, search: bool) -> Result<reply::Owner, Errno> {
    let request = request::Owner {
        head: head(Op::Owner),
        address,
        flags: u32::from(search),
        zero: 0,
    };
    ask(rig, cap, &request)
}

pub fn reserve(rig: &mut Rig, cap: Cap, order: u32, count: u32) -> Result<u32, Errno> {
    let request = request::Reserve {
        head: head(Op::Reserve),
        order,
        count,
    };
    ask::<_, reply::Reserve>(rig, cap, &request).map(|reserve| reserve.have)
}

pub fn list(rig: &mut Rig, cap: Cap) -> Vec<reply::Run> {
    let mut all = vec![];
    let mut from = 0;
    loop {
        let request = request::Runs {
            head: head(Op::Runs),
            from,
            zero: 0,
        };
        let reply = rig.call(cap, api::PROTOCOL, &words(&request), &[]);
        assert_eq!(reply.words.len(), 1 + 2 * reply.label as usize);
        let mut whole = reply.clone();
        whole.words.resize(61, 0);
        let part: reply::Runs = parse(&whole).expect("S");
        all.extend_from_slice(&part.runs[..reply.label as usize]);
        from = part.next;
        if from == 0 {
            return all;
        }
    }
}
