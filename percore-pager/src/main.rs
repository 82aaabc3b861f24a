#![cfg_attr(l4re, no_std, no_main)]
//! The pager server's program: what it finds in its environment. Everything else is in the library.

#[cfg(l4re)]
l4re_rs::program!(start);

#[cfg(l4re)]
fn start(process: &'static l4re_rs::start::aux::Process) -> i64 {
    use l4re_rs::l4_sys::kip::Kip;
    use l4re_rs::{Cap, CapIdx};
    use percore_pager::server::shell::place::Places;
    use percore_pager::server::shell::{Start, run, touch_program};

    let env = process.env;
    let Some(service) = env.get("pager") else {
        l4re_rs::println!(
            "percore-pager: no capability 'pager' to serve: give it one in the script"
        );
        return 1;
    };
    touch_program();
    // SAFETY: the loader mapped the page there for the program's life.
    let kip = (process.kip != 0).then(|| unsafe { Kip::from_addr(process.kip) });
    let start = Start {
        service,
        sigma0: env.get("sigma0"),
        mem: Some(env.mem_alloc()),
        rm: Some(env.rm()),
        factory: env.factory(),
        scheduler: env.scheduler(),
        task: Cap::new(CapIdx::TASK),
        thread: env.main_thread(),
        log: env.log(),
        handler: env.rm().idx(),
        first_slot: env.first_free(),
        first_reply: env.first_free_reply(),
        places: Places::for_ram(kip.map_or(0, Kip::ram_end)),
        kip,
    };
    match run(&start, process.args().skip(1)) {
        Ok(never) => match never {},
        Err(refusal) => {
            l4re_rs::println!("percore-pager: {refusal}");
            1
        }
    }
}

#[cfg(not(l4re))]
fn main() {
    eprintln!(
        "percore-pager runs on Fiasco.OC: build it with `cargo run -- build`, boot it with \
         `cargo run -- qemu hello-percore`"
    );
    std::process::exit(2);
}
