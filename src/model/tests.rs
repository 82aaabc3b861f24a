//! The main job's parts: scripts, exact counts, same seed same result.

use std::path::PathBuf;

use fiasco_model::{Costs, Machine, Options};

use super::pager::Policy;
use super::plan::Layout;
use super::point::{Series, measure};
use super::script;

fn scripts() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("ned-scripts")
}

fn series(policy: Policy) -> Series {
    Series {
        machine: Machine::opteron(256),
        costs: Costs::opteron(),
        policy,
        seed: 7,
        pages: 200,
    }
}

fn run_text(text: &str) -> Result<super::plan::Plan, String> {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("x.cfg");
    std::fs::copy(
        scripts().join("percore.lua"),
        dir.path().join("percore.lua"),
    )
    .unwrap();
    std::fs::write(&file, text).unwrap();
    script::run(&file, 4, 100).map_err(|e| e.to_string())
}

#[test]
fn every_layout_has_a_script_that_says_what_it_should() {
    for layout in Layout::ALL {
        let file = scripts().join(format!("paper-{}.cfg", layout.name()));
        let plan = script::run(&file, 6, 321).unwrap();
        assert_eq!((plan.layout, plan.programs.len()), (layout, 6));
        for (i, p) in plan.programs.iter().enumerate() {
            assert_eq!((p.core, p.memory_of), (i as u32, Some(i as u32)));
            assert_eq!(
                (p.name.as_str(), p.args[0].as_str()),
                ("rom/page-bench", "321")
            );
        }
    }
}

#[test]
fn what_the_model_lacks_is_said_with_file_and_line() {
    let e = run_text("local L4 = require(\"L4\")\n\nL4.server_loop()").unwrap_err();
    assert!(
        e.contains("x.cfg:3") && e.contains("ned has it, the model has not"),
        "{e}"
    );
    let e = run_text("local L4 = require(\"L4\")\nL4.frobnicate()").unwrap_err();
    assert!(e.contains("neither ned nor the model"), "{e}");
    let e = run_text("require(\"nothing\")").unwrap_err();
    assert!(e.contains("nothing.lua"), "{e}");
    let e = run_text("x = = 1").unwrap_err();
    assert!(e.contains("x.cfg:1"), "{e}");
    let e = run_text("local x = 1").unwrap_err();
    assert!(e.contains("rom/percore-pager"), "{e}");
}

#[test]
fn mem_and_region_map_of_different_pagers_are_refused() {
    let e = run_text(
        "local L4 = require(\"L4\")\nlocal p = require(\"percore\").pagers(\"core\", 4)\n\
         local a = p:create(L4.Proto.Factory, \"core=0\")\n\
         local b = p:create(L4.Proto.Factory, \"core=1\")\n\
         L4.Loader.new({ mem = a, rm_fab = b })",
    )
    .unwrap_err();
    assert!(e.contains("same pager's factory"), "{e}");
}

#[test]
fn counts_a_page_are_those_of_the_kernel() {
    let s = series(Policy::Bitmap);
    let plan = |layout: Layout, cores| {
        let file = scripts().join(format!("paper-{}.cfg", layout.name()));
        script::run(&file, cores, s.pages).unwrap()
    };
    let p = measure(&s, &plan(Layout::Core, 8)).unwrap();
    let n = 8 * u64::from(s.pages);
    let c = p.alloc_counts;
    assert_eq!(
        (c.faults, c.maps, c.ipc_local, c.ipc_remote, c.ipis),
        (n, n, 2 * n, 0, 0)
    );
    let c = p.free_counts;
    assert_eq!(
        (
            c.unmaps,
            c.unmap_calls,
            c.flush_local,
            c.flush_remote,
            c.ipis
        ),
        (n, n, n, 0, 0)
    );
    assert_eq!(p.pages_left, 0);
    // Central: seven of eight cores are remote. A fault costs 5 interrupts there, one more when the
    // message waits in the pager's queue, fewer where one interrupt carries two requests.
    let p = measure(&s, &plan(Layout::Central, 8)).unwrap();
    let (c, remote) = (p.alloc_counts, 7 * u64::from(s.pages));
    assert_eq!(
        (c.ipc_remote, c.ipc_local),
        (2 * remote, 2 * u64::from(s.pages))
    );
    assert!((3 * remote..=6 * remote).contains(&c.ipis), "{c:?}");
    assert_eq!(p.free_counts.flush_remote, remote);
}

#[test]
fn the_same_seed_gives_the_same_run_and_every_policy_works() {
    let file = scripts().join("paper-node.cfg");
    for policy in [
        Policy::Bitmap,
        Policy::Buddy,
        Policy::Avl,
        Policy::Slab,
        Policy::Cache,
    ] {
        let s = series(policy);
        let plan = script::run(&file, 13, s.pages).unwrap();
        let a = measure(&s, &plan).unwrap();
        assert_eq!(a, measure(&s, &plan).unwrap());
        assert_eq!(a.pages_left, 0);
    }
}

#[test]
fn real_threads_serve_the_same_pages() {
    let s = series(Policy::Cache);
    for layout in Layout::ALL {
        let file = scripts().join(format!("paper-{}.cfg", layout.name()));
        let plan = script::run(&file, 8, s.pages).unwrap();
        let (alloc, free) = super::point::race(&s, &plan).unwrap();
        let n = 8 * u64::from(s.pages);
        assert_eq!(
            (alloc.faults, alloc.maps, free.unmaps),
            (n, n, n),
            "{layout:?}"
        );
    }
}

#[test]
fn too_little_memory_is_said() {
    let s = Series {
        machine: Machine::uniform(1, 2, 64),
        pages: 10_000,
        ..series(Policy::Bitmap)
    };
    let plan = script::run(&scripts().join("paper-core.cfg"), 2, s.pages).unwrap();
    let e = measure(&s, &plan).unwrap_err().to_string();
    assert!(e.contains("expected enough memory"), "{e}");
}

#[test]
fn a_message_to_another_core_costs_what_the_paper_says() {
    // The paper: 10 to 20 times one that stays on its core. Here: a core of another node.
    let time = |cpu: u32| {
        use fiasco_model::{Model, kit, user};
        use l4_sys::{CapIdx, CapRights, Timeout, Timeouts, syscall};
        let gate = CapIdx::from_slot(0x20);
        let got = std::sync::Arc::new(std::sync::Mutex::new(0));
        let g = got.clone();
        let mut m = Model::new(&Options::new(Machine::uniform(2, 1, 128))).unwrap();
        m.boot(
            |_| kit::sleep(),
            move |_| {
                kit::create_gate(gate, CapIdx::THREAD, 0x40);
                let slot = CapIdx::from_slot(0x30);
                let p = kit::Program {
                    slot,
                    cpu,
                    prio: 2,
                    pager: None,
                };
                p.start(&[(gate, gate, CapRights::RWS)], move || {
                    // The receiver waits by then.
                    let pause = Timeouts::new(Timeout::NEVER, Timeout::from_us(1000));
                    let _ = kit::invoke(CapIdx::INVALID, syscall::RECV, 0, &[], &[], pause);
                    let start = user::now();
                    let never = Timeouts::NEVER;
                    let _ = kit::invoke(gate, syscall::SEND, 1, &[], &[], never);
                    *g.lock().unwrap() = user::now() - start;
                })
                .unwrap();
                let _ = kit::wait();
            },
        );
        m.run(10_000);
        let time: u64 = *got.lock().unwrap();
        time
    };
    let (near, far) = (time(0) as f64, time(1) as f64);
    assert!((12.0..=14.0).contains(&(far / near)), "{near} {far}");
}
