//! A root task of a modelled kernel that starts the whole server, and what it asks it for.

#![allow(dead_code)] // Each test program uses a part of it.

use fiasco_model::{Machine, Model, Options, kit, user};
use l4_sys::{CapIdx, CapRights, Fpage, MemRights, Timeout, Timeouts, proto, syscall};
use l4re_rs::Cap;
use l4re_rs::cap::kind;
use l4re_rs::varg::Arg;
use percore_pager::server::shell::{Start, run};

/// Slots of the root task.
pub const SERVICE: CapIdx = CapIdx::from_slot(0x20);
pub const SIGMA0: CapIdx = CapIdx::from_slot(0x21);
pub const SERVER: CapIdx = CapIdx::from_slot(0x22);
pub const THREADS: u64 = 0x40;
pub const OBJECTS: u64 = 0x50;
/// Addresses of the root task.
pub const UTCBS: u64 = 0x20_0000_0000;
pub const PAGE: u64 = 0x10_0000_0000;

/// The capability that [`dataspace`] number `n` is in.
pub fn ds(n: u64) -> Cap<kind::Dataspace> {
    Cap::new(CapIdx::from_slot(OBJECTS + n))
}

fn sigma0(kip: u64) {
    let storage = Box::leak(Box::new(sigma0_rs::Storage::new()));
    // SAFETY: this is the first thread of the model's sigma0 task, which has all memory at its physical
    // address, and the model put the kernel information page at `kip`.
    unsafe { sigma0_rs::run(kip, storage) }
}

/// Starts the server, as a loader would.
pub fn start_server() {
    kit::check(kit::run_on(CapIdx::THREAD, 0, 150)).expect("a priority");
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
    let [service, client, first] = [0x20, 0x21, 0x40].map(CapIdx::from_slot);
    let caps = [(SIGMA0, client, CapRights::RWSD)];
    let begin = move || {
        let start = Start::on_sigma0(service, client, first, 1);
        let refusal = run(&start, [&b"--cores=2"[..], b"--memory=32M"].into_iter());
        panic!("{:?}", refusal.map(|_| ()));
    };
    program.start(&caps, begin).expect("a program");
    let given = kit::give_to_server(SERVER, SERVICE, service);
    kit::check(given).expect("the gate");
}

/// A factory of the thread of a CPU.
pub fn factory(cpu: u8, n: u64) -> Cap<kind::Factory> {
    let slot = Cap::new(CapIdx::from_slot(OBJECTS + n));
    let text = [b'c', b'o', b'r', b'e', b'=', b'0' + cpu, 0];
    let service = Cap::<kind::Factory>::new(SERVICE);
    let args = [Arg::Int(1 << 20), Arg::Bytes(&text)];
    service
        .create(proto::FACTORY, &args, slot)
        .expect("a factory");
    slot
}

pub fn dataspace(of: Cap<kind::Factory>, n: u64) -> Cap<kind::Dataspace> {
    of.create(proto::DATASPACE, &[Arg::Int(4096)], ds(n))
        .expect("a dataspace");
    ds(n)
}

/// Maps a dataspace at [`PAGE`].
pub fn show(it: Cap<kind::Dataspace>) {
    let page = Fpage::mem(PAGE, 12, MemRights::RW);
    // SAFETY: simulated memory, in which Rust has nothing.
    unsafe { it.map(0, 0, 6, page) }.expect("mapped");
}

pub fn rest(us: u64) {
    let times = Timeouts::new(Timeout::NEVER, Timeout::from_us(us));
    let _ = kit::invoke(CapIdx::INVALID, syscall::RECV, 0, &[], &[], times);
}

/// Runs a root task on two CPUs to its end; what it gives.
pub fn boot<T: Send + Clone + 'static>(root: impl FnOnce() -> T + Send + 'static) -> T {
    let found = std::sync::Arc::new(std::sync::Mutex::new(None));
    let mut model = Model::new(&Options::new(Machine::uniform(1, 2, 256))).expect("a machine");
    let f = found.clone();
    model.boot(sigma0, move |_| {
        let there = root();
        *f.lock().expect("nobody panicked") = Some(there);
        user::stop();
        kit::sleep();
    });
    let end = model.run(5_000_000);
    let found = found.lock().expect("nobody panicked").clone();
    let found = found.unwrap_or_else(|| panic!("{end:?}; the log says:\n{}", model.log()));
    assert!(model.violations().is_empty(), "{:?}", model.violations());
    found
}
