//! The pager API: settings, statements, changes of policy.

mod api_support;
mod engine_support;
#[path = "engine_support/machine.rs"]
mod machine;
mod server_support;

use api_support::*;
use l4_sys::{Errno, PAGE_SIZE, proto};
use percore_pager::api::{self, Op, flag, parameter, policy, reply, request};
use percore_pager::engine::Store;
use server_support::{Item, Outcome, Rig, Shape, requests};

#[test]
fn sealed_factories_do_not_tune() {
    let mut rig = rig();
    let root = rig.root;
    let outer = rig.factory(root, 200);
    assert_eq!(say(&mut rig, outer, flag::SEALED, 0), Ok(flag::SEALED));
    let inner = rig.factory(outer, 100);
    for cap in [outer, inner] {
        let it = info(&mut rig, cap);
        assert_eq!(it.flags & (flag::SEALED | flag::MAY_TUNE), flag::SEALED);
        assert_eq!(set(&mut rig, cap, parameter::RESERVE, 1), Err(Errno::Perm));
        let change: Result<reply::Policy, _> = ask(&mut rig, cap, &policy_request(policy::AVL, 0));
        assert_eq!(change, Err(Errno::Perm));
        assert_eq!(say(&mut rig, cap, 0, flag::SEALED), Err(Errno::Perm));
        // Runs and questions go on.
        alloc(&mut rig, cap, (0, 1), 0).expect("memory");
    }
    assert_eq!(info(&mut rig, root).flags & flag::MAY_TUNE, flag::MAY_TUNE);
    assert_eq!(say(&mut rig, root, 8, 0), Err(Errno::Inval));
    assert_eq!(say(&mut rig, root, 2, 2), Err(Errno::Inval));
}

#[test]
fn settings() {
    let mut rig = rig();
    let root = rig.root;
    let all = |rig: &mut Rig| -> [u64; parameter::COUNT] {
        let reply = rig.call(root, api::PROTOCOL, &words(&head(Op::Parameters)), &[]);
        reply.words.try_into().expect("all of them")
    };
    let before = all(&mut rig);
    assert_eq!(before[..3], [2, 9, 1 << 27]);
    // The rig's allocator has no cache.
    assert_eq!(before[3..], [0, 1, 0, 0]);
    for (number, good, bad) in [
        (parameter::PREFAULT, 3, 10),
        (parameter::RUN, 4, 10),
        (parameter::RUN, 9, 2),
        (parameter::ZERO_AHEAD, 0, 1 << 28),
        (parameter::RESERVE, 100, 1 << 40),
    ] {
        let was = all(&mut rig)[number as usize];
        assert_eq!(set(&mut rig, root, number, bad), Err(Errno::Range));
        assert_eq!(all(&mut rig)[number as usize], was);
        assert_eq!(set(&mut rig, root, number, good), Ok(was));
        assert_eq!(all(&mut rig)[number as usize], good);
    }
    for number in [parameter::CACHE_DEPTH, parameter::CACHE_BLOCKS] {
        assert_eq!(set(&mut rig, root, number, 1), Err(Errno::Range));
    }
    assert_eq!(set(&mut rig, root, 7, 0), Err(Errno::Inval));
    assert_eq!(set(&mut rig, root, u32::MAX, 0), Err(Errno::Inval));
    // Zeroing ahead is off: nothing to do when idle.
    while rig.core.idle() {}
    assert_eq!(memory(&mut rig, root).zeroed, 0);
    set(&mut rig, root, parameter::ZERO_AHEAD, 32).expect("S");
    while rig.core.idle() {}
    let zeroed = memory(&mut rig, root).zeroed;
    assert!((1..32 + 512).contains(&zeroed), "{zeroed}");
}

#[test]
fn the_reserve_setting_leaves_frames_for_faults() {
    let mut rig = rig();
    let root = rig.root;
    let free = memory(&mut rig, root).free;
    set(&mut rig, root, parameter::RESERVE, free - 64).expect("S");
    alloc(&mut rig, root, (4, 2), flag::NO_MAP).expect("above the reserve");
    assert_eq!(
        alloc(&mut rig, root, (5, 1), flag::NO_MAP),
        Err(Errno::NoMem)
    );
    assert_eq!(
        rig.create(
            root,
            proto::DATASPACE,
            &[
                l4re_rs::varg::Arg::Uint(64 * PAGE_SIZE),
                l4re_rs::varg::Arg::Uint(1)
            ]
        ),
        Err(Errno::NoMem)
    );
    // Faults are served from it.
    let ds = rig.dataspace(root, 200 * PAGE_SIZE);
    for page in 0..200 {
        assert_eq!(rig.map_page(ds, page, 7).error(), None);
    }
}

#[test]
fn how_much_faults_bring() {
    let mut rig = rig();
    let root = rig.root;
    let factory = rig.factory(root, 300);
    let reach = |rig: &mut Rig, (first, least, most)| -> Result<(u32, u32, u32), Errno> {
        let request = request::Reach {
            head: head(Op::Reach),
            first,
            least,
            most,
            zero: 0,
        };
        let reply: reply::Reach = ask(rig, factory, &request)?;
        Ok((reply.first, reply.least, reply.most))
    };
    let none = (api::NONE, api::NONE, api::NONE);
    for bad in [
        (10, 0, 9),
        (0, 1, 9),
        (3, 0, 2),
        (0, 0, 10),
        (api::NONE, 0, 9),
    ] {
        assert_eq!(reach(&mut rig, bad), Err(Errno::Range), "{bad:?}");
    }
    assert_eq!(reach(&mut rig, (0, 0, 0)), Ok(none));
    let used = |rig: &mut Rig| memory(rig, root).used;
    let ds = rig.dataspace(factory, 64 * PAGE_SIZE);
    let before = used(&mut rig);
    rig.map_page(ds, 0, 7);
    assert_eq!(used(&mut rig), before + 1, "a page a fault");
    assert_eq!(reach(&mut rig, (4, 4, 9)), Ok((0, 0, 0)));
    let ds = rig.dataspace(factory, 64 * PAGE_SIZE);
    let before = used(&mut rig);
    rig.map_page(ds, 5, 7);
    assert_eq!(used(&mut rig), before + 16, "64 KiB a fault");
    assert_eq!(reach(&mut rig, none), Ok((4, 4, 9)));
}

/// M10 on request, by messages: the work is done in turns before the answer. Without the memory for it
/// a fault brings what there is.
#[test]
fn two_mib_a_fault() {
    let mut rig = shaped(Shape {
        frames: 16384,
        ..Shape::USUAL
    });
    let root = rig.root;
    let factory = rig.factory(root, 2 * 512 + 100);
    let request = request::Reach {
        head: head(Op::Reach),
        first: 9,
        least: 9,
        most: 9,
        zero: 0,
    };
    let before: Result<reply::Reach, _> = ask(&mut rig, factory, &request);
    before.expect("S");
    let ds = rig.dataspace(factory, 4 * 512 * PAGE_SIZE);
    let map = rig.map(factory);
    let size = 4 * 512 * PAGE_SIZE;
    let place = requests::attach(&mut rig, map, Item::Gate(ds), (1 << 30, size, 0x7, 0, 21));
    assert_eq!(place.error(), None);
    let used = |rig: &mut Rig| memory(rig, root).used;
    let parked = rig.core.counters().parked;
    for (n, page) in [700, 3].into_iter().enumerate() {
        let before = used(&mut rig);
        let reply = if n == 0 {
            rig.map_page(ds, page, 7)
        } else {
            requests::fault(&mut rig, map, ((1 << 30) + page * PAGE_SIZE) | 2)
        };
        assert_eq!(
            (reply.error(), reply.memory().2),
            (None, 21),
            "one flexpage"
        );
        assert_eq!(rig.core.counters().parked, parked + n as u64 + 1);
        assert!(used(&mut rig) >= before + 512);
    }
    // No room for another 2 MiB in the factory's limit: less, and at once.
    let reply = rig.map_page(ds, 1500, 7);
    assert_eq!(reply.error(), None);
    assert!(reply.memory().2 < 21);
    assert_eq!(rig.core.counters().parked, parked + 2);
    conserved(&mut rig, root);
}

#[test]
fn factories_that_share_nothing_get_their_frames_back() {
    let mut rig = rig();
    let root = rig.root;
    let factory = rig.factory(root, 400);
    assert_eq!(
        say(&mut rig, factory, flag::SHARES_NOTHING, 0),
        Ok(flag::SHARES_NOTHING)
    );
    assert_eq!(
        info(&mut rig, factory).flags & flag::SHARES_NOTHING,
        flag::SHARES_NOTHING
    );
    let mut frames = vec![];
    for round in 0..3 {
        let ds = rig.dataspace(factory, 16 * PAGE_SIZE);
        let unmaps = rig.tables().fake.unmaps;
        let mut now = vec![];
        for page in 0..16 {
            let reply = rig.map_page(ds, page, 7);
            let bytes = rig.bytes(&reply);
            assert!(bytes.iter().all(|byte| *byte == 0), "old contents");
            bytes.fill(0x33);
            let (base, address, order, _) = reply.memory();
            now.push((address + (base & ((1 << order) - 1))) / PAGE_SIZE);
        }
        if round > 0 {
            assert_eq!(
                rig.tables().fake.unmaps,
                unmaps,
                "recycled without an unmap"
            );
            now.sort_unstable();
            assert_eq!(now, frames, "the same frames");
        }
        now.sort_unstable();
        frames = now;
        rig.drop_cap(ds);
        rig.run();
    }
    assert!(rig.core.api_counters().recycled >= 32);
    // Taken back, it is over for good.
    assert_eq!(say(&mut rig, factory, 0, flag::SHARES_NOTHING), Ok(0));
    assert_eq!(
        say(&mut rig, factory, flag::SHARES_NOTHING, 0),
        Err(Errno::Perm)
    );
    rig.drop_cap(factory);
    rig.check_empty();
}

#[test]
fn policies_change_and_say_why_not() {
    let mut rig = rig();
    let root = rig.root;
    let change = |rig: &mut Rig, kind| -> Result<reply::Policy, Errno> {
        ask(rig, root, &policy_request(kind, 0))
    };
    assert_eq!(change(&mut rig, 4), Err(Errno::Inval));
    for wrong in [u32::MAX, 0x500, 0x104, 0x1_0000] {
        assert_eq!(change(&mut rig, wrong), Err(Errno::Inval));
    }
    let none: Result<reply::Policy, _> = ask(&mut rig, root, &policy_request(policy::AVL, 2));
    assert_eq!(none, Err(Errno::Inval));
    let meta = memory(&mut rig, root).meta;
    let names = policy::NAMES.iter().zip(0..);
    for ((first, small), (second, large)) in names
        .clone()
        .flat_map(|a| names.clone().map(move |b| (a, b)))
    {
        let name = policy::name(policy::pair(small, large)).expect("two known ones");
        let same = name == *first && small == large;
        assert!(same || name == format!("{first}+{second}"), "{name}");
    }
    // An order of one policy twice is that policy.
    let same = policy::pair(policy::BITMAP, policy::BITMAP);
    let none = change(&mut rig, same).expect("it is in use");
    assert_eq!((none.now, none.turns), (policy::BITMAP, 0));
    let pair = policy::pair(policy::SLAB, policy::AVL);
    let kinds = [
        policy::AVL,
        policy::BUDDY,
        pair,
        policy::SLAB,
        policy::BITMAP,
    ];
    for kind in kinds {
        let before = info(&mut rig, root).policy;
        let done = change(&mut rig, kind).expect("memory");
        assert_eq!((done.before, done.now), (before, kind));
        assert!(done.turns > 0);
        assert_eq!(info(&mut rig, root).policy, kind);
        let again = change(&mut rig, kind).expect("it is in use");
        assert_eq!((again.before, again.now, again.turns), (kind, kind, 0));
        conserved(&mut rig, root);
    }
    // The last one's book-keeping is all that is left of five changes.
    let left = memory(&mut rig, root).meta - meta;
    assert!(left <= 4, "{left} frames of book-keeping");
    let counters: api::Counters = ask(&mut rig, root, &head(Op::Counters)).expect("S");
    assert_eq!(counters.policies, 5);
}

#[test]
fn a_change_is_busy_and_can_be_given_up() {
    let mut rig = rig();
    let root = rig.root;
    // Free runs enough for many steps.
    let got = alloc(&mut rig, root, (0, 16), flag::NO_MAP).expect("memory");
    let every_second: Vec<u32> = got.handles.iter().copied().step_by(2).collect();
    free(&mut rig, root, &every_second, false).expect("ours");
    let none: Result<reply::Policy, _> = ask(&mut rig, root, &head(Op::Abandon));
    assert_eq!(none, Err(Errno::NoEnt));

    let Outcome::Parked(ticket) = begin(&mut rig, root, &words(&policy_request(policy::BUDDY, 0)))
    else {
        panic!("a change takes turns");
    };
    let it = info(&mut rig, root);
    assert_eq!((it.policy, it.changing_to), (policy::BITMAP, policy::BUDDY));
    let second: Result<reply::Policy, _> = {
        let reply = match begin(&mut rig, root, &words(&policy_request(policy::AVL, 0))) {
            Outcome::Answer(reply) => reply,
            other => panic!("{other:?}"),
        };
        parse(&reply)
    };
    assert_eq!(second, Err(Errno::Busy));
    // Runs and faults go on meanwhile.
    let Outcome::Answer(reply) = begin(
        &mut rig,
        root,
        &words(&alloc_request(0, 4, flag::NO_MAP, 0)),
    ) else {
        panic!("four frames are a turn's work");
    };
    assert_eq!(reply.label, 4);
    assert!(rig.turn());
    let Outcome::Answer(reply) = begin(&mut rig, root, &words(&head(Op::Abandon))) else {
        panic!("giving up takes no time");
    };
    assert_eq!(reply.error(), None);
    let it = info(&mut rig, root);
    assert_eq!((it.policy, it.changing_to), (policy::BITMAP, api::NONE));
    rig.run();
    let told = rig.answers.remove(&ticket.0).expect("answered");
    assert_eq!(told.error(), Some(Errno::Again));
    conserved(&mut rig, root);
    // And now it can be changed.
    let done: reply::Policy =
        ask(&mut rig, root, &policy_request(policy::BUDDY, 0)).expect("memory");
    assert_eq!(done.now, policy::BUDDY);
    // Without waiting the answer is what is in use.
    let begun: reply::Policy =
        ask(&mut rig, root, &policy_request(policy::AVL, flag::NO_WAIT)).expect("memory");
    assert_eq!((begun.now, begun.turns), (policy::BUDDY, 0));
    rig.run();
    assert_eq!(info(&mut rig, root).policy, policy::AVL);
}

#[test]
fn a_change_needs_frames() {
    let mut rig = rig();
    let root = rig.root;
    let mut all = vec![];
    for order in [8, 6, 4, 2, 0] {
        while let Ok(got) = alloc(&mut rig, root, (order, 16), flag::NO_MAP) {
            all.extend(got.handles);
        }
    }
    let change: Result<reply::Policy, _> = ask(&mut rig, root, &policy_request(policy::AVL, 0));
    assert_eq!(change, Err(Errno::NoMem));
    assert_eq!(info(&mut rig, root).policy, policy::BITMAP);
    for handles in all.chunks(64) {
        free(&mut rig, root, handles, false).expect("ours");
    }
    let done: reply::Policy = ask(&mut rig, root, &policy_request(policy::AVL, 0)).expect("memory");
    assert_eq!(done.now, policy::AVL);
}

/// Without reply capabilities everything is done at once.
#[test]
fn long_requests_without_parking() {
    let shape = Shape {
        inline_work: true,
        ..Shape::USUAL
    };
    let mut rig = shaped(shape);
    let root = rig.root;
    let factory = rig.factory(root, 900);
    let Outcome::Answer(reply) = begin(&mut rig, factory, &words(&alloc_request(5, 8, 0, 0)))
    else {
        panic!("nothing is parked");
    };
    assert_eq!(got(&reply, 5).expect("memory").handles.len(), 8);
    let Outcome::Answer(reply) = begin(&mut rig, root, &words(&policy_request(policy::AVL, 0)))
    else {
        panic!("nothing is parked");
    };
    assert_eq!(
        parse::<reply::Policy>(&reply).expect("memory").now,
        policy::AVL
    );
    assert_eq!(reserve(&mut rig, factory, 3, 5), Ok(5));
    let uses = rig.core.pool.uses();
    assert!(uses.meta > 0 && rig.core.pool.arena().pages() > 0);
}
