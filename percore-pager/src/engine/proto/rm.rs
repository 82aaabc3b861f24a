//! Region map requests and answers (MOE-RM, label 0x4005).

use l4_sys::item::Received;
use l4_sys::{Errno, MsgTag, UtcbRef, cap};
use l4re_rs::client::rm::op;
use l4re_rs::msg::{MESSAGE_BYTES, Reader, Writer};

use crate::engine::ds::Mapped;
use crate::engine::rm::{Detached, Entry, Name, Range};

use super::dataspace;

/// Records of a region or area list that fit a message.
pub const MAX_ENTRIES: usize = 21;

/// What a client asks of a region map. Nothing is checked but the message's form.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Request {
    /// Attach.
    Attach(Attach),
    /// Detach: address, bytes, flags.
    Detach(u64, u64, u32),
    /// Find: always refused (MOE-RM-23).
    Find,
    /// Reserve an area: start, bytes, flags, log2 of the alignment.
    ReserveArea(u64, u64, u32, u8),
    /// Free the area that this address is in.
    FreeArea(u64),
    /// List regions from this address on.
    Regions(u64),
    /// List areas from this address on.
    Areas(u64),
    /// Name and backing offset of the region that this address is in.
    Info(u64),
    /// Add a rescue jump: first and end pc, target.
    AddJump(u64, u64, u64),
    /// Remove the rescue jump that this pc is in.
    RemoveJump(u64),
    /// Map what is at the first address, up to the last, with these rights.
    PageIn(u64, u64, u16),
}

/// An attach request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Attach {
    /// Address, or where to search from.
    pub start: u64,
    /// Bytes.
    pub size: u64,
    /// Flags, any bits.
    pub flags: u32,
    /// Byte offset in the object.
    pub offset: u64,
    /// log2 of the alignment.
    pub align: u8,
    /// The client's index of the object.
    pub client_cap: u64,
    /// For people.
    pub name: Name,
    /// For people.
    pub backing_offset: u64,
    /// The object, if an item was sent.
    pub object: Option<Received>,
}

/// Decodes a request that is in the UTCB. None of them needs a right.
///
/// # Errors
///
/// `MsgTooShort` no opcode or words missing, `NoSys` an unknown opcode.
pub fn decode(utcb: UtcbRef, tag: MsgTag) -> Result<Request, Errno> {
    if tag.words() + 2 * tag.items() > l4_sys::utcb::MESSAGE_REGISTERS {
        return Err(Errno::MsgTooShort);
    }
    let mut args = Reader::new(utcb, tag);
    Ok(match args.u32()? {
        op::ATTACH => Request::Attach(attach(&mut args)?),
        op::DETACH => Request::Detach(args.u64()?, args.u64()?, args.u32()?),
        op::FIND => {
            args.u64()?;
            args.u64()?;
            Request::Find
        }
        op::RESERVE_AREA => Request::ReserveArea(args.u64()?, args.u64()?, args.u32()?, args.u8()?),
        op::FREE_AREA => Request::FreeArea(args.u64()?),
        op::GET_REGIONS => Request::Regions(args.u64()?),
        op::GET_AREAS => Request::Areas(args.u64()?),
        op::GET_INFO => Request::Info(args.u64()?),
        op::ADD_RESCUE_JUMP => Request::AddJump(args.u64()?, args.u64()?, args.u64()?),
        op::REMOVE_RESCUE_JUMP => Request::RemoveJump(args.u64()?),
        op::PAGE_IN => Request::PageIn(args.u64()?, args.u64()?, args.u16()?),
        _ => return Err(Errno::NoSys),
    })
}

fn attach(args: &mut Reader) -> Result<Attach, Errno> {
    let (start, size, flags) = (args.u64()?, args.u64()?, args.u32()?);
    let (offset, align, client_cap) = (args.u64()?, args.u8()?, args.u64()?);
    let mut text = [0; MESSAGE_BYTES];
    let length = args.array(&mut text)?;
    // The length counts a final NUL; without even that the message is incomplete.
    let length = length.checked_sub(1).ok_or(Errno::MsgTooShort)?;
    let name = text.get(..length).unwrap_or(&[]);
    Ok(Attach {
        start,
        size,
        flags,
        offset,
        align,
        client_cap,
        name: Name::new(name),
        backing_offset: args.u64()?,
        object: args.item().ok(),
    })
}

/// Writes the answer to attach and reserve_area: where it is.
///
/// # Errors
///
/// None for one word.
pub fn answer_place(utcb: UtcbRef, range: Range) -> Result<MsgTag, Errno> {
    Writer::new(utcb).u64(range.start()).finish(0)
}

/// Writes the answer to detach.
///
/// # Errors
///
/// None for three words.
pub fn answer_detach(utcb: UtcbRef, detached: &Detached) -> Result<MsgTag, Errno> {
    Writer::new(utcb)
        .u64(detached.range.start())
        .u64(detached.range.size())
        .u64(detached.client_cap().unwrap_or(cap::INVALID_CAP))
        .finish(detached.label())
}

/// Writes the answer to a list: at most [`MAX_ENTRIES`] records, and their number as the label.
///
/// # Errors
///
/// None.
pub fn answer_list(utcb: UtcbRef, entries: impl Iterator<Item = Entry>) -> Result<MsgTag, Errno> {
    let mut writer = Writer::new(utcb);
    let mut count = 0;
    for entry in entries.take(MAX_ENTRIES) {
        writer = writer
            .u64(entry.start)
            .u64(entry.end)
            .u64(u64::from(entry.flags));
        count += 1;
    }
    writer.finish(count)
}

/// Writes the answer to get_info.
///
/// # Errors
///
/// None: a name has at most 40 bytes.
pub fn answer_info(utcb: UtcbRef, name: &Name, backing_offset: u64) -> Result<MsgTag, Errno> {
    let text = name.as_bytes();
    Writer::new(utcb)
        .u64(text.len() as u64 + 1)
        .raw(text)
        .u8(0)
        .u64(backing_offset)
        .finish(0)
}

/// Writes the answer to page_in: no helper, one item.
///
/// # Errors
///
/// None for a word and an item.
pub fn answer_page_in(utcb: UtcbRef, mapped: &Mapped) -> Result<MsgTag, Errno> {
    Writer::new(utcb)
        .u64(0)
        .item(dataspace::item(mapped))
        .finish(0)
}
