//! The pager API: requests that are refused or ask for nothing leave things as they were.

mod api_support;
mod engine_support;
#[path = "engine_support/machine.rs"]
mod machine;
mod server_support;

use api_support::*;
use l4_sys::Errno;
use percore_pager::api::{self, Op, flag, policy, reply, request};
use server_support::{Outcome, Rig, Shape};

/// An ALLOC of used runs that are to be zeroed takes several turns. Without a place to wait it is refused, and
/// the runs are still in the reserve.
#[test]
fn an_alloc_that_cannot_wait_leaves_the_reserve_as_it_was() {
    let mut rig = Rig::shaped(Shape {
        places: 1,
        ..Shape::USUAL
    });
    let root = rig.root;
    let factory = rig.factory(root, 400);
    assert_eq!(reserve(&mut rig, factory, 5, 2), Ok(2));
    let taken = alloc(&mut rig, factory, (5, 2), flag::FROM_RESERVE).expect("two are there");
    free(&mut rig, factory, &taken.handles, true).expect("ours");
    let before = own(&mut rig, factory);
    assert_eq!(before.kept_runs, 2);
    let counts = rig.core.api_counters();

    let change = words(&policy_request(policy::BUDDY, 0));
    let waits = begin(&mut rig, factory, &change);
    assert!(matches!(waits, Outcome::Parked(_)), "it has the only place");
    let flags = flag::FROM_RESERVE | flag::CLEAR | flag::NO_MAP;
    let request = words(&alloc_request(5, 2, flags, 0));
    let Outcome::Answer(refused) = begin(&mut rig, factory, &request) else {
        panic!("there is no place")
    };
    assert_eq!(refused.error(), Some(Errno::NoMem));
    rig.run();
    assert_eq!(own(&mut rig, factory), before);
    let now = rig.core.api_counters();
    assert_eq!(
        (now.runs_given, now.runs_recycled),
        (counts.runs_given, counts.runs_recycled)
    );
    // They were used and are not all zeroed: CLEAR still has to do it.
    let again = alloc(&mut rig, factory, (5, 2), flag::FROM_RESERVE | flag::CLEAR).expect("two");
    for (_, first, _) in &again.mapped {
        for page in 0..32 {
            let frame = percore_pager::frames::FrameNo(first + page);
            let bytes = rig.tables().fake.page(frame);
            assert!(bytes.iter().all(|byte| *byte == 0), "not zeroed");
        }
    }
}

#[test]
fn a_list_from_any_number_comes_to_an_end() {
    let mut rig = rig();
    let root = rig.root;
    let factory = rig.factory(root, 300);
    alloc(&mut rig, factory, (0, 3), flag::NO_MAP).expect("memory");
    for from in [0, 3, 4, 1 << 22, u32::MAX - 256, u32::MAX - 1, u32::MAX] {
        let request = request::Runs {
            head: head(Op::Runs),
            from,
            zero: 0,
        };
        let mut reply = rig.call(factory, api::PROTOCOL, &words(&request), &[]);
        let count = reply.label;
        reply.words.resize(61, 0);
        let part: reply::Runs = parse(&reply).expect("S");
        let some = i64::from(from == 0) * 3;
        assert_eq!((count, part.next), (some, 0), "from {from}");
    }
}
