//! The maps as the machine starts: what the kernel's memory descriptors say (S0-MAP).

use l4_sys::kip::Kip;
use l4_sys::memdesc::{MemDesc, MemType};

use crate::map::{MapError, MapId, OwnerId, Range, Regions, Rights, State};

const PAGE_MASK: u64 = l4_sys::PAGE_SIZE - 1;

/// Why there are no maps.
#[derive(Clone, Copy, Debug)]
pub enum BootError {
    /// The descriptor claims memory that the root task's image has (S0-MAP-09).
    Conflict(MemDesc),
    /// More descriptors than the static bookkeeping can hold.
    NoNodes(MemDesc),
}

/// Builds all three maps. `maps` is as made, everything absent.
///
/// # Errors
/// See [`BootError`]; the maps are then incomplete and the caller stops.
pub fn build(maps: &mut Regions, kip: &Kip) -> Result<(), BootError> {
    let nothing = MemDesc { low: 0, high: 0 };
    maps.add_free(MapId::Io, Range::ALL, Rights::RW)
        .map_err(|_| BootError::NoNodes(nothing))?;
    let ports = Range::new(0, 0xffff).unwrap_or(Range::ALL);
    maps.add_free(MapId::Ports, ports, Rights::RW)
        .map_err(|_| BootError::NoNodes(nothing))?;
    for desc in kip.mem_descs() {
        add(maps, *desc).map_err(|e| match e {
            MapError::NoNodes => BootError::NoNodes(*desc),
            _ => BootError::Conflict(*desc),
        })?;
    }
    Ok(())
}

/// Enters one descriptor. Order matters: carve-outs follow the RAM they are in (S0-MAP-10).
fn add(maps: &mut Regions, desc: MemDesc) -> Result<(), MapError> {
    if desc.is_virtual() {
        return Ok(());
    }
    if desc.kind() == MemType::Conventional {
        let Some(range) = inwards(desc) else {
            return Ok(());
        };
        maps.add_free(MapId::Ram, range, Rights::RWX)?;
        return maps.set(MapId::Io, range, State::ABSENT);
    }
    let Some(range) = outwards(desc) else {
        return Ok(());
    };
    match desc.kind() {
        MemType::Reserved | MemType::Dedicated => {
            maps.reserve_for(MapId::Ram, range, OwnerId::SIGMA0, Rights::from_bits(0))?;
            maps.set(MapId::Io, range, State::ABSENT)
        }
        MemType::Bootloader => {
            let rights = Rights::from_bits(desc.sub_type());
            maps.reserve_for(MapId::Ram, range, OwnerId::ROOT, rights)?;
            maps.set(MapId::Io, range, State::ABSENT)
        }
        MemType::Info | MemType::Arch | MemType::Shared => {
            maps.reserve_for(MapId::Ram, range, OwnerId::SIGMA0, Rights::from_bits(0))?;
            maps.add_free(MapId::Io, range, Rights::RW)
        }
        MemType::Conventional | MemType::Undefined | MemType::Unknown(_) => Ok(()),
    }
}

/// Whole pages inside the descriptor.
fn inwards(desc: MemDesc) -> Option<Range> {
    let start = desc.start().checked_add(PAGE_MASK)? & !PAGE_MASK;
    let behind = match desc.end().checked_add(1) {
        Some(b) => b & !PAGE_MASK,
        // Up to the end of the address space: the last page is whole.
        None => return Range::new(start, u64::MAX),
    };
    Range::new(start, behind.checked_sub(1)?)
}

/// All pages that the descriptor touches.
fn outwards(desc: MemDesc) -> Option<Range> {
    Range::new(desc.start() & !PAGE_MASK, desc.end() | PAGE_MASK)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::map::NodeSlot;

    fn maps() -> Regions {
        let slots = (0..64)
            .map(|_| NodeSlot::EMPTY)
            .collect::<std::vec::Vec<_>>()
            .leak();
        Regions::new(slots).expect("enough slots")
    }

    fn runs(maps: &Regions, m: MapId) -> std::vec::Vec<(u64, u64, u16, u8)> {
        maps.runs(m)
            .map(|r| {
                let owner = r.state.owner().map_or(0, OwnerId::get);
                (
                    r.range.start(),
                    r.range.end(),
                    owner,
                    r.state.rights().bits(),
                )
            })
            .collect()
    }

    #[test]
    fn a_typical_machine() {
        let mut m = maps();
        m.add_free(MapId::Io, Range::ALL, Rights::RW).expect("room");
        for d in [
            MemDesc::new(0x1000, 0x9fbff, MemType::Conventional, 0, false),
            MemDesc::new(0x10_0000, 0x1ff_ffff, MemType::Conventional, 0, false),
            MemDesc::new(0, u64::MAX >> 17, MemType::Conventional, 0, true),
            MemDesc::new(0x20_0000, 0x20_03ff, MemType::Reserved, 0, false),
            MemDesc::new(0x30_0000, 0x30_1fff, MemType::Bootloader, 5, false),
            MemDesc::new(0x40_0400, 0x40_0fff, MemType::Arch, 3, false),
        ] {
            add(&mut m, d).expect("no conflict");
        }
        assert_eq!(
            runs(&m, MapId::Ram),
            [
                (0x1000, 0x9_efff, 0, 7),
                (0x10_0000, 0x1f_ffff, 0, 7),
                (0x20_1000, 0x2f_ffff, 0, 7),
                (0x30_0000, 0x30_1fff, 4, 5),
                (0x30_2000, 0x3f_ffff, 0, 7),
                (0x40_1000, 0x1ff_ffff, 0, 7),
            ]
        );
        assert_eq!(
            runs(&m, MapId::Io),
            [
                (0, 0xfff, 0, 6),
                (0x9_f000, 0xf_ffff, 0, 6),
                (0x40_0000, 0x40_0fff, 0, 6),
                (0x200_0000, u64::MAX, 0, 6),
            ]
        );
    }

    #[test]
    fn reserved_over_the_root_task_is_a_conflict() {
        let mut m = maps();
        add(
            &mut m,
            MemDesc::new(0, 0xffff, MemType::Conventional, 0, false),
        )
        .expect("room");
        add(
            &mut m,
            MemDesc::new(0x4000, 0x4fff, MemType::Bootloader, 7, false),
        )
        .expect("room");
        let d = MemDesc::new(0x3000, 0x5fff, MemType::Reserved, 0, false);
        assert_eq!(add(&mut m, d), Err(MapError::Conflict));
    }

    #[test]
    fn broken_descriptors_are_passed_over() {
        let mut m = maps();
        for d in [
            MemDesc {
                low: 0x8000 | 1,
                high: 0x1000,
            },
            MemDesc {
                low: 0x8000 | 2,
                high: 0x1000,
            },
            MemDesc::new(0x400, 0x7ff, MemType::Conventional, 0, false),
            MemDesc {
                low: 0x1000 | 9,
                high: 0xffff,
            },
            MemDesc {
                low: !0x3ff | 1,
                high: u64::MAX,
            },
        ] {
            add(&mut m, d).expect("ignored");
        }
        assert_eq!(runs(&m, MapId::Ram), []);
    }
}
