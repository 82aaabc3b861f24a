//! Fuzz target: any bytes are messages of the pager API to a pager thread.
#![no_main]

#[path = "../../tests/api_support/mod.rs"]
mod api_support;
#[path = "../../tests/api_support/bytes.rs"]
mod bytes;
#[path = "../../tests/engine_support/machine.rs"]
mod machine;
#[path = "../../tests/server_support/mod.rs"]
mod server_support;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    bytes::run(input);
});
