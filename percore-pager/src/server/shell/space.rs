//! What region maps manage: the addresses that tasks have, and what of them the kernel keeps.

use l4_sys::PAGE_SIZE;
use l4_sys::kip::Kip;
use l4_sys::memdesc::MemType;

use crate::engine::rm::Range;

/// Most ranges that the kernel keeps for itself; others would not be left out.
const MAX_RESERVED: usize = 16;

/// The lower half of the address space without its last page.
const LOWER_HALF: Range = match Range::new(0, (1 << 47) - PAGE_SIZE - 1) {
    Some(range) => range,
    None => panic!("a constant range"),
};

/// See the [module](self).
#[derive(Clone, Copy, Debug)]
pub struct AddressSpace {
    /// First and last address.
    pub limits: Range,
    reserved: [Option<Range>; MAX_RESERVED],
}

impl AddressSpace {
    /// As the kernel information page says (MOE-BOOT-16); without one, or if it says nothing, the lower
    /// half.
    pub fn of(kip: Option<&Kip>) -> Self {
        let mut space = AddressSpace {
            limits: LOWER_HALF,
            reserved: [None; MAX_RESERVED],
        };
        let descriptors = kip.map_or(&[][..], Kip::mem_descs);
        let mut limits = None;
        let mut places = space.reserved.iter_mut();
        for descriptor in descriptors.iter().filter(|d| d.is_virtual()) {
            let range = Range::new(descriptor.start(), descriptor.end());
            match descriptor.kind() {
                MemType::Conventional => limits = limits.or(range),
                MemType::Reserved => {
                    if let Some(place) = places.next() {
                        *place = range;
                    }
                }
                _ => {}
            }
        }
        space.limits = limits.unwrap_or(LOWER_HALF);
        space
    }

    /// Ranges that the kernel keeps.
    pub fn reserved(&self) -> impl Iterator<Item = Range> + Clone + '_ {
        self.reserved.iter().flatten().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_page_it_is_the_lower_half() {
        let space = AddressSpace::of(None);
        assert_eq!(
            (space.limits.start(), space.limits.end()),
            (0, 0x7fff_ffff_efff)
        );
        assert_eq!(space.reserved().count(), 0);
    }
}
