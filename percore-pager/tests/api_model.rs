//! Random requests of the pager API beside map traffic, changes of policy begun and given up at any
//! moment, factories that end in the middle, and garbage; against a list of who has which frames.

mod api_support;
mod engine_support;
#[path = "engine_support/machine.rs"]
mod machine;
#[path = "api_support/model.rs"]
mod model;
mod server_support;
#[path = "api_support/steps.rs"]
mod steps;

use api_support::*;
use engine_support::runner;
use model::World;
use percore_pager::api;
use proptest::prelude::*;
use server_support::Outcome;
use steps::step;

#[test]
fn requests_changes_and_map_traffic_agree_with_a_list() {
    let changes = std::cell::Cell::new((0, 0));
    runner(200)
        .run(&prop::collection::vec(step(), 1..160), |steps| {
            let mut world = World::new();
            for step in steps {
                world.run(step);
            }
            let (done, live) = world.finish();
            let (all, runs) = changes.get();
            changes.set((all + done, runs + live));
            Ok(())
        })
        .expect("every trace agrees");
    let (done, live) = changes.get();
    println!("{done} changes of policy finished, {live} runs were there at the ends");
    assert!(done > 300 && live > 300, "the traces do nothing");
}

/// Whatever a message says, it is answered, and nothing is lost.
#[test]
fn garbage_is_answered() {
    let trace = prop::collection::vec(
        (
            any::<u32>(),
            prop::collection::vec(any::<u64>(), 0..64),
            0usize..3,
        ),
        1..60,
    );
    runner(200)
        .run(&trace, |messages| {
            let mut rig = rig();
            let root = rig.root;
            let factory = rig.factory(root, 300);
            for (op, mut words, items) in messages {
                if let Some(first) = words.first_mut() {
                    *first = u64::from(op % 20) | *first & 0xffff_ffff_0000_0000;
                    if op & 0x100 == 0 {
                        *first |= 0xffff_ffff << 32;
                    }
                }
                // Small numbers are more likely to mean something.
                for word in words.iter_mut().skip(1) {
                    if *word & 7 != 0 {
                        *word &= 0x1f_0000_001f;
                    }
                }
                let tag = l4_sys::MsgTag::plain(api::PROTOCOL, words.len(), items);
                let label = factory.label | u64::from(op >> 16 & 3);
                match rig.deliver(label, tag, &words, &[]) {
                    Outcome::Answer(_) | Outcome::Parked(_) => {}
                    other => panic!("{other:?}"),
                }
                rig.turn();
            }
            rig.run();
            conserved(&mut rig, root);
            rig.drop_cap(factory);
            rig.run();
            while rig.core.idle() {}
            let uses = rig.core.pool.uses();
            prop_assert_eq!((uses.data, uses.waiting), (0, 0));
            Ok(())
        })
        .expect("no message breaks anything");
}
