//! The service capability of the whole server in a modelled kernel: callers that are gone when their answer
//! comes, and callers that come all at once.

mod shell_support;

use std::sync::{Arc, Mutex};

use fiasco_model::kit;
use l4_sys::{CapIdx, Errno, Timeout, Timeouts, UtcbRef, proto, syscall};
use l4re_rs::cap::kind;
use l4re_rs::varg::Arg;
use l4re_rs::{Cap, Error};
use percore_pager::client::Pager;
use shell_support::{
    OBJECTS, SERVICE, THREADS, UTCBS, boot, dataspace, factory, rest, show, start_server,
};

/// Frames of a core that are not free.
fn used(core: u32) -> u64 {
    let pager = Pager::new(Cap::new(SERVICE)).on(core);
    let it = pager.memory().expect("S on the service");
    it.present - it.free - it.held
}

/// Asks for a factory of a core and waits so long for the answer.
fn ask(core: u8, wait: Timeout) {
    let utcb = UtcbRef::current();
    kit::receive_cap(CapIdx::from_slot(OBJECTS + 40));
    let text = [b'c', b'o', b'r', b'e', b'=', b'0' + core, 0];
    let tag = l4re_rs::msg::Writer::new(utcb)
        .u64(proto::FACTORY.cast_unsigned())
        .varg(Arg::Int(1 << 20))
        .varg(Arg::Bytes(&text))
        .finish(proto::FACTORY)
        .expect("it fits");
    let times = Timeouts::new(Timeout::NEVER, wait);
    // SAFETY: a capability is received, no memory.
    let _ = unsafe { syscall::invoke(SERVICE, syscall::CALL, 0, tag, times) };
}

/// Factories whose client did not wait for them end, on whichever core they were made (BUG-23).
#[test]
fn factories_that_nobody_took_end() {
    boot(|| {
        start_server();
        // What stays: accounts and tables that the first factory needs.
        let kept = [factory(0, 0), factory(1, 1)];
        let _ = dataspace(kept[1], 2);
        let before = [used(0), used(1)];
        let pager = Pager::new(Cap::new(SERVICE));
        let counts = |core| pager.on(core).counters().expect("S on the service");
        let made = [counts(0).created, counts(1).created];
        for round in 0..20 {
            for core in 0..2 {
                ask(core, Timeout::ZERO);
                rest(200 * round);
            }
        }
        for _ in 0..50 {
            rest(10_000);
        }
        for (core, before) in (0..).zip(made) {
            let it = counts(core);
            assert_eq!(it.created, before + 20, "factories were made");
            assert_eq!(it.ended, 20);
        }
        assert_eq!(
            [used(0), used(1)],
            before,
            "frames of factories without a client"
        );
    });
}

/// More callers at once than a thread's mailbox has places: each gets a factory or is refused.
#[test]
fn callers_at_once_are_answered() {
    let said: Arc<Mutex<Vec<Result<(), Error>>>> = Arc::default();
    let s = said.clone();
    boot(move || {
        start_server();
        for n in 0..20 {
            let said = s.clone();
            let ask = move || {
                let slot = Cap::<kind::Factory>::new(CapIdx::from_slot(OBJECTS + n));
                let service = Cap::<kind::Factory>::new(SERVICE);
                let args = [Arg::Int(1 << 20), Arg::Bytes(b"core=1\0")];
                let got = service.create(proto::FACTORY, &args, slot);
                said.lock().expect("nobody panicked").push(got);
                kit::sleep();
            };
            let slot = CapIdx::from_slot(THREADS + 100 + n);
            let cpu = (n % 2) as u32;
            kit::start_thread(slot, UTCBS + n * 4096, (cpu, 2), ask).expect("a thread");
        }
        rest(500_000);
    });
    let said = said.lock().expect("nobody panicked");
    assert_eq!(said.len(), 20, "{said:?}");
    let refused = Err(Error::Refused(Errno::NoMem));
    assert!(
        said.iter().all(|it| *it == Ok(()) || *it == refused),
        "{said:?}"
    );
    assert!(said.iter().filter(|it| it.is_ok()).count() >= 8, "{said:?}");
}

/// An object that was handed over lives on when somebody else does not wait for his page.
#[test]
fn a_lost_answer_ends_nothing_of_others() {
    let first = boot(|| {
        start_server();
        let mem = factory(0, 0);
        let old = dataspace(mem, 2);
        show(old);
        for round in 0..40 {
            let made = dataspace(mem, 3);
            // A request for a page that is there, by somebody who does not wait for it.
            let tag = l4re_rs::msg::Writer::new(UtcbRef::current())
                .u32(0)
                .u64(0)
                .u64(0)
                .u64(6)
                .finish(proto::DATASPACE)
                .expect("it fits");
            let times = Timeouts::new(Timeout::NEVER, Timeout::ZERO);
            // SAFETY: nothing is received.
            let _ = unsafe { syscall::invoke(old.idx(), syscall::CALL, 0, tag, times) };
            rest(500);
            if made.info().is_err() {
                return Some(round);
            }
            Cap::<kind::Task>::new(CapIdx::TASK)
                .release(made)
                .expect("it was there");
            rest(500);
        }
        None
    });
    assert_eq!(first, None, "the dataspace of that round is gone");
}

/// A capability comes with the message right after one that was answered by a short way with an unmap: the
/// receive buffers are there.
#[test]
fn capabilities_are_received_after_a_short_way() {
    let said = boot(|| {
        start_server();
        let mem = factory(0, 0);
        let (from, to) = (dataspace(mem, 2), dataspace(mem, 3));
        let mut said = Vec::new();
        for _ in 0..4 {
            show(from);
            // SAFETY: simulated memory, in which Rust has nothing.
            unsafe {
                said.push(from.clear(0, 4096));
                said.push(to.copy_in(0, from, 0, 4096));
            }
        }
        said
    });
    assert!(said.iter().all(Result::is_ok), "{said:?}");
}
