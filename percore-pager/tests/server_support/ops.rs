//! What clients do in a trace, and traces out of bytes.

use arbitrary::{Arbitrary, Unstructured};

/// A step of a trace. Capabilities are numbers of what the client has.
#[derive(Clone, Copy, Debug)]
pub enum Op {
    Create {
        client: u8,
        factory: u8,
        kind: u8,
        size: u16,
        flags: u8,
    },
    Dataspace {
        client: u8,
        cap: u8,
        op: u8,
        numbers: [u8; 3],
        flags: u8,
        source: u8,
    },
    RegionMap {
        client: u8,
        cap: u8,
        op: u8,
        start: u8,
        size: u8,
        flags: u8,
        object: u8,
        offset: u8,
    },
    Fault {
        client: u8,
        cap: u8,
        page: u8,
        bits: u8,
    },
    Raw {
        client: u8,
        cap: u8,
        protocol: u8,
        words: [u64; 5],
        count: u8,
        items: u8,
        item: [u64; 2],
        label: u64,
    },
    Write {
        client: u8,
        which: u16,
    },
    Weaken {
        client: u8,
        cap: u8,
    },
    Drop {
        client: u8,
        cap: u8,
    },
    Delete {
        client: u8,
        cap: u8,
    },
    Die {
        client: u8,
    },
    Turn(u8),
    Idle(u8),
    Fuse(u8),
    Deaf,
}

impl<'a> Arbitrary<'a> for Op {
    fn arbitrary(u: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        let kind = u.int_in_range(0..=63)?;
        let client = u.arbitrary()?;
        let cap = u.arbitrary()?;
        Ok(match kind {
            0..6 => Op::Create {
                client,
                factory: cap,
                kind: u.arbitrary()?,
                size: u.arbitrary()?,
                flags: u.arbitrary()?,
            },
            6..19 => Op::Dataspace {
                client,
                cap,
                op: u.arbitrary()?,
                numbers: u.arbitrary()?,
                flags: u.arbitrary()?,
                source: u.arbitrary()?,
            },
            19..30 => Op::RegionMap {
                client,
                cap,
                op: u.arbitrary()?,
                start: u.arbitrary()?,
                size: u.arbitrary()?,
                flags: u.arbitrary()?,
                object: u.arbitrary()?,
                offset: u.arbitrary()?,
            },
            30..40 => Op::Fault {
                client,
                cap,
                page: u.arbitrary()?,
                bits: u.arbitrary()?,
            },
            40..43 => Op::Raw {
                client,
                cap,
                protocol: u.arbitrary()?,
                words: u.arbitrary()?,
                count: u.arbitrary()?,
                items: u.arbitrary()?,
                item: u.arbitrary()?,
                label: u.arbitrary()?,
            },
            43..50 => Op::Write {
                client,
                which: u.arbitrary()?,
            },
            50 => Op::Weaken { client, cap },
            51 | 52 => Op::Drop { client, cap },
            53 | 54 => Op::Delete { client, cap },
            55 => Op::Die { client },
            56..60 => Op::Turn(cap),
            60 | 61 => Op::Idle(cap),
            62 => Op::Fuse(cap),
            _ => Op::Deaf,
        })
    }
}
