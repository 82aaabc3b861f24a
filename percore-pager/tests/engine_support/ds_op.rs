//! Steps of traces on dataspaces.

use percore_pager::engine::Reach;

/// A step of a trace. Numbers are cut to what makes sense where they are used.
#[derive(Clone, Copy, Debug)]
pub enum Op {
    OnDemand {
        account: u8,
        size: u64,
    },
    Contiguous {
        account: u8,
        size: u64,
        align: u8,
    },
    Static {
        size: u64,
        flags: u32,
    },
    Delete {
        which: u8,
    },
    Map {
        which: u8,
        offset: u64,
        spot: u64,
        window: Option<(u64, u64)>,
        flags: u32,
        writable: bool,
    },
    Write {
        which: u8,
        page: u64,
        value: u8,
    },
    Clear {
        which: u8,
        offset: u64,
        size: u64,
        writable: bool,
    },
    Allocate {
        which: u8,
        offset: u64,
        size: u64,
    },
    Copy {
        to: u8,
        from: u8,
        offset: u64,
        source: u64,
        size: u64,
        pages: bool,
    },
    CopyForeign {
        to: u8,
        offset: u64,
        source: u64,
        size: u64,
        fail: bool,
    },
    StepDeaths,
    Idle,
    OpenAccount {
        parent: u8,
        pages: u64,
    },
    CloseAccount {
        which: u8,
    },
    Reach(u8, Option<Reach>),
    Private(u8, bool),
}
