//! The most instructions of a single operation in a random trace.
//!
//! Single-stepping a million operations takes too long, so it is done in two passes over the same
//! trace, which is the same to the last bit in every run. First the trace runs several times at
//! full speed and the shortest time of each operation is kept: noise only ever adds to it. Then
//! the operations with the longest of these times are stepped through, in a run of the trace in
//! which the others run at full speed.

use std::arch::x86_64::_rdtsc;

use crate::arms::{Arm, Nothing};
use crate::scenario::{MEMORY, Random};
use crate::step;

/// Runs of the first pass.
const RUNS: usize = 5;
/// Processor cycles that the stepped operations may have taken together at full speed; a step
/// costs some hundred thousand.
const BUDGET: u64 = 600_000;
/// Operations that are stepped at least, and at most.
const STEPPED: std::ops::RangeInclusive<usize> = 5..=500;

/// Operations of the arm that does nothing that are stepped, to see the cheapest.
const HARNESS: u32 = 200;

/// A trace: runs of 4 KiB to 2 MiB (with `huge` to 1 GiB) are allocated and freed at random, with
/// about half of memory free. `run` gets each operation's number and the operation.
fn trace<A: Arm>(steps: u32, huge: bool, mut run: impl FnMut(usize, &mut dyn FnMut())) {
    let memory = if huge { MEMORY } else { MEMORY / 8 };
    let mut arm = A::new(memory);
    // Not counted: the first calls into the C library look its functions up.
    for order in (0..11).filter(|order| *order < 10 || huge) {
        let run = arm.alloc(order).expect("enough memory");
        arm.free(run, order);
    }
    let mut random = Random::new(1);
    let mut runs: Vec<(u64, u32)> = Vec::new();
    let mut used = 0;
    for number in 0..steps as usize {
        // The fuller memory is, the likelier is a free.
        let free = random.below(memory) < used;
        if free && !runs.is_empty() {
            let (start, order) = runs.swap_remove(random.below(runs.len() as u32) as usize);
            used -= 1 << order;
            if order == 0 {
                run(number, &mut || arm.free_one(start));
            } else {
                run(number, &mut || arm.free(start, order));
            }
            continue;
        }
        let order = match random.below(100) {
            0..60 => 0,
            60..90 => 1 + random.below(8),
            90..97 => 9,
            _ if huge => 10 + random.below(9),
            _ => 9,
        };
        let mut got = None;
        if order == 0 {
            run(number, &mut || got = arm.alloc_one());
        } else {
            run(number, &mut || got = arm.alloc(order));
        }
        if let Some(start) = got {
            runs.push((start, order));
            used += 1 << order;
        }
    }
}

fn cycles(call: &mut dyn FnMut()) -> u64 {
    // SAFETY: every x86-64 processor has a time stamp counter.
    let before = unsafe { _rdtsc() };
    call();
    // SAFETY: as above.
    unsafe { _rdtsc() }.saturating_sub(before)
}

/// The most instructions of an operation in a trace of `steps`, and how many were stepped.
pub fn worst<A: Arm>(steps: u32, huge: bool) -> (u64, usize) {
    let mut shortest = vec![u64::MAX; steps as usize];
    for _ in 0..RUNS {
        trace::<A>(steps, huge, |number, call| {
            shortest[number] = shortest[number].min(cycles(call));
        });
    }
    let mut order: Vec<usize> = (0..steps as usize).collect();
    order.sort_by_key(|number| std::cmp::Reverse(shortest[*number]));
    let mut spent = 0;
    let mut chosen = vec![false; steps as usize];
    let mut number_chosen = 0;
    for number in order {
        spent += shortest[number];
        let enough = spent > BUDGET && number_chosen >= *STEPPED.start();
        if enough || number_chosen == *STEPPED.end() {
            break;
        }
        chosen[number] = true;
        number_chosen += 1;
    }
    step::install();
    // What the harness takes, as for the other scenarios: the same with an arm that does nothing.
    let mut nothing = u64::MAX;
    trace::<Nothing>(HARNESS, huge, |_, call| {
        nothing = nothing.min(step::count(call))
    });
    let mut most = 0;
    trace::<A>(steps, huge, |number, call| {
        if chosen[number] {
            let steps = step::count(call).saturating_sub(nothing);
            most = most.max(steps);
        } else {
            call();
        }
    });
    (most, number_chosen)
}
