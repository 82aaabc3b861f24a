//! The memory server's requests, one function each, every argument as given.

use l4_sys::item::SendItem;
use l4_sys::{CapRights, Fpage, MemRights, proto};
use l4re_rs::Cap;
use l4re_rs::cap::kind;
use l4re_rs::client::{dataspace, rm};
use l4re_rs::varg::Arg;

use crate::ask::{Answer, Got, Receive, ask, message};

/// Memory allocator's protocol.
pub const MEM_ALLOC: i64 = 0x400b;

/// Factory create.
pub fn create<K>(f: Cap<kind::Factory>, object: i64, args: &[Arg<'_>], slot: Cap<K>) -> Got {
    let mut w = message().u64(object.cast_unsigned());
    for a in args {
        w = w.varg(*a);
    }
    ask(f, proto::FACTORY, w, Receive::cap(slot)).got
}

/// What [`MEM_ALLOC`] info says, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Info {
    /// Limit.
    pub quota: u64,
    /// Used and promised to sub-factories.
    pub reserved: u64,
    /// Memory that is there at all.
    pub available: u64,
    /// Memory in use.
    pub committed: u64,
    /// What can still be had.
    pub free: u64,
}

/// Asks a factory for its figures; `None` when it answers anything but five words.
pub fn info(f: Cap<kind::Factory>) -> Option<Info> {
    let a = ask(f, MEM_ALLOC, message().u32(0), Receive::MEMORY);
    (a.got == Got::OK && a.tag.words() == 5).then(|| Info {
        quota: a.word(0),
        reserved: a.word(1),
        available: a.word(2),
        committed: a.word(3),
        free: a.word(4),
    })
}

/// Dataspace map into the tests' window at `spot`.
pub fn map(ds: Cap<kind::Dataspace>, offset: u64, spot: u64, flags: u64) -> Answer {
    let w = message()
        .u32(dataspace::op::MAP)
        .u64(offset)
        .u64(spot)
        .u64(flags);
    ask(ds, proto::DATASPACE, w, Receive::MEMORY)
}

/// A dataspace request with two numbers.
pub fn range(ds: Cap<kind::Dataspace>, op: u32, offset: u64, size: u64) -> Got {
    let w = message().u32(op).u64(offset).u64(size);
    ask(ds, proto::DATASPACE, w, Receive::MEMORY).got
}

/// Clear.
pub fn clear(ds: Cap<kind::Dataspace>, offset: u64, size: u64) -> Got {
    range(ds, dataspace::op::CLEAR, offset, size)
}

/// Allocate.
pub fn allocate(ds: Cap<kind::Dataspace>, offset: u64, size: u64) -> Got {
    range(ds, dataspace::op::ALLOCATE, offset, size)
}

/// Size and flags.
pub fn ds_info(ds: Cap<kind::Dataspace>) -> (Got, u64, u64) {
    let a = ask(
        ds,
        proto::DATASPACE,
        message().u32(dataspace::op::INFO),
        Receive::MEMORY,
    );
    (a.got, a.word(0), a.word(1))
}

/// Copy from any object.
pub fn copy_in<K>(ds: Cap<kind::Dataspace>, to: u64, from: Cap<K>, at: u64, size: u64) -> Got {
    let w = message()
        .u32(dataspace::op::COPY_IN)
        .u64(to)
        .u64(at)
        .u64(size)
        .item(SendItem::plain(from.fpage(CapRights::RWS)));
    ask(ds, proto::DATASPACE, w, Receive::MEMORY).got
}

/// Arguments of attach.
#[derive(Clone, Copy, Debug)]
pub struct Attach {
    /// Where, or from where to search.
    pub start: u64,
    /// Bytes.
    pub size: u64,
    /// Flags of [`rm::flag`].
    pub flags: u32,
    /// The object, with the rights to pass on.
    pub object: Option<(Cap<kind::Dataspace>, CapRights)>,
    /// Offset in the object.
    pub offset: u64,
    /// log2 of the alignment of a searched place.
    pub align: u8,
    /// Number to remember.
    pub index: u64,
}

impl Attach {
    /// An object with all rights at a fixed place.
    #[must_use]
    pub const fn new(ds: Cap<kind::Dataspace>, start: u64, size: u64) -> Attach {
        Attach {
            start,
            size,
            flags: 7,
            object: Some((ds, CapRights::RWS)),
            offset: 0,
            align: 12,
            index: 0x4_2000,
        }
    }

    /// Other flags.
    #[must_use]
    pub const fn flags(self, flags: u32) -> Attach {
        Attach { flags, ..self }
    }

    /// Without an object.
    #[must_use]
    pub const fn nothing(self) -> Attach {
        Attach {
            object: None,
            ..self
        }
    }
}

/// Region map attach; the place is word 0.
pub fn attach(map: Cap<kind::Rm>, a: Attach) -> Answer {
    let mut w = message()
        .u32(rm::op::ATTACH)
        .u64(a.start)
        .u64(a.size)
        .u32(a.flags)
        .u64(a.offset)
        .u8(a.align)
        .u64(a.index)
        .u64(5)
        .raw(b"name\0")
        .u64(0);
    if let Some((cap, rights)) = a.object {
        w = w.item(SendItem::plain(cap.fpage(rights)));
    }
    ask(map, proto::RM, w, Receive::MEMORY)
}

/// Region map detach; words are start, size, index.
pub fn detach(map: Cap<kind::Rm>, start: u64, size: u64, flags: u32) -> Answer {
    let w = message()
        .u32(rm::op::DETACH)
        .u64(start)
        .u64(size)
        .u32(flags);
    ask(map, proto::RM, w, Receive::MEMORY)
}

/// Reserve an area; the place is word 0.
pub fn reserve(map: Cap<kind::Rm>, start: u64, size: u64, flags: u32, align: u8) -> Answer {
    let w = message()
        .u32(rm::op::RESERVE_AREA)
        .u64(start)
        .u64(size)
        .u32(flags)
        .u8(align);
    ask(map, proto::RM, w, Receive::MEMORY)
}

/// A region map request with one number.
pub fn rm_one(map: Cap<kind::Rm>, op: u32, arg: u64) -> Answer {
    ask(map, proto::RM, message().u32(op).u64(arg), Receive::MEMORY)
}

/// Add a rescue jump.
pub fn add_jump(map: Cap<kind::Rm>, first: u64, end: u64, target: u64) -> Got {
    let w = message()
        .u32(rm::op::ADD_RESCUE_JUMP)
        .u64(first)
        .u64(end)
        .u64(target);
    ask(map, proto::RM, w, Receive::MEMORY).got
}

/// Page in; memory goes to the window.
pub fn page_in(map: Cap<kind::Rm>, first: u64, last: u64, rights: u16) -> Answer {
    let w = message()
        .u32(rm::op::PAGE_IN)
        .u64(first)
        .u64(last)
        .u16(rights);
    ask(map, proto::RM, w, Receive::MEMORY)
}

/// All memory rights of a page.
#[must_use]
pub const fn page(address: u64, order: u32) -> Fpage {
    Fpage::mem(address, order, MemRights::RWX)
}
