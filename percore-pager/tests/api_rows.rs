//! The pager API: forms, rights, questions, the service (docs/pager-api.md).

mod api_support;
mod engine_support;
#[path = "engine_support/machine.rs"]
mod machine;
mod server_support;

use api_support::*;
use l4_sys::{Errno, PAGE_SIZE};
use machine::BASE;
use percore_pager::api::{self, Op, flag, object, policy, reply, request, state};
use percore_pager::frames::FrameNo;
use percore_pager::server::api::target;
use server_support::Rig;

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
