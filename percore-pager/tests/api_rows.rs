//! The pager API, operation by operation: answers, rights, errors (docs/pager-api.md).

mod api_support;
mod engine_support;
#[path = "engine_support/machine.rs"]
mod machine;
mod server_support;

use api_support::*;
use l4_sys::{Errno, PAGE_SIZE, proto};
use machine::BASE;
use percore_pager::api::{self, Op, flag, object, parameter, policy, reply, request, state};
use percore_pager::engine::Store;
use percore_pager::frames::FrameNo;
use percore_pager::server::api::target;
use server_support::{Cap, Outcome, Rig, Shape};

fn set(rig: &mut Rig, cap: Cap, parameter: u32, value: u64) -> Result<u64, Errno> {
    let request = request::Set {
        head: head(Op::Set),
        parameter,
        zero: 0,
        value,
    };
    ask::<_, reply::Set>(rig, cap, &request).map(|set| set.before)
}

fn say(rig: &mut Rig, cap: Cap, set: u32, clear: u32) -> Result<u32, Errno> {
    let request = request::State {
        head: head(Op::State),
        set,
        clear,
    };
    ask::<_, reply::State>(rig, cap, &request).map(|state| state.flags)
}

fn owner(rig: &mut Rig, cap: Cap, address: u64, search: bool) -> Result<reply::Owner, Errno> {
    let request = request::Owner {
        head: head(Op::Owner),
        address,
        flags: u32::from(search),
        zero: 0,
    };
    ask(rig, cap, &request)
}

fn reserve(rig: &mut Rig, cap: Cap, order: u32, count: u32) -> Result<u32, Errno> {
    let request = request::Reserve {
        head: head(Op::Reserve),
        order,
        count,
    };
    ask::<_, reply::Reserve>(rig, cap, &request).map(|reserve| reserve.have)
}

fn list(rig: &mut Rig, cap: Cap) -> Vec<reply::Run> {
    let mut all = vec![];
    let mut from = 0;
    loop {
        let request = request::Runs {
            head: head(Op::Runs),
            from,
            zero: 0,
        };
        let reply = rig.call(cap, api::PROTOCOL, &words(&request), &[]);
        assert_eq!(reply.words.len(), 1 + 2 * reply.label as usize);
        let mut whole = reply.clone();
        whole.words.resize(61, 0);
        let part: reply::Runs = parse(&whole).expect("S");
        all.extend_from_slice(&part.runs[..reply.label as usize]);
        from = part.next;
        if from == 0 {
            return all;
        }
    }
}

#[test]
fn forms_that_are_none() {
    let mut rig = rig();
    let root = rig.root;
    let error = |rig: &mut Rig, words: &[u64]| rig.call(root, api::PROTOCOL, words, &[]).error();
    assert_eq!(error(&mut rig, &[]), Some(Errno::MsgTooShort));
    let last = Op::ALL.len() as u64;
    for op in [last, last + 1, 0xffff_ffff] {
        assert_eq!(
            error(&mut rig, &[op | 0xffff_ffff << 32]),
            Some(Errno::NoSys)
        );
    }
    // Another core than its own, which is number 1.
    for (core, want) in [(0, Some(Errno::Range)), (2, Some(Errno::Range)), (1, None)] {
        assert_eq!(error(&mut rig, &[core << 32]), want, "core {core}");
    }
    // Every request with a word less than it needs.
    let sizes = request::LAYOUTS
        .iter()
        .map(|(name, size, _)| (*name, *size));
    for (name, size) in sizes {
        let op = Op::ALL.iter().find(|op| format!("{op:?}") == name);
        let op = *op.expect("named as its operation") as u64;
        let words = if op == Op::Free as u64 {
            1
        } else {
            size / 8 - 1
        };
        let mut short = vec![0; words];
        short[0] = op | 0xffff_ffff << 32;
        assert_eq!(error(&mut rig, &short), Some(Errno::MsgTooShort), "{name}");
    }
    // A count without its handles.
    let short = [10 | 0xffff_ffff << 32, 3, 7];
    assert_eq!(error(&mut rig, &short), Some(Errno::MsgTooShort));
    // On objects that are no factories.
    let ds = rig.dataspace(root, 1);
    let words = words(&head(Op::Info));
    let reply = rig.call(ds, api::PROTOCOL, &words, &[]);
    assert_eq!(reply.error(), Some(Errno::BadProto));
}

#[test]
fn rights() {
    let mut rig = rig();
    let root = rig.root;
    let factory = rig.factory(root, 100);
    let plain = weak(factory, PLAIN);
    let nothing = weak(factory, l4_sys::CapRights::R);
    let needs_s = |rig: &mut Rig, cap, words: &[u64]| {
        let reply = rig.call(cap, api::PROTOCOL, words, &[]);
        reply.error()
    };
    let get = alloc(&mut rig, factory, (0, 1), 0).expect("memory");
    let free = [0; 64];
    let with_s: Vec<Vec<u64>> = vec![
        words(&head(Op::Memory)),
        words(&head(Op::Orders)),
        words(&head(Op::Counters)),
        words(&request::Set {
            head: head(Op::Set),
            parameter: 99,
            zero: 0,
            value: 0,
        }),
        words(&policy_request(policy::AVL, 0)),
        words(&head(Op::Abandon)),
        words(&alloc_request(99, 99, 0, 0)),
        words(&request::Free {
            head: head(Op::Free),
            count: 1,
            flags: 9,
            handles: free,
        }),
        words(&request::Map {
            head: head(Op::Map),
            handle: get.handles[0],
            rights: 6,
            order: 12,
            zero: 0,
            offset: 0,
            spot: 0,
        }),
        words(&request::Runs {
            head: head(Op::Runs),
            from: 0,
            zero: 0,
        }),
        words(&request::Reserve {
            head: head(Op::Reserve),
            order: 0,
            count: 1,
        }),
        words(&request::Owner {
            head: head(Op::Owner),
            address: 0,
            flags: 9,
            zero: 0,
        }),
        words(&request::State {
            head: head(Op::State),
            set: 99,
            clear: 0,
        }),
        words(&request::Reach {
            head: head(Op::Reach),
            first: 99,
            least: 0,
            most: 0,
            zero: 0,
        }),
        words(&request::Bind {
            head: head(Op::Bind),
            apic: 4,
            zero: 0,
            quota: 0,
        }),
    ];
    for request in &with_s {
        for cap in [plain, nothing] {
            let got = needs_s(&mut rig, cap, request);
            assert_eq!(got, Some(Errno::Perm), "op {}", request[0] as u32);
        }
    }
    for op in [Op::Info, Op::Own, Op::Parameters] {
        for cap in [plain, nothing] {
            assert_eq!(needs_s(&mut rig, cap, &words(&head(op))), None);
        }
    }
    let info = info(&mut rig, plain);
    assert_eq!(info.flags & flag::MAY_TUNE, 0);
    assert_eq!(own(&mut rig, plain).runs, 1, "its own figures");
    // Nothing was changed by all that.
    assert_eq!(list(&mut rig, factory).len(), 1);
}

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
fn questions() {
    let mut rig = rig();
    let root = rig.root;
    let it = info(&mut rig, root);
    let want = reply::Info {
        version: 1,
        core: 1,
        node: 1,
        cores: 2,
        policy: policy::BITMAP,
        changing_to: api::NONE,
        flags: flag::MAY_TUNE,
        runs_per_call: 16,
    };
    assert_eq!(it, want);
    let m = memory(&mut rig, root);
    assert_eq!((m.present, m.used, m.kept, m.waiting), (1024, 0, 0, 0));
    let orders: reply::Orders = ask(&mut rig, root, &head(Op::Orders)).expect("S");
    assert_eq!(u64::from(orders.runs[0]), m.free);
    let largest = orders.runs.iter().rposition(|runs| *runs > 0);
    assert_eq!(largest, Some(orders.largest as usize));
    // What is free of an order can be had, once each.
    let order = orders.largest;
    assert!(orders.runs[order as usize] >= 1);
    alloc(
        &mut rig,
        root,
        (order, orders.runs[order as usize]),
        flag::NO_MAP,
    )
    .expect("all of them");
    let orders: reply::Orders = ask(&mut rig, root, &head(Op::Orders)).expect("S");
    assert_eq!(orders.runs[order as usize], 0);
    conserved(&mut rig, root);

    let counters: api::Counters = ask(&mut rig, root, &head(Op::Counters)).expect("S");
    assert_eq!(counters, rig.core.api_counters());
    assert!(counters.others >= 6 && counters.runs_taken >= 1 && counters.zeroed_now >= 256);
    let before = counters.maps;
    let ds = rig.dataspace(root, 4 * PAGE_SIZE);
    rig.map_page(ds, 0, 7);
    let counters: api::Counters = ask(&mut rig, root, &head(Op::Counters)).expect("S");
    assert_eq!(counters.maps, before + 1);
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
fn policies_change_and_say_why_not() {
    let mut rig = rig();
    let root = rig.root;
    let change = |rig: &mut Rig, kind| -> Result<reply::Policy, Errno> {
        ask(rig, root, &policy_request(kind, 0))
    };
    assert_eq!(change(&mut rig, 4), Err(Errno::Inval));
    assert_eq!(change(&mut rig, u32::MAX), Err(Errno::Inval));
    let none: Result<reply::Policy, _> = ask(&mut rig, root, &policy_request(policy::AVL, 2));
    assert_eq!(none, Err(Errno::Inval));
    let meta = memory(&mut rig, root).meta;
    for kind in [policy::AVL, policy::BUDDY, policy::SLAB, policy::BITMAP] {
        let before = info(&mut rig, root).policy;
        let done = change(&mut rig, kind).expect("memory");
        assert_eq!((done.before, done.now), (before, kind));
        assert!(done.turns > 0);
        assert_eq!(info(&mut rig, root).policy, kind);
        let again = change(&mut rig, kind).expect("it is in use");
        assert_eq!((again.before, again.now, again.turns), (kind, kind, 0));
        conserved(&mut rig, root);
    }
    // The last one's book-keeping is all that is left of four changes.
    let left = memory(&mut rig, root).meta - meta;
    assert!(left <= 4, "{left} frames of book-keeping");
    let counters: api::Counters = ask(&mut rig, root, &head(Op::Counters)).expect("S");
    assert_eq!(counters.policies, 4);
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

#[test]
fn runs_are_mapped_where_they_were_asked_for() {
    let mut rig = rig();
    let root = rig.root;
    let factory = rig.factory(root, 300);
    let request = alloc_request(2, 5, 0, 32 * PAGE_SIZE);
    let reply = rig.call(factory, api::PROTOCOL, &words(&request), &[]);
    let it = got(&reply, 2).expect("memory");
    for (n, (spot, frame, rights)) in it.mapped.iter().enumerate() {
        assert_eq!((*spot, *rights), ((32 + 4 * n as u64) * PAGE_SIZE, 6));
        assert_eq!(frame % 4, 0);
        for page in 0..4 {
            let bytes = rig.tables().fake.page(FrameNo(frame + page));
            assert!(bytes.iter().all(|byte| *byte == 0), "not zeroed");
        }
    }
    let figures = own(&mut rig, factory);
    assert_eq!(
        (figures.runs, figures.run_frames, figures.kept_runs),
        (5, 20, 0)
    );
    assert!(figures.reserved >= 20 * PAGE_SIZE);

    let runs = list(&mut rig, factory);
    let listed: Vec<u32> = runs.iter().map(|run| run.handle).collect();
    assert_eq!(listed, it.handles);
    for (run, (_, frame, _)) in runs.iter().zip(&it.mapped) {
        assert_eq!(
            (run.order, run.kept, run.address),
            (2, 0, frame * PAGE_SIZE)
        );
    }

    // A part of a run again, to be read only.
    let map = |handle, rights, order, offset, spot| request::Map {
        head: head(Op::Map),
        handle,
        rights,
        order,
        zero: 0,
        offset,
        spot,
    };
    let request = map(it.handles[1], 4, 13, 2 * PAGE_SIZE, 8 * PAGE_SIZE);
    let reply = rig.call(factory, api::PROTOCOL, &words(&request), &[]);
    let (base, address, order, rights) = reply.memory();
    let first = it.mapped[1].1;
    assert_eq!(
        (base, address, order, rights),
        (8 * PAGE_SIZE, (first + 2) * PAGE_SIZE, 13, 4)
    );
    for (request, error) in [
        (map(it.handles[0] ^ 1 << 22, 4, 12, 0, 0), Errno::NoEnt),
        (map(0, 4, 12, 0, 0), Errno::NoEnt),
        (map(it.handles[0], 0, 12, 0, 0), Errno::Inval),
        (map(it.handles[0], 8, 12, 0, 0), Errno::Inval),
        (map(it.handles[0], 4, 11, 0, 0), Errno::Inval),
        (map(it.handles[0], 4, 64, 0, 0), Errno::Inval),
        (map(it.handles[0], 4, 13, PAGE_SIZE, 0), Errno::Inval),
        (map(it.handles[0], 4, 13, 0, PAGE_SIZE), Errno::Inval),
        (map(it.handles[0], 4, 12, 4 * PAGE_SIZE, 0), Errno::Range),
        (map(it.handles[0], 4, 15, 0, 0), Errno::Range),
        (map(it.handles[0], 4, 12, !0xfff, 0), Errno::Range),
    ] {
        let reply = rig.call(factory, api::PROTOCOL, &words(&request), &[]);
        assert_eq!(reply.error(), Some(error), "{request:?}");
    }
    // Another factory knows nothing of them.
    let other = rig.factory(root, 100);
    assert_eq!(
        free(&mut rig, other, &it.handles[..1], false),
        Err(Errno::NoEnt)
    );
    let request = map(it.handles[1], 4, 12, 0, 0);
    let reply = rig.call(other, api::PROTOCOL, &words(&request), &[]);
    assert_eq!(reply.error(), Some(Errno::NoEnt));
}

#[test]
fn wrong_runs_are_refused() {
    let mut rig = rig();
    let root = rig.root;
    let bad = |order, count, flags, rights, spot| {
        let request = alloc_request(order, count, flags, spot);
        request::Alloc { rights, ..request }
    };
    for request in [
        bad(19, 1, 0, 6, 0),
        bad(u32::MAX, 1, 0, 6, 0),
        bad(0, 0, 0, 6, 0),
        bad(0, 17, 0, 6, 0),
        bad(0, 1, 8, 6, 0),
        bad(0, 1, 0, 0, 0),
        bad(0, 1, 0, 8, 0),
        bad(0, 1, 0, 0x106, 0),
        bad(2, 1, 0, 6, PAGE_SIZE),
        bad(0, 16, 0, 6, !0xfff),
    ] {
        let reply = rig.call(root, api::PROTOCOL, &words(&request), &[]);
        assert_eq!(reply.error(), Some(Errno::Inval), "{request:?}");
    }
    let factory = rig.factory(root, 20);
    assert_eq!(
        alloc(&mut rig, factory, (5, 1), 0),
        Err(Errno::NoMem),
        "above the quota"
    );
    assert_eq!(
        alloc(&mut rig, factory, (0, 1), flag::FROM_RESERVE),
        Err(Errno::NoEnt)
    );
    // As many as there are.
    let got = alloc(&mut rig, factory, (2, 16), 0).expect("some");
    assert!((2..=4).contains(&got.handles.len()), "{got:?}");
    // All or nothing.
    let before = own(&mut rig, factory);
    let twice = [got.handles[0], got.handles[1], got.handles[0]];
    let unknown = [got.handles[0], 77];
    for handles in [&twice[..], &unknown[..]] {
        assert_eq!(free(&mut rig, factory, handles, false), Err(Errno::NoEnt));
        assert_eq!(own(&mut rig, factory), before);
    }
    assert_eq!(free(&mut rig, factory, &[], false), Err(Errno::Inval));
    let many = free_request(&[1; 64], 0);
    let mut many = many.clone();
    many[1] = many[1] & !0xffff_ffff | 65;
    let reply = rig.call(factory, api::PROTOCOL, &many, &[]);
    assert_eq!(reply.error(), Some(Errno::Inval));
    free(&mut rig, factory, &got.handles, false).expect("ours");
    assert_eq!(
        free(&mut rig, factory, &got.handles[..1], false),
        Err(Errno::NoEnt),
        "old handles"
    );
    assert_eq!(own(&mut rig, factory).runs, 0);
}

#[test]
fn the_reserve_keeps_runs_for_their_client() {
    let mut rig = rig();
    let root = rig.root;
    let factory = rig.factory(root, 300);
    assert_eq!(reserve(&mut rig, factory, 2, 10), Ok(10));
    let figures = own(&mut rig, factory);
    assert_eq!(
        (figures.runs, figures.kept_runs, figures.kept_frames),
        (0, 10, 40)
    );
    let (taken, given) = (
        rig.core.api_counters().runs_taken,
        rig.core.api_counters().runs_given,
    );
    rig.tables().fake.work = 0;
    let got = alloc(&mut rig, factory, (2, 4), flag::FROM_RESERVE).expect("ten are there");
    assert_eq!(rig.tables().fake.work, 0, "nothing is zeroed");
    assert_eq!(rig.core.api_counters().runs_taken, taken);
    let client = 5;
    for (n, (_, frame, _)) in got.mapped.iter().enumerate() {
        let bytes = rig.tables().fake.page(FrameNo(*frame));
        assert!(bytes.iter().all(|byte| *byte == 0));
        bytes.fill(n as u8 + 1);
        rig.tables().fake.maps.insert(
            (client, n as u64),
            machine::Mapping {
                frame: *frame,
                write: true,
            },
        );
    }
    // Back into the reserve: no unmap, and the contents stay its client's.
    let unmaps = rig.tables().fake.unmaps;
    free(&mut rig, factory, &got.handles, true).expect("ours");
    assert_eq!(
        (rig.tables().fake.unmaps, rig.tables().fake.maps.len()),
        (unmaps, 4)
    );
    assert_eq!(rig.core.api_counters().runs_recycled, 4);
    let request = request::Map {
        head: head(Op::Map),
        handle: got.handles[0],
        rights: 6,
        order: 12,
        zero: 0,
        offset: 0,
        spot: 0,
    };
    let reply = rig.call(factory, api::PROTOCOL, &words(&request), &[]);
    assert_eq!(
        reply.error(),
        Some(Errno::NoEnt),
        "what is in the reserve is not in use"
    );
    let again = alloc(&mut rig, factory, (2, 1), flag::FROM_RESERVE).expect("used ones");
    let page = again.mapped[0].1;
    assert_eq!(
        rig.tables().fake.page(FrameNo(page))[0],
        4,
        "the one freed last"
    );
    let clean =
        alloc(&mut rig, factory, (2, 3), flag::FROM_RESERVE | flag::CLEAR).expect("used ones");
    for (_, frame, _) in &clean.mapped {
        assert!(
            rig.tables()
                .fake
                .page(FrameNo(*frame))
                .iter()
                .all(|byte| *byte == 0)
        );
    }
    // Less, and nothing.
    assert_eq!(reserve(&mut rig, factory, 2, 1), Ok(1));
    assert_eq!(rig.core.api_counters().runs_given, given + 5);
    assert_eq!(reserve(&mut rig, factory, 2, 0), Ok(0));
    assert_eq!(reserve(&mut rig, factory, 19, 0), Err(Errno::Inval));
    // More than there is: as many as there are.
    let have = reserve(&mut rig, factory, 0, 10_000).expect("some");
    assert!((200..300).contains(&have), "{have}");
    assert_eq!(own(&mut rig, factory).kept_runs, u64::from(have));
    rig.drop_cap(factory);
    rig.tables().fake.maps.retain(|_, _| false);
    rig.check_empty();
}

#[test]
fn a_frame_goes_to_nobody_else_while_it_is_mapped() {
    let mut rig = rig();
    let root = rig.root;
    let first = rig.factory(root, 950);
    let got = alloc(&mut rig, first, (3, 16), 0).expect("memory");
    let frames: Vec<u64> = got.mapped.iter().map(|(_, frame, _)| *frame).collect();
    for frame in &frames {
        for page in 0..8 {
            rig.tables().fake.page(FrameNo(frame + page)).fill(0x77);
            let mapping = machine::Mapping {
                frame: frame + page,
                write: true,
            };
            rig.tables().fake.maps.insert((1, frame + page), mapping);
        }
    }
    let calls = rig.tables().fake.unmaps;
    free(&mut rig, first, &got.handles, false).expect("ours");
    assert_eq!(rig.tables().fake.unmaps, calls, "unmapping waits");
    assert_eq!(memory(&mut rig, root).waiting, 128);
    // Somebody else takes all there is.
    rig.drop_cap(first);
    rig.run();
    let second = rig.factory(root, 950);
    while let Ok(got) = alloc(&mut rig, second, (0, 16), 0) {
        for (_, frame, _) in got.mapped {
            let shown = rig.tables().fake.maps.values().any(|m| m.frame == frame);
            assert!(!shown, "frame {frame} is still mapped by its old owner");
            assert!(
                rig.tables()
                    .fake
                    .page(FrameNo(frame))
                    .iter()
                    .all(|b| *b == 0)
            );
        }
    }
    assert_eq!(
        rig.tables().fake.unmaps,
        calls + 1,
        "one call for all of them"
    );
}

#[test]
fn runs_end_with_their_factory() {
    let mut rig = rig();
    let root = rig.root;
    let outer = rig.factory(root, 600);
    let inner = rig.factory(outer, 300);
    alloc(&mut rig, inner, (0, 16), 0).expect("memory");
    alloc(&mut rig, outer, (4, 8), 0).expect("memory");
    reserve(&mut rig, inner, 1, 20).expect("memory");
    rig.drop_cap(inner);
    rig.drop_cap(outer);
    rig.check_empty();
}

/// The factory ends while its request is parked: the answer comes, and nothing is lost.
#[test]
fn a_factory_ends_in_the_middle_of_a_request() {
    let requests = [
        words(&alloc_request(6, 8, 0, 0)),
        words(&request::Reserve {
            head: head(Op::Reserve),
            order: 6,
            count: 8,
        }),
    ];
    for request in requests {
        for turns in 0..6 {
            let mut rig = rig();
            let root = rig.root;
            let factory = rig.factory(root, 900);
            let Outcome::Parked(ticket) = begin(&mut rig, factory, &request) else {
                panic!("that is more than a turn's work");
            };
            for _ in 0..turns {
                rig.turn();
            }
            // Runs that are not zeroed cannot be named.
            let named = list(&mut rig, factory);
            assert!(named.iter().all(|run| run.kept == 1), "{named:?}");
            rig.drop_cap(factory);
            rig.run();
            let told = rig.answers.remove(&ticket.0).expect("answered");
            assert_eq!(told.error(), Some(Errno::BadProto));
            rig.check_empty();
        }
    }
}

#[test]
fn who_has_a_frame() {
    let mut rig = rig();
    let root = rig.root;
    let factory = rig.factory(root, 400);
    let inner = rig.factory(factory, 100);
    let other = rig.factory(root, 100);
    let got = alloc(&mut rig, inner, (3, 2), 0).expect("memory");
    let ds = rig.dataspace(factory, 100 * PAGE_SIZE);
    rig.map_page(ds, 50, 7);
    let fixed = rig.contiguous(factory, 20 * PAGE_SIZE);
    let run = FrameNo(got.mapped[1].1 + 5);
    // The same by its physical address.
    for address in [run.address(), run.address() - OFFSET] {
        let it = owner(&mut rig, root, address, false).expect("S");
        assert_eq!((it.state, it.kind), (state::MEMORY, object::NONE));
    }
    let it = owner(&mut rig, factory, run.address(), true).expect("S");
    assert_eq!(
        (it.kind, it.object, it.page),
        (object::RUN, got.handles[1].into(), 5)
    );
    assert_eq!(it.factory, inner.label);
    let hidden = owner(&mut rig, other, run.address(), true).expect("S");
    assert_eq!(
        (hidden.state, hidden.kind),
        (state::MEMORY, object::NONE),
        "not its own"
    );

    let mapped = rig.map_page(ds, 50, 7).memory();
    let frame = mapped.1 + (mapped.0 & ((1 << mapped.2) - 1));
    let it = owner(&mut rig, factory, frame, true).expect("S");
    assert_eq!(
        (it.kind, it.object, it.page),
        (object::DATASPACE, ds.label, 50)
    );
    assert_eq!(it.factory, factory.label);
    let mapped = rig.map_page(fixed, 7, 7).memory();
    let frame = mapped.1 + (mapped.0 & ((1 << mapped.2) - 1));
    let it = owner(&mut rig, factory, frame, true).expect("S");
    assert_eq!(
        (it.kind, it.object, it.page),
        (object::DATASPACE, fixed.label, 7)
    );

    assert_eq!(
        owner(&mut rig, root, (BASE + 1200) * PAGE_SIZE, false)
            .expect("S")
            .state,
        state::ABSENT
    );
    assert_eq!(
        owner(&mut rig, root, u64::MAX, true).expect("S").state,
        state::ABSENT
    );
    let own = FrameNo(BASE + 1).address();
    let page = owner(&mut rig, root, own, false).expect("S");
    assert_ne!(page.state, state::ABSENT);
    // Book-keeping and free frames are as the allocator says.
    let mut seen = [0u64; 5];
    for frame in FIRST..FIRST + 1024 {
        let it = owner(&mut rig, root, FrameNo(frame).address(), false).expect("S");
        seen[it.state as usize] += 1;
    }
    let m = memory(&mut rig, root);
    assert_eq!(seen[state::BOOKKEEPING as usize], m.meta);
    assert_eq!(
        seen[state::FREE as usize] + seen[state::ZEROING as usize],
        m.free + m.held
    );
    assert_eq!(seen[state::MEMORY as usize], m.used + m.kept + m.waiting);
}

#[test]
fn the_service_asks_for_a_core() {
    let mut rig = rig();
    let root = rig.root;
    let info: reply::Info = parse(&ask_service(&mut rig, &head(Op::Info), 0)).expect("no right");
    assert_eq!(info.flags, flag::SERVICE);
    let info: reply::Info = parse(&ask_service(&mut rig, &head(Op::Info), 2)).expect("no right");
    assert_eq!(info.flags, flag::SERVICE | flag::MAY_TUNE);
    for op in [Op::Memory, Op::Orders, Op::Counters, Op::Abandon] {
        assert_eq!(
            ask_service(&mut rig, &head(op), 1).error(),
            Some(Errno::Perm)
        );
    }
    let m: reply::Memory = parse(&ask_service(&mut rig, &head(Op::Memory), 2)).expect("S");
    assert_eq!(m, memory(&mut rig, root));
    let done: reply::Policy =
        parse(&ask_service(&mut rig, &policy_request(policy::SLAB, 0), 2)).expect("memory");
    assert_eq!(done.now, policy::SLAB);
    assert_eq!(
        ask_service(&mut rig, &head(Op::Own), 2).error(),
        Some(Errno::NoDev)
    );
    let alloc = alloc_request(0, 1, 0, 0);
    assert_eq!(ask_service(&mut rig, &alloc, 2).error(), Some(Errno::NoDev));
    assert_eq!(ask_service(&mut rig, &alloc, 0).error(), Some(Errno::Perm));

    // CORE_OF and BIND.
    let core_of = |apic| request::CoreOf {
        head: head(Op::CoreOf),
        apic,
        zero: 0,
    };
    let at: reply::CoreOf = parse(&ask_service(&mut rig, &core_of(2), 0)).expect("known");
    assert_eq!((at.core, at.node), (0, 0));
    let at: reply::CoreOf = ask(&mut rig, root, &core_of(6)).expect("known");
    assert_eq!((at.core, at.node), (1, 2));
    assert_eq!(
        ask_service(&mut rig, &core_of(3), 0).error(),
        Some(Errno::NoEnt)
    );
    let bind = |apic, quota| request::Bind {
        head: head(Op::Bind),
        apic,
        zero: 0,
        quota,
    };
    assert_eq!(
        ask_service(&mut rig, &bind(4, 0), 1).error(),
        Some(Errno::Perm)
    );
    let on_factory = rig.call(root, api::PROTOCOL, &words(&bind(4, 0)), &[]);
    assert_eq!(on_factory.error(), Some(Errno::NoDev));
    let reply = ask_service(&mut rig, &bind(6, 50 * PAGE_SIZE), 2);
    let factory = rig.receive(&reply).expect("a factory");
    assert_eq!(own(&mut rig, factory).limit, 50 * PAGE_SIZE);
    // The shell forwards: this one is another core's.
    assert_eq!(
        ask_service(&mut rig, &bind(2, 0), 2).error(),
        Some(Errno::Range)
    );
}

#[test]
fn the_shell_knows_where_to_send_a_request() {
    let mut rig = rig();
    let utcb = rig.utcb();
    let to = |words: &[u64]| {
        for (n, word) in words.iter().enumerate() {
            utcb.set_mr(n, *word);
        }
        let tag = l4_sys::MsgTag::plain(api::PROTOCOL, words.len(), 0);
        target(utcb, tag, &place())
    };
    assert_eq!(to(&[]), Err(Errno::MsgTooShort));
    assert_eq!(to(&[0xffff_ffff << 32]), Ok(1));
    assert_eq!(to(&[0]), Ok(0));
    assert_eq!(to(&[2 << 32]), Err(Errno::Range));
    let bind = |apic| {
        words(&request::Bind {
            head: head(Op::Bind),
            apic,
            zero: 0,
            quota: 0,
        })
    };
    assert_eq!(to(&bind(2)), Ok(0));
    assert_eq!(to(&bind(6)), Ok(1));
    assert_eq!(to(&bind(7)), Err(Errno::NoEnt));
    assert_eq!(to(&bind(7)[..2]), Err(Errno::MsgTooShort));
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
