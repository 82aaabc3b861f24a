//! Traces out of arbitrary bytes: what the fuzz target and its replay share.

use arbitrary::{Arbitrary, Unstructured};

use crate::support::ops::{Op, Setting};
use crate::support::rig::{Care, run as run_trace};

/// Longest trace made of an input.
const STEPS: usize = 200;

/// Runs the trace that `bytes` stand for; panics at the first difference to the model.
pub fn run(bytes: &[u8]) {
    let mut input = Unstructured::new(bytes);
    let Ok(setting) = Setting::arbitrary(&mut input) else {
        return;
    };
    let mut ops = Vec::new();
    while ops.len() < STEPS && !input.is_empty() {
        match Op::arbitrary(&mut input) {
            Ok(op) => ops.push(op),
            Err(_) => break,
        }
    }
    run_trace(
        setting,
        &ops,
        Care {
            validate: 4,
            recount: 16,
        },
    );
}
