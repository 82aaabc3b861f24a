//! Clients that share objects, beside a model of who may see what: see `server_support/traces.rs`. Inputs of
//! fixed seeds; `ENGINE_SEED` and `ENGINE_FACTOR` choose others and more. The fuzz target runs them, too.

#[path = "engine_support/machine.rs"]
mod machine;
mod server_support;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

/// Bytes of a seed. Half of them small, as a fuzzer's corpus tends to be.
fn input(seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 24) as u8
    };
    let length = 400 + usize::from(next()) * 14;
    (0..length)
        .map(|_| if next() % 4 == 0 { next() % 16 } else { next() })
        .collect()
}

#[test]
fn every_page_is_what_the_model_says() {
    let first = number("ENGINE_SEED").unwrap_or(1) * 1_000_000;
    let inputs = 400 * number("ENGINE_FACTOR").unwrap_or(1);
    println!("seeds {first}..{}", first + inputs);
    for seed in first..first + inputs {
        let input = input(seed);
        let done = std::panic::catch_unwind(|| server_support::traces::run(&input));
        assert!(done.is_ok(), "the input of seed {seed} fails");
    }
}

/// Inputs that reach a corner.
#[test]
fn short_and_empty_inputs_are_traces() {
    for length in 0..64 {
        server_support::traces::run(&vec![0; length]);
        server_support::traces::run(&vec![0xff; length]);
    }
}
