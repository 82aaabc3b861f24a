//! What clients do while their faults are counted.

use percore_pager::engine::Reach;
use percore_pager::engine::ds::{Progress, Source, Work};

use crate::client::{Client, Path};
use crate::machine::{Machine, PAGE, machine};

const MIB: u64 = 1 << 20;

/// Small fixed random numbers, so that every run does the same.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 32) * limit) >> 32
    }
}

/// Names, and what they mean.
pub const ALL: [(&str, &str); 17] = [
    ("order-1m", "1 MiB in order"),
    ("order-8m", "8 MiB in order"),
    ("order-8m-zeroed", "8 MiB in order, memory zeroed ahead"),
    (
        "single",
        "2 MiB in order by an account that wants single pages",
    ),
    (
        "request",
        "8 MiB in order by an account that wants 2 MiB, zeroed ahead",
    ),
    ("random", "single pages of 1 GiB at random"),
    ("random-zeroed", "the same, memory zeroed ahead"),
    ("lone", "one page in 61, in order"),
    ("lone-zeroed", "the same, memory zeroed ahead"),
    ("dense", "pages of 8 MiB at random, each once"),
    ("stride", "one page in 64 KiB"),
    ("again", "pages that are there, of 8 MiB touched in order"),
    ("again-random", "pages that are there, touched at random"),
    ("copy", "writes to shared pages, each copied"),
    ("last", "writes to pages that were shared and are no more"),
    (
        "recycled",
        "single pages in memory that was another's before",
    ),
    ("cleared", "a page that was cleared just before"),
];

/// Runs a scenario; the number of faults that were counted.
pub fn run(name: &str, path: Path) -> Option<u64> {
    let m = &mut machine();
    Some(match name {
        "order-1m" => (0..16).map(|_| order(m, path, MIB, false)).sum(),
        "order-8m" => order(m, path, 8 * MIB, false),
        "order-8m-zeroed" => order(m, path, 8 * MIB, true),
        "single" => {
            m.set_reach(Reach::new(0, 0, 0));
            order(m, path, 2 * MIB, false)
        }
        "request" => {
            m.set_reach(Some(Reach::LARGEST));
            order(m, path, 8 * MIB, true)
        }
        "random" => random(m, path, 1024 * MIB, 2000, false),
        "random-zeroed" => random(m, path, 1024 * MIB, 500, true),
        "lone" => lone(m, path, false),
        "lone-zeroed" => lone(m, path, true),
        "dense" => dense(m, path),
        "stride" => stride(m, path),
        "again" => again(m, path, true),
        "again-random" => again(m, path, false),
        "copy" => shared(m, path, false),
        "last" => shared(m, path, true),
        "recycled" => recycled(m, path),
        "cleared" => cleared(m, path),
        _ => return None,
    })
}

/// Pages that all faults of a scenario bring into reach, where that is not one each.
pub fn pages(name: &str) -> Option<u64> {
    match name {
        "order-1m" => Some(16 * 256),
        "order-8m" | "order-8m-zeroed" | "request" => Some(2048),
        _ => None,
    }
}

fn client(m: &mut Machine, path: Path, bytes: u64) -> Client {
    let (label, _) = m.dataspace(bytes);
    Client::new(m, path, label, bytes)
}

/// All pages in order.
fn order(m: &mut Machine, path: Path, bytes: u64, zeroed: bool) -> u64 {
    let mut c = client(m, path, bytes);
    for page in 0..bytes / PAGE {
        if zeroed {
            m.idle();
        }
        c.touch(m, page, true);
    }
    c.faults
}

fn random(m: &mut Machine, path: Path, bytes: u64, faults: u64, zeroed: bool) -> u64 {
    let mut c = client(m, path, bytes);
    let mut random = Random(1);
    while c.faults < faults {
        if zeroed {
            m.idle();
        }
        c.touch(m, random.below(bytes / PAGE), true);
    }
    c.faults
}

/// Single pages as M4 has them (`bench-pager`): too far apart for anything to be brought with them.
fn lone(m: &mut Machine, path: Path, zeroed: bool) -> u64 {
    const PAGES: u64 = 1000;
    let mut c = client(m, path, PAGES * 61 * PAGE);
    for n in 0..PAGES {
        if zeroed {
            m.idle();
        }
        c.touch(m, n * 61, true);
    }
    c.faults
}

fn dense(m: &mut Machine, path: Path) -> u64 {
    let mut c = client(m, path, 8 * MIB);
    for n in 0..2048 {
        c.touch(m, n * 1237 % 2048, true);
    }
    c.faults
}

fn stride(m: &mut Machine, path: Path) -> u64 {
    let mut c = client(m, path, 128 * MIB);
    for n in 0..1000 {
        c.touch(m, n * 16 + 5, true);
    }
    c.faults
}

/// Pages that are there are asked for again: 500 messages, and those before.
fn again(m: &mut Machine, path: Path, in_order: bool) -> u64 {
    let mut c = client(m, path, 8 * MIB);
    let mut random = Random(2);
    for page in 0..if in_order { 2048 } else { 700 } {
        let page = if in_order { page } else { random.below(2048) };
        c.touch(m, page, true);
    }
    let mut random = Random(2);
    for _ in 0..500 {
        c.send(m, random.below(2048), true);
    }
    500
}

/// A dataspace of 512 pages is copied; then the copy is written to. With `last`, the original goes before.
fn shared(m: &mut Machine, path: Path, last: bool) -> u64 {
    let (first, from) = m.dataspace(2 * MIB);
    let mut c = Client::new(m, Path::Map, first, 2 * MIB);
    for page in 0..512 {
        c.touch(m, page, true);
    }
    let (label, to) = m.dataspace(2 * MIB);
    let work = Work::copy_in(&m.pool, to, 0, (Source::Own(from), 0), 2 * MIB, true);
    let mut work = work.expect("writable");
    while work.step(&mut m.pool).expect("memory") == Progress::More {}
    if last {
        m.end(first);
    }
    let mut c = Client::new(m, path, label, 2 * MIB);
    for n in 0..512 {
        c.touch(m, n * 5 % 512, true);
    }
    c.faults
}

/// Dataspaces come and go; 30 pages of each are touched at random.
fn recycled(m: &mut Machine, path: Path) -> u64 {
    let mut random = Random(3);
    for _ in 0..20 {
        let (label, _) = m.dataspace(4 * MIB);
        let mut c = Client::new(m, path, label, 4 * MIB);
        for _ in 0..30 {
            c.touch(m, random.below(1024), true);
        }
        m.end(label);
    }
    500
}

/// One page after the other is cleared and touched again.
fn cleared(m: &mut Machine, path: Path) -> u64 {
    let (label, ds) = m.dataspace(2 * MIB);
    let mut c = Client::new(m, path, label, 2 * MIB);
    for page in 0..512 {
        c.touch(m, page, true);
    }
    for n in 0..500 {
        let page = n * 5 % 512;
        let work = Work::clear(&m.pool, ds, page * PAGE, PAGE, true);
        let mut work = work.expect("writable");
        while work.step(&mut m.pool).expect("memory") == Progress::More {}
        c.send(m, page, true);
    }
    500
}
