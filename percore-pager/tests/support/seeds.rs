//! Inputs of fixed seeds: what a fuzzer would make up, for a stable compiler and CI.

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

/// Bytes of a seed: `least`, and up to 255 times `step` more. One in `small` is small, as in a fuzzer's corpus.
fn input(seed: u64, (least, step): (usize, usize), small: u8) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 24) as u8
    };
    let length = least + usize::from(next()) * step;
    (0..length)
        .map(|_| {
            if next().is_multiple_of(small) {
                next() % 16
            } else {
                next()
            }
        })
        .collect()
}

/// Runs 400 inputs, times `PREFIX_FACTOR`, from seed `PREFIX_SEED` times a million on; prints the seeds, and
/// the one that fails.
pub fn run(prefix: &str, length: (usize, usize), small: u8, test: impl Fn(&[u8])) {
    let of = |name| number(&format!("{prefix}_{name}")).unwrap_or(1);
    let first = of("SEED") * 1_000_000;
    let inputs = 400 * of("FACTOR");
    println!("seeds {first}..{}", first + inputs);
    for seed in first..first + inputs {
        let input = input(seed, length, small);
        let test = std::panic::AssertUnwindSafe(&test);
        let done = std::panic::catch_unwind(|| test(&input));
        assert!(done.is_ok(), "the input of seed {seed} fails");
    }
}

/// Inputs that reach a corner: short ones of all zeros and all ones.
pub fn short(test: impl Fn(&[u8])) {
    for length in 0..64 {
        test(&vec![0; length]);
        test(&vec![0xff; length]);
    }
}
