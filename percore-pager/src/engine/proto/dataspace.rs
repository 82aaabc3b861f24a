//! Dataspace requests and answers (MOE-DS, label 0x4000).

use l4_sys::item::{Caching, Received, SendItem};
use l4_sys::{Errno, Fpage, MemRights, MsgTag, PAGE_SHIFT, UtcbRef};
use l4re_rs::client::dataspace::op;
use l4re_rs::msg::{Reader, Writer};

use crate::engine::ds::{Info, Mapped, flag};

/// What a client asks of a dataspace. Nothing is checked but the message's form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// Map: offset, spot, rights and cache mode.
    Map {
        /// Byte offset in the dataspace.
        offset: u64,
        /// Offset in the client's receive window.
        spot: u64,
        /// Flags of [`flag`]; what does not fit 32 bits asks for nothing known.
        flags: u64,
    },
    /// Clear.
    Clear {
        /// Byte offset.
        offset: u64,
        /// Bytes.
        size: u64,
    },
    /// Size and flags.
    Info,
    /// Copy from another dataspace.
    CopyIn {
        /// Byte offset in this one.
        to: u64,
        /// Byte offset in the source.
        from: u64,
        /// Bytes.
        size: u64,
        /// The source, as it was received.
        source: Received,
    },
    /// Make sure that there is memory.
    Allocate {
        /// Byte offset.
        offset: u64,
        /// Bytes.
        size: u64,
    },
    /// Where it must be mapped: nowhere in particular (MOE-DS-28).
    MapInfo,
}

/// Decodes a request that is in the UTCB. None of them needs a right (MOE-DS-29).
///
/// # Errors
///
/// `MsgTooShort` no opcode, words or the source's item missing; `NoSys` an unknown opcode.
#[inline]
pub fn decode(utcb: UtcbRef, tag: MsgTag) -> Result<Request, Errno> {
    if tag.words() + 2 * tag.items() > l4_sys::utcb::MESSAGE_REGISTERS {
        return Err(Errno::MsgTooShort);
    }
    let mut args = Reader::new(utcb, tag);
    Ok(match args.u32()? {
        op::MAP => Request::Map {
            offset: args.u64()?,
            spot: args.u64()?,
            flags: args.u64()?,
        },
        op::CLEAR => Request::Clear {
            offset: args.u64()?,
            size: args.u64()?,
        },
        op::INFO => Request::Info,
        op::COPY_IN => Request::CopyIn {
            to: args.u64()?,
            from: args.u64()?,
            size: args.u64()?,
            source: args.item()?,
        },
        op::ALLOCATE => Request::Allocate {
            offset: args.u64()?,
            size: args.u64()?,
        },
        MAP_INFO => Request::MapInfo,
        _ => return Err(Errno::NoSys),
    })
}

const MAP_INFO: u32 = 5;

/// The item that shows `mapped` to a client. The server sees frames at their physical addresses.
#[inline]
pub fn item(mapped: &Mapped) -> SendItem {
    let caching = match mapped.caching {
        0x10 => Caching::Buffered,
        0x20 => Caching::Uncached,
        _ => Caching::AsSender,
    };
    let rights = MemRights::from_bits_truncate((mapped.rights & flag::RIGHTS) as u8);
    let order = mapped.order.get() + PAGE_SHIFT;
    let page = Fpage::mem(mapped.start.address(), order, rights);
    SendItem::mem(mapped.base, caching, page)
}

/// Writes the answer to map, or to a page fault: no words, one item.
///
/// # Errors
///
/// None for one item.
#[inline]
pub fn answer_map(utcb: UtcbRef, mapped: &Mapped) -> Result<MsgTag, Errno> {
    Writer::new(utcb).item(item(mapped)).finish(0)
}

/// Writes the answer to info.
///
/// # Errors
///
/// None for two words.
pub fn answer_info(utcb: UtcbRef, info: Info) -> Result<MsgTag, Errno> {
    Writer::new(utcb)
        .u64(info.size)
        .u64(u64::from(info.flags))
        .finish(0)
}

/// Writes the answer to map_info: two words without meaning.
///
/// # Errors
///
/// None for two words.
pub fn answer_map_info(utcb: UtcbRef) -> Result<MsgTag, Errno> {
    Writer::new(utcb).u64(0).u64(0).finish(0)
}
