//! Fuzz target: any bytes are messages of clients to a pager thread, through every dispatcher: clients that share
//! nothing, and clients that share objects beside a model.
#![no_main]

#[path = "../../tests/engine_support/machine.rs"]
mod machine;
#[path = "../../tests/server_support/mod.rs"]
mod server_support;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    server_support::isolation::run(input);
    server_support::traces::run(input);
});
