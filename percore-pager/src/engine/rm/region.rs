//! What a region, an area and a rescue jump consist of.

use core::num::NonZeroU64;

use crate::engine::arena::Pod;

use super::tree::Link;

/// Region and attach flags, as in the protocol.
pub mod flag {
    /// May be executed.
    pub const X: u32 = 1;
    /// May be written.
    pub const W: u32 = 2;
    /// May be read.
    pub const R: u32 = 4;
    /// X, W and R.
    pub const RIGHTS: u32 = 7;
    /// Cache mode: 0 normal, 0x10 buffered, 0x20 uncached.
    pub const CACHING: u32 = 0x30;
    /// Memory that the kernel provides.
    pub const KERNEL: u32 = 0x100;
    /// The region has a pager of its own.
    pub const PAGER: u32 = 0x400;
    /// Nothing is here, and nothing may be.
    pub const RESERVED: u32 = 0x800;
    /// A copy of the object, made when written.
    pub const PRIVATE: u32 = 0x1000;
    /// Fresh memory, no object.
    pub const ANONYMOUS: u32 = 0x2000;
    /// The flags that a region keeps.
    pub const REGION: u32 = 0xffff;
    /// Look for a free place.
    pub const SEARCH_ADDR: u32 = 0x20000;
    /// Inside an area.
    pub const IN_AREA: u32 = 0x40000;
    /// Map at once (a matter of the client).
    pub const EAGER_MAP: u32 = 0x80000;
    /// Do not map at once (a matter of the client).
    pub const NO_EAGER_MAP: u32 = 0x10_0000;
    /// Not in the protocol: an area that clients cannot free.
    pub(crate) const FIXED: u32 = 0x8000_0000;
}

/// The object behind a region: a number that only the object layer understands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(transparent)]
pub struct Backing(pub NonZeroU64);

/// Most bytes of a region's name that are kept.
pub const NAME_BYTES: usize = 40;

/// A region's name, for people.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Name {
    bytes: [u8; NAME_BYTES],
    length: u8,
}

impl Name {
    /// The first [`NAME_BYTES`] bytes of `text`.
    pub fn new(text: &[u8]) -> Self {
        let mut bytes = [0; NAME_BYTES];
        let length = text.len().min(NAME_BYTES);
        for (to, from) in bytes.iter_mut().zip(text) {
            *to = *from;
        }
        Name {
            bytes,
            length: length as u8,
        }
    }

    /// Its bytes, without a final NUL.
    pub fn as_bytes(&self) -> &[u8] {
        let length = usize::from(self.length).min(NAME_BYTES);
        self.bytes.get(..length).unwrap_or(&[])
    }
}

impl core::fmt::Debug for Name {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{:?}", self.as_bytes().escape_ascii())
    }
}

impl PartialEq for Name {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

/// What a region holds.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(C)]
pub struct Contents {
    /// The object; none for Kernel and Reserved regions.
    pub backing: Option<Backing>,
    /// Which byte of the object the region's first byte is.
    pub offset: u64,
    /// The client's own index of the object: stored and given back, never used.
    pub client_cap: u64,
    /// Offset in the file behind the object, for people.
    pub backing_offset: u64,
    /// Flags of [`flag`], as far as regions keep them.
    pub flags: u32,
    /// For people.
    pub name: Name,
}

/// A region in the tree: 128 bytes of its account's memory.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(super) struct Region {
    pub(super) link: Link,
    pub(super) contents: Contents,
}

// SAFETY: numbers, optional references and an optional non-zero number; every pattern is valid.
unsafe impl Pod for Region {}

/// An area in the tree.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(super) struct Area {
    pub(super) link: Link,
    pub(super) flags: u32,
    pub(super) unused: u32,
}

// SAFETY: numbers and optional references; every pattern is valid.
unsafe impl Pod for Area {}

/// A rescue jump in the tree: a range of instructions.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(super) struct Jump {
    pub(super) link: Link,
    pub(super) target: u64,
}

// SAFETY: numbers and optional references; every pattern is valid.
unsafe impl Pod for Jump {}

const _: () = assert!(size_of::<Region>() <= 128 && size_of::<Area>() <= 64);
const _: () = assert!(size_of::<Jump>() <= 64);
