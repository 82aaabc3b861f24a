//! The main job's parts: scripts, exact counts, same seed same result.

use std::path::PathBuf;

use fiasco_model::{Costs, Machine, Options};

use super::bench::Mode;
use super::plan::{Factory, Layout, Plan, Policy};
use super::point::{Series, measure, race};
use super::script;

fn scripts() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("ned-scripts")
}

fn series() -> Series {
    Series {
        machine: Machine::opteron(256),
        costs: Costs::opteron(),
        seed: 7,
        pages: 200,
        modes: Mode::ALL.to_vec(),
    }
}

fn plan_of(layout: Layout, cores: u32) -> Plan {
    let file = scripts().join(format!("paper-{}.cfg", layout.name()));
    script::run(&file, cores, series().pages).unwrap()
}

fn run_text(text: &str) -> Result<Plan, String> {
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
        assert_eq!((plan.layout(), plan.programs.len()), (layout, 6));
        assert!(plan.server.contains(&"--cores=6".to_owned()));
        for (i, p) in plan.programs.iter().enumerate() {
            assert_eq!((p.core, p.memory), (i as u32, Some(i)));
            assert_eq!(
                (p.name.as_str(), p.args[0].as_str()),
                ("rom/page-bench", "321")
            );
            let place = format!("core={i}");
            assert_eq!(plan.factories[i], Factory { quota: None, place });
        }
    }
}

#[test]
fn factories_and_schedulers_are_what_the_script_says() {
    let plan = run_text(
        "local percore = require(\"percore\")\n\
         local p = percore.pagers(\"node\", 64)\n\
         percore.start(p, { cpus = { 66, 67 }, memory = \"node=1\" }, {}, \"rom/x a b\", 4096)\n\
         percore.spread(p, { \"rom/y\", \"rom/z\" }, { 63 })",
    )
    .unwrap();
    let at: Vec<_> = plan.programs.iter().map(|p| (p.core, p.memory)).collect();
    assert_eq!(at, [(66, Some(0)), (63, Some(1)), (63, Some(2))]);
    let place = "node=1".to_owned();
    let quota = Some(4096);
    assert_eq!(plan.factories[0], Factory { quota, place });
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

/// What percore.lua does by a program that the model has not says so, with the script's line.
#[test]
fn figures_and_live_changes_are_the_kernels() {
    for call in [
        "percore.statistics(p)",
        "percore.used(p)",
        "percore.policy(p, 1, \"avl\")",
        "percore.factory(p, 1, nil, true)",
    ] {
        let script = format!(
            "local percore = require(\"percore\")\nlocal p = percore.pagers(\"core\", 4)\n{call}"
        );
        let e = run_text(&script).unwrap_err();
        assert!(
            e.contains("rom/percore-top --") && e.contains("on the kernel only"),
            "{call}: {e}"
        );
    }
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
fn a_wrong_command_line_of_the_server_is_refused_with_its_words() {
    let e = run_text("require(\"percore\").pagers(\"core\", \"0-x\")").unwrap_err();
    assert!(
        e.contains("--cores=0-x") && e.contains("a number, or a list"),
        "{e}"
    );
}

#[test]
fn counts_a_page_are_those_of_the_kernel() {
    let s = series();
    let p = measure(&s, &plan_of(Layout::Core, 8)).unwrap();
    let n = 8 * u64::from(s.pages);
    let single = p.mode(Mode::Single).unwrap();
    let c = single.alloc_counts;
    assert_eq!((c.faults, c.maps, c.ipc_remote, c.ipis), (n, n, 0, 0));
    // Two for each fault; now and then one for the pager's idle thread.
    assert!((2 * n..=2 * n + n / 8).contains(&c.ipc_local), "{c:?}");
    let c = single.free_counts;
    assert_eq!((c.unmaps, c.flush_local), (n, n));
    assert_eq!((c.ipc_remote, c.flush_remote, c.ipis), (0, 0, 0));
    let runs = p.mode(Mode::Runs).unwrap();
    assert!(runs.alloc_counts.faults * 8 < n, "{:?}", runs.alloc_counts);
    assert_eq!(runs.free_counts.unmaps, n);
    // Central: seven of eight cores are remote. A fault costs 5 interrupts there, one more when the
    // message waits in the pager's queue, fewer where one interrupt carries two requests.
    let p = measure(&s, &plan_of(Layout::Central, 8)).unwrap();
    let single = p.mode(Mode::Single).unwrap();
    let (c, remote) = (single.alloc_counts, 7 * u64::from(s.pages));
    assert_eq!((c.faults, c.ipc_remote), (n, 2 * remote));
    assert!((3 * remote..=6 * remote).contains(&c.ipis), "{c:?}");
    assert_eq!(single.free_counts.flush_remote, remote);
}

#[test]
fn the_same_seed_gives_the_same_run_and_every_policy_works() {
    for policy in Policy::ALL {
        let plan = plan_of(Layout::Node, 13).with_policy(Some(policy));
        assert_eq!(plan.policy(), policy.name());
        let a = measure(&series(), &plan).unwrap();
        assert_eq!(a, measure(&series(), &plan).unwrap());
    }
}

#[test]
fn real_threads_serve_the_same_pages() {
    for layout in Layout::ALL {
        let s = series();
        let measured = race(&s, &plan_of(layout, 8)).unwrap();
        let n = 8 * u64::from(s.pages);
        for m in &measured {
            let faults = m.alloc_counts.faults;
            let fits = match m.mode {
                Mode::Single => faults == n,
                Mode::Runs => faults * 8 < n,
            };
            assert!(fits, "{layout:?} {:?}: {faults} faults", m.mode);
            assert_eq!(m.free_counts.unmaps, n, "{layout:?} {:?}", m.mode);
        }
        assert_eq!(measured.len(), 2);
    }
}

#[test]
fn too_little_memory_is_said() {
    let s = Series {
        machine: Machine::uniform(1, 2, 64),
        pages: 10_000,
        ..series()
    };
    let plan = script::run(&scripts().join("paper-core.cfg"), 2, s.pages).unwrap();
    let e = measure(&s, &plan).unwrap_err().to_string();
    assert!(e.contains("core on 2 cores") && e.contains("memory"), "{e}");
}

#[test]
fn what_the_service_refuses_is_said() {
    let mut plan = plan_of(Layout::Core, 2);
    plan.factories[1].place = "core=7".into();
    let e = measure(&series(), &plan).unwrap_err().to_string();
    assert!(e.contains("core=7") && e.contains("NoDev"), "{e}");
    let mut plan = plan_of(Layout::Core, 2);
    plan.programs[0].name = "rom/other".into();
    let e = measure(&series(), &plan).unwrap_err().to_string();
    assert!(e.contains("no program 'rom/other'"), "{e}");
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
