//! Clients that share objects, beside a model of who may see what: see `server_support/traces.rs`. Inputs of
//! fixed seeds; `ENGINE_SEED` and `ENGINE_FACTOR` choose others and more. The fuzz target runs them, too.

#[path = "engine_support/machine.rs"]
mod machine;
#[path = "support/seeds.rs"]
mod seeds;
mod server_support;

#[test]
fn every_page_is_what_the_model_says() {
    seeds::run("ENGINE", (400, 14), 4, server_support::traces::run);
}

/// Inputs that reach a corner.
#[test]
fn short_and_empty_inputs_are_traces() {
    seeds::short(server_support::traces::run);
}
