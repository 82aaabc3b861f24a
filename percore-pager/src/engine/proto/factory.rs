//! Factory requests: what a memory server's factory makes (MOE-FAC).
//!
//! A request is the object type and a list of arguments. The caller has checked the label and the S
//! right, which come before anything is parsed (MOE-FAC-01).

use l4_sys::{Errno, MsgTag, UtcbRef, proto};
use l4re_rs::varg::{ArgReader, RawArg};

use crate::engine::ds::ContiguousAlign;

/// Dataspace flags in a request; others are ignored.
mod flag {
    pub const CONTIGUOUS: u64 = 1;
    pub const PINNED: u64 = 2;
    pub const SUPERPAGES: u64 = 4;
}

/// What a client wants made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Create {
    /// A dataspace.
    Dataspace(NewDataspace),
    /// A region map.
    RegionMap,
    /// A factory with so many bytes of quota, at least 1.
    Factory(u64),
}

/// A dataspace to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NewDataspace {
    /// On demand, so many bytes, at least 1.
    OnDemand(u64),
    /// Contiguous.
    Contiguous(Contiguous, ContiguousAlign),
}

/// How large a contiguous dataspace is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contiguous {
    /// So many bytes, at least 1.
    Bytes(u64),
    /// What there is in one run, but for so many bytes (MOE-FAC-18).
    AllBut(u64),
}

fn int(arg: RawArg) -> Option<u64> {
    match arg {
        RawArg::Int(value) => Some(value),
        _ => None,
    }
}

/// Decodes a factory request that is in the UTCB.
///
/// # Errors
///
/// `MsgTooShort` without a type; `NoDev` a type that this factory does not make; `Inval` an argument
/// of the wrong kind or value, or of a length that is not its kind's (BUG-20); `MsgTooShort` too for
/// an argument that runs over the message: upstream's dispatcher makes that of the reader's word for it
/// (MOE-FAC-04), seen on its server; `Range` a size that cannot be; `NoMem` an alignment above
/// 1 GiB (BUG-04).
pub fn decode(utcb: UtcbRef, tag: MsgTag) -> Result<Create, Errno> {
    if tag.words() == 0 || tag.words() + 2 * tag.items() > l4_sys::utcb::MESSAGE_REGISTERS {
        return Err(Errno::MsgTooShort);
    }
    decode_args(utcb, tag).map_err(|error| match error {
        Errno::MsgTooLong => Errno::MsgTooShort,
        other => other,
    })
}

fn decode_args(utcb: UtcbRef, tag: MsgTag) -> Result<Create, Errno> {
    let mut args = ArgReader::new(utcb, tag);
    match utcb.mr(0).cast_signed() {
        proto::RM => Ok(Create::RegionMap),
        proto::FACTORY => {
            let quota = int(args.next_arg()?).filter(|quota| quota.cast_signed() > 0);
            quota.map(Create::Factory).ok_or(Errno::Inval)
        }
        proto::DATASPACE => dataspace(&mut args).map(Create::Dataspace),
        _ => Err(Errno::NoDev),
    }
}

fn dataspace(args: &mut ArgReader) -> Result<NewDataspace, Errno> {
    let (size, flags, align) = (args.next_arg()?, args.next_arg()?, args.next_arg()?);
    let fourth = args.next_arg()?;
    let size = int(size).ok_or(Errno::Inval)?;
    if fourth != RawArg::Nil {
        return Err(Errno::Inval);
    }
    let flags = int(flags).unwrap_or(0);
    let align = int(align).unwrap_or(0);
    let negative = size.cast_signed() < 0;
    let contiguous = flags & (flag::CONTIGUOUS | flag::PINNED) != 0;
    if size == 0 || negative && !contiguous {
        return Err(Errno::Range);
    }
    if !contiguous {
        return Ok(NewDataspace::OnDemand(size));
    }
    let align = ContiguousAlign::new(align, flags & flag::SUPERPAGES != 0)?;
    let size = if negative {
        Contiguous::AllBut(size.wrapping_neg())
    } else {
        Contiguous::Bytes(size)
    };
    Ok(NewDataspace::Contiguous(size, align))
}
