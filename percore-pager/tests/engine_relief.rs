//! Memory that must first be given back: how much of that one turn does, and that all of it is given back
//! before anybody is told that there is none.

#[path = "engine_support/machine.rs"]
mod machine;

use l4_sys::Errno;
use machine::{Machine, PAGE, accounts, machine, touch};
use percore_pager::engine::ds::{self, ContiguousAlign, Death, Ds, Work, flag};
use percore_pager::engine::pool::TURN_PIECES;
use percore_pager::engine::{Account, Ref, Store, runs, slabs};
use percore_pager::frames::{Kind, PageOrder};

const RW: u32 = flag::R | flag::W;
const FRAMES: u64 = 8192;

/// What a call may do: its budget, and one piece of work more.
const MOST: u64 = 2 * TURN_PIECES as u64;

/// All memory is in the hands of clients, but for what is kept, waits or is zeroed ahead.
struct Full {
    m: Machine,
    account: Ref<Account>,
    /// One page of each 64 KiB of them is used.
    keepers: Vec<Ref<Ds>>,
    hog: Ref<Ds>,
    /// Frames that a turn handled, at most.
    most: u64,
}

/// With `kept` frames kept by dataspaces, `waiting` that wait to be unmapped and, as far as there is room for
/// them, `ready` that are zeroed.
fn full(kept: u64, waiting: u64, ready: u64) -> Full {
    let mut m = machine(FRAMES, Kind::Bitmap);
    let (_, account) = accounts(&mut m, 1 << 40);
    let mut keepers = vec![];
    while m.uses().kept < kept {
        let object = ds::create_on_demand(&mut m, account, 1 << 20).expect("memory");
        touch(&mut m, 1, object, 0, flag::R).expect("memory");
        touch(&mut m, 1, object, 100, flag::R).expect("memory");
        keepers.push(object);
    }
    // Scattered pages: each second one stays.
    let [dying, hog] = [(); 2].map(|()| ds::create_on_demand(&mut m, account, 1 << 32));
    let (dying, hog) = (dying.expect("memory"), hog.expect("memory"));
    for n in 0..waiting {
        touch(&mut m, 2, dying, n * 17, RW).expect("memory");
        touch(&mut m, 3, hog, n * 17, RW).expect("memory");
    }
    let leave = ready + 8;
    let mut page = waiting * 17;
    while m.uses().free > leave {
        touch(&mut m, 3, hog, page, RW).expect("memory");
        page += 17;
    }
    while m.zeroed_frames() < ready && m.idle() {}
    let mut death = Death::begin(&mut m, dying);
    let _ = death.step(&mut m);
    (m.kernel.unmaps, m.kernel.blocks) = (0, 0);
    Full {
        m,
        account,
        keepers,
        hog,
        most: 0,
    }
}

/// Frames that changed hands, and what was unmapped, since `before`.
fn handled(full: &Full, before: percore_pager::engine::Uses) -> u64 {
    let now = full.m.uses();
    assert_eq!(
        now.free + now.held + now.meta + now.data + now.waiting,
        FRAMES,
        "conservation: {now:?}"
    );
    before.kept.abs_diff(now.kept) + before.waiting.abs_diff(now.waiting)
}

/// Calls until it is done or fails for good; each of them in a turn of its own, within the bound.
fn in_turns<T>(
    full: &mut Full,
    mut call: impl FnMut(&mut Full) -> Result<T, Errno>,
) -> (Result<T, Errno>, u64) {
    for turn in 1.. {
        full.m.begin_turn();
        let before = full.m.uses();
        (full.m.kernel.unmaps, full.m.kernel.work) = (0, 0);
        let got = call(full);
        let handled = handled(full, before);
        assert!(handled <= MOST, "{handled} frames in turn {turn}");
        full.most = full.most.max(handled);
        assert!(full.m.kernel.unmaps <= 8, "{} unmaps", full.m.kernel.unmaps);
        assert!(full.m.kernel.work <= 64 << 10);
        if got.is_ok() || !full.m.is_short() {
            return (got, turn);
        }
        assert!(turn < 4096, "it ends");
    }
    unreachable!()
}

fn contiguous(full: &mut Full, pages: u64) -> Result<Ref<Ds>, Errno> {
    let align = ContiguousAlign::new(12, false).expect("a page");
    ds::create_contiguous(&mut full.m, full.account, pages * PAGE, align)
}

/// The same request with and without turns: it has the same end, and the turns are bounded.
#[test]
fn a_request_that_needs_what_is_kept_takes_turns() {
    for (kept, waiting, ready) in [(480, 0, 0), (0, 0, 600), (480, 40, 300)] {
        // Without turns all of it is done at once.
        let mut all = full(kept, waiting, ready);
        let before = all.m.uses();
        assert_eq!(contiguous(&mut all, FRAMES / 2).err(), Some(Errno::NoMem));
        assert_eq!(handled(&all, before), 0, "there can never be so much");
        let most = before.free + before.kept + before.waiting;
        assert_eq!(contiguous(&mut all, most).err(), Some(Errno::NoMem));
        let at_once = handled(&all, before);
        assert_eq!((all.m.uses().kept, all.m.uses().waiting), (0, 0));
        assert_eq!(all.m.zeroed_frames(), 0);

        let mut turns = full(kept, waiting, ready);
        let (got, count) = in_turns(&mut turns, |full| contiguous(full, most));
        assert_eq!(got.err(), Some(Errno::NoMem));
        assert_eq!((turns.m.uses().kept, turns.m.uses().waiting), (0, 0));
        assert_eq!(turns.m.zeroed_frames(), 0);
        println!(
            "kept, waiting, zeroed {kept}, {waiting}, {ready}: {at_once} frames at once; {count} turns, {} at most",
            turns.most
        );
        assert!(count >= at_once / MOST && count <= 2 + (at_once + ready) / 8);
    }
}

/// Every page that is kept can be had by another dataspace, in turns.
#[test]
fn faults_get_what_others_keep() {
    let mut full = full(480, 40, 300);
    let (mut faults, mut most) = (0, 0);
    let mut page = 1 << 18;
    loop {
        let (got, turns) = in_turns(&mut full, |full| touch(&mut full.m, 3, full.hog, page, RW));
        most = most.max(turns);
        if got.is_err() {
            break;
        }
        page += 17;
        faults += 1;
    }
    let uses = full.m.uses();
    assert_eq!((uses.free, uses.kept, uses.waiting), (0, 0, 0));
    println!("{faults} faults, {most} turns at most");
    assert!(faults > 700 && most <= 4);
    for object in full.keepers {
        ds::census(full.m.arena(), object, |_, _, _| ()).expect("its figures are right");
    }
}

/// Book-keeping gets it, too: what it needs may be kept by a dataspace.
#[test]
fn objects_get_what_others_keep() {
    let mut full = full(480, 0, 0);
    let (mut made, mut most) = (0, 0);
    loop {
        let (got, turns) = in_turns(&mut full, |full| {
            // Each account's first object takes a page.
            let account = slabs::open(&mut full.m, full.account, 2 * PAGE);
            account
                .and_then(|account| slabs::take(&mut full.m, account, 1024))
                .map_err(|_| Errno::NoMem)
        });
        most = most.max(turns);
        if got.is_err() {
            break;
        }
        made += 1;
    }
    let uses = full.m.uses();
    assert_eq!((uses.free, uses.kept, uses.waiting), (0, 0, 0));
    println!("{made} objects, {most} turns at most");
    assert!(made > 450);
}

/// A dataspace whose table is large and keeps little does not hold up the others.
#[test]
fn a_large_table_does_not_hold_up_others() {
    let mut m = machine(FRAMES, Kind::Bitmap);
    let (_, account) = accounts(&mut m, 1 << 40);
    // One page in 4 MiB: each has a leaf.
    let large = ds::create_on_demand(&mut m, account, 8 << 40).expect("memory");
    for n in 1..2000 {
        touch(&mut m, 1, large, n * 1024, RW).expect("memory");
    }
    // The last thing it does leaves it with something kept, at its end.
    touch(&mut m, 1, large, 2000 * 1024 - 8, RW).expect("memory");
    touch(&mut m, 1, large, 2000 * 1024 - 7, RW).expect("memory");
    touch(&mut m, 1, large, 2000 * 1024 - 6, RW).expect("memory");
    assert!(m.uses().kept > 0, "it keeps something");
    let first = m.uses().kept;
    let other = ds::create_on_demand(&mut m, account, 1 << 20).expect("memory");
    touch(&mut m, 2, other, 0, flag::R).expect("memory");
    let hog = ds::create_on_demand(&mut m, account, 1 << 32).expect("memory");
    let mut page = 0;
    while m.uses().free > 0 {
        touch(&mut m, 3, hog, page, RW).expect("memory");
        page += 17;
    }
    let mut full = Full {
        m,
        account,
        keepers: vec![large, other],
        hog,
        most: 0,
    };
    let (got, turns) = in_turns(&mut full, |full| touch(&mut full.m, 3, full.hog, page, RW));
    got.expect("what is kept");
    assert!(
        full.m.uses().kept >= first.min(12),
        "the large one was not looked through"
    );
    assert!(turns <= 2, "{turns} turns");
}

/// Long work goes on where it was when memory comes back in a later turn.
#[test]
fn work_goes_on_in_later_turns() {
    let mut full = full(480, 40, 300);
    let object = ds::create_on_demand(&mut full.m, full.account, 4 << 20).expect("memory");
    let pages = 700;
    let mut work = Work::allocate(&full.m, object, 0, pages * PAGE, true).expect("a range");
    let mut turns = 0;
    loop {
        let (got, count) = in_turns(&mut full, |full| work.step(&mut full.m));
        turns += count;
        match got.expect("there is so much") {
            ds::Progress::Done => break,
            ds::Progress::More => {}
        }
    }
    let count = ds::census(full.m.arena(), object, |_, _, _| ()).expect("sound");
    assert_eq!(count.own, pages);
    println!("{pages} pages in {turns} turns");
}

/// Runs that are given up while much waits to be unmapped: that takes turns, and nothing is changed before.
#[test]
fn many_runs_are_freed_in_turns() {
    const RUNS: usize = 384;
    let order = PageOrder::new(5).expect("small");
    let mut m = machine(16384, Kind::Bitmap);
    let (_, account) = accounts(&mut m, 1 << 40);
    let table = runs::open(&mut m, account).expect("memory");
    let mut handles = vec![];
    for _ in 0..RUNS {
        let taken = runs::take(&mut m, table, order).expect("memory");
        runs::ready(m.arena_mut(), table, taken.handle);
        handles.push((taken.start.0, taken.handle.raw()));
    }
    // Each second one, so that no two of them are neighbours.
    handles.sort_unstable();
    let each_second: Vec<u32> = handles
        .iter()
        .step_by(2)
        .map(|(_, handle)| *handle)
        .collect();
    let mut turns = vec![];
    for part in each_second.chunks(64) {
        for turn in 1.. {
            m.begin_turn();
            m.kernel.unmaps = 0;
            let live = runs::totals(m.arena(), table).live;
            let got = runs::give(&mut m, table, part, false);
            assert!(m.kernel.unmaps <= 2, "{} unmaps in a turn", m.kernel.unmaps);
            if got.is_ok() {
                turns.push(turn);
                break;
            }
            assert_eq!((got, m.is_short()), (Err(Errno::NoMem), true));
            assert_eq!(runs::totals(m.arena(), table).live, live);
        }
    }
    println!("{turns:?} turns for 64 runs each");
    assert!(turns[0] == 1 && turns[2] > 16);
    // The end of all of them takes turns, too.
    loop {
        m.kernel.unmaps = 0;
        let done = runs::drop_some(&mut m, table, 64);
        assert!(m.kernel.unmaps <= 1);
        if done {
            break;
        }
    }
    while m.unmap_waiting() {}
    assert_eq!((m.uses().data, m.arena().get(account).reserved()), (0, 0));
}
