//! The region map against a plain model: random traces, fixed seeds, edges.

mod model;

use model::drive;
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]
    #[test]
    fn map_and_model_agree(data in proptest::collection::vec(any::<u8>(), 1..1200)) {
        drive(&data);
    }
}

/// The fuzzer's body on fixed seeds: long traces, every kind of universe.
#[test]
fn fixed_seeds() {
    for seed in 0..256u64 {
        let mut x = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut data: Vec<u8> = (0..3000)
            .map(|_| {
                x ^= x << 13;
                x ^= x >> 7;
                x ^= x << 17;
                (x >> 24) as u8
            })
            .collect();
        data[0] = seed as u8;
        drive(&data);
    }
}
