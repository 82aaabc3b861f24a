//! What the fuzz target `api` runs, on bytes of fixed seeds: ENGINE_SEED and ENGINE_FACTOR choose others and more.

mod api_support;
#[path = "api_support/bytes.rs"]
mod bytes;
mod engine_support;
#[path = "engine_support/machine.rs"]
mod machine;
mod server_support;

use engine_support::runner;
use proptest::prelude::*;

#[test]
fn any_bytes_are_answered_and_lose_nothing() {
    let mapped = std::cell::Cell::new(0);
    runner(300)
        .run(&prop::collection::vec(any::<u8>(), 0..6000), |input| {
            mapped.set(mapped.get() + bytes::run(&input));
            Ok(())
        })
        .expect("no message breaks anything");
    println!("{} answers mapped memory", mapped.get());
    assert!(mapped.get() > 100, "the messages mean nothing");
}
