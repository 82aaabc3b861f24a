//! Fuzzes the whole server with messages, against the reference of the tests.
#![no_main]

#[path = "../../tests/reference/mod.rs"]
mod reference;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    reference::driver::drive(data);
});
