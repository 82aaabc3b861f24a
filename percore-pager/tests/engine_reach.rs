//! How much faults bring on request, frames that go back to their own account, memory zeroed ahead.

mod engine_support;
#[path = "engine_support/machine.rs"]
mod machine;

use machine::{Machine, PAGE, accounts, machine, touch};
use percore_pager::engine::ds::{self, Ask, Death, Ds, Progress, Source, Work, flag};
use percore_pager::engine::{Account, Reach, Ref, Store, slabs};
use percore_pager::frames::Kind;

const RW: u32 = flag::R | flag::W;
const BLOCK: u64 = 512;

/// Touches a page as a server would have it that steps what has to be done before; counts the fault.
fn fault(m: &mut Machine, client: u64, object: Ref<Ds>, page: u64) -> u64 {
    if m.kernel.maps.contains_key(&(client, page)) {
        return 0;
    }
    let ask = Ask {
        offset: page * PAGE,
        spot: page * PAGE,
        window: None,
        flags: RW,
        writable: true,
    };
    if let Some(mut work) = ds::prefault(m, object, &ask) {
        loop {
            m.kernel.work = 0;
            let progress = work.step(m);
            assert!(m.kernel.work <= 64 << 10, "M11: {}", m.kernel.work);
            if progress != Ok(Progress::More) {
                break;
            }
        }
    }
    m.kernel.work = 0;
    touch(m, client, object, page, RW).expect("memory");
    assert!(m.kernel.work <= 64 << 10, "M11: {}", m.kernel.work);
    1
}

fn end(m: &mut Machine, object: Ref<Ds>) {
    let mut death = Death::begin(m, object);
    while !death.step(m) {}
}

fn set_reach(m: &mut Machine, account: Ref<Account>, reach: Option<Reach>) {
    m.arena_mut().get_mut(account).set_reach(reach);
}

/// M10 on request: half a fault for a MiB, whether memory was zeroed ahead or not, in any order.
#[test]
fn two_mib_at_a_time_on_request() {
    for (ahead, step) in [(true, 1), (false, 1), (true, 1237), (false, 1237)] {
        let mut m = machine(8192, Kind::Bitmap);
        let (_, account) = accounts(&mut m, 1 << 30);
        set_reach(&mut m, account, Some(Reach::LARGEST));
        let object = ds::create_on_demand(&mut m, account, 8 << 20).expect("memory");
        let mut faults = 0;
        for n in 0..4 * BLOCK {
            while ahead && m.idle() {}
            faults += fault(&mut m, 1, object, n * step % (4 * BLOCK));
        }
        println!("zeroed ahead: {ahead}, step {step}: {faults} faults for 8 MiB");
        assert_eq!(faults, 4);
        end(&mut m, object);
        while m.unmap_waiting() {}
        assert_eq!(m.arena().get(account).reserved(), 0);
    }
}

/// The window that comes with each fault, and single pages.
#[test]
fn the_reach_of_an_account_is_kept() {
    let reach = |start, least, most| Reach::new(start, least, most);
    assert!(reach(1, 2, 3).is_none() && reach(4, 2, 3).is_none() && reach(9, 9, 10).is_none());
    for (order, faults) in [(0, 64), (2, 16), (4, 4), (6, 1)] {
        let mut m = machine(4096, Kind::Bitmap);
        let (_, account) = accounts(&mut m, 1 << 30);
        set_reach(&mut m, account, reach(order, order, order));
        // Accounts below take it over, dataspaces of before do not.
        let below = slabs::open(&mut m, account, 1 << 20).expect("room");
        assert_eq!(m.arena().get(below).reach(), reach(order, order, order));
        let object = ds::create_on_demand(&mut m, below, 64 * PAGE).expect("memory");
        set_reach(&mut m, below, None);
        let got: u64 = (0..64).map(|n| fault(&mut m, 1, object, n * 29 % 64)).sum();
        assert_eq!(got, faults, "order {order}");
        let other = ds::create_on_demand(&mut m, below, 64 * PAGE).expect("memory");
        let got: u64 = (0..64).map(|n| fault(&mut m, 2, other, n)).sum();
        assert_eq!(got, 4, "without one, the pool's");
    }
    // A limit that a piece does not fit: the page alone comes.
    let mut m = machine(4096, Kind::Bitmap);
    let (_, account) = accounts(&mut m, 20 * PAGE);
    set_reach(&mut m, account, Some(Reach::LARGEST));
    let object = ds::create_on_demand(&mut m, account, 8 << 20).expect("memory");
    fault(&mut m, 1, object, 700);
    fault(&mut m, 1, object, 7);
    assert!(m.arena().get(account).reserved() <= 20 * PAGE);
}

/// M9b: an account that shares nothing gets its frames back without an unmap, and zeroed.
#[test]
fn frames_go_back_to_their_own_account() {
    for pages in [1, 5, 16, 40, 256, 2048] {
        let mut m = machine(8192, Kind::Bitmap);
        let (own, account) = accounts(&mut m, 1 << 30);
        let other = slabs::open(&mut m, own, 1 << 20).expect("room");
        assert!(m.set_private(account));
        let before = m.uses();
        for round in 0..6 {
            let object = ds::create_on_demand(&mut m, account, pages * PAGE).expect("memory");
            for page in 0..pages {
                fault(&mut m, 1, object, page);
                let frame = m.kernel.maps[&(1, page)].frame;
                let bytes = m.kernel.page(percore_pager::frames::FrameNo(frame));
                assert!(bytes.iter().all(|b| *b == 0), "not zero in round {round}");
                bytes.fill(0x77);
            }
            end(&mut m, object);
            while m.idle() {}
            // The client goes on to somewhere else; it still sees the old place.
            m.kernel.maps.retain(|_, _| true);
            let shown = std::mem::take(&mut m.kernel.maps);
            m.kernel.maps = shown
                .into_iter()
                .map(|((client, page), at)| ((client, page + 10_000), at))
                .collect();
        }
        assert_eq!(m.kernel.unmaps, 0, "{pages} pages");
        if pages > 5 {
            assert!(m.effects.recycled >= 5 * pages * 9 / 10, "{:?}", m.effects);
        }
        // Another account's memory is unmapped from this one first.
        assert!(m.kernel.maps.values().next().is_some());
        m.end_private(account);
        assert!(!m.set_private(account), "it said once that it shares");
        let object = ds::create_on_demand(&mut m, other, 16 * PAGE).expect("memory");
        while m.idle() {}
        assert!(m.kernel.maps.is_empty(), "a stale mapping");
        fault(&mut m, 2, object, 0);
        end(&mut m, object);
        while m.idle() {}
        let uses = m.uses();
        assert_eq!(
            (uses.data, uses.waiting, uses.free + uses.held),
            (0, 0, before.free + before.held)
        );
    }
}

/// A closed account, memory that runs short and a page that was shared end the waiting.
#[test]
fn frames_that_wait_are_given_up_when_they_must() {
    let start = |m: &mut Machine| {
        let (own, account) = accounts(m, 200 * PAGE);
        assert!(m.set_private(account));
        let object = ds::create_on_demand(m, account, 64 * PAGE).expect("memory");
        for page in 0..64 {
            fault(m, 1, object, page);
        }
        (own, account, object)
    };
    let mut m = machine(512, Kind::Bitmap);
    let (own, account, object) = start(&mut m);
    end(&mut m, object);
    assert!(m.uses().waiting >= 64 && m.kernel.unmaps == 0);
    slabs::close(&mut m, account);
    while m.unmap_waiting() {}
    assert!(m.uses().waiting == 0 && m.kernel.maps.is_empty());
    // Others need the memory.
    let account = slabs::open(&mut m, own, 200 * PAGE).expect("room");
    assert!(m.set_private(account));
    let object = ds::create_on_demand(&mut m, account, 64 * PAGE).expect("memory");
    (0..64).for_each(|page| {
        fault(&mut m, 3, object, page);
    });
    end(&mut m, object);
    let big = ds::create_on_demand(&mut m, own, 600 * PAGE).expect("memory");
    let mut page = 0;
    while touch(&mut m, 2, big, page, RW).is_ok() {
        page += 1;
    }
    let uses = m.uses();
    assert_eq!((uses.free, uses.waiting, uses.kept), (0, 0, 0));
    assert!(m.kernel.maps.keys().all(|(client, _)| *client == 2));
    // Shared pages, and pages that are cleared, are unmapped.
    let mut m = machine(1024, Kind::Bitmap);
    let (own, _, object) = start(&mut m);
    let copy = ds::create_on_demand(&mut m, own, 64 * PAGE).expect("memory");
    let work = Work::copy_in(&m, copy, 0, (Source::Own(object), 0), 32 * PAGE, true);
    let mut work = work.expect("writable");
    while work.step(&mut m).expect("memory") == Progress::More {}
    let work = Work::clear(&m, object, 40 * PAGE, 24 * PAGE, true);
    let mut work = work.expect("writable");
    while work.step(&mut m).expect("memory") == Progress::More {}
    assert!((40..64).all(|page| !m.kernel.maps.contains_key(&(1, page))));
    touch(&mut m, 2, copy, 5, flag::R).expect("memory");
    end(&mut m, object);
    end(&mut m, copy);
    while m.unmap_waiting() {}
    let seen: Vec<u64> = m.kernel.maps.keys().map(|(_, page)| *page).collect();
    assert_eq!(seen, [32, 33, 34, 35, 36, 37, 38, 39], "what was its own");
}

/// M12: a server that is idle half of the time has nine of ten frames zeroed when they are needed.
#[test]
fn half_busy_loops_find_zeroed_frames() {
    // Pages of a dataspace, how many are touched, in steps of.
    for (pages, touched, step) in [
        (256, 256, 1),
        (2048, 2048, 1),
        (8192, 100, 61),
        (16, 16, 1),
        (512, 300, 7),
    ] {
        let mut m = machine(16384, Kind::Bitmap);
        let (_, account) = accounts(&mut m, 1 << 30);
        let (mut faults, mut zeroed) = (0, 0);
        for round in 0..40 {
            let object = ds::create_on_demand(&mut m, account, pages * PAGE).expect("memory");
            for n in 0..touched {
                let page = n * step % pages;
                if m.kernel.maps.contains_key(&(1, page)) {
                    continue;
                }
                m.kernel.work = 0;
                touch(&mut m, 1, object, page, RW).expect("memory");
                // The first rounds fill the stacks.
                if round >= 4 {
                    faults += 1;
                    zeroed += u64::from(m.kernel.work == 0);
                }
                // Idle for as long as it was busy: one turn for a fault.
                m.idle();
            }
            end(&mut m, object);
            for _ in 0..pages / 16 {
                m.idle();
            }
        }
        println!("{touched} of {pages} pages: {zeroed} of {faults} faults found zeroed frames");
        assert!(zeroed * 10 >= faults * 9);
    }
}
