//! Counts the instructions of region-map operations with few and with many runs.
//!
//! One command: `cargo run --release -p sigma0-rs --example map_cost` (needs valgrind). Each cell is
//! one run of this program under callgrind, which counts only between entry and exit of
//! [`measured`]; figures are means per operation, call and argument passing included. The map holds
//! the given number of runs before each operation, and the operation is undone outside the count.
//!
//! The target is built without vector registers: to count the same code shape, add
//! `RUSTFLAGS="-Cno-vectorize-slp -Cno-vectorize-loops"`.

use sigma0_rs::map::{MapId, NodeSlot, OwnerId, Range, Regions, Rights, State};
use std::process::Command;

const SIZES: [u64; 5] = [10, 100, 1_000, 10_000, 50_000];
const OPS: u64 = 4_000;
const PAGE: u64 = 4096;
/// Pages of one pair of runs: the lower half owned, the upper half free.
const STRIDE: u64 = 64;
const BASE: u64 = 0x4000_0000;

#[derive(Clone, Copy, PartialEq)]
enum Op {
    Lookup,
    Again,
    Fault,
    FaultSeq,
    Given,
    Any,
    AnyMixed,
    AnyOwn,
    Inside,
    Release,
}

const TABLE: [(Op, &str, &str); 10] = [
    (Op::Lookup, "lookup", "owner of a random address"),
    (
        Op::Again,
        "again",
        "page fault on a page that is already the owner's",
    ),
    (Op::Fault, "fault", "page fault on a random free page"),
    (
        Op::FaultSeq,
        "fault-seq",
        "page faults upwards through free runs",
    ),
    (Op::Given, "given", "64 KiB at a random free place"),
    (
        Op::Any,
        "any",
        "64 KiB anywhere, only the last free runs are large enough",
    ),
    (
        Op::AnyMixed,
        "any-first",
        "64 KiB anywhere, each taken from the lowest run, undone later",
    ),
    (
        Op::AnyOwn,
        "any-own",
        "64 KiB anywhere, one client again and again, from the last free run",
    ),
    (Op::Inside, "io", "range inside one run"),
    (
        Op::Release,
        "release",
        "random page given back between free neighbours",
    ),
];

fn main() {
    let args: Vec<String> = std::env::args().collect();
    if let [_, op, runs] = &args[..] {
        let found = TABLE.iter().find(|t| t.1 == op);
        let Some(&(op, ..)) = found else {
            std::process::exit(2)
        };
        return work(op, runs.parse().unwrap_or(10));
    }
    for (_, name, what) in TABLE {
        println!("# {name}: {what}");
    }
    print!("{:>10}", "runs");
    TABLE.iter().for_each(|t| print!("{:>10}", t.1));
    println!();
    for n in SIZES {
        print!("{n:>10}");
        for (_, name, _) in TABLE {
            match count(name, n) {
                Some(c) => print!("{c:>10.1}"),
                None => print!("{:>10}", "-"),
            }
        }
        println!();
    }
}

/// Runs one cell under callgrind; instructions per operation.
fn count(op: &str, runs: u64) -> Option<f64> {
    let out = Command::new("valgrind")
        .args([
            "--tool=callgrind",
            "--callgrind-out-file=/dev/null",
            "--toggle-collect=*measured*",
        ])
        .arg(std::env::current_exe().ok()?)
        .args([op, &runs.to_string()])
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&out.stderr);
    let line = text.lines().find(|l| l.contains("Collected :"))?;
    let total: f64 = line.rsplit(' ').next()?.parse().ok()?;
    Some(total / OPS as f64)
}

/// The counted part: `f` and its call.
#[inline(never)]
fn measured<T>(maps: &mut Regions, f: impl FnOnce(&mut Regions) -> T) -> T {
    f(maps)
}

fn run(maps: &mut Regions, op: Op, r: Range, o: OwnerId) -> u64 {
    let m = MapId::Ram;
    match op {
        Op::Lookup => measured(maps, |s| s.lookup(m, r.start()))
            .state
            .rights()
            .bits()
            .into(),
        Op::Again | Op::Fault | Op::FaultSeq => {
            measured(maps, |s| s.claim_keeping(m, r, o, Rights::RW)).map_or(0, |r| r.bits().into())
        }
        Op::Given => measured(maps, |s| s.claim(m, r, o, Rights::RWX))
            .is_ok()
            .into(),
        Op::Any | Op::AnyMixed | Op::AnyOwn => {
            measured(maps, |s| s.alloc(m, 16, o, Rights::RWX)).map_or(0, |r| r.start())
        }
        Op::Inside => measured(maps, |s| s.inside(m, r)).map_or(0, |s| s.rights().bits().into()),
        Op::Release => measured(maps, |s| s.release(m, r, o, Rights::RWX))
            .is_ok()
            .into(),
    }
}

fn block(addr: u64, order: u8) -> Range {
    Range::block(addr, order).unwrap()
}

fn work(op: Op, runs: u64) {
    let m = MapId::Ram;
    let slots: Vec<NodeSlot> = (0..64 + runs).map(|_| NodeSlot::EMPTY).collect();
    let mut maps = Regions::new(Vec::leak(slots)).unwrap();
    let (a, b) = (OwnerId::new(12).unwrap(), OwnerId::new(13).unwrap());
    let pairs = runs / 2;
    let small = op == Op::Any || op == Op::AnyOwn;
    // With `small`, free runs are one page long but for the last, as after long use.
    let owned = if small { STRIDE - 1 } else { STRIDE / 2 };
    let large = if op == Op::AnyOwn { (OPS + 1) << 16 } else { 0 };
    let end = BASE + pairs * STRIDE * PAGE + large;
    maps.add_free(m, Range::new(BASE, end - 1).unwrap(), Rights::RWX)
        .unwrap();
    let mut rng = 0x9e37_79b9_7f4a_7c15u64;
    let mut random = |n: u64| {
        rng ^= rng << 13;
        rng ^= rng >> 7;
        rng ^= rng << 17;
        (rng >> 16) % n
    };
    // In random order, so that nodes are filled as in long use.
    let mut order: Vec<u64> = (0..pairs).collect();
    for i in (1..order.len()).rev() {
        order.swap(i, random(i as u64 + 1) as usize);
    }
    for &i in &order {
        let start = BASE + i * STRIDE * PAGE;
        let pages = if small && i + 1 == pairs {
            STRIDE / 2
        } else {
            owned
        };
        let r = Range::new(start, start + pages * PAGE - 1).unwrap();
        maps.claim(m, r, a, Rights::RWX).unwrap();
    }
    // Every leaf that was left full by the setting up splits once; that is not the operation's cost.
    for i in 0..4 * pairs * u64::from(op == Op::Fault || op == Op::Given) {
        let page = block(
            BASE + (i % pairs * STRIDE + owned + 3 + i / pairs * 2) * PAGE,
            12,
        );
        maps.claim(m, page, b, Rights::RWX).unwrap();
        maps.release(m, page, b, Rights::RWX).unwrap();
    }
    let mut sum = 0;
    let mut undo = Vec::new();
    for i in 0..OPS {
        let pair = random(pairs);
        let free = BASE + pair * STRIDE * PAGE + owned * PAGE;
        let page = free + random(STRIDE - owned) * PAGE;
        match op {
            Op::Lookup | Op::Inside => {
                sum += run(&mut maps, op, block(page, 12), b);
            }
            Op::Again => {
                sum += run(&mut maps, op, block(free - PAGE * (1 + random(8)), 12), a);
            }
            Op::Fault => {
                let page = block(page, 12);
                sum += run(&mut maps, op, page, b);
                maps.release(m, page, b, Rights::RWX).unwrap();
            }
            Op::FaultSeq => {
                let page = free + (i % (STRIDE / 2)) * PAGE - pair * STRIDE * PAGE
                    + (i / (STRIDE / 2) % pairs) * STRIDE * PAGE;
                sum += run(&mut maps, op, block(page, 12), b);
                undo.push(block(page, 12));
            }
            Op::Given => {
                let r = block(free + random(2) * 16 * PAGE, 16);
                sum += run(&mut maps, op, r, b);
                maps.release(m, r, b, Rights::RWX).unwrap();
            }
            Op::Any => {
                let at = run(&mut maps, op, Range::ALL, b);
                maps.release(m, block(at, 16), b, Rights::RWX).unwrap();
                sum += at;
            }
            Op::AnyOwn => sum += run(&mut maps, op, Range::ALL, b),
            Op::AnyMixed => {
                let at = run(&mut maps, op, Range::ALL, if i % 2 == 0 { a } else { b });
                undo.push(block(at, 16));
                sum += at;
            }
            Op::Release => {
                let page = block(page, 12);
                maps.claim(m, page, b, Rights::RWX).unwrap();
                sum += run(&mut maps, op, page, b);
            }
        }
        // Back to the start now and then: a third of the free memory at most is in use.
        if undo.len() as u64 > pairs / 3 {
            for r in undo.drain(..) {
                let owner = maps.lookup(m, r.start()).state.owner().unwrap();
                maps.release(m, r, owner, Rights::RWX).unwrap();
                if owner == a {
                    let below = maps.lookup(m, r.start());
                    assert!(below.state.is_free());
                }
            }
        }
    }
    assert!(sum > 0, "every operation was refused");
    assert!(op == Op::Fault || undo.is_empty() || maps.lookup(m, BASE).state != State::ABSENT);
    maps.validate().unwrap();
}
