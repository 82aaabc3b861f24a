//! The pager server `percore-pager`, unchanged, as a modelled task.
//!
//! What a loader on the kernel gives it, it gets here: the gate of the service to bind, a client of the
//! root pager, the kernel's factory, the scheduler, its task and first thread, the log. Its code runs on the
//! host, so the model does not see its instructions; each message that one of its threads waits for
//! costs it `pager_request` of the cost file instead ([`user::works`]).

use std::sync::{Arc, Mutex};

use fiasco_model::{kit, user};
use l4_sys::{CapIdx, CapRights};
use percore_pager::server::shell::{Start, run};

/// Where a run's failure is written, the first one only.
pub type Failure = Arc<Mutex<Option<String>>>;

/// Notes a failure and ends the run.
pub fn fail(failure: &Failure, what: String) {
    failure
        .lock()
        .expect("held for a moment only")
        .get_or_insert(what);
    user::stop();
}

/// Slots of the server's task.
const SERVICE: CapIdx = CapIdx::from_slot(0x20);
const SIGMA0: CapIdx = CapIdx::from_slot(0x21);
const FIRST_FREE: CapIdx = CapIdx::from_slot(0x40);
/// First of its reply slots.
const FIRST_REPLY: u32 = 1;
/// Priority of its first thread while it starts; it changes that itself.
const PRIO: u64 = 0x80;

/// Starts the server on CPU 0, where the caller runs with a higher priority: its task's capability comes to `slot`, its first thread's behind it. `service` is
/// a gate without a thread, `sigma0` a client of the root pager.
///
/// # Errors
/// The kernel operation that failed.
pub fn start(
    slot: CapIdx,
    (service, sigma0): (CapIdx, CapIdx),
    words: Vec<String>,
    work: u64,
    failure: Failure,
) -> Result<(), l4_sys::MsgTag> {
    let program = kit::Program {
        slot,
        cpu: 0,
        prio: PRIO,
        pager: Some(sigma0),
    };
    let caps = [(sigma0, SIGMA0, CapRights::RWSD)];
    program.start(&caps, move || {
        user::works(work);
        let start = Start::on_sigma0(SERVICE, SIGMA0, FIRST_FREE, FIRST_REPLY);
        match run(&start, words.iter().map(String::as_bytes)) {
            Ok(never) => match never {},
            Err(refusal) => fail(&failure, format!("percore-pager: {refusal}")),
        }
        kit::sleep();
    })?;
    // In time: the starter has a higher priority and has not waited since.
    kit::check(kit::give_to_server(slot, service, SERVICE))
}
