//! The fuzz target's traces without a fuzzer: the same function on inputs of fixed seeds, so that a
//! stable compiler and CI drive it. Seeds are printed; `FRAMES_SEED` and `FRAMES_FACTOR` choose
//! others and more.

#[path = "support/bytes.rs"]
mod bytes;
#[path = "support/seeds.rs"]
mod seeds;
mod support;

#[test]
fn fixed_seeds_agree_with_the_model() {
    seeds::run("FRAMES", (40, 6), 2, bytes::run);
}

/// Inputs that reach a corner.
#[test]
fn short_and_empty_inputs_are_traces() {
    seeds::short(bytes::run);
}
