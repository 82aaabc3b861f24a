//! Random traces on dataspaces of several clients and accounts, with little memory: contents are the
//! bytes they should be, frames and quota add up, no client sees what is not its own, after every
//! step.

#[path = "engine_support/ds.rs"]
mod ds_rig;
mod engine_support;
#[path = "engine_support/machine.rs"]
mod machine;

use ds_rig::{Op, Rig};
use engine_support::runner;
use machine::PAGE;
use percore_pager::engine::Reach;
use percore_pager::frames::Kind;
use proptest::prelude::*;

fn size() -> impl Strategy<Value = u64> {
    prop_oneof![
        4 => (1u64..70).prop_map(|pages| pages * PAGE),
        3 => 1u64..(40 * PAGE),
        1 => (1u64..20).prop_map(|n| n << 20),
        1 => Just(0), 1 => any::<u64>(),
    ]
}

/// Sizes of objects are bounded, so that their contents can be compared byte by byte.
fn object_size() -> impl Strategy<Value = u64> {
    prop_oneof![
        4 => (1u64..50).prop_map(|pages| pages * PAGE),
        3 => 1u64..(40 * PAGE),
        1 => Just(0), 1 => Just(600 * PAGE), 1 => Just(1030 * PAGE + 1),
    ]
}

fn offset() -> impl Strategy<Value = u64> {
    prop_oneof![
        6 => (0u64..40).prop_map(|page| page * PAGE),
        4 => 0u64..(40 * PAGE),
        1 => (0u64..1031).prop_map(|page| page * PAGE),
        1 => any::<u64>(), 1 => Just(u64::MAX),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    let which = any::<u8>;
    let spot = || prop_oneof![4 => Just(None), 1 => offset().prop_map(Some)];
    let window = || proptest::option::weighted(0.3, (offset(), offset()));
    prop_oneof![
        4 => (which(), object_size()).prop_map(|(account, size)| Op::OnDemand { account, size }),
        1 => (which(), object_size(), 12u8..16)
            .prop_map(|(account, size, align)| Op::Contiguous { account, size, align }),
        1 => (object_size(), 0u32..8).prop_map(|(size, flags)| Op::Static { size, flags }),
        3 => which().prop_map(|which| Op::Delete { which }),
        10 => (which(), offset(), spot(), window(), 0u32..8, any::<bool>()).prop_map(
            |(which, offset, spot, window, flags, writable)| Op::Map {
                which, offset, spot: spot.unwrap_or(offset), window, flags, writable
            }
        ),
        12 => (which(), 0u64..1040, 1u8..=255)
            .prop_map(|(which, page, value)| Op::Write { which, page, value }),
        5 => (which(), offset(), size(), prop::bool::weighted(0.9))
            .prop_map(|(which, offset, size, writable)| Op::Clear { which, offset, size, writable }),
        4 => (which(), offset(), size())
            .prop_map(|(which, offset, size)| Op::Allocate { which, offset, size }),
        10 => (which(), which(), offset(), offset(), size(), prop::bool::weighted(0.6)).prop_map(
            |(to, from, offset, source, size, pages)| Op::Copy {
                to, from, offset, source, size, pages
            }
        ),
        1 => (which(), offset(), offset(), size(), prop::bool::weighted(0.2)).prop_map(
            |(to, offset, source, size, fail)| Op::CopyForeign { to, offset, source, size, fail }
        ),
        6 => Just(Op::StepDeaths),
        2 => Just(Op::Idle),
        2 => (which(), 1u64..200).prop_map(|(parent, pages)| Op::OpenAccount { parent, pages }),
        1 => which().prop_map(|which| Op::CloseAccount { which }),
        2 => (which(), 0u8..10, 0u8..10, 0u8..10, prop::bool::weighted(0.7)).prop_map(
            |(which, start, least, most, some)| {
                let reach = Reach::new(start, least.min(start), most.max(start));
                Op::Reach(which, reach.filter(|_| some))
            }
        ),
        2 => (which(), prop::bool::weighted(0.8)).prop_map(|(which, on)| Op::Private(which, on)),
    ]
}

fn traces(kind: Kind, turns: bool, cases: u32) {
    runner(cases)
        .run(&proptest::collection::vec(op(), 1..100), |ops| {
            let mut rig = Rig::new(kind, turns);
            rig.check();
            for op in ops {
                rig.step(op);
                rig.check();
            }
            rig.finish_all();
            Ok(())
        })
        .unwrap_or_else(|e| panic!("{e}"));
}

#[test]
fn contents_frames_and_quota_on_bitmap() {
    traces(Kind::Bitmap, false, 60);
}

#[test]
fn contents_frames_and_quota_on_buddy() {
    traces(Kind::Buddy, false, 60);
}

/// The same in bounded turns: every answer is the same in the end.
#[test]
fn contents_frames_and_quota_in_turns() {
    traces(Kind::Bitmap, true, 60);
}
