//! Functions of the crate against the tree's inline functions, over many inputs.

use std::ffi::CString;

use l4_sys::item::{self, Caching, Received, SendItem};
use l4_sys::kip::{KIP_SIZE, Kip};
use l4_sys::memdesc::{MemDesc, MemType};
use l4_sys::utcb::UtcbRef;
use l4_sys::{CapIdx, CapRights, Fpage, MemRights, MsgTag, TagFlags, Timeout, Timeouts, syscall};
use proptest::prelude::*;

use crate::tree::*;

/// Cases of each property.
const CASES: u32 = 4096;

/// Words that random numbers seldom hit: around powers of two, and the ends.
fn word() -> impl Strategy<Value = u64> {
    prop_oneof![
        any::<u64>(),
        (0u32..64, -2i64..=2).prop_map(|(bit, d)| (1u64 << bit).wrapping_add(d as u64)),
        Just(0),
        Just(u64::MAX),
    ]
}

fn memory_rights() -> impl Strategy<Value = MemRights> {
    (0u8..8).prop_map(MemRights::from_bits_truncate)
}

fn caching() -> impl Strategy<Value = Caching> {
    prop_oneof![
        Just(Caching::AsSender),
        Just(Caching::Cached),
        Just(Caching::Buffered),
        Just(Caching::Uncached),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(CASES))]

    #[test]
    fn tags(label in -(1i64 << 47)..1i64 << 47, words in 0usize..64, items in 0usize..64,
            flags in 0u64..16) {
        let flags = flags << 12;
        let ours = MsgTag::new(label, words, items, TagFlags::from_bits_retain(flags));
        let theirs = l4sys_proof_tag(label, words as u32, items as u32, flags as u32);
        prop_assert_eq!(ours.0, theirs);
    }

    #[test]
    fn parts_of_tags(raw in word()) {
        let tag = MsgTag(raw);
        prop_assert_eq!(tag.label(), l4sys_proof_tag_label(raw));
        prop_assert_eq!(tag.words() as u32, l4sys_proof_tag_words(raw));
        prop_assert_eq!(tag.items() as u32, l4sys_proof_tag_items(raw));
        prop_assert_eq!(tag.flags().bits() as u32, l4sys_proof_tag_flags(raw));
        prop_assert_eq!(u32::from(tag.has_error()), l4sys_proof_tag_has_error(raw));
    }

    #[test]
    fn memory_flexpages(address in word(), order in 0u32..64, rights in memory_rights()) {
        let ours = Fpage::mem(address, order, rights);
        prop_assert_eq!(ours.0, l4sys_proof_fpage(address, order, rights.bits()));
    }

    #[test]
    fn port_flexpages(port in 0u64..0x1_0000, order in 0u32..=16) {
        prop_assert_eq!(Fpage::io(port, order).0, l4sys_proof_iofpage(port, order));
    }

    #[test]
    fn capability_flexpages(slot in 0u64..1 << 40, order in 0u32..64, rights in 0u8..16) {
        let cap = CapIdx::from_slot(slot);
        let ours = Fpage::obj(cap, order, CapRights::from_bits_retain(rights));
        prop_assert_eq!(ours.0, l4sys_proof_obj_fpage(cap.raw(), order, rights));
    }

    #[test]
    fn parts_of_flexpages(raw in word(), rights in 0u8..16) {
        let fpage = Fpage(raw);
        prop_assert_eq!(u32::from(fpage.rights()), l4sys_proof_fpage_rights(raw));
        prop_assert_eq!(fpage.kind() as u32, l4sys_proof_fpage_type(raw));
        prop_assert_eq!(fpage.order(), l4sys_proof_fpage_size(raw));
        prop_assert_eq!(fpage.number(), l4sys_proof_fpage_page(raw));
        prop_assert_eq!(fpage.address(), l4sys_proof_fpage_memaddr(raw));
        prop_assert_eq!(fpage.with_rights(rights).0, l4sys_proof_fpage_set_rights(raw, rights));
    }

    #[test]
    fn items_to_send(address in word(), order in 0u32..64, rights in memory_rights(),
                     base in word(), caching in caching(), grant: bool) {
        let fpage = Fpage::mem(address, order, rights);
        let item = SendItem::mem(base, caching, fpage);
        let item = if grant { item.granted() } else { item };
        let mut theirs = [0; 2];
        l4sys_proof_mem_item(address, order, rights.bits(), base, caching as u32, grant.into(),
            &mut theirs);
        prop_assert_eq!([item.control, item.fpage.0], theirs);
        let cache_bits = (caching as u64 >> 4) as u8;
        prop_assert_eq!(item.control, l4sys_proof_map_control(base, cache_bits, 2 * u32::from(grant)));
        let plain = SendItem::plain(fpage);
        let plain = if grant { plain.granted() } else { plain };
        prop_assert_eq!(plain.control, l4sys_proof_map_obj_control(0, 2 * u32::from(grant)));
    }

    // The kernel never sets bit 0 of a return item without bit 3, and the tree's own tests do not
    // look at what is not a return item; so bit 3 is given here.
    #[test]
    fn return_items(base in word(), data in word()) {
        let base = base | item::ITEM_MAP;
        let ours = match Received::decode(base, data) {
            received if received.is_cap() => 1,
            Received::OwnGate(label) => {
                prop_assert_eq!(label, data);
                2
            }
            Received::OwnFpage(fpage) => {
                prop_assert_eq!(fpage.0, data);
                3
            }
            _ => 0,
        };
        // The tree looks for its three kinds among capabilities only.
        let of_capability = base & 0x30 == 0x30;
        prop_assert_eq!(if of_capability { ours } else { 0 }, l4sys_proof_received(base, data));
    }

    #[test]
    fn capability_indices(raw in word()) {
        let valid = l4sys_proof_is_invalid_cap(raw) == 0;
        prop_assert_eq!(CapIdx::from_raw(raw).is_valid(), valid);
        prop_assert_eq!(u32::from(valid), l4sys_proof_is_valid_cap(raw));
        if valid {
            let cap = CapIdx::from_raw(raw);
            let aligned = cap.raw();
            prop_assert_eq!(cap.offset(1).raw(), l4sys_proof_capability_next(aligned));
        }
    }

    #[test]
    fn timeouts_of_microseconds(us in word()) {
        prop_assert_eq!(Timeout::from_us(us).raw(), l4sys_proof_timeout_from_us(us), "{} us", us);
    }

    #[test]
    fn parts_of_timeouts(raw in any::<u16>(), other in any::<u16>()) {
        let us = Timeout::from_raw(raw).us().unwrap_or(u64::MAX);
        prop_assert_eq!(us, l4sys_proof_timeout_rel_get(raw));
        let both = Timeouts::new(Timeout::from_raw(raw), Timeout::from_raw(other));
        prop_assert_eq!(both.raw(), l4sys_proof_timeout(raw, other));
    }

    #[test]
    fn buffer_descriptors(mem in 0u32..32, io in 0u32..32, obj in 0u32..32) {
        let theirs = l4sys_proof_bdr(mem.into(), io.into(), obj.into(), 0);
        prop_assert_eq!(item::bdr(mem, io, obj), theirs);
    }

    #[test]
    fn errors_of_failed_calls(error in word()) {
        let mut block = [0u64; 128];
        block[123] = error;
        let block = block.as_mut_ptr();
        // SAFETY: the block is 1024 bytes, and only this thread has it.
        let utcb = unsafe { UtcbRef::from_ptr(block.cast()) };
        // SAFETY: as above; the call reads one word of the block.
        let theirs = unsafe { l4sys_proof_error_of(TagFlags::ERROR.bits(), block.cast()) };
        prop_assert_eq!(syscall::error_code(utcb), theirs);
    }

    #[test]
    fn memory_descriptors(low in word(), high in word()) {
        let desc = MemDesc { low, high };
        prop_assert_eq!(desc.start(), l4sys_proof_md_start(low, high));
        prop_assert_eq!(desc.end(), l4sys_proof_md_end(low, high));
        prop_assert_eq!(u64::from(desc.kind().number()), l4sys_proof_md_type(low, high));
        prop_assert_eq!(u64::from(desc.sub_type()), l4sys_proof_md_subtype(low, high));
        prop_assert_eq!(u32::from(desc.is_virtual()), l4sys_proof_md_is_virtual(low, high));
    }

    #[test]
    fn made_memory_descriptors(start in word(), end in word(), kind in 0u8..16,
                               sub_type in 0u8..16, is_virtual: bool) {
        let kind = MemDesc { low: kind.into(), high: 0 }.kind();
        let desc = MemDesc::new(start, end, kind, sub_type, is_virtual);
        let mut theirs = [0; 2];
        l4sys_proof_mem_desc(start, end, kind.number().into(), sub_type, is_virtual.into(),
            &mut theirs);
        prop_assert_eq!([desc.low, desc.high], theirs);
    }

    #[test]
    fn information_pages(strings in prop::collection::vec("[a-z:]{1,12}", 1..6),
                         at in 16u8..200, descs in 0u32..20, wanted in "[a-z:]{1,3}") {
        let mut page = Page([0; KIP_SIZE]);
        let mut end = usize::from(at) * 16;
        for text in &strings {
            page.0[end..end + text.len()].copy_from_slice(text.as_bytes());
            end += text.len() + 1;
        }
        page.0[8] = at;
        page.0[84..88].copy_from_slice(&256u32.to_le_bytes());
        page.0[88..92].copy_from_slice(&descs.to_le_bytes());
        let raw = (&raw mut page).cast::<std::ffi::c_void>();
        // SAFETY: the page is whole, aligned, and outlives every use here; any bytes are a `Kip`.
        let kip = unsafe { &*raw.cast::<Kip>() };

        for name in strings.iter().chain([&wanted]) {
            let text = CString::new(name.as_str()).expect("no NUL");
            // SAFETY: the strings end inside the page, which is zero behind them.
            let theirs = unsafe { l4sys_proof_kip_has_feature(raw, text.as_ptr()) };
            prop_assert_eq!(kip.has_feature(name), theirs != 0, "{}", name);
        }
        // SAFETY: as above.
        let version = unsafe { std::ffi::CStr::from_ptr(l4sys_proof_kip_version_string(raw)) };
        prop_assert_eq!(kip.strings().next(), Some(version.to_bytes()));
        let mut offset = 0;
        // SAFETY: the page is whole.
        let count = unsafe { l4sys_proof_kip_mem_descs(raw, &mut offset) };
        let ours = kip.mem_descs();
        prop_assert_eq!(ours.len(), count as usize);
        // Without descriptors the slice may be anywhere.
        let place = (ours.as_ptr() as usize).wrapping_sub(raw as usize);
        prop_assert!(count == 0 || place == offset as usize);
    }
}

/// Aligned as the kernel's page.
#[repr(align(4096))]
struct Page([u8; KIP_SIZE]);

/// Every timeout has few bits: compare them all, and every microsecond up to 2^20.
#[test]
fn all_short_timeouts() {
    for us in 0..1 << 20 {
        assert_eq!(
            Timeout::from_us(us).raw(),
            l4sys_proof_timeout_from_us(us),
            "{us} us"
        );
    }
    for raw in 0..=u16::MAX {
        let us = Timeout::from_raw(raw).us().unwrap_or(u64::MAX);
        assert_eq!(us, l4sys_proof_timeout_rel_get(raw), "{raw:#x}");
    }
}

#[test]
fn fpu_state_flag_goes_on_and_off() {
    let mut block = [0u64; 128];
    // SAFETY: the block is 1024 bytes.
    unsafe { l4sys_proof_inherit_fpu(block.as_mut_ptr().cast(), 1) };
    assert_eq!(block[64], l4_sys::utcb::INHERIT_FPU);
    // SAFETY: as above.
    unsafe { l4sys_proof_inherit_fpu(block.as_mut_ptr().cast(), 0) };
    assert_eq!(block[64], 0);
}

/// The property above goes through all numbers; this one pins that names are not swapped.
#[test]
fn memory_types_have_names() {
    assert_eq!(MemDesc { low: 1, high: 0 }.kind(), MemType::Conventional);
    assert_eq!(MemDesc { low: 0xe, high: 0 }.kind(), MemType::Bootloader);
}
