//! One suite for all frame allocators: random traces against a plain model, with shrinking.
//!
//! Seeds are fixed and printed: proptest's generator is seeded here, not by the clock. Set
//! `FRAMES_SEED` to another number to explore, `FRAMES_FACTOR` to run so many times the cases.

mod support;

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use support::ops::{Op, Setting};
use support::rig::{Care, run, run_in};

use percore_pager::frames::{FrameNo, Kind, Policies, Run, Window};

fn op() -> impl Strategy<Value = Op> {
    // Sizes are mostly small, so that many things fit beside each other.
    let small = || prop_oneof![4 => 0u16..9, 2 => 0u16..100, 1 => any::<u16>()];
    let order = || prop_oneof![6 => 0u8..10, 1 => 0u8..19];
    let which = any::<u16>;
    prop_oneof![
        12 => any::<u8>().prop_map(|tag| Op::AllocOne { tag }),
        8 => (order(), any::<u8>()).prop_map(|(order, tag)| Op::AllocOrder { order, tag }),
        6 => (small(), 0u8..6, any::<u8>(), any::<bool>()).prop_map(
            |(frames, align, tag, zeroed)| Op::Alloc { frames, align, tag, zeroed }
        ),
        4 => (0u8..40, 0u8..11, any::<u32>(), small(), any::<u8>()).prop_map(
            |(frames, align, start, length, tag)| {
                Op::AllocWithin { frames, align, start, length, tag }
            }
        ),
        4 => (any::<u32>(), small(), any::<u8>())
            .prop_map(|(start, frames, tag)| Op::AllocAt { start, frames, tag }),
        16 => which().prop_map(|which| Op::Free { which }),
        4 => (which(), small(), small())
            .prop_map(|(which, skip, frames)| Op::FreePart { which, skip, frames }),
        3 => (any::<u32>(), 0u16..64, any::<u8>())
            .prop_map(|(start, frames, tag)| Op::FreeRaw { start, frames, tag }),
        3 => (any::<u32>(), prop_oneof![small(), Just(512u16)])
            .prop_map(|(start, frames)| Op::Add { start, frames }),
        3 => (any::<u32>(), prop_oneof![small(), Just(512u16)])
            .prop_map(|(start, frames)| Op::Remove { start, frames }),
        4 => any::<u8>().prop_map(|size| Op::BeginZeroing { size }),
        4 => any::<u8>().prop_map(|which| Op::EndZeroing { which }),
        1 => any::<u8>().prop_map(|which| Op::AbandonZeroing { which }),
        1 => Just(Op::DropZeroed),
        2 => any::<u8>().prop_map(|kind| Op::Switch { kind }),
        4 => any::<u8>().prop_map(|count| Op::Step { count }),
        1 => Just(Op::AbandonSwitch),
        1 => (order(), any::<u8>()).prop_map(|(order, tag)| Op::Exhaust { order, tag }),
        1 => Just(Op::FreeHalf),
    ]
}

fn setting(policies: Policies) -> impl Strategy<Value = Setting> {
    let kind = Policies::all().position(|p| p == policies);
    let kind = kind.expect("one of all") as u8;
    (prop_oneof![Just(0u8), 0u8..16], 0u8..4, 0u8..8, 0u8..5).prop_map(
        move |(depth, place, blocks, regions)| Setting {
            kind,
            depth,
            place,
            blocks,
            regions,
        },
    )
}

fn runner(cases: u32, salt: u8) -> TestRunner {
    let seed: u64 = std::env::var("FRAMES_SEED")
        .ok()
        .and_then(|s| s.parse().ok())
        .unwrap_or(1);
    let factor = std::env::var("FRAMES_FACTOR")
        .ok()
        .and_then(|s| s.parse().ok())
        .unwrap_or(1);
    let cases = cases * factor;
    println!("FRAMES_SEED={seed}, {cases} cases");
    let mut bytes = [salt; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let config = Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    };
    TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes))
}

fn traces(policies: impl Into<Policies>, salt: u8) {
    let strategy = (
        setting(policies.into()),
        prop::collection::vec(op(), 1..120),
    );
    let care = Care {
        validate: 1,
        recount: 8,
    };
    runner(150, salt)
        .run(&strategy, |(setting, ops)| {
            run(setting, &ops, care);
            Ok(())
        })
        .expect("every trace agrees with the model");
}

#[test]
fn bitmap_agrees_with_the_model() {
    traces(Kind::Bitmap, 1);
}

#[test]
fn buddy_agrees_with_the_model() {
    traces(Kind::Buddy, 2);
}

#[test]
fn avl_agrees_with_the_model() {
    traces(Kind::Avl, 3);
}

#[test]
fn slab_agrees_with_the_model() {
    traces(Kind::Slab, 4);
}

#[test]
fn every_two_in_an_order_agree_with_the_model() {
    for (salt, policies) in (16..).zip(Policies::all().filter(|p| !p.is_one())) {
        println!("{policies}");
        traces(policies, salt);
    }
}

/// Runs above 2 MiB: a window of 2.5 GiB that begins in the middle of a 1 GiB group.
#[test]
fn every_policy_agrees_with_the_model_on_gigabytes() {
    let run = Run::new(FrameNo((1 << 18) + (1 << 17)), 5 << 17).expect("valid");
    let window = Window::covering(run).expect("below the limit");
    let large = prop_oneof![
        4 => (8u8..19, any::<u8>()).prop_map(|(order, tag)| Op::AllocOrder { order, tag }),
        1 => any::<u8>().prop_map(|tag| Op::AllocOne { tag }),
        3 => any::<u16>().prop_map(|which| Op::Free { which }),
        1 => (any::<u16>(), any::<u16>(), any::<u16>())
            .prop_map(|(which, skip, frames)| Op::FreePart { which, skip, frames }),
        1 => (any::<u32>(), any::<u16>(), any::<u8>())
            .prop_map(|(start, frames, tag)| Op::AllocAt { start, frames, tag }),
        1 => (any::<u8>(), 5u8..11, any::<u32>(), any::<u16>(), any::<u8>()).prop_map(
            |(frames, align, start, length, tag)| {
                Op::AllocWithin { frames, align, start, length, tag }
            }
        ),
        1 => (any::<u32>(), any::<u16>()).prop_map(|(start, frames)| Op::Remove { start, frames }),
        1 => any::<u8>().prop_map(|kind| Op::Switch { kind }),
        2 => any::<u8>().prop_map(|count| Op::Step { count }),
        1 => Just(Op::AbandonSwitch),
    ];
    let strategy = (0u8..16, prop::collection::vec(large, 1..60));
    let care = Care {
        validate: 30,
        recount: 30,
    };
    runner(12, 5)
        .run(&strategy, |(kind, ops)| {
            let setting = Setting {
                kind,
                depth: 4,
                place: 0,
                blocks: 0,
                regions: 2,
            };
            run_in(window, setting, &ops, care);
            Ok(())
        })
        .expect("every trace agrees with the model");
}
