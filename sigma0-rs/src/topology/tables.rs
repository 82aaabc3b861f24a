//! Finding ACPI tables and reading from them.
//!
//! A [`Table`] is proof that its header was readable, its length sane and its checksum right; all reads
//! from it are bounded by that length.

use core::fmt;

/// Reads physical memory. Addresses come out of tables, so any value may be asked for.
pub trait PhysRead {
    /// Copies memory from `address` to `out`; `None` if any byte cannot be read.
    fn read(&self, address: u64, out: &mut [u8]) -> Option<()>;

    /// The first address from `first` to `last`, in steps of 16, where the eight bytes `word` lie.
    /// What cannot be read is passed over. `first` is a multiple of 16.
    fn find(&self, first: u64, last: u64, word: [u8; 8]) -> Option<u64> {
        let mut at = first;
        while at <= last {
            let mut b = [0u8; 8];
            if self.read(at, &mut b).is_some() && b == word {
                return Some(at);
            }
            at = at.checked_add(16)?;
        }
        None
    }
}

impl PhysRead for crate::phys::Phys<'_> {
    fn read(&self, address: u64, out: &mut [u8]) -> Option<()> {
        self.copy(address, out)
    }

    fn find(&self, first: u64, last: u64, word: [u8; 8]) -> Option<u64> {
        self.find_word(first, last, u64::from_le_bytes(word))
    }
}

/// A table's four letters.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Signature(pub [u8; 4]);

impl Signature {
    /// Root pointer, by the first letters of its longer signature.
    pub const RSDP: Signature = Signature(*b"RSD ");
    /// List of tables, 32-bit addresses.
    pub const RSDT: Signature = Signature(*b"RSDT");
    /// List of tables, 64-bit addresses.
    pub const XSDT: Signature = Signature(*b"XSDT");
    /// Proximity domains of memory and CPUs.
    pub const SRAT: Signature = Signature(*b"SRAT");
    /// Distances between proximity domains.
    pub const SLIT: Signature = Signature(*b"SLIT");
    /// CPUs (MADT).
    pub const MADT: Signature = Signature(*b"APIC");
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(core::str::from_utf8(&self.0).unwrap_or("????"))
    }
}

/// Why the firmware's tables were not, or not all, used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TopologyError {
    /// There is no such table.
    Absent(Signature),
    /// The table lies where nobody may read.
    Unreadable(Signature),
    /// The bytes of the table do not add up.
    Checksum(Signature),
    /// The table's length is impossible, or an entry runs over its end.
    Length(Signature),
    /// Two nodes claim the same memory.
    Overlap,
    /// A distance below 10, or a node at another distance than 10 from itself.
    Distance,
    /// SRAT names no memory.
    NoMemory,
    /// More than [`super::MAX_NODES`].
    TooManyNodes,
    /// More than [`super::MAX_RANGES`].
    TooManyRanges,
    /// More than [`super::MAX_CPUS`].
    TooManyCpus,
    /// An APIC id of 2^26 or above.
    ApicId,
}

impl fmt::Display for TopologyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, s) = match self {
            TopologyError::Absent(s) => ("no ACPI table ", s),
            TopologyError::Unreadable(s) => ("unreadable ACPI table ", s),
            TopologyError::Checksum(s) => ("wrong checksum in ACPI table ", s),
            TopologyError::Length(s) => ("wrong length in ACPI table ", s),
            TopologyError::Overlap => return f.write_str("nodes overlap in SRAT"),
            TopologyError::Distance => return f.write_str("impossible distance in SLIT"),
            TopologyError::NoMemory => return f.write_str("no memory in SRAT"),
            TopologyError::TooManyNodes => return f.write_str("too many nodes"),
            TopologyError::TooManyRanges => return f.write_str("too many memory ranges"),
            TopologyError::TooManyCpus => return f.write_str("too many CPUs"),
            TopologyError::ApicId => return f.write_str("too large APIC id"),
        };
        f.write_str(what)?;
        s.fmt(f)
    }
}

/// Bytes of the header that all tables have.
const HEADER: u32 = 36;
/// Longer tables are taken for broken: 1024 CPUs and 256 ranges need 50 KiB.
const LONGEST: u32 = 1 << 20;

/// What is done with each entry of a table.
pub(super) type EachEntry<'a> = dyn FnMut(u8, &[u8; 40]) -> Result<(), TopologyError> + 'a;

/// A table with a right checksum.
pub(super) struct Table<'a> {
    phys: &'a dyn PhysRead,
    addr: u64,
    len: u32,
    sig: Signature,
}

impl<'a> Table<'a> {
    /// The table `sig` at `addr`.
    pub(super) fn open(
        phys: &'a dyn PhysRead,
        addr: u64,
        sig: Signature,
    ) -> Result<Table<'a>, TopologyError> {
        let mut head = [0u8; 8];
        phys.read(addr, &mut head)
            .ok_or(TopologyError::Unreadable(sig))?;
        if head[..4] != sig.0 {
            return Err(TopologyError::Absent(sig));
        }
        let len = u32_at(&head, 4);
        if !(HEADER..=LONGEST).contains(&len) {
            return Err(TopologyError::Length(sig));
        }
        match sum(phys, addr, len) {
            None => Err(TopologyError::Unreadable(sig)),
            Some(0) => Ok(Table {
                phys,
                addr,
                len,
                sig,
            }),
            Some(_) => Err(TopologyError::Checksum(sig)),
        }
    }

    /// Bytes in the table.
    pub(super) fn len(&self) -> u32 {
        self.len
    }

    /// "The length is wrong", for this table.
    pub(super) fn bad_length(&self) -> TopologyError {
        TopologyError::Length(self.sig)
    }

    /// The table's revision.
    pub(super) fn revision(&self) -> Result<u8, TopologyError> {
        let mut b = [0];
        self.read(8, &mut b)?;
        Ok(b[0])
    }

    /// Copies bytes at offset `at`, which must lie inside the table.
    pub(super) fn read(&self, at: u32, out: &mut [u8]) -> Result<(), TopologyError> {
        let end = u64::from(at) + out.len() as u64;
        if end > u64::from(self.len) {
            return Err(self.bad_length());
        }
        let addr = self
            .addr
            .checked_add(u64::from(at))
            .ok_or(self.bad_length())?;
        self.phys
            .read(addr, out)
            .ok_or(TopologyError::Unreadable(self.sig))
    }

    /// Calls `each` for every entry from offset `first` on, with its type and its bytes, of which those
    /// behind the 40th are cut off and missing ones are 0. Entries too short for their type are
    /// told by `least(type)`.
    pub(super) fn entries(
        &self,
        first: u32,
        least: fn(u8) -> u8,
        each: &mut EachEntry<'_>,
    ) -> Result<(), TopologyError> {
        let mut at = first;
        while at < self.len {
            let mut head = [0u8; 2];
            self.read(at, &mut head)?;
            let [kind, size] = head;
            let left = self.len - at;
            if size < 2 || size < least(kind) || u32::from(size) > left {
                return Err(self.bad_length());
            }
            let mut entry = [0u8; 40];
            let n = usize::from(size).min(entry.len());
            if let Some(part) = entry.get_mut(..n) {
                self.read(at, part)?;
            }
            each(kind, &entry)?;
            at += u32::from(size);
        }
        Ok(())
    }
}

/// Sum of the bytes, modulo 256.
fn sum(phys: &dyn PhysRead, addr: u64, len: u32) -> Option<u8> {
    let mut total = 0u8;
    let mut at = 0;
    while at < len {
        let mut buf = [0u8; 64];
        let n = (len - at).min(buf.len() as u32);
        let part = buf.get_mut(..n as usize)?;
        phys.read(addr.checked_add(u64::from(at))?, part)?;
        total = part.iter().fold(total, |s, b| s.wrapping_add(*b));
        at += n;
    }
    Some(total)
}

/// Little-endian word at `at`; 0 where the bytes are missing.
pub(super) fn u32_at(b: &[u8], at: usize) -> u32 {
    let mut w = [0u8; 4];
    if let Some(s) = b.get(at..at + 4) {
        w.copy_from_slice(s);
    }
    u32::from_le_bytes(w)
}

/// Little-endian double word at `at`; 0 where the bytes are missing.
pub(super) fn u64_at(b: &[u8], at: usize) -> u64 {
    u64::from(u32_at(b, at)) | u64::from(u32_at(b, at + 4)) << 32
}

/// Addresses of the tables of interest.
#[derive(Default)]
pub(super) struct Found {
    pub srat: Option<u64>,
    pub slit: Option<u64>,
    pub madt: Option<u64>,
}

/// Finds the root pointer, where `rsdp` says or in the BIOS areas, and walks the table list.
pub(super) fn find(phys: &dyn PhysRead, rsdp: Option<(u64, u64)>) -> Result<Found, TopologyError> {
    let known = rsdp.and_then(|(first, last)| {
        // Descriptors have a granularity of 1 KiB: the pointer is somewhere in the first.
        scan(phys, first, last.min(first.saturating_add(0x3ff)))
    });
    let root = known
        .or_else(|| {
            let mut segment = [0u8; 2];
            phys.read(0x40e, &mut segment)?;
            let ebda = u64::from(u16::from_le_bytes(segment)) << 4;
            if ebda == 0 {
                None
            } else {
                scan_bios(phys, ebda, 0x400)
            }
        })
        .or_else(|| scan_bios(phys, 0xe_0000, 0x2_0000))
        .ok_or(TopologyError::Absent(Signature::RSDP))?;
    match root {
        Root {
            xsdt: Some(x),
            rsdt,
        } => walk(phys, x, Signature::XSDT, 8).or_else(|e| match rsdt {
            0 => Err(e),
            r => walk(phys, u64::from(r), Signature::RSDT, 4),
        }),
        Root { xsdt: None, rsdt } => walk(phys, u64::from(rsdt), Signature::RSDT, 4),
    }
}

const RSDP_SIGNATURE: [u8; 8] = *b"RSD PTR ";

struct Root {
    rsdt: u32,
    xsdt: Option<u64>,
}

/// Looks for a valid root pointer that starts in `first ..= last`, at any multiple of 4 behind `first`.
fn scan(phys: &dyn PhysRead, first: u64, last: u64) -> Option<Root> {
    let mut at = first;
    loop {
        let mut sig = [0u8; 8];
        if phys.read(at, &mut sig).is_some()
            && sig == RSDP_SIGNATURE
            && let Some(root) = root_at(phys, at)
        {
            return Some(root);
        }
        at = at.checked_add(4)?;
        if at > last {
            return None;
        }
    }
}

/// Looks for a valid root pointer in BIOS memory, where it lies on a 16-byte border.
fn scan_bios(phys: &dyn PhysRead, first: u64, bytes: u64) -> Option<Root> {
    let last = first.checked_add(bytes - 1)?;
    let mut at = first;
    loop {
        at = phys.find(at, last, RSDP_SIGNATURE)?;
        if let Some(root) = root_at(phys, at) {
            return Some(root);
        }
        at = at.checked_add(16)?;
    }
}

/// The root pointer at `at`, if its checksums are right.
fn root_at(phys: &dyn PhysRead, at: u64) -> Option<Root> {
    let mut b = [0u8; 20];
    phys.read(at, &mut b)?;
    if sum(phys, at, 20)? != 0 {
        return None;
    }
    let rsdt = u32_at(&b, 16);
    if b[15] < 2 {
        return Some(Root { rsdt, xsdt: None });
    }
    let mut b = [0u8; 36];
    phys.read(at, &mut b)?;
    let len = u32_at(&b, 20);
    if !(36..=256).contains(&len) || sum(phys, at, len)? != 0 {
        return None;
    }
    let xsdt = u64_at(&b, 24);
    Some(Root {
        rsdt,
        xsdt: (xsdt != 0).then_some(xsdt),
    })
}

/// Notes the first table of each kind in the list at `addr`, whose entries have `width` bytes.
fn walk(
    phys: &dyn PhysRead,
    addr: u64,
    sig: Signature,
    width: u32,
) -> Result<Found, TopologyError> {
    let list = Table::open(phys, addr, sig)?;
    let mut found = Found::default();
    let mut at = HEADER;
    while at + width <= list.len() {
        let mut b = [0u8; 8];
        list.read(at, b.get_mut(..width as usize).unwrap_or(&mut []))?;
        at += width;
        let table = u64::from_le_bytes(b);
        let mut name = [0u8; 4];
        if phys.read(table, &mut name).is_none() {
            continue;
        }
        let slot = match Signature(name) {
            Signature::SRAT => &mut found.srat,
            Signature::SLIT => &mut found.slit,
            Signature::MADT => &mut found.madt,
            _ => continue,
        };
        slot.get_or_insert(table);
    }
    Ok(found)
}
