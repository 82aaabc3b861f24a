//! Fuzz target: any bytes are a trace of the frame allocators, run beside the model.
#![no_main]

#[path = "../../tests/support/bytes.rs"]
mod bytes;
#[path = "../../tests/support/mod.rs"]
mod support;

libfuzzer_sys::fuzz_target!(|input: &[u8]| bytes::run(input));
