//! The whole server, with its threads, in a modelled kernel: dataspaces of one thread that another one reads.

use std::sync::{Arc, Mutex};

use fiasco_model::{Machine, Model, Options, kit, user};
use l4_sys::{CapIdx, CapRights, Errno, Fpage, MemRights, Timeout, Timeouts, proto, syscall};
use l4re_rs::cap::kind;
use l4re_rs::varg::Arg;
use l4re_rs::{Cap, Error};
use percore_pager::server::shell::place::Places;
use percore_pager::server::shell::{Start, run};

/// Slots of the root task.
const SERVICE: CapIdx = CapIdx::from_slot(0x20);
const SIGMA0: CapIdx = CapIdx::from_slot(0x21);
const SERVER: CapIdx = CapIdx::from_slot(0x22);
const SLOW: CapIdx = CapIdx::from_slot(0x30);
const THREADS: u64 = 0x40;
const OBJECTS: u64 = 0x50;
/// Addresses of the root task.
const UTCBS: u64 = 0x20_0000_0000;
const PAGE: u64 = 0x10_0000_0000;
const SECRET: u64 = 0x7777_7777_7777_7777;
const MINE: u64 = 0x1111_1111_1111_1111;

type Said = Arc<Mutex<Vec<Result<(), Error>>>>;

fn ds(n: u64) -> Cap<kind::Dataspace> {
    Cap::new(CapIdx::from_slot(OBJECTS + n))
}

fn sigma0(kip: u64) {
    let storage = Box::leak(Box::new(sigma0_rs::Storage::new()));
    // SAFETY: this is the first thread of the model's sigma0 task, which has all memory at its physical
    // address, and the model put the kernel information page at `kip`.
    unsafe { sigma0_rs::run(kip, storage) }
}

/// Starts the server, as a loader would.
fn start_server() {
    let gate = kit::create(CapIdx::FACTORY, SERVICE, &[proto::KOBJECT as u64], &[]);
    kit::check(gate).expect("a gate");
    let root = Cap::<kind::Sigma0>::new(CapIdx::PAGER);
    root.new_client(Cap::new(SIGMA0)).expect("a client");
    let program = kit::Program {
        slot: SERVER,
        cpu: 0,
        prio: 128,
        pager: Some(SIGMA0),
    };
    let (service, client, first) = (0x20, 0x21, 0x40);
    let caps = [(SIGMA0, CapIdx::from_slot(client), CapRights::RWSD)];
    let begin = move || {
        let start = Start {
            service: Cap::new(CapIdx::from_slot(service)),
            sigma0: Some(Cap::new(CapIdx::from_slot(client))),
            mem: None,
            rm: None,
            factory: Cap::new(CapIdx::FACTORY),
            scheduler: Cap::new(CapIdx::SCHEDULER),
            task: Cap::new(CapIdx::TASK),
            thread: Cap::new(CapIdx::THREAD),
            log: Cap::new(CapIdx::LOG),
            handler: CapIdx::PAGER,
            first_slot: CapIdx::from_slot(first),
            first_reply: 1,
            places: Places::KERNEL,
            kip: None,
        };
        let refusal = run(&start, [&b"--cores=2"[..], b"--memory=32M"].into_iter());
        panic!("{:?}", refusal.map(|_| ()));
    };
    program.start(&caps, begin).expect("a program");
    let given = kit::give_to_server(SERVER, SERVICE, CapIdx::from_slot(service));
    kit::check(given).expect("the gate");
}

/// A factory of the thread of a CPU.
fn factory(cpu: u8, n: u64) -> Cap<kind::Factory> {
    let slot = Cap::new(CapIdx::from_slot(OBJECTS + n));
    let text = [b'c', b'o', b'r', b'e', b'=', b'0' + cpu, 0];
    let service = Cap::<kind::Factory>::new(SERVICE);
    let args = [Arg::Int(1 << 20), Arg::Bytes(&text)];
    service
        .create(proto::FACTORY, &args, slot)
        .expect("a factory");
    slot
}

fn dataspace(of: Cap<kind::Factory>, n: u64) -> Cap<kind::Dataspace> {
    of.create(proto::DATASPACE, &[Arg::Int(4096)], ds(n))
        .expect("a dataspace");
    ds(n)
}

/// Maps a dataspace at [`PAGE`].
fn show(it: Cap<kind::Dataspace>) {
    let page = Fpage::mem(PAGE, 12, MemRights::RW);
    // SAFETY: simulated memory, in which Rust has nothing.
    unsafe { it.map(0, 0, 6, page) }.expect("mapped");
}

fn rest(us: u64) {
    let times = Timeouts::new(Timeout::NEVER, Timeout::from_us(us));
    let _ = kit::invoke(CapIdx::INVALID, syscall::RECV, 0, &[], &[], times);
}

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
    kit::check(kit::run_on(CapIdx::THREAD, 0, 150)).expect("a priority");
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

fn boot(delete: bool) -> (Vec<Result<(), Error>>, u64) {
    let said = Said::default();
    let found = Arc::new(Mutex::new(None));
    let mut model = Model::new(&Options::new(Machine::uniform(1, 2, 256))).expect("a machine");
    let (s, f) = (said.clone(), found.clone());
    model.boot(sigma0, move |_| {
        let there = copy_while_the_source_ends(delete, &s);
        *f.lock().expect("nobody panicked") = Some(there);
        user::stop();
        kit::sleep();
    });
    let end = model.run(5_000_000);
    let found = *found.lock().expect("nobody panicked");
    let found = found.unwrap_or_else(|| panic!("{end:?}; the log says:\n{}", model.log()));
    assert!(model.violations().is_empty(), "{:?}", model.violations());
    let said = said.lock().expect("nobody panicked").clone();
    (said, found)
}

/// The copy ends with an error; nobody else's memory is in it.
#[test]
fn a_source_that_is_deleted_is_not_another_clients() {
    let (said, there) = boot(true);
    assert_eq!(there, 0);
    assert!(
        said.contains(&Err(Error::Refused(Errno::Inval))),
        "{said:?}"
    );
}

/// The copy holds its source.
#[test]
fn a_source_that_is_dropped_stays_until_it_is_copied() {
    let (said, there) = boot(false);
    assert_eq!(there, MINE);
    assert!(said.contains(&Ok(())), "{said:?}");
}
