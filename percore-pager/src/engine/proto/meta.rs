//! The Meta protocol on every object (MOE-META): which interfaces it speaks.
//!
//! The boot script interpreter finds its methods for a capability by the name of interface 0, so
//! the names are those that upstream's C++ classes have when mangled (CL-24).

use l4_sys::{Errno, MsgTag, UtcbRef, proto};
use l4re_rs::msg::{Reader, Writer};

/// A kind of object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// A dataspace.
    Dataspace,
    /// A factory, which is also what reports memory and answers debug requests.
    Factory,
    /// A region map.
    RegionMap,
    /// The pager's service capability: makes factories on cores.
    Service,
    /// An object that is gone: nothing but this protocol (MOE-OBJ-09).
    Gone,
}

/// Protocol and name, with its final NUL.
type Interface = (i64, &'static [u8]);

const DATASPACE: &[Interface] = &[(proto::DATASPACE, b"N4L4Re9DataspaceE\0")];
const FACTORY: &[Interface] = &[
    (proto::MEM_ALLOC, b"N4L4Re9Mem_allocE\0"),
    (proto::FACTORY, b"N2L47FactoryE\0"),
    (proto::DEBUG, b"N4L4Re9Debug_objE\0"),
];
const REGION_MAP: &[Interface] = &[
    // Upstream's region map is a group of interfaces; the group itself is listed first.
    (0, b"v\0"),
    (proto::RM, b"N4L4Re2RmE\0"),
    (proto::PAGE_FAULT, b"N2L45PagerE\0"),
    (proto::IO_PAGE_FAULT, b"N2L48Io_pagerE\0"),
    (proto::EXCEPTION, b"N2L49ExceptionE\0"),
];

const SERVICE: &[Interface] = &[
    (proto::FACTORY, b"N2L47FactoryE\0"),
    // No class of upstream's.
    (crate::api::PROTOCOL, b"\0"),
];

impl Class {
    /// Its interfaces, in the order in which they are listed.
    fn interfaces(self) -> &'static [Interface] {
        match self {
            Class::Dataspace => DATASPACE,
            Class::Factory => FACTORY,
            Class::RegionMap => REGION_MAP,
            Class::Service => SERVICE,
            Class::Gone => &[],
        }
    }
}

/// Answers a Meta request for an object of this class; the result is the answer's tag.
///
/// # Errors
///
/// `MsgTooShort`, `NoSys` an unknown operation, `Range` no such interface.
pub fn answer(class: Class, utcb: UtcbRef, tag: MsgTag) -> Result<MsgTag, Errno> {
    let interfaces = class.interfaces();
    let mut args = Reader::new(utcb, tag);
    match args.u32()? {
        0 => Ok(MsgTag::plain(interfaces.len() as i64, 0, 0)),
        1 => {
            let index = args.u64()?;
            let found = usize::try_from(index).ok().and_then(|i| interfaces.get(i));
            let (protocol, name) = *found.ok_or(Errno::Range)?;
            Writer::new(utcb)
                .u64(protocol.cast_unsigned())
                .array(name)
                .finish(0)
        }
        2 => {
            // Compared as 16 bits, as upstream does; 0 is no protocol.
            let asked = args.u64()? as u16;
            let known = interfaces
                .iter()
                .any(|(p, _)| asked != 0 && *p as u16 == asked);
            Ok(MsgTag::plain(i64::from(known), 0, 0))
        }
        _ => Err(Errno::NoSys),
    }
}
