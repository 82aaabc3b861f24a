//! The words of the region map: owners, rights, states, ranges, runs and errors.
//!
//! Every value here is plain data. [`Range`] is the one type that carries a proven fact: its start
//! is not behind its end, so a range is never empty and may reach the last byte of the address space.

/// Who owns a run: the number a client is known by (its gate label without the two rights bits and
/// two more, S0-OWN-01). Number 0 belongs to nobody and cannot be made.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(transparent)]
pub struct OwnerId(u16);

impl OwnerId {
    /// Sigma0 itself: a range reserved for it is not stored at all (S0-MAP-12).
    pub const SIGMA0: OwnerId = OwnerId(2);
    /// The root task (S0-OWN-01).
    pub const ROOT: OwnerId = OwnerId(4);

    /// `None` for 0, which means free.
    pub const fn new(n: u16) -> Option<OwnerId> {
        if n == 0 { None } else { Some(OwnerId(n)) }
    }

    /// The plain number, never 0.
    pub const fn get(self) -> u16 {
        self.0
    }
}

/// Page rights in the kernel's bits: X = 1, W = 2, R = 4.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(transparent)]
pub struct Rights(u8);

impl Rights {
    /// Read only.
    pub const R: Rights = Rights(4);
    /// Read and write.
    pub const RW: Rights = Rights(6);
    /// Read and execute.
    pub const RX: Rights = Rights(5);
    /// Everything.
    pub const RWX: Rights = Rights(7);

    /// Keeps the three page bits and the kernel's fourth (which no page uses), as the boot loader's
    /// descriptors store them.
    pub const fn from_bits(bits: u8) -> Rights {
        Rights(bits & 0xf)
    }

    /// The kernel's bits.
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// Whether every right in `need` is there.
    pub const fn contains(self, need: Rights) -> bool {
        self.0 & need.0 == need.0
    }
}

/// What a run is, as one word: bits 0-15 owner, 16-19 rights, 20 stored, 21 from the reserve.
///
/// Zero is absent. A stored run with owner 0 is free. The reserve bit on a free run keeps it out of
/// requests for any RAM; on an owned run it remembers where the memory goes when it is given back.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct State(pub(super) u32);

impl State {
    const RIGHTS_SHIFT: u32 = 16;
    pub(super) const OWNER_MASK: u32 = 0xffff;
    pub(super) const RIGHTS_MASK: u32 = 0xf << Self::RIGHTS_SHIFT;
    pub(super) const STORED: u32 = 1 << 20;
    pub(super) const RESERVED: u32 = 1 << 21;

    /// Not in the map: nobody can have it.
    pub const ABSENT: State = State(0);

    /// Free, with the rights its first owner by page fault would get.
    pub const fn free(rights: Rights) -> State {
        State(Self::STORED | (rights.bits() as u32) << Self::RIGHTS_SHIFT)
    }

    /// Free and kept for pagers that ask by node.
    pub const fn free_reserved(rights: Rights) -> State {
        State(Self::free(rights).0 | Self::RESERVED)
    }

    /// Owned.
    pub const fn owned(owner: OwnerId, rights: Rights) -> State {
        State(Self::free(rights).0 | owner.get() as u32)
    }

    /// Neither free nor owned.
    pub const fn is_absent(self) -> bool {
        self.0 & Self::STORED == 0
    }

    /// Stored and without an owner, reserved or not.
    pub const fn is_free(self) -> bool {
        self.0 & (Self::STORED | Self::OWNER_MASK) == Self::STORED
    }

    /// Part of the pagers' reserve: free in it, or taken from it.
    pub const fn is_reserved(self) -> bool {
        self.0 & Self::RESERVED != 0
    }

    /// The same, in the pagers' reserve or not. An absent run stays absent.
    pub const fn with_reserved(self, kept: bool) -> State {
        if self.is_absent() {
            self
        } else if kept {
            State(self.0 | Self::RESERVED)
        } else {
            State(self.0 & !Self::RESERVED)
        }
    }

    /// The owner, if the run has one.
    pub const fn owner(self) -> Option<OwnerId> {
        OwnerId::new((self.0 & Self::OWNER_MASK) as u16)
    }

    /// Page rights; meaningless for an absent run.
    pub const fn rights(self) -> Rights {
        Rights::from_bits((self.0 >> Self::RIGHTS_SHIFT) as u8)
    }
}

impl core::fmt::Debug for State {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "State({:#x})", self.0)
    }
}

/// A range of addresses with an inclusive end: never empty, start <= end.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Range {
    start: u64,
    end: u64,
}

impl Range {
    /// All addresses.
    pub const ALL: Range = Range {
        start: 0,
        end: u64::MAX,
    };

    /// From the first to the last address; `None` if they are in the wrong order.
    pub const fn new(start: u64, end: u64) -> Option<Range> {
        if start <= end {
            Some(Range { start, end })
        } else {
            None
        }
    }

    /// 2^`order` addresses from `start`, which must be aligned to that size; `None` if it is not,
    /// or if the order is above 63. An aligned block cannot run over the end of the address space.
    pub const fn block(start: u64, order: u8) -> Option<Range> {
        if order > 63 {
            return None;
        }
        let mask = (1u64 << order) - 1;
        if start & mask != 0 {
            return None;
        }
        Some(Range {
            start,
            end: start | mask,
        })
    }

    /// First address.
    pub const fn start(self) -> u64 {
        self.start
    }

    /// Last address.
    pub const fn end(self) -> u64 {
        self.end
    }

    /// Whether `other` lies inside.
    pub const fn contains(self, other: Range) -> bool {
        self.start <= other.start && other.end <= self.end
    }

    /// Whether the two share an address.
    pub const fn overlaps(self, other: Range) -> bool {
        self.start <= other.end && other.start <= self.end
    }
}

/// A maximal stretch of addresses with one state.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Run {
    /// The addresses.
    pub range: Range,
    /// Their state.
    pub state: State,
}

/// Why an operation was refused. Nothing has changed then.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MapError {
    /// The client asked for something that is not there: a part is absent, or no block is large
    /// enough.
    NotFound,
    /// The client asked for something that is somebody else's, at least in part, or not in one run.
    Conflict,
    /// The run lacks a right that the client needs.
    Denied,
    /// Bookkeeping nodes have run out and no free page was left to make more.
    NoNodes,
}
