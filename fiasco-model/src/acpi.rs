//! ACPI tables as bytes in simulated memory: RSDP, XSDT, MADT, SRAT, SLIT.
//!
//! Headers and checksums come from the crate `acpi_tables`; the x86 structures of SRAT and MADT,
//! which it does not have, are laid out here after the ACPI specification 6.4, chapter 5.2.

use acpi_tables::Aml;
use acpi_tables::rsdp::Rsdp;
use acpi_tables::sdt::Sdt;
use acpi_tables::slit::SLIT;
use acpi_tables::xsdt::XSDT;

use crate::machine::Machine;

const OEM: [u8; 6] = *b"FIASCO";
const TABLE: [u8; 8] = *b"MODEL   ";
/// First APIC id that needs the x2APIC structures.
const X2APIC: u32 = 255;
/// Flag of an enabled entry.
const ENABLED: u32 = 1;

fn table(signature: [u8; 4], revision: u8) -> Sdt {
    Sdt::new(signature, 36, revision, OEM, TABLE, 1)
}

fn bytes(t: &dyn Aml) -> Vec<u8> {
    let mut v = Vec::new();
    t.to_aml_bytes(&mut v);
    v
}

fn madt(m: &Machine) -> Vec<u8> {
    let mut t = table(*b"APIC", 5);
    t.append_slice(&0xfee0_0000u32.to_le_bytes());
    t.append_slice(&1u32.to_le_bytes());
    for cpu in 0..m.cpus() {
        let id = m.apic_id(cpu);
        if id < X2APIC {
            t.append_slice(&[0, 8, cpu as u8, id as u8]);
            t.append_slice(&ENABLED.to_le_bytes());
        } else {
            t.append_slice(&[9, 16, 0, 0]);
            t.append_slice(&id.to_le_bytes());
            t.append_slice(&ENABLED.to_le_bytes());
            t.append_slice(&cpu.to_le_bytes());
        }
    }
    bytes(&t)
}

fn srat(m: &Machine) -> Vec<u8> {
    let mut t = table(*b"SRAT", 3);
    t.append_slice(&1u32.to_le_bytes());
    t.append_slice(&[0; 8]);
    for cpu in 0..m.cpus() {
        let (id, node) = (m.apic_id(cpu), m.node_of(cpu));
        if id < X2APIC {
            t.append_slice(&[0, 16, node as u8, id as u8]);
            t.append_slice(&ENABLED.to_le_bytes());
            t.append_slice(&[0; 8]);
        } else {
            t.append_slice(&[2, 24, 0, 0]);
            t.append_slice(&node.to_le_bytes());
            t.append_slice(&id.to_le_bytes());
            t.append_slice(&ENABLED.to_le_bytes());
            t.append_slice(&[0; 8]);
        }
    }
    for (node, start, end) in m.ram() {
        t.append_slice(&[1, 40]);
        t.append_slice(&node.to_le_bytes());
        t.append_slice(&[0; 2]);
        t.append_slice(&start.to_le_bytes());
        t.append_slice(&(end - start).to_le_bytes());
        t.append_slice(&[0; 4]);
        t.append_slice(&ENABLED.to_le_bytes());
        t.append_slice(&[0; 8]);
    }
    bytes(&t)
}

fn slit(m: &Machine) -> Vec<u8> {
    let n = m.nodes.len();
    let mut t = SLIT::new(OEM, TABLE, 1, n as u32);
    for a in 0..n {
        for b in 0..n {
            t.set_distance(a, b, m.distance(a as u32, b as u32));
        }
    }
    bytes(&t)
}

/// The tables to be written: physical address and bytes. The RSDP is at `at`, the rest behind it.
pub(crate) fn tables(m: &Machine, at: u64) -> Vec<(u64, Vec<u8>)> {
    let mut xsdt = XSDT::new(OEM, TABLE, 1);
    let mut next = at + 64;
    let mut out = Vec::new();
    for t in [madt(m), srat(m), slit(m)] {
        xsdt.add_entry(next);
        let len = t.len() as u64;
        out.push((next, t));
        next += len.next_multiple_of(16);
    }
    out.push((at, bytes(&Rsdp::new(OEM, next))));
    out.push((next, bytes(&xsdt)));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(t: &[u8]) -> u8 {
        t.iter().fold(0, |a, b| a.wrapping_add(*b))
    }

    #[test]
    fn checksums_and_lengths_are_right() {
        let m = Machine::uniform(4, 100, 256);
        for (_, t) in tables(&m, 0x1000) {
            assert_eq!(sum(&t), 0, "{:?}", &t[..8]);
            if &t[..4] != b"RSD " {
                let len = u32::from_le_bytes(t[4..8].try_into().unwrap());
                assert_eq!(len as usize, t.len());
            }
        }
    }

    #[test]
    fn srat_names_every_cpu_and_range() {
        let m = Machine::uniform(3, 5, 2048);
        let t = srat(&m);
        let (mut at, mut cpus, mut ranges) = (48, 0, 0);
        while at < t.len() {
            match t[at] {
                0 => cpus += 1,
                1 => ranges += 1,
                k => panic!("entry {k}"),
            }
            at += t[at + 1] as usize;
        }
        assert_eq!((cpus, ranges), (15, m.ram().len()));
    }

    #[test]
    fn slit_has_the_distances() {
        let m = Machine::opteron(256);
        let t = slit(&m);
        assert_eq!(u64::from_le_bytes(t[36..44].try_into().unwrap()), 8);
        assert_eq!((t[44], t[45], t[46]), (10, 16, 22));
    }
}
