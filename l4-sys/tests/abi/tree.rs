//! The tree's side: numbers that bindgen read, and functions compiled from `csrc/`.

use std::collections::HashMap;
use std::ffi::{CStr, c_char, c_int, c_long, c_uint, c_ulong, c_ulonglong, c_ushort, c_void};

mod generated {
    include!(concat!(env!("OUT_DIR"), "/tree.rs"));
}

/// An entry of the table in `csrc/proof.c`.
#[repr(C)]
#[derive(Clone, Copy)]
struct Value {
    name: *const c_char,
    value: c_ulonglong,
}

/// Functions that take and give numbers only, so that any call is safe.
macro_rules! c_functions {
    ($lib:literal: $(fn $name:ident($($arg:ident: $t:ty),*) $(-> $ret:ty)?;)*) => {
        #[link(name = $lib, kind = "static")]
        unsafe extern "C" {
            $(pub safe fn $name($($arg: $t),*) $(-> $ret)?;)*
        }
    };
}

unsafe extern "C" {
    fn l4sys_proof_c_values(out: *mut Value, max: c_uint) -> c_uint;
    /// `utcb`: 1024 bytes.
    pub fn l4sys_proof_inherit_fpu(utcb: *mut c_void, on: c_int);
    /// `utcb`: 1024 bytes.
    pub fn l4sys_proof_error_of(tag: c_ulong, utcb: *mut c_void) -> c_ulong;
    /// `kip`: a whole page.
    pub fn l4sys_proof_kip_version_string(kip: *const c_void) -> *const c_char;
    /// `kip`: a whole page; `name`: NUL-terminated.
    pub fn l4sys_proof_kip_has_feature(kip: *const c_void, name: *const c_char) -> c_int;
    /// `kip`: a whole page.
    pub fn l4sys_proof_kip_mem_descs(kip: *mut c_void, offset: *mut c_ulong) -> c_uint;
}

c_functions! { "l4sys_proof_c":
    fn l4sys_proof_tag(label: c_long, words: c_uint, items: c_uint, flags: c_uint) -> c_ulong;
    fn l4sys_proof_tag_label(raw: c_ulong) -> c_long;
    fn l4sys_proof_tag_words(raw: c_ulong) -> c_uint;
    fn l4sys_proof_tag_items(raw: c_ulong) -> c_uint;
    fn l4sys_proof_tag_flags(raw: c_ulong) -> c_uint;
    fn l4sys_proof_tag_has_error(raw: c_ulong) -> c_uint;
    fn l4sys_proof_fpage(address: c_ulong, order: c_uint, rights: u8) -> c_ulong;
    fn l4sys_proof_iofpage(port: c_ulong, order: c_uint) -> c_ulong;
    fn l4sys_proof_obj_fpage(cap: c_ulong, order: c_uint, rights: u8) -> c_ulong;
    fn l4sys_proof_fpage_set_rights(raw: c_ulong, rights: u8) -> c_ulong;
    fn l4sys_proof_fpage_rights(raw: c_ulong) -> c_uint;
    fn l4sys_proof_fpage_type(raw: c_ulong) -> c_uint;
    fn l4sys_proof_fpage_size(raw: c_ulong) -> c_uint;
    fn l4sys_proof_fpage_page(raw: c_ulong) -> c_ulong;
    fn l4sys_proof_fpage_memaddr(raw: c_ulong) -> c_ulong;
    fn l4sys_proof_map_control(spot: c_ulong, cache: u8, grant: c_uint) -> c_ulong;
    fn l4sys_proof_map_obj_control(spot: c_ulong, grant: c_uint) -> c_ulong;
    fn l4sys_proof_is_invalid_cap(cap: c_ulong) -> c_uint;
    fn l4sys_proof_is_valid_cap(cap: c_ulong) -> c_uint;
    fn l4sys_proof_capability_next(cap: c_ulong) -> c_ulong;
    fn l4sys_proof_timeout_from_us(us: c_ulonglong) -> c_ushort;
    fn l4sys_proof_timeout_rel_get(t: c_ushort) -> c_ulonglong;
    fn l4sys_proof_timeout(snd: c_ushort, rcv: c_ushort) -> c_uint;
    fn l4sys_proof_bdr(mem: c_ulong, io: c_ulong, obj: c_ulong, flags: c_ulong) -> c_ulong;
    fn l4sys_proof_md_start(low: c_ulong, high: c_ulong) -> c_ulong;
    fn l4sys_proof_md_end(low: c_ulong, high: c_ulong) -> c_ulong;
    fn l4sys_proof_md_type(low: c_ulong, high: c_ulong) -> c_ulong;
    fn l4sys_proof_md_subtype(low: c_ulong, high: c_ulong) -> c_ulong;
    fn l4sys_proof_md_is_virtual(low: c_ulong, high: c_ulong) -> c_uint;
}

c_functions! { "l4sys_proof_cpp":
    fn l4sys_proof_received(base: c_ulong, data: c_ulong) -> c_uint;
    fn l4sys_proof_mem_item(address: c_ulong, order: c_uint, rights: u8, base: c_ulong,
        caching: c_uint, grant: c_uint, out: &mut [c_ulong; 2]);
    fn l4sys_proof_mem_desc(start: c_ulong, end: c_ulong, kind: c_uint, sub_type: u8,
        is_virtual: c_uint, out: &mut [c_ulong; 2]);
}

/// Every number that is known of the tree, by the name that [`crate::table`] uses: a constant,
/// `sizeof type`, `offsetof type::field`, or a C expression of `csrc/proof.c`. Negative numbers
/// are sign-extended to 64 bits.
pub fn values() -> HashMap<String, u64> {
    let mut all: HashMap<String, u64> = generated::VALUES
        .iter()
        .map(|(name, value)| ((*name).to_owned(), *value as u64))
        .collect();
    let empty = Value {
        name: c"".as_ptr(),
        value: 0,
    };
    let mut table = [empty; 128];
    // SAFETY: the function writes at most as many entries as it is told there is room for.
    let count = unsafe { l4sys_proof_c_values(table.as_mut_ptr(), table.len() as c_uint) };
    assert!(
        count as usize <= table.len(),
        "the C table outgrew its room"
    );
    for entry in &table[..count as usize] {
        // SAFETY: the names are string literals of `csrc/proof.c`.
        let name = unsafe { CStr::from_ptr(entry.name) };
        all.insert(name.to_str().expect("ASCII").to_owned(), entry.value);
    }
    all
}
