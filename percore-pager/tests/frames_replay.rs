//! The fuzz target's traces without a fuzzer: the same function on inputs of fixed seeds, so that a
//! stable compiler and CI drive it. Seeds are printed; `FRAMES_SEED` and `FRAMES_FACTOR` choose
//! others and more.

#[path = "support/bytes.rs"]
mod bytes;
mod support;

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
    let length = 40 + usize::from(next()) * 6;
    (0..length)
        .map(|_| if next() % 2 == 0 { next() % 16 } else { next() })
        .collect()
}

#[test]
fn fixed_seeds_agree_with_the_model() {
    let first = number("FRAMES_SEED").unwrap_or(1) * 1_000_000;
    let inputs = 400 * number("FRAMES_FACTOR").unwrap_or(1);
    println!("seeds {first}..{}", first + inputs);
    for seed in first..first + inputs {
        let input = input(seed);
        let done = std::panic::catch_unwind(|| bytes::run(&input));
        assert!(done.is_ok(), "the input of seed {seed} fails");
    }
}

/// Inputs that once failed or that reach a corner, kept by hand.
#[test]
fn short_and_empty_inputs_are_traces() {
    for length in 0..64 {
        bytes::run(&vec![0; length]);
        bytes::run(&vec![0xff; length]);
    }
}
