//! The whole server, with its threads, in a modelled kernel: dataspaces of one thread that another one reads.

mod shell_support;

use std::sync::{Arc, Mutex};

use fiasco_model::{kit, user};
use l4_sys::{CapIdx, Errno};
use l4re_rs::cap::kind;
use l4re_rs::{Cap, Error};
use shell_support::{PAGE, THREADS, UTCBS, boot, dataspace, factory, rest, show, start_server};

const SLOW: CapIdx = CapIdx::from_slot(0x30);
const SECRET: u64 = 0x7777_7777_7777_7777;
const MINE: u64 = 0x1111_1111_1111_1111;

type Said = Arc<Mutex<Vec<Result<(), Error>>>>;

/// A thread of the root task that copies a page into a dataspace and writes down what came of it.
fn copier(n: u64, to: Cap<kind::Dataspace>, from: Cap<kind::Dataspace>, said: &Said) {
    let said = said.clone();
    let slot = CapIdx::from_slot(THREADS + n);
    let copy = move || {
        // SAFETY: nothing in the dataspace is Rust's.
        let done = unsafe { to.copy_in(0, from, 0, 4096) };
        said.lock().expect("nobody panicked").push(done);
        kit::sleep();
    };
    kit::start_thread(slot, UTCBS + n * 4096, (0, 2), copy).expect("a thread");
}

/// A copy from another thread's dataspace waits behind a server that does not answer. Meanwhile its source
/// ends, `delete`d or dropped, and its thread makes another client's object. What did the copy give, and
/// what is there afterwards?
fn copy_while_the_source_ends(delete: bool, said: &Said) -> u64 {
    start_server();
    let (here, there) = (factory(0, 0), factory(1, 1));
    let (first, second) = (dataspace(here, 2), dataspace(here, 3));
    let source = dataspace(there, 4);
    show(source);
    user::write_u64(PAGE, MINE);
    kit::check(kit::create_gate(SLOW, CapIdx::THREAD, 0x1000)).expect("a gate");
    copier(0, first, Cap::new(SLOW), said);
    // The question about the slow server's dataspace: no answer for now.
    let (tag, label) = kit::wait_in(9);
    assert!(!tag.has_error() && label & !3 == 0x1000, "{tag:?}");
    copier(1, second, source, said);
    rest(2_000);
    let task = Cap::<kind::Task>::new(CapIdx::TASK);
    let gone = if delete {
        task.delete(source)
    } else {
        task.release(source)
    };
    gone.expect("it was there");
    rest(20_000);
    let secret = dataspace(there, 5);
    show(secret);
    user::write_u64(PAGE, SECRET);
    assert!(said.lock().expect("nobody panicked").is_empty());
    // It is empty, says the slow server at last.
    kit::check(kit::reply_in(9, 0, &[0, 0], &[])).expect("somebody waits");
    for _ in 0..100 {
        rest(10_000);
        if said.lock().expect("nobody panicked").len() == 2 {
            break;
        }
    }
    show(second);
    user::read_u64(PAGE)
}

fn copied(delete: bool) -> (Vec<Result<(), Error>>, u64) {
    let said = Said::default();
    let s = said.clone();
    let there = boot(move || copy_while_the_source_ends(delete, &s));
    let said = said.lock().expect("nobody panicked").clone();
    (said, there)
}

/// The copy ends with an error; nobody else's memory is in it.
#[test]
fn a_source_that_is_deleted_is_not_another_clients() {
    let (said, there) = copied(true);
    assert_eq!(there, 0);
    assert!(
        said.contains(&Err(Error::Refused(Errno::Inval))),
        "{said:?}"
    );
}

/// The copy holds its source.
#[test]
fn a_source_that_is_dropped_stays_until_it_is_copied() {
    let (said, there) = copied(false);
    assert_eq!(there, MINE);
    assert!(said.contains(&Ok(())), "{said:?}");
}
