//! Mapping of flexpages: clipping to the receive window, then memory or capabilities.
//!
//! The send base (hot spot) chooses the place when the sizes differ: inside the window when what
//! is sent is smaller, inside what is sent when the window is smaller.

use l4_sys::item::ITEM_GRANT;
use l4_sys::{Fpage, FpageType};

use crate::object::ObjId;
use crate::state::State;

/// A mapping that could not be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MapError {
    /// No kernel memory, or no quota.
    NoMem,
}

/// The lowest `order` bits of `v`.
pub(crate) fn low(v: u64, order: u32) -> u64 {
    if order >= 64 {
        v
    } else {
        v & ((1 << order) - 1)
    }
}

/// Start and order of what is sent, and start of where it goes, after clipping.
///
/// All numbers in the same unit (bytes, slots or ports).
pub(crate) fn clip(
    send: u64,
    send_order: u32,
    window: u64,
    window_order: u32,
    hot_spot: u64,
) -> (u64, u32, u64) {
    let send = send - low(send, send_order);
    let window = window - low(window, window_order);
    if window_order >= send_order {
        let spot = low(hot_spot, window_order);
        (send, send_order, window + (spot - low(spot, send_order)))
    } else {
        let spot = low(hot_spot, send_order);
        (
            send + (spot - low(spot, window_order)),
            window_order,
            window,
        )
    }
}

impl State {
    /// Maps `sent` of task `from` into the window of task `to`. `Ok(false)`: nothing was there.
    pub fn fpage_map(
        &mut self,
        from: ObjId,
        sent: Fpage,
        to: ObjId,
        window: Fpage,
        control: u64,
    ) -> Result<bool, MapError> {
        let everything = window.kind() == FpageType::Special && window.order() == 63;
        if !everything && sent.kind() != window.kind() {
            return Ok(true);
        }
        let grant = control & ITEM_GRANT != 0;
        let attributes = (control & 0xf0) as u8;
        match sent.kind() {
            FpageType::Memory => {
                if sent.order() < 12 || window.order() < 12 {
                    return Ok(true);
                }
                let hot_spot = control >> 12 << 12;
                let (src, order, dst) = clip(
                    sent.address(),
                    sent.order(),
                    window.address(),
                    window.order(),
                    hot_spot,
                );
                self.mem_map(from, src, order, to, dst, grant, sent.rights(), attributes)
            }
            FpageType::Obj => {
                let (src, order, dst) = clip(
                    sent.number(),
                    sent.order().min(62),
                    window.number(),
                    window.order().min(62),
                    control >> 12,
                );
                self.obj_map(from, src, order, to, dst, grant, sent.rights(), attributes)
            }
            // The model has no ports: sigma0's are all there, and nobody else gets any.
            FpageType::Io => Ok(from == self.sigma0),
            FpageType::Special => Ok(true),
        }
    }

    /// Takes back `fp` of `task`: rights in the flexpage, whose view by `mask`.
    pub fn fpage_unmap(&mut self, task: ObjId, fp: Fpage, mask: u64) -> Vec<ObjId> {
        self.count().unmap_calls += 1;
        let everything = fp.kind() == FpageType::Special && fp.order() == 63;
        let mut gone = Vec::new();
        if fp.kind() == FpageType::Obj || everything {
            let order = fp.order().min(62);
            let first = fp.number() - low(fp.number(), order);
            gone = self.obj_unmap(task, first, order, fp.rights(), mask);
        }
        if (fp.kind() == FpageType::Memory || everything) && fp.order() >= 12 {
            let start = fp.address() - low(fp.address(), fp.order());
            self.mem_unmap(task, start, fp.order(), fp.rights(), mask);
        }
        gone
    }
}

#[cfg(test)]
mod tests {
    use super::clip;

    #[test]
    fn smaller_than_the_window_goes_to_the_hot_spot() {
        assert_eq!(
            clip(0x5000, 12, 0x10_0000, 16, 0x1_3000),
            (0x5000, 12, 0x10_3000)
        );
        // The hot spot is cut to the window and aligned to what is sent.
        assert_eq!(
            clip(0x8000, 14, 0x10_0000, 16, 0xabcd_7123),
            (0x8000, 14, 0x10_4000)
        );
    }

    #[test]
    fn larger_than_the_window_sends_the_part_at_the_hot_spot() {
        assert_eq!(
            clip(0x20_0000, 21, 0x7000, 12, 0x12_3000),
            (0x32_3000, 12, 0x7000)
        );
    }

    #[test]
    fn whole_space_windows_take_the_hot_spot_as_address() {
        assert_eq!(
            clip(0x5000, 12, 0, 63, 0xdead_b000),
            (0x5000, 12, 0xdead_b000)
        );
    }

    #[test]
    fn unaligned_flexpages_are_aligned_down() {
        assert_eq!(clip(0x5000, 14, 0x9000, 14, 0), (0x4000, 14, 0x8000));
    }
}
