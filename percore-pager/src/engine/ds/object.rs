//! The object itself, and what clients may ask about it.

use l4_sys::PAGE_SHIFT;

use crate::engine::arena::{Pod, Ref};
use crate::engine::quota::{Account, Reach};

/// Dataspace flags, as in the protocol.
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
    /// Shown by kinds whose pages can be shared until written.
    pub const COW: u32 = 0x100;
}

/// What a dataspace is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Memory at first touch.
    OnDemand,
    /// One run of frames.
    Contiguous,
    /// Memory that is not the engine's.
    Static,
}

/// Answer of info.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Info {
    /// Bytes, as asked for at creation.
    pub size: u64,
    /// Flags.
    pub flags: u32,
}

/// A dataspace: 128 bytes of its account's memory.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Ds {
    /// Exact size in bytes.
    size: u64,
    /// The same up to the end of the last page.
    end: u64,
    /// On demand: the table's root, or the group's word. Others: the first frame.
    pub(super) root: u64,
    /// On demand: pages charged to the account. Contiguous: pages zeroed so far.
    pub(super) pages: u64,
    /// On demand: frames kept and not used.
    pub(super) kept: u64,
    /// The page behind the last one that a fault brought.
    pub(super) next_page: u64,
    /// Where [`give_back_kept`](super::give_back_kept) goes on.
    pub(super) cursor: u64,
    /// On demand: what is kept of these pages is zero already.
    pub(super) zero_from: u64,
    pub(super) account: Option<Ref<Account>>,
    pub(super) flags: u32,
    kind: u8,
    /// Levels of the table, 0..=4.
    pub(super) depth: u8,
    /// By how much a group's number is shifted for its index in the root; negative when that is a leaf.
    pub(super) root_shift: i8,
    /// log2 of the bytes that the memory is a multiple of, at least 12.
    page_order: u8,
    /// log2 of the pages that the next fault may bring.
    pub(super) grow: u8,
    /// How much a fault may bring.
    pub(super) reach: Reach,
    /// Whether its frames may go to the same account's next dataspace without an unmap.
    pub(super) private: u8,
    /// Whether the short way may be tried (`populate.rs`).
    pub(super) quick: u8,
    /// Others than its gate that use it: regions.
    pub(super) users: u32,
    pub(super) keeper_next: Option<Ref<Ds>>,
    pub(super) keeper_prev: Option<Ref<Ds>>,
    /// Length of what begins at `zero_from`.
    pub(super) zero_pages: u32,
    /// On demand: the leaf of the table that was used last, as a number, and which one it is;
    /// `NO_LEAF` is none.
    pub(super) leaf: u32,
    pub(super) leaf_number: u32,
    /// See [`Ds::is_plain`].
    plain: u8,
}

/// Of these flags a plain dataspace has the rights.
const PLAIN: u32 = flag::RIGHTS | flag::CACHING;
/// No leaf has this number.
const NO_LEAF: u32 = u32::MAX;

// SAFETY: numbers and optional references; every pattern is valid.
unsafe impl Pod for Ds {}

impl Ds {
    pub(super) fn new(kind: Kind, account: Option<Ref<Account>>, size: u64, flags: u32) -> Self {
        let mut ds = Ds {
            size: 0,
            end: 0,
            root: 0,
            pages: 0,
            kept: 0,
            next_page: 0,
            cursor: 0,
            zero_from: 0,
            account,
            flags,
            kind: match kind {
                Kind::OnDemand => 0,
                Kind::Contiguous => 1,
                Kind::Static => 2,
            },
            depth: 0,
            root_shift: 0,
            page_order: PAGE_SHIFT as u8,
            grow: 0,
            reach: Reach::DEFAULT,
            private: 0,
            quick: 0,
            users: 0,
            keeper_next: None,
            keeper_prev: None,
            zero_pages: 0,
            leaf: 0,
            leaf_number: NO_LEAF,
            plain: u8::from(kind == Kind::OnDemand && flags & PLAIN == flag::RIGHTS),
        };
        ds.resize(size, PAGE_SHIFT as u8);
        ds
    }

    /// Sets the size in bytes and log2 of what its memory is a multiple of, at least 12.
    pub(super) fn resize(&mut self, size: u64, page_order: u8) {
        let low = (1u64 << (page_order & 63)) - 1;
        self.size = size;
        self.page_order = page_order;
        self.end = size.saturating_add(low) & !low;
    }

    /// What it is.
    #[inline]
    pub fn kind(&self) -> Kind {
        match self.kind {
            0 => Kind::OnDemand,
            1 => Kind::Contiguous,
            _ => Kind::Static,
        }
    }

    /// Whether it is on demand, can be mapped with all rights and has the usual cache mode.
    #[inline(always)]
    pub(in crate::engine) fn is_plain(&self) -> bool {
        self.plain != 0
    }

    /// Exact size in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Pages of memory, the last one included that is used in part.
    #[inline]
    pub fn page_count(&self) -> u64 {
        self.end >> PAGE_SHIFT
    }

    /// Bytes up to the end of the last page (MOE-DS-31): what offsets are checked against.
    #[inline]
    pub fn rounded_size(&self) -> u64 {
        self.end
    }

    /// Size and flags for a client; `writable` when its capability has the W right.
    pub fn info(&self, writable: bool) -> Info {
        Info {
            size: self.size,
            flags: if writable {
                self.flags
            } else {
                self.flags & !flag::W
            },
        }
    }

    /// The rights that a client may map with (MOE-DS-02).
    #[inline(always)]
    pub fn allowed(&self, writable: bool) -> u32 {
        let without = if writable { 0 } else { flag::W };
        self.flags & flag::RIGHTS & !without
    }

    /// The cache mode that a client gets that asks with these flags (MOE-DS-10).
    #[inline(always)]
    pub(super) fn caching(&self, asked: u32) -> u32 {
        (self.flags & flag::CACHING).max(asked & flag::CACHING)
    }

    /// Whether a client may change it.
    pub fn may_write(&self, writable: bool) -> bool {
        self.allowed(writable) & flag::W != 0
    }

    /// One region more uses it.
    pub fn add_user(&mut self) {
        self.users += 1;
    }

    /// One region less uses it.
    pub fn drop_user(&mut self) {
        self.users -= 1;
    }

    /// Regions that use it.
    pub fn users(&self) -> u32 {
        self.users
    }
}

const _: () = assert!(size_of::<Ds>() <= 128);
