//! Long work of the whole server in a modelled kernel, beside other clients of the same CPU.

mod shell_support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use fiasco_model::kit;
use l4_sys::CapIdx;
use l4re_rs::Cap;
use l4re_rs::cap::kind;
use l4re_rs::varg::Arg;
use shell_support::{OBJECTS, SERVICE, THREADS, UTCBS, boot, dataspace, ds, rest, start_server};

/// Bytes of the request that takes long: more turns than are done in a row.
const LARGE: u64 = 12 << 20;

/// A factory without a quota on CPU 0.
fn factory(n: u64) -> Cap<kind::Factory> {
    let slot = Cap::new(CapIdx::from_slot(OBJECTS + n));
    let service = Cap::<kind::Factory>::new(SERVICE);
    let args = [Arg::Bytes(b"core=0\0")];
    let made = service.create(l4_sys::proto::FACTORY, &args, slot);
    made.expect("a factory");
    slot
}

/// What a client of CPU 0 and this priority had answered while another one's request took long, and whether
/// that came to its end.
fn served_beside(prio: u64) -> (u64, bool) {
    boot(move || {
        start_server();
        let mem = factory(0);
        let small = dataspace(mem, 1);
        let size = [Arg::Int(LARGE as i64)];
        mem.create(l4_sys::proto::DATASPACE, &size, ds(2))
            .expect("a dataspace");
        let began = Arc::new(AtomicBool::new(false));
        let done = Arc::new(AtomicBool::new(false));
        let served = Arc::new(AtomicU64::new(0));
        let (b, d, s) = (began.clone(), done.clone(), served.clone());
        let other = move || {
            while !d.load(Ordering::SeqCst) {
                small.info().expect("answered");
                if b.load(Ordering::SeqCst) && !d.load(Ordering::SeqCst) {
                    s.fetch_add(1, Ordering::SeqCst);
                }
                if s.load(Ordering::SeqCst) > 20 {
                    // Not for ever: a model has no time slices.
                    rest(1_000);
                }
            }
            kit::sleep();
        };
        let d = done.clone();
        let long = move || {
            began.store(true, Ordering::SeqCst);
            ds(2).allocate(0, LARGE).expect("memory");
            d.store(true, Ordering::SeqCst);
            kit::sleep();
        };
        let slot = |n| CapIdx::from_slot(THREADS + n);
        kit::start_thread(slot(0), UTCBS, (0, 2), long).expect("a thread");
        kit::start_thread(slot(1), UTCBS + 4096, (0, prio), other).expect("a thread");
        for _ in 0..200 {
            rest(10_000);
            if done.load(Ordering::SeqCst) {
                break;
            }
        }
        (served.load(Ordering::SeqCst), done.load(Ordering::SeqCst))
    })
}

#[test]
fn clients_of_the_same_cpu_are_served_during_long_work() {
    let (served, done) = served_beside(2);
    assert!(done, "the long request was answered");
    assert!(served > 10, "{served} requests");
}

/// Somebody who runs before the working thread and never rests: the long request comes to its end.
#[test]
fn who_never_rests_does_not_hold_up_long_work() {
    let done = boot(|| {
        start_server();
        let mem = factory(0);
        let size = [Arg::Int(LARGE as i64)];
        mem.create(l4_sys::proto::DATASPACE, &size, ds(2))
            .expect("a dataspace");
        let done = Arc::new(AtomicBool::new(false));
        let (d, e) = (done.clone(), done.clone());
        let hog = move || {
            let task = Cap::<kind::Task>::new(CapIdx::TASK);
            while !e.load(Ordering::SeqCst) {
                assert!(task.is_valid(ds(2)));
            }
            kit::sleep();
        };
        let long = move || {
            ds(2).allocate(0, LARGE).expect("memory");
            d.store(true, Ordering::SeqCst);
            kit::sleep();
        };
        let slot = |n| CapIdx::from_slot(THREADS + n);
        kit::start_thread(slot(0), UTCBS, (0, 60), long).expect("a thread");
        kit::start_thread(slot(1), UTCBS + 4096, (0, 50), hog).expect("a thread");
        for _ in 0..200 {
            rest(10_000);
            if done.load(Ordering::SeqCst) {
                return true;
            }
        }
        false
    });
    assert!(done, "the long request was answered");
}
