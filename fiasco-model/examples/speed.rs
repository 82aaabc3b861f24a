//! How many modelled IPCs a second the host does: a client and a server, calling, on one CPU and
//! on two. `cargo run --release -p fiasco-model --example speed`

use std::time::Instant;

use fiasco_model::{Machine, Model, Options, kit};
use l4_sys::{CapIdx, CapRights};

const CALLS: u64 = 2_000_000;
const GATE: CapIdx = CapIdx::from_slot(0x20);

fn rate(cpu: u32, cores: u32) -> f64 {
    let mut m =
        Model::new(&Options::new(Machine::uniform(1, cores, 128))).expect("a small machine");
    m.boot(kit_sleep, move |_| {
        kit::create_gate(GATE, CapIdx::THREAD, 0x40);
        let p = kit::Program {
            slot: CapIdx::from_slot(0x30),
            cpu,
            prio: 2,
            pager: None,
        };
        p.start(&[(GATE, GATE, CapRights::RWS)], || {
            for _ in 0..CALLS {
                kit::call(GATE, 1, &[1, 2], &[]);
            }
        })
        .expect("the client starts");
        let _ = kit::wait();
        loop {
            let _ = kit::reply_and_wait(0, &[3], &[]);
        }
    });
    let start = Instant::now();
    m.run(u64::MAX);
    let t = m.totals();
    let ipcs = t.ipc_local + t.ipc_remote;
    assert_eq!(ipcs, 2 * CALLS, "one message each way");
    ipcs as f64 / start.elapsed().as_secs_f64()
}

fn kit_sleep(_: u64) {
    kit::sleep();
}

fn main() {
    println!(
        "same CPU:         {:.2} million modelled IPCs a second",
        rate(0, 1) / 1e6
    );
    println!("two CPUs:         {:.2} million", rate(1, 2) / 1e6);
    println!("two CPUs of 1024: {:.2} million", rate(1, 1024) / 1e6);
}
