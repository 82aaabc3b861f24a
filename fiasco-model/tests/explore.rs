//! Random schedules with hostile and dying clients, against the project's root pager.
//!
//! `PERCORE_SEED=n cargo test -p fiasco-model --test explore` runs that seed alone.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use fiasco_model::{
    Costs, End, Machine, Misuse, Model, Options, Order, explore, hostile, kit, user,
};
use l4_sys::ops::sigma0;
use l4_sys::{CapIdx, CapRights, Fpage, MemRights, proto};

const SEEDS: u64 = 4000;
const CLIENTS: u64 = 3;
/// Runs in which the mortal client died: the test must not pass because nobody does.
static DEATHS: AtomicU64 = AtomicU64::new(0);

/// What a correct client does and expects; counts each good end.
fn good(done: &AtomicU32, at: u64) {
    let block = Fpage::mem(at, 21, MemRights::empty());
    kit::receive_memory(Fpage::whole_space());
    let t = kit::call(CapIdx::PAGER, proto::SIGMA0, &[sigma0::RAM, block.0], &[]);
    if t.label() == 0 && t.items() == 1 {
        user::write_u64(at + 8, at);
        // A page that was not asked for comes by fault.
        user::write_u64(at + (4 << 20), 1);
        if user::read_u64(at + 8) == at {
            done.fetch_add(1, Ordering::SeqCst);
        }
    }
}

fn run(seed: u64) -> Result<(), String> {
    let machine = Machine::uniform(2, 2, 128);
    let fail_alloc = seed.is_multiple_of(3).then_some(30 + seed % 200);
    let o = Options {
        costs: Costs::unit(),
        order: Order::Random,
        seed,
        fail_alloc,
        ..Options::new(machine)
    };
    let mut m = Model::new(&o).map_err(|e| e.to_string())?;
    let done = Arc::new(AtomicU32::new(0));
    let d = done.clone();
    let server = |kip| {
        let storage = Box::leak(Box::new(sigma0_rs::Storage::new()));
        // SAFETY: this is the first thread of the model's sigma0 task, which has all memory.
        unsafe { sigma0_rs::run(kip, storage) }
    };
    m.boot(server, move |_| {
        for i in 0..=CLIENTS {
            let slot = CapIdx::from_slot(0x100 + i * 8);
            let gate = slot.offset(4);
            kit::receive_cap(gate);
            let t = kit::call(CapIdx::PAGER, proto::FACTORY, &[proto::SIGMA0 as u64], &[]);
            if kit::check(t).is_err() {
                continue;
            }
            let p = kit::Program {
                slot,
                cpu: (i % 4) as u32,
                prio: 2 + i % 2,
                pager: Some(gate),
            };
            let d = d.clone();
            let caps = [(gate, CapIdx::from_slot(0x40), CapRights::RWS)];
            let _ = p.start(&caps, move || {
                if i == 0 {
                    good(&d, 0x100_0000);
                } else {
                    user::mortal(if i == 1 { 20_000 } else { 0 });
                    hostile::garbage(seed * 10 + i, CapIdx::from_slot(0x40), 40);
                }
            });
        }
    });
    match m.run(200_000) {
        End::Quiet => {}
        end => return Err(format!("{end:?} after {} steps", m.steps())),
    }
    m.check()?;
    if fail_alloc.is_none() && m.objects("task").len() < 2 + 1 + CLIENTS as usize {
        DEATHS.fetch_add(1, Ordering::SeqCst);
    }
    // Clients may fault wildly; the server may do none of this.
    let bad = |v: &&fiasco_model::Violation| {
        matches!(v.misuse, Misuse::RepliedTwice | Misuse::NoEntry { .. })
            || (v.name == "sigma0" && !matches!(v.misuse, Misuse::CapabilityLeak { .. }))
    };
    if let Some(v) = m.violations().iter().find(bad) {
        return Err(v.to_string());
    }
    if fail_alloc.is_none() && done.load(Ordering::SeqCst) != 1 {
        return Err(format!("the good client was not served; log:\n{}", m.log()));
    }
    Ok(())
}

#[test]
fn the_root_pager_survives_every_schedule_and_client() {
    let only = std::env::var("PERCORE_SEED")
        .ok()
        .and_then(|s| s.parse().ok());
    let result = match only {
        Some(seed) => run(seed).map_err(|e| format!("seed {seed}: {e}")),
        None => explore::seeds(1, SEEDS, run).and_then(|()| {
            let deaths = DEATHS.load(Ordering::SeqCst);
            println!("{SEEDS} seeds, {deaths} deaths");
            let enough = deaths > SEEDS / 10;
            enough
                .then_some(())
                .ok_or(format!("only {deaths} clients died"))
        }),
    };
    if let Err(e) = result {
        panic!("{e}\nreplay with PERCORE_SEED set to that seed");
    }
}

#[test]
fn a_seed_replays_bit_for_bit() {
    let trace = |seed| {
        let o = Options {
            order: Order::Random,
            seed,
            ..Options::new(Machine::uniform(1, 2, 128))
        };
        let mut m = Model::new(&o).unwrap();
        m.boot(
            |_| loop {
                let _ = kit::wait();
            },
            move |_| {
                for i in 0..4 {
                    let slot = CapIdx::from_slot(0x100 + i * 8);
                    let p = kit::Program {
                        slot,
                        cpu: (i % 2) as u32,
                        prio: 2,
                        pager: None,
                    };
                    p.start(&[], move || hostile::garbage(seed + i, CapIdx::LOG, 20))
                        .unwrap();
                }
            },
        );
        m.run(50_000);
        (m.events(), m.totals(), m.log())
    };
    assert!(trace(5) == trace(5));
    assert!(trace(5) != trace(6));
}
