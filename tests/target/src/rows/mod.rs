//! The tests, one file for each group of rows.

mod boot;
mod ext;
mod ext_memory;
mod ext_reserve;
mod factory;
mod fault;
mod io;
mod malformed;
mod map;
mod meta;
mod own;
mod ports;
mod ram;
mod request;
mod rights;
mod storm;

use crate::context::Context;
use crate::places::Places;
use crate::probe::Probe;
use crate::tap::Tap;

/// Runs all groups. The order matters twice: the placement of the first blocks is looked at before
/// anything else has taken RAM, and what may stop a server that has a known defect comes last.
pub fn run(t: &mut Tap, c: &mut Context) {
    request::kip(t, c);
    let Some(kip) = c.kip() else {
        return t.result(
            "S0-REQ-07 KIP for the other tests",
            false,
            format_args!("not mapped"),
        );
    };
    let places = Places::new(kip);
    factory::run(t, c);
    ram::placement(t, c, &places);
    request::run(t, c);
    ram::run(t, c, &places);
    own::run(t, c, &places);
    io::run(t, c, &places);
    map::run(t, c, &places);
    fault::run(t, c, &places);
    ports::run(t, c);
    let probe = Probe::new(c);
    match &probe {
        Some(probe) => rights::run(t, c, &places, probe),
        None => t.result(
            "probe: a second thread",
            false,
            format_args!("cannot be made"),
        ),
    }
    ext::run(t, c, &places, probe.as_ref());
    meta::run(t, c);
    boot::run(t, c);
    malformed::run(t, c, &places);
    storm::malformed(t, c, &places);
    storm::checkerboard(t, c, &places);
    ram::everything(t, c, &places);
    factory::run_dry(t, c);
    malformed::exception(t, c);
}
