//! The table: each public number of the crate beside the tree's expression for it.
//!
//! Paths are relative to the crate; fields stand for their offsets, types for their sizes. The
//! right side names a constant of the headers, `sizeof type`, `offsetof type::field`, or an
//! expression of `csrc/proof.c`, spelled as there.

use l4_sys::*;

/// One pair.
#[cfg_attr(not(abi_proof), allow(dead_code))] // Only names are looked at then.
pub struct Row {
    /// Path in this crate.
    pub ours: String,
    /// Its value, sign-extended to 64 bits.
    pub value: u64,
    /// The tree's expression.
    pub theirs: &'static str,
}

/// Anything of this crate that is a number to the kernel.
trait Number {
    fn number(self) -> u64;
}

macro_rules! numbers {
    ($($t:ty: $e:expr;)*) => { $(impl Number for $t {
        fn number(self) -> u64 {
            let convert: fn($t) -> u64 = $e;
            convert(self)
        }
    })* };
}

numbers! {
    u8: u64::from;
    u16: u64::from;
    u32: u64::from;
    u64: |n| n;
    usize: |n| n as u64;
    i64: |n| n as u64;
    CapIdx: CapIdx::raw;
    Fpage: |f| f.0;
    FpageType: |t| t as u64;
    TagFlags: |f| f.bits();
    MemRights: |r| r.bits().into();
    CapRights: |r| r.bits().into();
    Errno: |e| e.number().into();
    IpcError: |e| e.number().into();
    item::Caching: |c| c as u64;
    memdesc::MemType: |t| t.number().into();
    Timeout: |t| t.raw().into();
    Timeouts: |t| t.raw().into();
}

macro_rules! table {
    ($rows:ident; $($($path:ident)::+ = $theirs:literal;)*) => {
        $($rows.push(Row {
            ours: stringify!($($path)::+).replace(' ', ""),
            value: Number::number($($path)::+),
            theirs: $theirs,
        });)*
    };
}

macro_rules! layout {
    ($rows:ident; $path:path = $size:literal { $($field:ident = $offset:literal;)* }) => {
        $rows.push(Row {
            ours: stringify!($path).replace(' ', ""),
            value: size_of::<$path>() as u64,
            theirs: $size,
        });
        $($rows.push(Row {
            ours: format!("{}::{}", stringify!($path).replace(' ', ""), stringify!($field)),
            value: std::mem::offset_of!($path, $field) as u64,
            theirs: $offset,
        });)*
    };
}

// Behind the macros, which they use.
mod layouts;
mod numbers;

/// All pairs.
pub fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    numbers::capabilities(&mut rows);
    numbers::messages(&mut rows);
    numbers::errors(&mut rows);
    numbers::protocols(&mut rows);
    numbers::operations(&mut rows);
    numbers::threads(&mut rows);
    layouts::layouts(&mut rows);
    rows
}
