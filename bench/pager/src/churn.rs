//! One life of a program in the churn: allocate, touch, check, free at random, and end.
//!
//! `bench-pager SEED 1 churn`: what it does depends on the seed alone. A page that is not zero
//! when it is new, or loses what was stored, ends the program with code 1: it saw another's memory.

use l4_sys::UtcbRef;
use l4re_rs::cap::kind;
use l4re_rs::client::ipc;
use l4re_rs::msg::{Reader, Writer};
use l4re_rs::start::aux::Process;

use crate::memory::{Memory, PAGE, Piece, touch};

/// Protocol of the memory server's figures.
const MEM_ALLOC: i64 = 0x400b;
/// Pieces at a time.
const PIECES: usize = 8;
/// Steps of a life.
const STEPS: u64 = 40;

/// The generator of `std`'s documentation would do; this is a 64-bit LCG.
fn next(state: &mut u64) -> u64 {
    *state = state
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407);
    *state >> 33
}

/// Pages that the factory `factory` has in use or promised, as exit code; -1 without an answer.
pub fn report(process: &Process) -> i64 {
    let Some(f) = process.env.get::<kind::Factory>("factory") else {
        return -1;
    };
    // Mem_alloc info: the second of five words is what is reserved.
    let u = UtcbRef::current();
    let asked = Writer::new(u).u32(0).finish(MEM_ALLOC);
    let answer = asked.map_or(Err(l4re_rs::Error::NoRoom), |tag| ipc::call(f, tag));
    let reserved = answer.map(|tag| {
        let mut r = Reader::new(u, tag);
        let _ = r.u64();
        r.u64()
    });
    match reserved {
        Ok(Ok(bytes)) => (bytes / PAGE) as i64,
        _ => -1,
    }
}

/// The program's code: 0 when all went well, 2 when the server refused memory.
pub fn main(mut m: Memory, seed: u64) -> i64 {
    let mut state = seed ^ 0x9e37_79b9_7f4a_7c15;
    let mut pieces: [Option<Piece>; PIECES] = [None; PIECES];
    for _ in 0..STEPS {
        let place = &mut pieces[next(&mut state) as usize % PIECES];
        match place.take() {
            None => {
                let pages = 1 + next(&mut state) % 200;
                let flags = u64::from(next(&mut state) % 8 == 0);
                let Ok(ds) = m.create(pages * PAGE, flags) else {
                    return 2;
                };
                let Ok(p) = m.attach(ds, pages * PAGE) else {
                    return 2;
                };
                let step = 1 + next(&mut state) % 4;
                if !zero(p, step) {
                    l4re_rs::println!("churn: FAILED: fresh memory is not zero");
                    return 1;
                }
                touch(p, step);
                *place = Some(p);
            }
            Some(p) if next(&mut state) % 3 == 0 => {
                // Left to the server to clean up behind: detached only, or not at all.
                if next(&mut state) % 2 == 0 {
                    let _ = m.detach(p);
                }
            }
            Some(p) => {
                let first = p.at as usize as *const u64;
                // SAFETY: the bench's own memory, mapped by the touch.
                if unsafe { first.read_volatile() } != p.at {
                    l4re_rs::println!("churn: FAILED: contents lost");
                    return 1;
                }
                if m.detach(p).is_err() {
                    return 2;
                }
                m.delete(p.ds);
            }
        }
    }
    0
}

/// Whether every `step`-th page reads as zero.
fn zero(p: Piece, step: u64) -> bool {
    (p.at..p.at + p.size)
        .step_by((step * PAGE) as usize)
        // SAFETY: attached memory of the bench alone.
        .all(|at| unsafe { (at as usize as *const u64).read_volatile() } == 0)
}
