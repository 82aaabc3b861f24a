//! Builds ACPI tables as firmware would lay them out, for tests and for kernel models.
//!
//! Table headers, RSDP, XSDT, SLIT and checksums come from the `acpi_tables` crate; it has no x86 CPU
//! affinity and no x2APIC entries, so the entries of SRAT and MADT are written here. Other crates
//! include this file by path; it depends on nothing else.
#![allow(dead_code)]

use acpi_tables::{Aml, rsdp::Rsdp, sdt::Sdt, slit::SLIT, xsdt::XSDT};

const OEM: [u8; 6] = *b"PERCOR";
const OEM_TABLE: [u8; 8] = *b"TESTNODE";

/// A memory affinity entry.
#[derive(Clone, Copy, Debug)]
pub struct MemAffinity {
    /// Proximity domain.
    pub domain: u32,
    /// First byte.
    pub base: u64,
    /// Bytes.
    pub len: u64,
    /// Bit 0 enabled, 1 can be plugged, 2 non-volatile.
    pub flags: u32,
}

/// A CPU, for SRAT and MADT alike.
#[derive(Clone, Copy, Debug)]
pub struct CpuEntry {
    /// APIC id; above 254 the wide forms are used.
    pub apic: u32,
    /// Proximity domain; `None` leaves the CPU out of SRAT.
    pub domain: Option<u32>,
    /// MADT's flags: bit 0 enabled, 1 online capable.
    pub flags: u32,
}

fn sealed(mut t: Sdt) -> Vec<u8> {
    t.update_checksum();
    t.as_slice().to_vec()
}

fn bytes(t: &dyn Aml) -> Vec<u8> {
    let mut v = Vec::new();
    t.to_aml_bytes(&mut v);
    v
}

/// SRAT with memory first, then CPUs.
pub fn srat(revision: u8, memory: &[MemAffinity], cpus: &[CpuEntry]) -> Vec<u8> {
    let mut t = Sdt::new(*b"SRAT", 48, revision, OEM, OEM_TABLE, 1);
    t.write_bytes(36, &1u32.to_le_bytes());
    for m in memory {
        let mut e = [0u8; 40];
        e[..2].copy_from_slice(&[1, 40]);
        e[2..6].copy_from_slice(&m.domain.to_le_bytes());
        e[8..16].copy_from_slice(&m.base.to_le_bytes());
        e[16..24].copy_from_slice(&m.len.to_le_bytes());
        e[28..32].copy_from_slice(&m.flags.to_le_bytes());
        t.append_slice(&e);
    }
    for c in cpus {
        let Some(domain) = c.domain else { continue };
        let d = domain.to_le_bytes();
        if c.apic < 255 {
            let mut e = [0u8; 16];
            e[..5].copy_from_slice(&[0, 16, d[0], c.apic as u8, 1]);
            e[9..12].copy_from_slice(&d[1..]);
            t.append_slice(&e);
        } else {
            let mut e = [0u8; 24];
            e[..2].copy_from_slice(&[2, 24]);
            e[4..8].copy_from_slice(&d);
            e[8..12].copy_from_slice(&c.apic.to_le_bytes());
            e[12] = 1;
            t.append_slice(&e);
        }
    }
    sealed(t)
}

/// MADT with a local APIC or x2APIC entry for each CPU, and an I/O APIC that readers must skip.
pub fn madt(cpus: &[CpuEntry]) -> Vec<u8> {
    let mut t = Sdt::new(*b"APIC", 44, 4, OEM, OEM_TABLE, 1);
    t.write_bytes(36, &0xfee0_0000u32.to_le_bytes());
    t.append_slice(&[1, 12, 0, 0, 0, 0, 0xc0, 0xfe, 0, 0, 0, 0]);
    for (uid, c) in cpus.iter().enumerate() {
        if c.apic < 255 {
            let mut e = [0u8; 8];
            e[..4].copy_from_slice(&[0, 8, uid as u8, c.apic as u8]);
            e[4..].copy_from_slice(&c.flags.to_le_bytes());
            t.append_slice(&e);
        } else {
            let mut e = [0u8; 16];
            e[..2].copy_from_slice(&[9, 16]);
            e[4..8].copy_from_slice(&c.apic.to_le_bytes());
            e[8..12].copy_from_slice(&c.flags.to_le_bytes());
            e[12..].copy_from_slice(&(uid as u32).to_le_bytes());
            t.append_slice(&e);
        }
    }
    sealed(t)
}

/// SLIT for `n` domains, `d` giving the distance from the first to the second.
pub fn slit(n: u32, d: impl Fn(u32, u32) -> u8) -> Vec<u8> {
    let mut t = Sdt::new(*b"SLIT", 44, 1, OEM, OEM_TABLE, 1);
    t.write_bytes(36, &u64::from(n).to_le_bytes());
    for a in 0..n {
        let row: Vec<u8> = (0..n).map(|b| d(a, b)).collect();
        t.append_slice(&row);
    }
    sealed(t)
}

/// SLIT as `acpi_tables` builds it, symmetric: a second opinion on the layout above.
pub fn slit_symmetric(n: u32, d: &[(usize, usize, u8)]) -> Vec<u8> {
    let mut t = SLIT::new(OEM, OEM_TABLE, 1, n);
    for &(a, b, v) in d {
        t.set_distance(a, b, v);
    }
    bytes(&t)
}

/// Pieces of physical memory.
#[derive(Clone, Debug, Default)]
pub struct Image {
    /// (address, bytes) of each piece.
    pub pieces: Vec<(u64, Vec<u8>)>,
}

impl Image {
    /// The tables from `at` on, an XSDT (or, with `old`, an RSDT) behind them, and the root pointer at
    /// `rsdp`.
    pub fn new(rsdp: u64, at: u64, tables: Vec<Vec<u8>>, old: bool) -> Image {
        let mut image = Image::default();
        let mut next = at;
        let mut addrs = Vec::new();
        for t in tables {
            addrs.push(next);
            let step = (t.len() as u64).next_multiple_of(16);
            image.pieces.push((next, t));
            // A gap nobody may read, so that a read over the end of a table fails.
            next += step + 64;
        }
        let list = if old {
            let mut t = Sdt::new(*b"RSDT", 36, 1, OEM, OEM_TABLE, 1);
            addrs
                .iter()
                .for_each(|a| t.append_slice(&(*a as u32).to_le_bytes()));
            sealed(t)
        } else {
            let mut t = XSDT::new(OEM, OEM_TABLE, 1);
            addrs.iter().for_each(|a| t.add_entry(*a));
            bytes(&t)
        };
        image.pieces.push((next, list));
        let root = if old {
            let mut r = b"RSD PTR \0PERCOR\0".to_vec();
            r.extend_from_slice(&(next as u32).to_le_bytes());
            r[8] = 0u8.wrapping_sub(r.iter().fold(0, |s, b| s.wrapping_add(*b)));
            r
        } else {
            bytes(&Rsdp::new(OEM, next))
        };
        image.pieces.push((rsdp, root));
        image
    }

    /// Copies memory; `None` if it is not all inside one piece.
    pub fn copy(&self, addr: u64, out: &mut [u8]) -> Option<()> {
        self.pieces.iter().find_map(|(at, b)| {
            let from = usize::try_from(addr.checked_sub(*at)?).ok()?;
            out.copy_from_slice(b.get(from..from.checked_add(out.len())?)?);
            Some(())
        })
    }
}

/// Makes the bytes of a table add up to 0 again after a change.
pub fn reseal(table: &mut [u8]) {
    table[9] = 0;
    table[9] = 0u8.wrapping_sub(table.iter().fold(0, |s, b| s.wrapping_add(*b)));
}
