//! Random messages of clients that share nothing: see `server_support/isolation.rs`. The same traces
//! as the fuzz target's, on inputs of fixed seeds; `ENGINE_SEED` and `ENGINE_FACTOR` choose others and more.

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
fn no_byte_of_one_client_shows_in_anothers_memory() {
    let first = number("ENGINE_SEED").unwrap_or(1) * 1_000_000;
    let inputs = 400 * number("ENGINE_FACTOR").unwrap_or(1);
    println!("seeds {first}..{}", first + inputs);
    for seed in first..first + inputs {
        let input = input(seed);
        let done = std::panic::catch_unwind(|| server_support::isolation::run(&input));
        assert!(done.is_ok(), "the input of seed {seed} fails");
    }
}

/// Inputs that reach a corner.
#[test]
fn short_and_empty_inputs_are_traces() {
    for length in 0..64 {
        server_support::isolation::run(&vec![0; length]);
        server_support::isolation::run(&vec![0xff; length]);
    }
}
