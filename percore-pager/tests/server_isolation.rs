//! Random messages of clients that share nothing: see `server_support/isolation.rs`. The same traces
//! as the fuzz target's, on inputs of fixed seeds; `ENGINE_SEED` and `ENGINE_FACTOR` choose others and more.

#[path = "engine_support/machine.rs"]
mod machine;
#[path = "support/seeds.rs"]
mod seeds;
mod server_support;

#[test]
fn no_byte_of_one_client_shows_in_anothers_memory() {
    seeds::run("ENGINE", (400, 14), 4, server_support::isolation::run);
}

/// Inputs that reach a corner.
#[test]
fn short_and_empty_inputs_are_traces() {
    seeds::short(server_support::isolation::run);
}
