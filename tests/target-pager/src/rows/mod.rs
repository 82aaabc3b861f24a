//! The tests, one file for each group of rows.

mod areas;
mod copy;
mod dataspace;
mod detach;
mod factory;
mod faults;
mod foreign;
mod hostile;
mod killed;
mod limits;
mod meta;
mod objects;
mod quota;
mod region;

use test_sigma0::tap::Tap;

use crate::bench::Bench;

/// What a group needs, or a failed test and the end of the group.
macro_rules! need {
    ($t:expr, $name:expr, $value:expr) => {
        match $value {
            Ok(value) => value,
            Err(e) => return $t.result($name, false, format_args!("cannot be set up: {e:?}")),
        }
    };
}
use need;

/// Runs all groups. What may end a server that has a known defect comes last.
pub fn run(t: &mut Tap, b: &mut Bench) {
    let before = crate::ops::info(b.f);
    meta::run(t, b);
    factory::run(t, b);
    quota::run(t, b);
    dataspace::run(t, b);
    copy::run(t, b);
    foreign::run(t, b);
    region::run(t, b);
    detach::run(t, b);
    areas::run(t, b);
    faults::run(t, b);
    objects::run(t, b);
    hostile::run(t, b);
    killed::run(t, b);
    limits::run(t, b);
    let settled = before.is_some_and(|before| b.settles(b.f, before));
    t.result(
        "MOE-QUO all of the quota is back at the end",
        settled,
        format_args!("before {before:x?}, now {:x?}", crate::ops::info(b.f)),
    );
}
